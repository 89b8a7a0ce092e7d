"""The validation page: results of all papers and schedules through one template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from reports.site import plain
from reports.site.figure import Drawn
from reports.site.page import Contents, Page
from reports.validation import words
from reports.validation.figures import along_axis, draw
from reports.validation.sources import source_digest
from reports.validation.verdicts import Validation

Json = dict[str, Any]


def write_validation(validations: Sequence[Validation], folder: str | PathLike[str]) -> Path:
    """Write the validation page: validation.html, validation.json and the figures.

    Args:
        validations: results, in the order to show them; those of a paper side by side.
        folder: of the report, whose index.html the page links to; made if needed.

    Returns:
        Where the page is.

    Raises:
        ValueError: no result was given.
        OSError: the folder cannot be written to.

    Example:
        >>> write_validation([], "out")
        Traceback (most recent call last):
        ...
        ValueError: a validation page needs at least one result; found none
    """
    return PAGE.prepare(validations).write(folder)


def _fill(validations: Sequence[Validation]) -> Contents:
    """Figures and words of results, as they are written; the template adds no numbers."""
    if not validations:
        raise ValueError("a validation page needs at least one result; found none")
    data = plain.dump({"validations": [one.summary() for one in validations]})
    written = json.loads(data)["validations"]
    drawn: list[Drawn] = []
    papers: dict[str, list[Json]] = {}
    for one in written:
        figures = draw(one)
        axes = {panel["figure"]: along_axis(panel) for panel in one["curves"]}
        pictured = [
            (name, axis, figure.name)
            for (name, axis), figure in zip(axes.items(), figures, strict=True)
        ]
        papers.setdefault(one["paper"], []).append(one | {"pictured": pictured})
        drawn += figures
    broken = [sentence for one in written for sentence in words.broken(one)]
    values = {
        "papers": papers, "names": words.NAMES, "signs": words.SIGNS, "groups": words.GROUPS,
        "rules": words.RULES, "broken": broken, "source": source_digest(),
    }  # fmt: skip
    filters = {
        "about": words.about, "figure_words": words.figure_words, "headline": words.headline,
        "interval": words.interval,
    }  # fmt: skip
    first = {one["paper"]: one for one in reversed(written)}.values()
    headline = " ".join(words.headline(one) for one in reversed(list(first)))
    briefing = {"headline": headline, "violated": bool(broken)}
    return Contents(data, tuple(drawn), values, filters, briefing)


PAGE = Page("validation", "validation.html.jinja", _fill)
