"""The page: results.json through one template, pictures embedded, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import jinja2

from reports.site import plain
from reports.site.figure import Drawn
from sipp_core.runtime import write_atomically

Json = dict[str, Any]


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


@dataclass(frozen=True)
class Prepared:
    """A page and its files, computed but not yet written.

    Attributes:
        name: file name of page and numbers, without their ends.
        html: the page.
        data: as JSON, what every number in the page comes from.
        drawn: the figures.
        briefing: what the report's own page says about it.
    """

    name: str
    html: str
    data: str
    drawn: tuple[Drawn, ...]
    briefing: Json


def write(prepared: Prepared, folder: str | PathLike[str]) -> Path:
    """Write the figures, the numbers and, last, the page; each file appears whole."""
    target = Path(folder)
    for figure in prepared.drawn:
        write_atomically(target / f"{figure.name}.png", figure.png)
        write_atomically(target / f"{figure.name}.svg", figure.svg)
    write_atomically(target / f"{prepared.name}.json", prepared.data.encode())
    return write_atomically(target / f"{prepared.name}.html", prepared.html.encode())
