"""What the tutorials show is what their code prints."""

from __future__ import annotations

import contextlib
import io
import math
import re
from pathlib import Path

import pytest

from sipp_core import methods
from sipp_core.pruning import method

BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?)")
PAGES = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


def alike(shown: str, printed: str) -> bool:
    """The same words, and numbers within a quarter: training differs a little between machines."""
    ours, theirs = NUMBER.split(" ".join(shown.split())), NUMBER.split(" ".join(printed.split()))
    numbers = zip(ours[1::2], theirs[1::2], strict=False)
    return ours[::2] == theirs[::2] and all(
        math.isclose(float(a.replace(",", "")), float(b.replace(",", "")), rel_tol=0.25)
        for a, b in numbers
    )


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Run a page's code in order: each block's language, body, and what was printed before it."""
    names: dict[str, object] = {"__name__": "tutorial"}
    run, printed = [], ""
    for language, body in BLOCK.findall(text):
        run.append((language, body, printed))
        if language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(body, "tutorial", "exec"), names)
            printed = output.getvalue()
    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_prints_what_it_shows(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A tutorial that registers a method leaves none behind.
    assert methods.registered()
    monkeypatch.setattr(method, "_REGISTRY", dict(method._REGISTRY))
    shown = [
        (body, printed) for kind, body, printed in blocks(page.read_text("utf-8")) if kind == "text"
    ]
    assert shown
    assert [pair for pair in shown if not alike(*pair)] == []


@pytest.mark.parametrize(
    ("printed", "same"), [("1,000 of 2.05%", True), ("1,400 of 2%", False), ("1,000 in 2%", False)]
)
def test_another_output_is_noticed(printed: str, same: bool) -> None:
    (_, _, before), (_, body, after) = blocks(
        f"```python\nprint({printed!r})\n```\n\n```text\n1,000 of 2.0%\n```\n"
    )
    assert before == ""
    assert alike(body, after) is same
