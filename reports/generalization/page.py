"""The generalization page: every bound on the true error of every file through one template."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from reports.generalization import words
from reports.generalization.checked_in import stem
from reports.generalization.figures import FIGURES
from reports.generalization.overview import overview
from reports.generalization.run import Generalization
from reports.site import plain
from reports.site.figure import draw
from reports.site.page import Contents, Page


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

    Example:
        >>> write_generalization([], "out")
        Traceback (most recent call last):
        ...
        ValueError: a generalization page needs at least one result; found none
    """
    return PAGE.prepare(results).write(folder)


def _fill(results: Sequence[Generalization]) -> Contents:
    """Figures and words of results, as they are written; the template adds no numbers."""
    if not results:
        raise ValueError("a generalization page needs at least one result; found none")
    names = [stem(one.facts["net"], one.facts["data"]) for one in results]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"each network and data set must come once; found {twice[0]} twice")
    data = plain.dump({"results": [one.summary() for one in results]})
    written = json.loads(data)["results"]
    drawn, shown = [overview(written)], []
    for name, one, result in zip(names, written, results, strict=True):
        figures = draw(FIGURES, one, f"generalization-{{}}-{name}")
        parts = {f.name.removeprefix("generalization-").removesuffix(f"-{name}"): f.name
                 for f in figures}  # fmt: skip
        taken = base64.b64encode(result.file.content).decode()
        shown.append(
            one | {
                "stem": name, "pictured": parts,
                "total": sum(charge["bits"] for charge in one["budget"]),
                "taken": "data:application/octet-stream;base64," + taken,
            }
        )  # fmt: skip
        drawn += figures
    values = {
        "results": shown, "limits": words.LIMITS, "references": words.REFERENCES,
        "mnist": any(one["data"] == "mnist" for one in written), "rate": words.rate,
    }  # fmt: skip
    filters = {
        "amount": words.amount, "sure": words.sure, "promise": words.promise,
        "headline": words.headline, "setting": words.setting, "bounds": words.table,
        "best": words.chosen, "vacuous": words.vacuous, "largest": words.largest,
    }  # fmt: skip
    briefing = {"headline": words.headline(written[0]), "count": len(written)}
    return Contents(data, tuple(drawn), values, filters, briefing)


PAGE = Page("generalization", "generalization.html.jinja", _fill)
