"""The claims page: the summary of a run of the ledger through one template, nothing fetched."""

from __future__ import annotations

import json
import re
from os import PathLike
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from reports.claims.figures import FIGURES
from reports.claims.terms import FAMILIES, STATUSES, family, times
from reports.claims.words import briefing
from reports.site import plain, style
from reports.site.figure import draw
from reports.site.mathml import prose
from reports.site.page import Contents, Page

Json = dict[str, Any]
SIGNS = {"s": "■", "o": "●", "D": "◆", "v": "▼", "X": "✖"}
KINDS = {
    "symbolic": "Derived by machine", "laws": "Laws, on adversarial instances",
    "oracles": "Held against independent oracles", "coverage": "Simulated",
    "assumptions": "Measured on real networks", "mutations": "Weakened copies",
}  # fmt: skip
_ID = re.compile(r"(?<![\w-])[A-Z][A-Za-z]*-?[\w]+(?:-[\w]+)*")


def write_claims(summary: Json, folder: str | PathLike[str]) -> Path:
    """Write the claims page of a run of the ledger: claims.html, claims.json and the figures.

    Args:
        summary: of the run; what `sipp check --json` prints.
        folder: of the report, whose index.html the page links to; made if needed.

    Returns:
        Where the page is.

    Raises:
        ValueError: a formula that cannot be read, or claims that use one another in a circle.
        TypeError: the summary holds something that JSON does not know.
        OSError: the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> nothing = {"profile": "quick", "seed": 0, "versions": {}, "refuted": [],
        ...            "survived": [], "counts": {}, "claims": []}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_claims(nothing, folder).name
        'claims.html'
    """
    return PAGE.prepare(summary).write(folder)


def _fill(given: Json) -> Contents:
    """Figures and words of a run of the ledger; the template adds no numbers."""
    data = plain.dump(given)
    # Page and figures are made from what a reader of claims.json will find there.
    summary = json.loads(data)
    known, brief = {claim["id"] for claim in summary["claims"]}, briefing(summary)
    families = dict.fromkeys(map(family, summary["claims"]))
    values = {
        "s": summary, "briefing": brief, "statuses": STATUSES, "looks": style.STATUS,
        "families": [(name, FAMILIES.get(name, name)) for name in families], "known": known,
        "users": _users(summary), "kinds": KINDS,
    }  # fmt: skip
    filters = {
        "prose": prose,
        "times": times,
        "refer": lambda text: refer(text, known),
        "slug": lambda status: status.replace(" ", "-"),
        "sign": _sign,
        "family": family,
        "breakable": lambda name: (
            escape(name).replace("-", Markup("-<wbr>")) if len(name) > 6 else name
        ),
    }
    return Contents(data, draw(FIGURES, summary), values, filters, brief)


PAGE = Page("claims", "claims.html.jinja", _fill)


def refer(text: str, known: set[str]) -> Markup:
    """Escape a text and make a link of each claim's id in it."""

    def linked(match: re.Match[str]) -> str:
        name = match[0]
        return f'<a href="#{name}">{name}</a>' if name in known else name

    return Markup(_ID.sub(linked, str(escape(text))))


def _sign(status: str) -> str:
    look = style.STATUS.get(status)
    return SIGNS.get(look.marker, "○") if look else "○"


def _users(summary: Json) -> dict[str, list[str]]:
    """Which entries use each."""
    users: dict[str, list[str]] = {claim["id"]: [] for claim in summary["claims"]}
    for claim in summary["claims"]:
        for name in (*claim["assumptions"], *claim["depends"]):
            users.setdefault(name, []).append(claim["id"])
    return users
