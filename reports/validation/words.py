"""What the validation page and `sipp validate` say in words: verdicts, intervals, headlines."""

from __future__ import annotations

from collections import Counter
from typing import Any

from reports.site.plain import MINUS, count
from reports.validation.run import PAPERS

Json = dict[str, Any]
NAMES = {key: paper.name for key, paper in PAPERS.items()}
SIGNS = {"yes": "✓", "in part": "◐", "no": "✗", "not run": "–"}
GROUPS = (
    ("yes", "Reproduced"), ("in part", "Reproduced in part, or undecided by so few seeds"),
    ("no", "Not reproduced"), ("not run", "Not run here"),
)  # fmt: skip
FIGURES = {name: words for paper in PAPERS.values() for name, words in paper.figures.items()}
RULES = (
    "A statement that one method is better than another agrees if the 95% interval of the paired "
    "difference over seeds lies on the paper's side of zero, disagrees if it lies on the other, "
    "and is undecided (◐) if it holds zero. “Helps or is equal” disagrees only if the interval "
    "lies on the wrong side.",
    "“On a par” agrees if the whole interval lies within half a point of accuracy, and disagrees "
    "if it lies outside.",
    "A published number agrees if every seed of ours reaches it (on Net-Trim's curve up to half a "
    "point of accuracy, for another network was trained), disagrees if none does, and is "
    "reproduced in part otherwise.",
    "What a theorem promises agrees only if it held every time; one break is reported as a "
    "violated guarantee. Every other disagreement is a finding.",
    "Intervals are Student's over seeds and take them as normal: estimates of few runs, no "
    "guarantees, and with two or three seeds wide. In CoreNet's experiment seeds are draws of "
    "pruning on the same trained networks; in the others each seed trains a network of its own.",
    "Prune potential is the largest share removed, among the steps that were run, at which test "
    "accuracy falls by at most half a point; like the papers' own it is chosen on the test inputs. "
    "Of a published file only a part is used after shuffling it: MNIST's is sorted by origin.",
)


def number(value: float) -> str:
    """Three digits, more only for whole numbers.

    >>> number(2663.0), number(-0.0512), number(98.25)
    ('2,663', '−0.0512', '98.2')
    """
    text = count(round(value)) if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", MINUS)


def interval(line: Json) -> str:
    """The interval of a line and how many seeds it rests on.

    >>> interval({"low": 1.0, "high": 2.5, "unit": "points", "seeds": 3})
    '1 to 2.5 points, 3 seeds'
    >>> interval({"low": None, "high": None, "unit": "", "seeds": 1})
    '1 seed'
    """
    seeds = f"{line['seeds']} seed{'' if line['seeds'] == 1 else 's'}" if line["seeds"] else ""
    if line["low"] is None or line["high"] is None:
        return seeds
    unit = {"%": "%", "": ""}.get(line["unit"], f" {line['unit']}")
    return f"{number(line['low'])} to {number(line['high'])}{unit}, {seeds}"


def headline(validation: Json) -> str:
    """How many statements of a paper agree, in a sentence."""
    agree = Counter(line["agrees"] for line in validation["lines"])
    judged = agree["yes"] + agree["in part"] + agree["no"]
    name, schedule = NAMES[validation["paper"]], validation["schedule"]
    if not judged:
        text = f"{name} ({schedule}): nothing that the paper says could be judged"
    else:
        text = (
            f"{name} ({schedule}): of {judged} statements and numbers that were run, "
            f"{agree['yes']} {'is' if agree['yes'] == 1 else 'are'} reproduced, {agree['in part']} "
            f"in part or undecided, {agree['no']} not"
        )
    return f"{text}; {agree['not run']} not run." if agree["not run"] else f"{text}."


def broken(validation: Json) -> list[str]:
    """Promises that were broken, in sentences."""
    return [
        f"{line['what']}: {line['ours']}"
        for line in validation["lines"]
        if line["guarantee"] and line["agrees"] == "no"
    ]


def figure_words(name: str) -> tuple[str, str]:
    """Title and caption of a figure by its name, which may end in a network's."""
    if name in FIGURES:
        return FIGURES[name]
    head, dash, net = name.partition("-")
    title, caption = FIGURES[head + dash]
    return f"{title}: {net}", caption


def about(seconds: float) -> str:
    """A time as people say it.

    >>> about(42.0), about(600), about(7300)
    ('42 s', '10 min', '2.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
