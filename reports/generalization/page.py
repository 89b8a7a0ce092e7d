"""The generalization page: every bound on the true error of every file through one template."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from reports.generalization import words
from reports.generalization.checked_in import stem
from reports.generalization.figures import draw
from reports.generalization.overview import overview
from reports.generalization.run import Generalization
from reports.site import page, plain
from reports.site.figure import Drawn
from reports.site.page import Prepared, write

Json = dict[str, Any]


def prepare(results: Sequence[Generalization]) -> Prepared:
    """Compute the page and its figures; nothing is written."""
    if not results:
        raise ValueError("a generalization page needs at least one result; found none")
    names = [stem(one.facts["net"], one.facts["data"]) for one in results]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each network and data set must come once; found {twice[0]} twice")
    data = plain.dump({"results": [one.summary() for one in results]})
    written = json.loads(data)["results"]
    whole, figures = overview(written), [draw(one) for one in written]
    drawn = (whole, *(figure for some in figures for figure in some))
    briefing = {"headline": " ".join(words.headline(one) for one in written[:1]),
                "count": len(written)}  # fmt: skip
    files = [one.file.content for one in results]
    return Prepared("generalization", render(written, files, drawn), data, drawn, briefing)


def write_generalization(results: Sequence[Generalization], folder: str | PathLike[str]) -> Path:
    """Write the generalization page: generalization.html, generalization.json and the figures.

    The page holds the networks themselves, so that a reader can take them and verify them.

    Args:
        results: in the order to show them; one a network and data set.
        folder: of the report, whose index.html the page links to; made if needed.

    Returns:
        Where the page is.

    Raises:
        ValueError: no result was given, or two of the same network and data set.
        OSError: the folder cannot be written to.

    Claim: none (plumbing).

    Example:
        >>> write_generalization([], "out")
        Traceback (most recent call last):
        ...
        ValueError: a generalization page needs at least one result; found none
    """
    return write(prepare(results), folder)


def render(written: Sequence[Json], files: Sequence[bytes], drawn: Sequence[Drawn]) -> str:
    """Make the page of results as they are written; the template adds words and no numbers."""
    made = page.environment()
    made.filters |= {
        "amount": words.amount, "sure": words.sure, "promise": words.promise,
        "headline": words.headline, "setting": words.setting, "bounds": words.table,
        "best": words.chosen, "vacuous": words.vacuous, "largest": words.largest,
    }  # fmt: skip
    made.globals["rate"] = words.rate
    shown = [
        one | {
            "stem": (name := stem(one["net"], one["data"])),
            "pictured": {
                figure.name.removeprefix("generalization-").removesuffix(f"-{name}"): figure.name
                for figure in drawn if figure.name.endswith(f"-{name}")
            },
            "total": sum(charge["bits"] for charge in one["budget"]),
            "taken": "data:application/octet-stream;base64," + base64.b64encode(content).decode(),
        }
        for one, content in zip(written, files, strict=True)
    ]  # fmt: skip
    return made.get_template("generalization.html.jinja").render(
        r={"figures": [{"name": figure.name, "alt": figure.alt} for figure in drawn]},
        pictures=page.embedded(drawn), results=shown, limits=words.LIMITS,
        references=words.REFERENCES, mnist=any(one["data"] == "mnist" for one in written),
    )  # fmt: skip
