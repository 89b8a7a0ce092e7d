"""The figure over all results: what is certified of each file beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from reports.generalization.words import REFERENCES, amount, chosen, rate
from reports.site import style
from reports.site.figure import Drawn, drawing, percent_tick, sheet, ticks
from reports.site.plain import percent

Json = dict[str, Any]


def overview(results: Sequence[Json]) -> Drawn:
    """Draw what is certified of every file beside what was measured, and published bounds."""
    text = "; ".join(
        f"{one['net']} on {one['data']}: {rate(chosen(one)['test_errors'], one['test_n'])} wrong "
        f"on test inputs, at most {amount(one['bounds'][0]['value'])} certified"
        for one in results
    )
    return drawing(
        "generalization-overview", f"Measured and certified errors of each network. {text}.",
        lambda narrow: _overview(results, narrow),
    )  # fmt: skip


def _overview(results: Sequence[Json], narrow: bool) -> Figure:
    height = 1.55 + (0.6 if narrow else 0.45) * len(results) + (0.35 if narrow else 0)
    figure, (axes,) = sheet(
        narrow, height, left=0.05 if narrow else 0.22, right=0.95, top=0.5,
        bottom=1.15 if narrow else 0.85,
    )  # fmt: skip
    for y, one in enumerate(results):
        best, half = chosen(one), one["half"]["bound"]
        values = (best["test_errors"] / one["test_n"], min(one["bounds"][0]["value"], 1.0))
        axes.plot(values, (y, y), color=style.FAINT, linewidth=3, zorder=1)
        axes.plot(values[0], y, "o", color=style.ORANGE, markersize=7)
        axes.plot(values[1], y, "D", color=style.BLUE, markersize=7, clip_on=False)
        axes.plot(min(half, 1.0), y, "^", color=style.GREEN, markersize=7)
        name = f"{one['net']}, {one['data']}"
        place = (0.0, y - 0.28, "left", "bottom") if narrow else (-0.02, y, "right", "center")
        axes.text(place[0], place[1], name, transform=axes.get_yaxis_transform(), ha=place[2],
                  va=place[3], fontsize=8.5)  # fmt: skip
    if any(one["data"] == "mnist" for one in results):
        for value, who in REFERENCES:
            axes.axvline(value, color=style.INK, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
            side = "right" if narrow or value > 0.3 else "center"
            axes.text(value, 1.01, f"{percent(value)}\n{who.partition(',')[0]}", va="bottom",
                      ha=side, fontsize=7.5, color=style.SOFT,
                      transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(0.008, 1.0)
    axes.set_ylim(len(results) - 0.5, -0.75 if narrow else -0.5)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    ticks(axes.xaxis, percent_tick, LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.tick_params(labelsize=8)
    axes.set_xlabel("share of inputs got wrong (log scale)", fontsize=8.5)
    handles = [
        axes.plot([], [], marker, color=colour, markersize=7, label=name)[0]
        for marker, colour, name in (
            ("o", style.ORANGE, "measured on test inputs"),
            ("D", style.BLUE, "certified"),
            ("^", style.GREEN, "bound of another network, by a prior from half the data"),
        )
    ]
    figure.legend(handles=handles, loc="lower center", ncols=1 if narrow else 3, fontsize=8,
                  borderaxespad=0.2, labelspacing=0.25)  # fmt: skip
    return figure
