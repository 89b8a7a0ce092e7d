"""A wheel installs in a fresh environment and runs outside the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def run(words: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run outside the source tree, with nothing of it on the path."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        words, cwd=place, env=plain | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.skipif(not NIGHTLY, reason="a wheel and a fresh venv: HYPOTHESIS_PROFILE=nightly")
def test_the_wheel_runs_without_its_sources(repository: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=True
    ).stdout.split(b"\0")
    for name in (os.fsdecode(file) for file in files if file):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((repository / name).read_bytes())
    words = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", str(tree)]
    built = run([*words, "-w", str(tmp_path)], tmp_path)
    if built.returncode and "Could not find a version" in built.stderr:
        pytest.skip(f"no package index for the build: {built.stderr[-200:]}")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("sipp_theory-*.whl")
    venv.create(tmp_path / "fresh", with_pip=True)
    python = tmp_path / "fresh" / "bin" / "python"
    done = run([str(python), "-m", "pip", "install", "-q", "--no-deps", str(wheel)], tmp_path)
    assert done.returncode == 0, done.stderr
    # What it needs is taken from the environment of the tests: an index would give the same again.
    (site,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    (site / "needs.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    help_ = run([str(tmp_path / "fresh" / "bin" / "sipp"), "--help"], tmp_path)
    assert help_.returncode == 0 and "certify" in help_.stdout, help_.stderr
    text = (repository / "README.md").read_text("utf-8")
    example = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    where = "import sipp_core, sipp_cli, reports; print(sipp_core.__file__)\n"
    done = run([str(python), "-c", where + example], tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "fresh") in done.stdout.splitlines()[0] and "%" in done.stdout
