"""A page: numbers through a template, pictures embedded, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Generic, TypeVar

import jinja2

from reports.site import plain
from reports.site.figure import Drawn
from sipp_core.runtime import write_atomically

Json = dict[str, Any]
T = TypeVar("T")


def _embedded(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _environment() -> jinja2.Environment:
    """Templates of this package, escaping everything, refusing a name that does not exist."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "sig": plain.significant, "up": plain.upward, "percent": plain.percent,
        "percent_up": plain.percent_upward, "count": plain.count, "share": plain.share,
        "given": plain.given,
    }  # fmt: skip
    return environment


@dataclass(frozen=True)
class Contents:
    """What a template is filled with.

    Attributes:
        data: as JSON, what every number in the page comes from.
        drawn: the figures.
        values: what the template calls by name, beside "pictures" and "r", which holds the figures.
        filters: what the template applies, beside those of all pages.
        briefing: what the report's own page says about it.
    """

    data: str
    drawn: tuple[Drawn, ...]
    values: Mapping[str, Any]
    filters: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    briefing: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A page and its files, computed but not yet written.

    Attributes:
        name: file name of the page, without its end.
        numbers: file name of the numbers, without its end.
        html: the page.
        data: as JSON, what every number in the page comes from.
        drawn: the figures.
        briefing: what the report's own page says about it.
    """

    name: str
    numbers: str
    html: str
    data: str
    drawn: tuple[Drawn, ...]
    briefing: Json

    def write(self, folder: str | PathLike[str]) -> Path:
        """Write the figures, the numbers and, last, the page; each file appears whole."""
        target = Path(folder)
        for figure in self.drawn:
            write_atomically(target / f"{figure.name}.png", figure.png)
            write_atomically(target / f"{figure.name}.svg", figure.svg)
        write_atomically(target / f"{self.numbers}.json", self.data.encode())
        return write_atomically(target / f"{self.name}.html", self.html.encode())


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of the report: a template, and how it is filled.

    Attributes:
        name: file name of the page, without its end.
        template: its template.
        fill: computes numbers and figures of what the page is about.
        numbers: file name of the numbers, without its end; the page's own if empty.
    """

    name: str
    template: str
    fill: Callable[[T], Contents]
    numbers: str = ""

    def prepare(self, subject: T) -> Prepared:
        """Compute the page and its figures; nothing is written."""
        contents, environment = self.fill(subject), _environment()
        environment.filters |= contents.filters
        html = environment.get_template(self.template).render(
            {
                "r": {"figures": [{"name": f.name, "alt": f.alt} for f in contents.drawn]},
                "pictures": {
                    f.name: {"wide": _embedded(f.svg), "narrow": _embedded(f.narrow)}
                    for f in contents.drawn
                },
                **contents.values,
            }
        )
        numbers = self.numbers or self.name
        return Prepared(self.name, numbers, html, contents.data, contents.drawn, contents.briefing)
