"""reports.site.figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from reports.site import style


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
            name=name,
            alt=alt,
            png=style.encoded(wide, "png"),
            svg=style.encoded(wide, "svg"),
            narrow=style.encoded(narrow, "svg"),
        )
