"""One look for all figures: Okabe and Ito's colours, and a second sign for every colour."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, FAINT = "#1b1f24", "#57606a", "#d8dee4"
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILLION, PURPLE, BLACK, GREY = "#D55E00", "#CC79A7", "#000000", "#7a7f85"

Dashes = str | tuple[int, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """How a series is drawn: its colour, marker and line style."""

    colour: str
    marker: str
    line: Dashes = "-"


# Looks of pruning methods by family, in the order in which methods are registered.
FAMILIES = dict(
    sipp=(
        Look(SKY, "s", (0, (5, 1.5))), Look(PURPLE, "v", (0, (5, 1.5, 1, 1.5))),
        Look(GREEN, "^", (0, (3, 1, 1, 1))), Look(BLACK, "P"), Look(VERMILLION, "D"),
        Look(ORANGE, "o"),
    ),
    corenet=(
        Look(BLUE, "o"), Look(PURPLE, "s", (0, (5, 1.5))), Look(BLACK, "^", (0, (3, 1, 1, 1))),
    ),
    baseline=(Look(GREY, "x", (0, (1, 1))), Look(GREY, "+", (0, (4, 2)))),
    peer=(
        Look(ORANGE, "2", (0, (4, 2))), Look(VERMILLION, "<"),
        Look(PURPLE, ">", (0, (3, 1, 1, 1))), Look(BLUE, "d", (0, (5, 1.5, 1, 1.5))),
        Look(PURPLE, "8"), Look(GREY, "*", (0, (3, 1, 1, 1))), Look(BLUE, "o"),
        Look(ORANGE, "s"), Look(GREEN, "^"), Look(SKY, "x", (0, (1, 1))),
        Look(VERMILLION, "+", (0, (1, 1))), Look(BLACK, "1", (0, (1, 1))),
        Look(GREEN, "h", (0, (5, 1.5))), Look(SKY, "p"), Look(SKY, "o"),
        Look(ORANGE, "d", (0, (3, 1, 1, 1))), Look(VERMILLION, "8"), Look(BLUE, "P"),
        Look(BLACK, "h", (0, (4, 2))), Look(GREY, "s", (0, (1, 1))), Look(PURPLE, "p"),
        Look(GREEN, "8", (0, (3, 1, 1, 1))),
    ),
)  # fmt: skip
SPARE = Look(BLACK, "*")
CLAIMS = {
    "SP-2": Look(PURPLE, "P"), "SP-3": Look(ORANGE, "s"), "SP-4": Look(GREEN, "^"),
    "SP-5": Look(BLUE, "D"), "SP-5x": Look(VERMILLION, "o"),
}  # fmt: skip
# What a claim's evidence comes to; the signs are those of the words' tags in the page.
STATUS = {
    "proved": Look("#005a43", "s"),
    "checked": Look("#0b5cad", "o"),
    "consistent": Look("#7d4a93", "D"),
    "assumption refuted here": Look("#9a5b00", "v"),
    "refuted": Look("#b3261e", "X"),
    "not checked": Look(SOFT, "$\\circ$"),
}
KINDS = {
    "oracles": Look(BLUE, "s"), "coverage": Look(VERMILLION, "o"), "laws": Look(GREEN, "^"),
    "symbolic": Look(PURPLE, "P"), "assumptions": Look(BLACK, "*"),
}  # fmt: skip
CURVES = (
    Look(BLUE, "o"), Look(ORANGE, "s", (0, (5, 1.5))), Look(GREEN, "^", (0, (3, 1, 1, 1))),
    Look(PURPLE, "D", (0, (1, 1))),
)  # fmt: skip
LAYERS = (Look(BLUE, "o"), Look(ORANGE, "s"), Look(GREEN, "^"), Look(PURPLE, "D"))

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # The same picture gives the same file.
    "svg.hashsalt": "sipp",
    "svg.fonttype": "path",
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the report, leaving matplotlib's settings as they were."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def encoded(figure: Figure, kind: str) -> bytes:
    """The figure as a PNG (200 dots an inch) or SVG file, without a date in it."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()


def spread(places: list[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels apart to at least `gap`, as little as their order allows, within [low, high]."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    floor = low
    for i in order:
        moved[i] = max(places[i], floor)
        floor = moved[i] + gap
    ceiling = high
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def label_ends(axes: Axes, ends: list[tuple[float, float, str, str]], size: float = 9) -> None:
    """Write each (x, y, text, colour) to the right of the axes, on a thin line from its curve."""
    to_axes = axes.transData + axes.transAxes.inverted()
    spots = [to_axes.transform((x, y)) for x, y, _, _ in ends]
    height = axes.get_window_extent().height / axes.figure.dpi * 72
    rows = spread([float(s[1]) for s in spots], 1.28 * size / height, 0.0, 1.0)
    for (_, _, text, colour), spot, row in zip(ends, spots, rows, strict=True):
        axes.plot(
            [spot[0], 1.0, 1.03], [spot[1], row, row], transform=axes.transAxes, color=colour,
            linewidth=0.6, clip_on=False, zorder=1, scalex=False, scaley=False,
        )  # fmt: skip
        axes.text(
            1.04, row, text, transform=axes.transAxes, va="center", ha="left", fontsize=size,
            color=INK,
        )  # fmt: skip
