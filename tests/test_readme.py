"""The README's promises that can be run are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/guarantees.md", "docs/guide.md")


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def environment(repository: Path) -> dict[str, str]:
    """Ours, with the repository importable from the temporary folder the example runs in."""
    return {**os.environ, "PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}


def test_the_python_example_runs(repository: Path, tmp_path: Path) -> None:
    (example,) = blocks(repository, "python")
    lines = [line for line in example.splitlines() if line.strip()]
    assert len(lines) <= 10, "the README promises ten lines"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        env=environment(repository),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "%" in done.stdout


def test_the_commands_of_the_example_exist(repository: Path) -> None:
    (example,) = blocks(repository, "console")
    commands = [shlex.split(line) for line in example.splitlines() if line.startswith("sipp ")]
    assert 1 <= len(commands) <= 5
    for command in {words[1] for words in commands}:
        done = subprocess.run(
            [sys.executable, "-m", "sipp_cli", command, "--help"],
            env=environment(repository),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"sipp {command}: {done.stderr}"


@pytest.mark.parametrize("name", PAGES)
def test_links_to_files_lead_somewhere(repository: Path, name: str) -> None:
    text = (repository / name).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    folder = (repository / name).parent
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_paths_that_are_named_exist(repository: Path, name: str) -> None:
    text = (repository / name).read_text("utf-8")
    paths = re.findall(r"`(\w+/[\w/]*(?:\.\w+|/))`", text)
    assert paths and [path for path in paths if not (repository / path).exists()] == []
