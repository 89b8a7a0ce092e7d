"""The page: results.json through one template, pictures embedded, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import jinja2

from reports import plain
from reports.figures import Drawn

Json = dict[str, Any]

CLAIM_TITLES = {
    "SP-2": "CoreNet's sample size, as printed",
    "SP-3": "Bernstein",
    "SP-4": "Chernoff–Hoeffding",
    "SP-5": "Cramér, at the calibration inputs",
    "SP-5x": "exact tail, at the calibration inputs",
    "SP-6": "keeping the most sensitive weights",
    "SP-8": "inclusion by probability",
}


def _embedded(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def embedded(drawn: Sequence[Drawn]) -> dict[str, dict[str, str]]:
    """The figures by name, both forms as addresses that hold the picture itself."""
    return {
        figure.name: {"wide": _embedded(figure.svg), "narrow": _embedded(figure.narrow)}
        for figure in drawn
    }


def environment() -> jinja2.Environment:
    """Templates of this package, escaping everything, refusing a name that does not exist."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "sig": plain.significant,
        "up": plain.upward,
        "percent": plain.percent,
        "percent_up": plain.percent_upward,
        "count": plain.count,
        "share": plain.share,
        "given": plain.given,
    }
    return made


def render(results: Json, drawn: Sequence[Drawn]) -> str:
    """Make the page of results as they are written; the template adds words and no numbers.

    Args:
        results: what results.json holds.
        drawn: the figures.

    Returns:
        HTML.
    """
    labels = {m["name"]: m["label"] for m in results["methods"]}
    return (
        environment()
        .get_template("index.html.jinja")
        .render(r=results, pictures=embedded(drawn), labels=labels, claims=CLAIM_TITLES)
    )
