"""The report's first page: results.json through its template."""

from __future__ import annotations

import json
from collections.abc import Mapping

from reports.overview.alt import labels
from reports.overview.figures import FIGURES
from reports.overview.findings import findings
from reports.site import plain
from reports.site.figure import draw
from reports.site.page import Contents, Json, Page, Prepared

CLAIM_TITLES = {
    "SP-2": "CoreNet's sample size, as printed", "SP-3": "Bernstein", "SP-4": "Chernoff–Hoeffding",
    "SP-5": "Cramér, at the calibration inputs", "SP-5x": "exact tail, at the calibration inputs",
    "SP-6": "keeping the most sensitive weights", "SP-8": "inclusion by probability",
}  # fmt: skip


def _fill(given: tuple[Json, Mapping[str, Prepared | None]]) -> Contents:
    """Figures and words of results, with the briefings of the other pages by name."""
    results, beside = given
    # Figures and page are made from what a reader of results.json will find there.
    written = json.loads(plain.dump(results))
    drawn = draw(FIGURES, written)
    written["findings"] = findings(written)
    written |= {name: page and page.briefing for name, page in beside.items()}
    written["figures"] = [{"name": figure.name, "alt": figure.alt} for figure in drawn]
    data = plain.dump(written)
    values = {"r": json.loads(data), "labels": labels(written), "claims": CLAIM_TITLES}
    return Contents(data, drawn, values, briefing=written["verdict"])


PAGE = Page("index", "index.html.jinja", _fill, numbers="results")
