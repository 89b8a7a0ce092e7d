"""What tutorials and how-to pages show is what their code and their commands print."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import math
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sipp_cli.main import app
from sipp_core import methods
from sipp_core.pruning import method
from tests.zoo.conftest import LIBRARIES, missing

BLOCK = re.compile(
    r'^```(python|console|text)(?: title="([^"\n]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL
)
NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?)")
DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted([*(DOCS / "tutorials").glob("*.md"), *(DOCS / "howto").glob("*.md")])


def alike(shown: str, printed: str) -> bool:
    """The same words, and numbers within a quarter: training differs a little between machines.

    What is shown may break off with "..." before the end.
    """
    words, others = shown.split(), printed.split()
    if words and words[-1] == "...":
        words, others = words[:-1], others[: len(words) - 1]
    ours, theirs = NUMBER.split(" ".join(words)), NUMBER.split(" ".join(others))
    numbers = zip(ours[1::2], theirs[1::2], strict=False)
    return ours[::2] == theirs[::2] and all(
        math.isclose(float(a.replace(",", "")), float(b.replace(",", "")), rel_tol=0.25)
        for a, b in numbers
    )


def commands(body: str) -> str:
    """Run each line of a console block in this process; what they print together."""
    printed = ""
    for line in body.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        assert program == "sipp", line
        ended = CliRunner().invoke(app, words, prog_name="sipp")
        assert ended.exit_code == 0, f"{line}: {ended.stderr or ended.exception!r}"
        printed += ended.stdout
    return printed


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Run a page in order: each block's language, body, and what was printed before it.

    A block with a title is a file, and a console block is run if a block of text follows it.
    """
    names: dict[str, object] = {"__name__": "tutorial"}
    run, printed = [], ""
    parts = BLOCK.findall(text)
    for (language, title, body), (after, *_) in zip(parts, [*parts[1:], ("",)], strict=True):
        run.append((language, body, printed))
        if title:
            Path(title).write_text(body, "utf-8")
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(body, "tutorial", "exec"), names)
            printed = output.getvalue()
        elif language == "console" and after == "text":
            printed = commands(body)
    return run


def absent(text: str) -> str | None:
    """Why a page's code cannot run here: packages that it imports and that are not installed."""
    trees = [ast.parse(body) for language, _, body in BLOCK.findall(text) if language == "python"]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {
        alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    used = {name.partition(".")[0] for name in imported}
    files = {Path(title).stem for _, title, _ in BLOCK.findall(text) if title}
    unknown = {name for name in used - files if importlib.util.find_spec(name) is None}
    return missing(*sorted(unknown | (used & set(LIBRARIES))))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_page_prints_what_it_shows(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = page.read_text("utf-8")
    if (reason := absent(text)) is not None:
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # A tutorial that registers a method leaves none behind, and a page's own module neither.
    assert methods.registered()
    monkeypatch.setattr(method, "_REGISTRY", dict(method._REGISTRY))
    before = set(sys.modules)
    shown = [(body, printed) for kind, body, printed in blocks(text) if kind == "text"]
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    assert shown
    assert [pair for pair in shown if not alike(*pair)] == []


def test_the_end_may_be_left_out() -> None:
    assert alike("kept 10 of\n20 ...", "kept 10 of 20 weights") and alike("a", "a")
    assert not alike("kept 10 ...", "kept 20 of 20") and not alike("kept", "kept 20")


@pytest.mark.parametrize(
    ("printed", "same"), [("1,000 of 2.05%", True), ("1,400 of 2%", False), ("1,000 in 2%", False)]
)
def test_another_output_is_noticed(printed: str, same: bool) -> None:
    (_, _, before), (_, body, after) = blocks(
        f"```python\nprint({printed!r})\n```\n\n```text\n1,000 of 2.0%\n```\n"
    )
    assert before == ""
    assert alike(body, after) is same


def test_a_package_that_is_not_installed_is_named() -> None:
    page = "```python\nimport no_such_package.part\nfrom sipp_core import prune\n```\n"
    assert "needs no_such_package" in str(absent(page))
    assert absent("```python\nimport torch\n```\n") is None


def test_a_command_and_a_file_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = '```python title="a.py"\n1\n```\n\n```console\nsipp --version\n```\n\n```text\n```\n'
    *_, (_, _, printed) = blocks(page)
    assert (tmp_path / "a.py").read_text() == "1\n" and printed
