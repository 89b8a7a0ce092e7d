"""The validation page, made of results by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports import build, write_validation
from reports.site.page import Prepared
from reports.validation import Line, Validation, page
from reports.validation.sources import source_digest
from reports.validation.words import RULES, figure_words, headline, interval

Json = dict[str, Any]
MADE = {"machine": ["abacus, 2 cores"], "date": ["2026-01-02"], "command": ["sipp validate <x>"],
        "source": ["0123456789ab"], "versions": ["torch 2.9"], "seconds": 7300.0,
        "cells": 1234}  # fmt: skip


def series(name: str, y: float) -> Json:
    return {"name": name, "kept": [0.02, 0.2], "y": [y, y / 2], "low": [y, y / 4],
            "high": [y, y]}  # fmt: skip


def panel(figure: str, title: str, *lines: Json, **more: Any) -> Json:
    blank = {"figure": figure, "title": title, "label": "accuracy", "log": False, "level": 0.98,
             "floor": None, "series": list(lines)}  # fmt: skip
    return blank | more


def results(broken: bool = False) -> list[Validation]:
    lines = (
        Line("ratio of <a> to b", "below 1", "0.5 times", "yes", 0.4, 0.6, "times", 10, "reduced",
             "figures of X"),
        Line("potential", "97.00%", "96.10%", "no", 95.0, 97.2, "%", 3, "reduced", "table of X"),
        Line("a point", "on a par", "+0.10 points", "in part", -1.0, 1.2, "points", 3, "reduced"),
        Line("ImageNet", "81.6%", "-", "not run", schedule="reduced", why="it is not at hand"),
        Line("our own", "-", "3 points", "no claim", seeds=1, schedule="reduced"),
        Line("the bound", "never above", "2 times it", "no" if broken else "yes", guarantee=True),
    )  # fmt: skip
    curves = (
        panel("sipp-lenet-5", "pruned once", series("sipp-det", 0.9), series("magnitude", 0.8)),
        panel("sipp-lenet-5", "in steps", series("sipp-det", 0.97), floor=0.9),
    )
    small = (panel("nettrim-fc-2", "trained again", series("nettrim parallel", 0.9),
                   series("published", 0.95)),)  # fmt: skip
    errors = tuple(panel(f, "2 layers", series("corenet", 0.0), series("svd", 4.0), log=True,
                         level=None) for f in ("corenet-error", "corenet-sipp"))  # fmt: skip
    return [
        Validation("corenet", "CoreNet's title", "quick", "few nets", lines[:1], errors, MADE),
        Validation("sipp", "SiPP's title", "reduced", "big nets", lines, curves, MADE),
        Validation("nettrim", "Net-Trim's title", "quick", "small nets", (), small, MADE),
    ]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return page.PAGE.prepare(results())


def test_the_page_says_what_was_reproduced_and_what_was_not(
    prepared: Prepared, text_of: Callable[[str], str]
) -> None:
    text = text_of(prepared.html)
    for words in (
        "ratio of <a> to b", "0.4 to 0.6 times, 10 seeds , reduced schedule".replace(" ,", ","),
        "95 to 97.2%, 3 seeds", "−1 to 1.2 points", "✓ yes", "✗ no", "◐ in part", "– not run",
        "It is not at hand.", "Not reproduced", "Not run here", "Our own comparisons",
        "1,234 cells, 2.0 h of computing, 2026-01-02, on abacus, 2 cores", "sipp validate <x>",
        "SiPP (reduced): of 4 statements and numbers that were run, 2 are reproduced, 1 in part or "
        "undecided, 1 not; 1 not run.", "CoreNet's title", "figures of X",
    ):  # fmt: skip
        assert words in text, words
    for rule in RULES:
        assert rule in text
    assert "violated" not in text.split("How agreement is judged")[0]
    assert not prepared.briefing["violated"] and "SiPP (reduced)" in prepared.briefing["headline"]


@pytest.mark.parametrize(
    ("code", "words"),
    [([], "torch 2.9. Code: not recorded."),
     (["0123456789ab"], f"Code: 0123456789ab; what comes with this page is {source_digest()}, so"),
     ([source_digest()], f"Code: {source_digest()}, the one that comes with this page.")],
)  # fmt: skip
def test_it_says_whose_code_made_the_numbers(
    code: list[str], words: str, text_of: Callable[[str], str]
) -> None:
    one = replace(results()[1], made=MADE | {"source": code})
    assert words in text_of(page.PAGE.prepare([one]).html)


def test_a_broken_promise_stands_at_the_top(text_of: Callable[[str], str]) -> None:
    made = page.PAGE.prepare(results(broken=True))
    assert made.briefing["violated"]
    assert "A guarantee was violated: the bound: 2 times it." in text_of(made.html)


def test_the_page_fetches_nothing_and_every_picture_has_words(
    prepared: Prepared,
) -> None:
    body = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]+", "", prepared.html)
    assert "http" not in body and "<script" not in body and "url(" not in body
    assert "<a> to b" not in body and "<x>" not in body
    assert len(re.findall(r'alt="[^"]{40,}"', body)) == len(prepared.drawn) == 4
    assert [figure.name for figure in prepared.drawn] == [
        "validation-corenet-error-quick", "validation-corenet-sipp-quick",
        "validation-sipp-lenet-5-reduced", "validation-nettrim-fc-2-quick",
    ]  # fmt: skip
    alt = prepared.drawn[2].alt
    assert "SiPP deterministic highest (45.0%)" in alt and "Magnitude is lowest (40.0%)" in alt


def test_files_are_written_whole_and_are_the_same_again(tmp_path: Path) -> None:
    index = write_validation(results(), tmp_path)
    assert index.name == "validation.html"
    content = json.loads((tmp_path / "validation.json").read_text())
    assert content["validations"] == [json.loads(json.dumps(one.summary())) for one in results()]
    assert len(list(tmp_path.iterdir())) == 2 + 2 * 4
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    write_validation(results(), tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.usefixtures("computed")
def test_the_reports_pages_link_each_other(tmp_path: Path) -> None:
    built = build("digits", tmp_path, quick=True, validation=results(broken=True))
    assert built.violated
    assert 'href="validation.html"' in built.index.read_text()
    assert 'href="index.html"' in (tmp_path / "validation.html").read_text()


def test_words_for_a_paper_of_which_nothing_could_be_judged() -> None:
    line = {"agrees": "not run"}
    messages = headline({"paper": "sipp", "schedule": "paper", "lines": [line]})
    assert messages == "SiPP (paper): nothing that the paper says could be judged; 1 not run."
    assert interval({"low": None, "high": None, "unit": "", "seeds": 0}) == ""
    assert figure_words("sipp-lenet-5")[0] == "Accuracy against weights kept: lenet-5"
