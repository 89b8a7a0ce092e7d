"""The claims as a graph: what each is built on, and what the evidence for it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from reports.claims.graph_layout import Band, Node, place
from reports.claims.terms import family
from reports.site import style
from reports.site.plain import count

Json = dict[str, Any]
ASSUMPTION = "A"
# How far the ends of a curve may lean to the side, in slots, and how soon they turn.
_ASIDE = (0.0, 0.4, -0.4, 0.8, -0.8, 1.4, -1.4)
_BEND = (0.45, 0.2, 0.7)
_ASSUMED = "#a9b0b8"
# A short name for the band of a family, where the page's headings would not fit.
_BANDS = {
    "ES": "Sensitivity", "SP": "One neuron", "NW": "Network", "AL": "Budget", "CT": "Certificates",
    "PF": "Channels",
    "NT": "Net-Trim",
    "MS": "Entries",
    "GN": "New inputs",
    "SV": "Support vectors",
}  # fmt: skip


def uses(summary: Json) -> dict[str, list[str]]:
    """What each entry uses, claims and assumptions, as far as the summary has them."""
    known = {claim["id"] for claim in summary["claims"]}
    return {
        claim["id"]: [n for n in (*claim["assumptions"], *claim["depends"]) if n in known]
        for claim in summary["claims"]
    }


def dependencies(summary: Json, narrow: bool) -> Figure:
    """Draw the graph, from what is used down to what uses it."""
    families = {
        claim["id"]: "" if family(claim) == ASSUMPTION else family(claim)
        for claim in summary["claims"]
    }
    status = {claim["id"]: claim["status"] for claim in summary["claims"]}
    used = uses(summary)
    sizes = Counter(families.values())
    widest = {f: (1 if n <= 7 else 2) if narrow else (2 if n <= 7 else 3) for f, n in sizes.items()}
    nodes, bands = place(used, families, widest)
    across = max((band.right for band in bands), default=1.0)
    down = 1 + max((node.layer for node in nodes.values()), default=0)
    width, row, top = (4.2, 0.5, 1.12) if narrow else (9.6, 0.66, 0.82)
    height = top + row * down + 0.1
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.008, 0.0, 0.984, 1 - top / height))
    axes.set_axis_off()
    axes.set_xlim(-0.06, across + 0.14)
    axes.set_ylim(down - 0.35, -0.5)
    inch = ((across + 0.2) / (0.984 * width), down / (row * down))
    box = (min(0.56 * inch[0], 0.9), 0.25 * inch[1])
    if not narrow:
        box = (min(0.68 * inch[0], 0.9), 0.3 * inch[1])
    nodes |= _first_row(nodes, across)
    _bands(axes, bands, down, any(not f for f in families.values()), narrow)
    for name, parents in used.items():
        for parent in parents:
            others = [node for n, node in nodes.items() if n not in (name, parent)]
            points = _route(nodes[parent], nodes[name], others, box, across)
            _edge(axes, points, dashed=not families[parent])
    for name, node in nodes.items():
        _node(axes, name, node, status[name], box, inch, narrow)
    _legend(figure, list(status.values()), narrow)
    return figure


def _weight(name: str) -> float:
    """Relative width of an oval."""
    return len(name) + 4.5


def _first_row(nodes: dict[str, Node], across: float) -> dict[str, Node]:
    """The ovals in their order, each with room for its name."""
    row = sorted((n for n in nodes if not nodes[n].family), key=lambda n: nodes[n].x)
    total, left, placed = sum(map(_weight, row)), 0.0, {}
    for name in row:
        wide = across * _weight(name) / total
        placed[name] = Node(left + wide / 2, 0, "")
        left += wide
    return placed


def _bands(axes: Axes, bands: list[Band], down: int, assumptions: bool, narrow: bool) -> None:
    start = 0.55 if assumptions else -0.45
    for index, band in enumerate(bands):
        if index % 2 == 0:
            axes.axvspan(band.left, band.right, ymax=1 - (start + 0.5) / (down + 0.15),
                         color="#f3f5f7", linewidth=0, zorder=0)  # fmt: skip
        text = band.family if narrow else _BANDS.get(band.family, band.family)
        axes.text(
            (band.left + band.right) / 2, down - 0.42, text, ha="center", va="bottom", fontsize=8.5,
            color=style.SOFT, weight="bold",
        )  # fmt: skip


def _route(
    above: Node, below: Node, others: Sequence[Node], box: tuple[float, float], across: float
) -> list[tuple[float, float]]:
    """Bezier points from foot to head: of some curves the one that runs under fewest other nodes.

    A curve that vanishes under a node and comes out again would be read as two.
    """
    start, end = (above.x, above.layer + box[1] / 2), (below.x, below.layer - box[1] / 2)
    fall = end[1] - start[1]
    t = np.linspace(0, 1, 41)[:, None]
    centres = np.array([(node.x, node.layer) for node in others]).reshape(-1, 2)
    half = np.array(box) * 0.55
    best, least = [], (len(others) + 1, 0.0)
    for aside, back, bend in product(_ASIDE, _ASIDE, _BEND):
        points = [
            start, (start[0] + aside, start[1] + bend * fall),
            (end[0] + back, end[1] - bend * fall), end,
        ]  # fmt: skip
        a, b, c, d = (np.array(point) for point in points)
        u = 1 - t
        curve = u**3 * a + 3 * u**2 * t * b + 3 * u * t**2 * c + t**3 * d
        if curve[:, 0].min() < 0 or curve[:, 0].max() > across:
            continue
        under = (np.abs(curve[:, None] - centres) < half).all(axis=2).any(axis=0).sum()
        cost = (int(under), abs(aside) + abs(back) + abs(bend - _BEND[0]))
        if cost < least:
            best, least = points, cost
    return best


def _edge(axes: Axes, points: list[tuple[float, float]], *, dashed: bool) -> None:
    curve = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    axes.add_patch(
        FancyArrowPatch(
            path=curve, arrowstyle="-|>,head_length=3.4,head_width=1.7",
            color=_ASSUMED if dashed else style.GREY, linewidth=0.8,
            linestyle=(0, (3, 2)) if dashed else "-", zorder=1, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip


def _node(
    axes: Axes, name: str, node: Node, status: str, box: tuple[float, float],
    inch: tuple[float, float], narrow: bool,
) -> None:  # fmt: skip
    look = style.STATUS.get(status, style.SPARE)
    size = 8.0 if narrow else 8.8
    if node.family:
        wide, tall = box
        shape = FancyBboxPatch(
            (node.x - wide / 2, node.layer - tall / 2), wide, tall,
            mutation_aspect=inch[1] / inch[0],
            boxstyle=f"round,pad=0,rounding_size={0.05 * inch[0]}",
        )  # fmt: skip
    else:
        wide, tall = 0.085 * _weight(name) * inch[0] * size / 8.8, 1.12 * box[1]
        shape = Ellipse((node.x, node.layer), wide, tall)
    shape.set(facecolor="white", edgecolor=look.colour, linewidth=1.4, zorder=2)
    axes.add_patch(shape)
    # Mark and id stand together in the middle of the shape.
    letters = 0.0086 * size * len(name) * inch[0]
    left = node.x - (letters + 0.13 * inch[0]) / 2
    axes.plot(
        left + 0.03 * inch[0], node.layer, marker=look.marker, color=look.colour, markersize=4.6,
        linestyle="none", zorder=3,
    )  # fmt: skip
    axes.text(
        left + 0.12 * inch[0], node.layer, name, va="center_baseline", ha="left", fontsize=size,
        color=style.INK, zorder=3, gid=f"node-{name}",
    )  # fmt: skip


def _legend(figure: Figure, statuses: list[str], narrow: bool) -> None:
    axes = figure.axes[0]
    handles = [
        axes.plot(
            [], [], linestyle="none", marker=look.marker, color=look.colour, markersize=5.5,
            label=status,
        )[0]
        for status, look in style.STATUS.items()
        if status in statuses
    ]  # fmt: skip
    handles += axes.plot([], [], color=style.GREY, linewidth=0.9, label="its proof uses")
    handles += axes.plot([], [], color=_ASSUMED, linewidth=0.9, linestyle=(0, (3, 2)),
                         label="it assumes (ovals)")  # fmt: skip
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.002, 0.998), borderpad=0.2,
        ncols=2 if narrow else 4, handletextpad=0.5, columnspacing=1.6, labelspacing=0.35,
        fontsize=8.5 if narrow else 9,
    )  # fmt: skip


def dependencies_alt(summary: Json) -> str:
    """Count the nodes and edges, and name what most others use."""
    used = uses(summary)
    users = Counter(name for parents in used.values() for name in parents)
    text = (
        f"Graph of {count(len(used))} entries with {count(users.total())} arrows from what is used "
        "to what uses it; assumptions are ovals in the first row, and each entry carries the mark "
        "of its status."
    )
    if not users:
        return text
    # The first in the ledger's order where several are used as often.
    name = max(used, key=lambda n: users[n])
    return f"{text} Most others use {name} ({count(users[name])})."
