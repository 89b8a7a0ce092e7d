"""A page that stands beside the report: computed whole, then written file by file."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from reports.figures import Drawn
from sipp_core.saving import write_atomically

Json = dict[str, Any]


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
    """Write the figures, the numbers and, last, the page; each file appears whole.

    Args:
        prepared: all files.
        folder: made if needed.

    Returns:
        Where the page is.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = Path(folder)
    for figure in prepared.drawn:
        write_atomically(target / f"{figure.name}.png", figure.png)
        write_atomically(target / f"{figure.name}.svg", figure.svg)
    write_atomically(target / f"{prepared.name}.json", prepared.data.encode())
    return write_atomically(target / f"{prepared.name}.html", prepared.html.encode())
