"""Figures of the claims page, first of them how tight each bound is."""

from __future__ import annotations

import math
import textwrap
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from reports.claims.figures_of_tails import power, tails, tails_alt, tails_of
from reports.claims.graph import dependencies, dependencies_alt
from reports.claims.terms import FAMILIES, family, measured, times
from reports.site import style
from reports.site.figure import Kind, sheet, ticks
from reports.site.plain import INFINITE, count

Json = dict[str, Any]
# Beyond it an arrow stands at the edge: bounds that say nothing would else hide the others.
_FARTHEST = 1e5


def tightness(summary: Json, narrow: bool) -> Figure:
    """Draw promised over needed, one row a claim and one mark for each piece of evidence."""
    groups = [(f, list(rows)) for f, rows in groupby(measured(summary), family)]
    row, head = 0.29, 0.36
    lines = sum(len(rows) for _, rows in groups)
    top, bottom = (1.06 if narrow else 0.66), 0.58
    height = top + bottom + row * lines + head * len(groups)
    figure, (axes,) = sheet(
        narrow, height, left=0.16 if narrow else 0.345, right=0.7 if narrow else 0.865, top=top,
        bottom=bottom,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(*_limits(summary))
    axes.axvspan(axes.get_xlim()[0], 1, color=style.FAINT, alpha=0.45, linewidth=0, zorder=0)
    axes.axvline(1, color=style.INK, linewidth=1.1)
    y, marks = 0.0, []
    for name, rows in groups:
        y += head / row
        axes.text(
            -0.19 if narrow else -0.012, y - 0.75, FAMILIES.get(name, name), fontsize=9,
            transform=axes.get_yaxis_transform(), va="center", ha="left" if narrow else "right",
            color=style.SOFT, weight="bold", bbox={"facecolor": "white", "linewidth": 0, "pad": 1},
        )  # fmt: skip
        for claim in rows:
            _tightness_row(axes, claim, y)
            marks.append((y, claim["id"] if narrow else _label(claim)))
            y += 1
    axes.set_yticks([place for place, _ in marks], [text for _, text in marks])
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    for label in axes.get_yticklabels():
        label.set_linespacing(1.1)
    axes.set_ylim(y - 0.35, 0)
    axes.grid(axis="y", visible=False)
    ticks(axes.xaxis, power, LogLocator(numticks=5 if narrow else 9))
    axes.set_xlabel("promised ÷ needed (log scale)")
    _tightness_legend(axes, summary, narrow, top / height)
    return figure


def _limits(summary: Json) -> tuple[float, float]:
    values = [v for claim in measured(summary) for _, v in _marks(claim) if v != INFINITE]
    low, high = max(min([1.0, *values]), 1 / _FARTHEST), max([2.0, *values])
    margin = (min(high, _FARTHEST) / low) ** 0.05
    return low / margin, high * margin if high < _FARTHEST else _FARTHEST


def _marks(claim: Json) -> list[tuple[str, Any]]:
    """Kind and tightness of each piece of evidence that has one."""
    return [
        (e["kind"], e["tightness"])
        for e in claim["evidence"]
        if e["tightness"] == INFINITE
        or (isinstance(e["tightness"], int | float) and e["tightness"] > 0)
    ]


def _label(claim: Json) -> str:
    return "\n".join(textwrap.wrap(f"{claim['name']}  {claim['id']}", 42))


def _tightness_row(axes: Axes, claim: Json, y: float) -> None:
    low, high = axes.get_xlim()
    marks = [(kind, math.inf if value == INFINITE else value) for kind, value in _marks(claim)]
    inside = [min(max(value, low), high) for _, value in marks]
    axes.plot([min(inside), max(inside)], [y, y], color=style.GREY, linewidth=1.1, zorder=2)
    for (kind, value), shown in zip(marks, inside, strict=True):
        look = style.KINDS.get(kind, style.SPARE)
        marker = look.marker if low <= value <= high else ">" if value > high else "<"
        axes.plot(
            shown, y, linestyle="none", marker=marker, color=look.colour, markersize=6.2,
            markeredgecolor="white", markeredgewidth=0.5, zorder=3, clip_on=False,
        )  # fmt: skip
    axes.text(
        1.03, y, times(claim["tightness"]), transform=axes.get_yaxis_transform(), va="center",
        fontsize=8.5, color=style.INK,
    )  # fmt: skip


def _tightness_legend(axes: Axes, summary: Json, narrow: bool, room: float) -> None:
    seen = {kind for claim in measured(summary) for kind, _ in _marks(claim)}
    handles = [
        axes.plot(
            [], [], linestyle="none", marker=look.marker, color=look.colour, label=kind,
            markersize=6.2,
        )[0]
        for kind, look in style.KINDS.items()
        if kind in seen
    ]  # fmt: skip
    handles += axes.plot([], [], color=style.INK, linewidth=1.1, label="1: exactly what is needed")
    axes.figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.005, 1 - 0.05 * room),
        ncols=2 if narrow else len(handles), handletextpad=0.4, columnspacing=1.4, borderpad=0.2,
    )  # fmt: skip


def tightness_alt(summary: Json) -> str:
    """Say which claim is loosest and which is tightest."""
    claims = sorted(
        (c for c in measured(summary) if c["tightness"]["largest"] != INFINITE),
        key=lambda claim: claim["tightness"]["largest"],
    )
    text = (
        f"Dot chart, log axis, of promised over needed for {count(len(measured(summary)))} claims, "
        "one row a claim, one mark for each comparison; 1 is exactly what is needed."
    )
    if not claims:
        return text
    tight, loose = claims[0], claims[-1]
    return (
        f"{text} Tightest: {tight['id']} ({times(tight['tightness'])}). Loosest: {loose['id']} "
        f"({times(loose['tightness'])})."
    )


FIGURES: dict[str, Kind] = {
    "claims-tightness": (measured, tightness, tightness_alt),
    "claims-graph": (lambda summary: summary["claims"], dependencies, dependencies_alt),
    "claims-tails": (tails_of, tails, tails_alt),
}
