"""The report's first page: results.json through its template."""

from __future__ import annotations

from collections.abc import Sequence

from reports.site.figure import Drawn
from reports.site.page import Json, embedded, environment

CLAIM_TITLES = {
    "SP-2": "CoreNet's sample size, as printed",
    "SP-3": "Bernstein",
    "SP-4": "Chernoff–Hoeffding",
    "SP-5": "Cramér, at the calibration inputs",
    "SP-5x": "exact tail, at the calibration inputs",
    "SP-6": "keeping the most sensitive weights",
    "SP-8": "inclusion by probability",
}


def render(results: Json, drawn: Sequence[Drawn]) -> str:
    """Make the page of results as they are written; the template adds words and no numbers."""
    labels = {m["name"]: m["label"] for m in results["methods"]}
    return (
        environment()
        .get_template("index.html.jinja")
        .render(r=results, pictures=embedded(drawn), labels=labels, claims=CLAIM_TITLES)
    )
