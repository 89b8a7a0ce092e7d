"""The validation page: results of all papers and schedules through one template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from reports.site import page, plain
from reports.site.figure import Drawn
from reports.site.page import Prepared, write
from reports.validation import words as validation_words
from reports.validation.figures import draw
from reports.validation.verdicts import Validation

Json = dict[str, Any]


def prepare(validations: Sequence[Validation]) -> Prepared:
    """Compute the page and its figures; nothing is written."""
    if not validations:
        raise ValueError("a validation page needs at least one result; found none")
    data = plain.dump({"validations": [one.summary() for one in validations]})
    written = json.loads(data)["validations"]
    figures = [draw(one) for one in written]
    drawn = tuple(figure for some in figures for figure in some)
    first = {one["paper"]: one for one in reversed(written)}.values()
    briefing = {
        "headline": " ".join(validation_words.headline(one) for one in reversed(list(first))),
        "violated": any(validation_words.broken(one) for one in written),
    }
    return Prepared("validation", render(written, figures), data, drawn, briefing)


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

    Claim: none (plumbing).

    Example:
        >>> write_validation([], "out")
        Traceback (most recent call last):
        ...
        ValueError: a validation page needs at least one result; found none
    """
    return write(prepare(validations), folder)


def render(written: Sequence[Json], figures: Sequence[Sequence[Drawn]]) -> str:
    """Make the page of results as they are written; the template adds words and no numbers."""
    made = page.environment()
    made.filters |= {
        "about": validation_words.about,
        "figure_words": validation_words.figure_words,
        "headline": validation_words.headline,
        "interval": validation_words.interval,
    }
    papers: dict[str, list[Json]] = {}
    for one, some in zip(written, figures, strict=True):
        names = dict.fromkeys(panel["figure"] for panel in one["curves"])
        pictured = [(name, figure.name) for name, figure in zip(names, some, strict=True)]
        papers.setdefault(one["paper"], []).append(one | {"pictured": pictured})
    drawn = [figure for some in figures for figure in some]
    return made.get_template("validation.html.jinja").render(
        r={"figures": [{"name": figure.name, "alt": figure.alt} for figure in drawn]},
        pictures=page.embedded(drawn),
        papers=papers,
        names=validation_words.NAMES,
        signs=validation_words.SIGNS,
        groups=validation_words.GROUPS,
        rules=validation_words.RULES,
        broken=[words for one in written for words in validation_words.broken(one)],
    )
