"""Figures of a page, each in a wide and a narrow (phone) form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, NullFormatter

from reports.site import style

Json = dict[str, Any]
# Whether the numbers have such a figure, how it is drawn (narrow or wide), and what it shows.
Kind = tuple[Callable[[Json], Any], Callable[[Json, bool], Figure], Callable[[Json], str]]
NARROW, WIDE = 4.2, 9.6


@dataclass(frozen=True)
class Drawn:
    """One figure as files.

    Attributes:
        name: file name without its end.
        alt: what it shows, in words, from the data.
        png: wide form, PNG.
        svg: wide form, SVG.
        narrow: phone form, SVG.
    """

    name: str
    alt: str
    png: bytes
    svg: bytes
    narrow: bytes


def drawing(name: str, alt: str, make: Callable[[bool], Figure]) -> Drawn:
    """Draw a figure in its wide and its narrow form."""
    with style.styled():
        wide, narrow = make(False), make(True)
        return Drawn(
            name=name, alt=alt, png=style.encoded(wide, "png"), svg=style.encoded(wide, "svg"),
            narrow=style.encoded(narrow, "svg"),
        )  # fmt: skip


def draw(kinds: Mapping[str, Kind], numbers: Json, name: str = "{}") -> tuple[Drawn, ...]:
    """Draw the figures for which there are numbers; `name` makes a file's name of the kind's."""
    return tuple(
        drawing(name.format(kind), alt(numbers), lambda narrow, make=make: make(numbers, narrow))
        for kind, (has, make, alt) in kinds.items()
        if has(numbers)
    )


def always(_: Json) -> bool:
    """There are always numbers for it."""
    return True


def sheet(
    narrow: bool, height: float, *, left: float, right: float, top: float, bottom: float,
    rows: int = 1, columns: int = 1, **spacing: float,
) -> tuple[Figure, list[Axes]]:  # fmt: skip
    """A figure as wide as the page; left and right in shares of it, top and bottom in inches."""
    figure = Figure(figsize=(NARROW if narrow else WIDE, height))
    panels = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=left, right=right, top=1 - top / height, bottom=bottom / height, **spacing
    )
    return figure, list(panels.flat)


def ticks(axis: Axis, form: Callable[[float, float], str], places: Locator | None = None) -> None:
    """Write the ticks of an axis in a form, at places if any are given; none between them."""
    if places is not None:
        axis.set_major_locator(places)
    axis.set_major_formatter(form)
    axis.set_minor_formatter(NullFormatter())


def general_tick(value: float, _: float) -> str:
    """A number as a tick, as short as possible."""
    return f"{value:g}"


def percent_tick(value: float, _: float) -> str:
    """A share as a tick in per cent."""
    return f"{100 * value:g}%"
