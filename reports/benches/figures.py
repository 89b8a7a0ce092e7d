"""Figures of the benchmarks page: targets, ways to the sensitivities, and how costs grow."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from reports.benches.words import amount, goal, growth, margin, threads
from reports.site import style
from reports.site.figure import Kind, general_tick, sheet, ticks
from reports.site.plain import count

Json = dict[str, Any]
_FARTHEST = 1e3  # margins beyond it stand at the edge
_OURS = "sipp's kernel"


def _aimed(run: Json) -> list[Json]:
    return [one for one in run["measured"] if margin(one) is not None]


def targets(run: Json, narrow: bool) -> Figure:
    """Draw how many times better than its target each figure is."""
    rows = _aimed(run)
    each, top, bottom = (0.72 if narrow else 0.46), 0.45, 0.62
    height = top + bottom + each * len(rows)
    figure, (axes,) = sheet(
        narrow, height, left=0.045 if narrow else 0.47, right=0.78 if narrow else 0.87, top=top,
        bottom=bottom,
    )  # fmt: skip
    axes.set_xscale("log")
    margins = [margin(one) or (1.0, 1.0, 1.0) for one in rows]
    low = min([0.5, *(max(m[1], 1 / _FARTHEST) for m in margins)]) / 1.3
    high = max([3.0, *(min(m[2], _FARTHEST) for m in margins)]) * 1.3
    axes.set_xlim(low, high)
    axes.axvspan(low, 1, color=style.FAINT, alpha=0.45, linewidth=0, zorder=0)
    axes.axvline(1, color=style.INK, linewidth=1.1)
    for y, (one, (value, worst, best)) in enumerate(zip(rows, margins, strict=True)):
        _target_row(axes, one, y, (value, worst, best), narrow)
    axes.set_ylim(len(rows) - 0.4, -0.75 if narrow else -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    ticks(axes.xaxis, general_tick, LogLocator(numticks=6))
    axes.set_xlabel("times better than the target (log scale)")
    axes.set_title("right of the line: met", fontsize=9, weight="normal", color=style.SOFT)
    return figure


def _target_row(
    axes: Axes, one: Json, y: float, ratios: tuple[float, float, float], narrow: bool
) -> None:
    low, high = axes.get_xlim()
    value, worst, best = (min(max(v, low), high) for v in ratios)
    colour, marker = (style.GREEN, "o") if one["met"] else (style.VERMILLION, "X")
    if ratios[0] > high:
        marker = ">"
    axes.plot([worst, best], [y, y], color=colour, linewidth=2.2, alpha=0.5, zorder=2)
    axes.plot(value, y, marker=marker, color=colour, markersize=7, markeredgecolor="white",
              markeredgewidth=0.5, zorder=3, clip_on=False)  # fmt: skip
    across = axes.get_yaxis_transform()
    axes.text(1.03, y, amount(one["value"], one["unit"]).replace(" pairs/s", "\npairs/s"),
              transform=across, va="center", fontsize=8.5, linespacing=1.0)  # fmt: skip
    label = f"{one['what']} ({threads(one)})\n{one['case']}"
    if narrow:
        axes.text(0.0, y - 0.24, label.replace("\n", ", ") if len(label) < 58 else label,
                  transform=across, va="bottom", ha="left", fontsize=7.6,
                  linespacing=1.15,
                  bbox={"facecolor": "white", "linewidth": 0, "pad": 0.6})  # fmt: skip
    else:
        axes.text(-0.02, y, label, transform=across, va="center", ha="right", fontsize=8.5,
                  linespacing=1.1)  # fmt: skip


def _cases(run: Json) -> dict[str, list[Json]]:
    """Seconds of every way by case of the kernel, with as many threads as were used there."""
    by_case: dict[str, dict[str, Json]] = {}
    for one in run["measured"]:
        if one["family"] == "kernel" and one["unit"] == "s" and "first call" not in one["what"]:
            ways = by_case.setdefault(one["case"], {})
            if one["threads"] >= (ways.get(one["what"]) or one)["threads"]:
                ways[one["what"]] = one
    # A case with fewer inputs of a slow way has nothing to stand beside.
    return {case: list(ways.values()) for case, ways in by_case.items() if len(ways) > 1}


def ways(run: Json, narrow: bool) -> Figure:
    """Draw seconds of every way to the same sensitivities, one panel a case."""
    cases = _cases(run)
    columns = 1 if narrow else 2
    lines = -(-len(cases) // columns)
    figure, panels = sheet(
        narrow, 2.2 * lines + 0.3, left=0.34 if narrow else 0.15, right=0.93 if narrow else 0.97,
        top=0.5, bottom=0.35, rows=lines, columns=columns, hspace=0.6, wspace=0.55,
    )  # fmt: skip
    for axes, (case, rows) in zip(panels, cases.items(), strict=False):
        _ways_panel(axes, case, rows, narrow)
    for axes in panels[len(cases) :]:
        axes.set_visible(False)
    return figure


def _ways_panel(axes: Axes, case: str, rows: list[Json], narrow: bool) -> None:
    axes.set_xscale("log")
    for y, one in enumerate(rows):
        mine = one["what"] == _OURS
        colour, marker = (style.VERMILLION, "D") if mine else (style.BLUE, "o")
        axes.plot([one["low"], one["high"]], [y, y], color=colour, linewidth=2.2, alpha=0.5)
        axes.plot(one["value"], y, marker=marker, color=colour, markersize=6.5)
        axes.annotate(amount(one["value"], "s"), (one["value"], y), xytext=(0, 6),
                      textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
    values = [one["value"] for one in rows]
    axes.set_xlim(min(values) / 2.2, max(values) * 2.2)
    axes.set_ylim(len(rows) - 0.5, -0.8)
    names = [
        _way(
            one["what"]
            if one["threads"] == rows[0]["threads"]
            else f"{one['what']}, {threads(one)}"
        )
        for one in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.tick_params(axis="y", length=0)
    ticks(axes.xaxis, _duration, LogLocator(numticks=4))
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(
        textwrap.fill(f"{case}, {threads(rows[0])}", 46), fontsize=8.6, loc="left",
        x=-0.5 if narrow else -0.42,
    )  # fmt: skip


def _way(name: str) -> str:
    return textwrap.fill(name.replace("Python loop over neurons, whole batch",
                                      "Python loop, by batch"), 18)  # fmt: skip


def _duration(value: float, _: Any = None) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1e3:g} ms"


def _curves(run: Json, unit: str) -> list[Json]:
    return [curve for curve in run["curves"] if curve["unit"] == unit]


def _grown(unit: str) -> Callable[[Json, bool], Figure]:
    def make(run: Json, narrow: bool) -> Figure:
        curves = _curves(run, unit)
        columns = 1 if narrow else 3
        lines = -(-len(curves) // columns)
        figure, panels = sheet(
            narrow, 2.55 * lines + 0.2, left=0.17 if narrow else 0.075,
            right=0.95 if narrow else 0.985, top=0.42, bottom=0.5, rows=lines, columns=columns,
            hspace=0.72, wspace=0.36,
        )  # fmt: skip
        for axes, curve in zip(panels, curves, strict=False):
            _curve_panel(axes, curve)
        for axes in panels[len(curves) :]:
            axes.set_visible(False)
        return figure

    return make


def _curve_panel(axes: Axes, curve: Json) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for line, look in zip(curve["series"], style.LAYERS, strict=False):
        fitted = "" if line["exponent"] is None else f", power {line['exponent']:.2f}"
        label = f"{line['label']}{fitted}".replace("-", "−")
        axes.plot(line["x"], [max(y, 1e-6) for y in line["y"]], color=look.colour,
                  marker=look.marker, label=label)  # fmt: skip
    sizes = curve["series"][0]["x"]
    values = [max(y, 1e-6) for line in curve["series"] for y in line["y"]]
    axes.set_ylim(min(values) / 2, max(values) * 10 ** (0.35 + 0.22 * len(curve["series"])))
    axes.legend(loc="upper left", fontsize=8, handlelength=1.6, borderpad=0.1)
    shown = sizes if len(sizes) < 5 else sizes[::2]
    axes.set_xticks(shown, [f"{size:,.0f}" for size in shown], fontsize=8)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    in_seconds = curve["unit"] == "s"
    axes.yaxis.set_major_formatter(_duration if in_seconds else lambda y, _: f"{y:g} MiB")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel(curve["axis"], fontsize=8.5)
    head = {"prune": "prune, by processes"}.get(curve["series"][0]["label"], _head(curve["name"]))
    axes.set_title(head, fontsize=9)


def _head(name: str) -> str:
    heads = {
        "time-inputs": "sensitivity time, LeNet", "time-kernel-inputs": "kernel, by inputs",
        "time-kernel-out": "kernel, by neurons", "time-kernel-in": "kernel, by inputs of each",
        "memory-inputs": "calibrate, by inputs", "memory-out": "calibrate, by neurons",
        "memory-in": "calibrate, by inputs of each", "memory-conv-image": "conv, by image",
        "memory-conv-batch": "conv, by batch", "memory-conv-inputs": "conv, by inputs",
    }  # fmt: skip
    return heads.get(name, name)


def targets_alt(run: Json) -> str:
    """Say each target and what was measured."""
    parts = [
        f"{one['what']}, {one['case']}: {amount(one['value'], one['unit'])}, target {goal(one)}, "
        f"{'met' if one['met'] else 'missed'}"
        for one in _aimed(run)
    ]
    return f"Dot chart, log axis: {len(parts)} figures against their targets. {'; '.join(parts)}."


def ways_alt(run: Json) -> str:
    """Say how long every way takes in every case."""
    parts = [
        f"{case}: " + ", ".join(f"{one['what']} {amount(one['value'], 's')}" for one in rows)
        for case, rows in _cases(run).items()
    ]
    return f"Dot charts, log axes: seconds of every way to the sensitivities. {'. '.join(parts)}."


def _grown_alt(unit: str) -> Callable[[Json], str]:
    def alt(run: Json) -> str:
        curves = _curves(run, unit)
        spans = [
            f"{curve['axis']} from {count(curve['series'][0]['x'][0])} to "
            f"{count(curve['series'][0]['x'][-1])}: {growth(curve)}"
            for curve in curves
        ]
        return f"{len(curves)} line charts, log axes. {' '.join(spans)}"

    return alt


FIGURES: dict[str, Kind] = {
    "bench-targets": (_aimed, targets, targets_alt),
    "bench-ways": (_cases, ways, ways_alt),
    "bench-time": (lambda run: _curves(run, "s"), _grown("s"), _grown_alt("s")),
    "bench-memory": (lambda run: _curves(run, "MiB"), _grown("MiB"), _grown_alt("MiB")),
}
