"""Figures of the validation page: small panels that share their axes and one legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator

from reports.site import methods, style
from reports.site.figure import Drawn, drawing, general_tick, percent_tick, sheet, ticks
from reports.site.plain import percent
from reports.validation.corenet_plans import LOW_RANK
from reports.validation.sipp_methods import VARIANTS
from reports.validation.words import figure_words, number

Json = dict[str, Any]
_PUBLISHED = style.Look(style.INK, "*", "none")
_OWN = {
    "published": _PUBLISHED,
    LOW_RANK: style.Look(style.GREY, "x", (0, (1, 1))),  # CoreNet's blue is beside it here
    "sipp-det-mean": style.Look(style.ORANGE, "o"),
    "sipp-network-choice": style.Look(style.ORANGE, "s", (0, (5, 1.5))),
    "magnitude-effective": style.Look(style.BLACK, "d"),
    "magnitude-refit": style.Look(style.BLUE, "^", (0, (3, 1, 1, 1))),
    "magnitude-rounds": style.Look(style.BLUE, "o", (0, (5, 1.5))),
    "nettrim parallel": style.Look(style.BLUE, "P"),
    "nettrim cascade": style.Look(style.PURPLE, "X", (0, (5, 1.5))),
    "sensitivity": style.Look(style.BLUE, "o"),
    "baykal": style.Look(style.PURPLE, "s", (0, (5, 1.5))),
    "leverage": style.Look(style.GREEN, "^", (0, (3, 1, 1, 1))),
    "lewis": style.Look(style.ORANGE, "v", (0, (5, 1.5, 1, 1.5))),
    "control-variate": style.Look(style.VERMILLION, "D"),
    "certified, samples": style.Look(style.BLUE, ".", "none"),
    "certified, control variates": style.Look(style.VERMILLION, ".", "none"),
    "the truth": style.Look(style.GREY, "none"),
    "stream of 20 chunks": style.Look(style.BLUE, "o"),
    "one shot": style.Look(style.GREY, "x", (0, (1, 1))),
    "SV-1": style.Look(style.BLACK, "P"),
    "SV-1F": style.Look(style.BLUE, "o"),
    "SV-2": style.Look(style.PURPLE, "s", (0, (5, 1.5))),
    "SV-6": style.Look(style.VERMILLION, "D"),
    "SV-7": style.Look(style.GREEN, "^", (0, (3, 1, 1, 1))),
}
_LEAST = 1e-5  # errors below it stand at the edge
_FEW = 4  # places along an axis that are named each


def draw(validation: Json) -> list[Drawn]:
    """Draw the figures of one paper and schedule, from its results as they are written."""
    names = dict.fromkeys(panel["figure"] for panel in validation["curves"])
    return [
        _drawn(
            name, validation["schedule"], [p for p in validation["curves"] if p["figure"] == name]
        )
        for name in names
    ]


def _drawn(name: str, schedule: str, panels: Sequence[Json]) -> Drawn:
    return drawing(
        f"validation-{name}-{schedule}", _alt(name, panels), lambda narrow: _figure(panels, narrow)
    )


def _looks(panels: Sequence[Json]) -> dict[str, style.Look]:
    names = dict.fromkeys(line["name"] for panel in panels for line in panel["series"])
    return {name: _OWN.get(name) or methods.look(name) for name in names}


def _label(name: str) -> str:
    if name in VARIANTS and VARIANTS[name].label:
        return VARIANTS[name].label
    if name.startswith("nettrim "):
        return f"Net-Trim, {name.partition(' ')[2]}"
    return methods.label(name)


def _figure(panels: Sequence[Json], narrow: bool) -> Figure:
    columns = 1 if narrow else 2 if len(panels) in (2, 4) else min(3, len(panels))
    rows, looks = -(-len(panels) // columns), _looks(panels)
    lines = -(-len(looks) // (2 if narrow else 5))
    legend, each = 0.25 + 0.2 * lines, (2.4 if narrow else 2.75 if columns > 1 else 3.4)
    height = 0.35 + each * rows + legend
    figure, grid = sheet(
        narrow, height, left=0.2 if narrow else 0.085, right=0.96 if narrow else 0.985, top=0.35,
        bottom=legend + 0.5, rows=rows, columns=columns, hspace=0.62 if narrow else 0.58,
        wspace=0.3,
    )  # fmt: skip
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for index, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        _panel(axes, panel, looks)
        if narrow or index % columns == 0:
            axes.set_ylabel(panel["label"], fontsize=8.5)
    handles = [
        grid[0].plot([], [], color=look.colour, marker=look.marker, linestyle=look.line,
                        label=_label(name))[0]
        for name, look in looks.items()
    ]  # fmt: skip
    figure.legend(
        handles=handles, loc="lower center", ncols=2 if narrow else 5, fontsize=8.5,
        handlelength=2.2, columnspacing=1.4, borderaxespad=0.3,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, panel: Json, looks: dict[str, style.Look]) -> None:
    axes.set_xscale("log")
    if panel["log"]:
        axes.set_yscale("log")
    for line in panel["series"]:
        look = looks[line["name"]]
        low, y, high = (
            [
                max(value, panel.get("least", _LEAST)) if panel["log"] else value
                for value in line[name]
            ]
            for name in ("low", "y", "high")
        )
        if low != high:
            axes.fill_between(line["kept"], low, high, color=look.colour, alpha=0.13, linewidth=0)
        axes.plot(line["kept"], y, color=look.colour, marker=look.marker, linestyle=look.line,
                  markersize=8 if look is _PUBLISHED else 4.2)  # fmt: skip
    if panel["level"] is not None:
        axes.axhline(panel["level"], color=style.INK, linewidth=0.8)
        axes.text(0.99, panel["level"], "unpruned", transform=axes.get_yaxis_transform(),
                  va="bottom", ha="right", fontsize=7.5, color=style.SOFT)  # fmt: skip
    if panel["floor"] is not None:
        span = panel["level"] - panel["floor"]
        axes.set_ylim(panel["floor"], min(panel["level"] + 0.18 * span, 1.005))
    axes.set_title(panel["title"], fontsize=9)
    _axes(axes, panel)


def _axes(axes: Axes, panel: Json) -> None:
    along = along_axis(panel)
    axes.set_xlabel(along, fontsize=8.5)
    if along == "weights kept":
        ticks(axes.xaxis, percent_tick, LogLocator(subs=(1, 2, 5)))
    else:
        places = sorted({x for line in panel["series"] for x in line["kept"]})
        few = len(places) <= _FEW
        ticks(axes.xaxis, general_tick, FixedLocator(places) if few else _decades(places))
    axes.minorticks_off()
    if panel["log"]:
        values = [y for line in panel["series"] for y in (*line["low"], *line["high"])]
        ticks(axes.yaxis, general_tick, _decades([max(y, _LEAST) for y in values]))
    else:
        axes.yaxis.set_major_formatter(percent_tick)
    axes.tick_params(labelsize=8)


def _decades(values: Sequence[float]) -> LogLocator:
    """Ticks at decades, and between them where there are few."""
    narrow = bool(values) and max(values) < 100 * min(values)
    return LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=6)


def along_axis(panel: Json) -> str:
    """What a panel goes along; older results have none but shares."""
    return panel.get("along", "weights kept")


def _alt(name: str, panels: Sequence[Json]) -> str:
    """Say for every panel who is best and worst at its middle ratio."""
    parts = []
    for panel in panels:
        ends = {
            line["name"]: line["y"][len(line["y"]) // 2]
            for line in panel["series"]
            if line["y"] and line["name"] != "published"
        }
        if not ends:
            continue
        ranked = sorted(ends, key=lambda method: ends[method])
        low, high = ranked[0], ranked[-1]

        def say(value: float, panel: Json = panel) -> str:
            return number(value) if panel["log"] else percent(value)

        parts.append(
            f"{panel['title']}: in the middle {_label(low)} is lowest ({say(ends[low])}) and "
            f"{_label(high)} highest ({say(ends[high])})"
        )
    label, along = panels[0]["label"], along_axis(panels[0])
    return (
        f"{figure_words(name)[0]}: line charts of {label} against {along}. "
        + "; ".join(parts)
        + "."
    )
