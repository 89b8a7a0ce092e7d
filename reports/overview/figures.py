"""The figures of a report, each in a wide and a narrow (phone) form, as SVG and PNG."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter

from reports.overview import alt, figures_theory
from reports.site import style
from reports.site.figure import (
    NARROW,
    WIDE,
    Kind,
    always,
    general_tick,
    percent_tick,
    sheet,
    ticks,
)
from reports.site.methods import look as look_of

Json = dict[str, Any]
# Families that have a panel of their own; baselines are drawn beside each but the peers.
PANELS = dict(sipp="SiPP and baselines", corenet="CoreNet and baselines", peer="Peers")


def _panels(results: Json, narrow: bool) -> list[tuple[Axes, str]]:
    """A panel for each family that was run, in two columns or one below the other."""
    run = {method["family"] for method in results["methods"]}
    shown = [(family, title) for family, title in PANELS.items() if family in run]
    columns = 1 if narrow else 2
    rows = -(-len(shown) // columns)
    inches = (0.2 + 3.4 * rows) if narrow else (0.3 + 3.9 * rows)
    figure = Figure(figsize=(NARROW if narrow else WIDE, inches))
    grid = figure.subplots(rows, columns, sharey=not narrow, squeeze=False)
    if narrow:
        figure.subplots_adjust(
            left=0.19, right=0.625, top=1 - 0.32 / inches, bottom=0.53 / inches, hspace=0.3
        )
    else:
        figure.subplots_adjust(
            left=0.077, right=0.855, top=1 - 0.38 / inches, bottom=0.53 / inches,
            wspace=0.62, hspace=0.26,
        )  # fmt: skip
    for spare in list(grid.flat)[len(shown) :]:
        spare.set_axis_off()
    panels = list(grid.flat)[: len(shown)]
    for axes, (_, title) in zip(panels, shown, strict=True):
        axes.set_title(title)
        axes.tick_params(labelleft=True)
    return [(axes, family) for axes, (family, _) in zip(panels, shown, strict=True)]


def _rows(results: Json, method: str) -> list[Json]:
    return [row for row in results["grid"]["rows"] if row["method"] == method]


def _in_panel(results: Json, family: str) -> list[Json]:
    extra = () if family == "peer" else ("baseline",)
    return [m for m in results["methods"] if m["family"] in (family, *extra)]


def _curve(axes: Axes, rows: list[Json], value: str, look: style.Look) -> None:
    """Mean over seeds as a line, least to largest as a band."""
    x = [row["kept"] for row in rows]
    if len(rows[0]["runs"]) > 1:
        axes.fill_between(
            x, [row[f"{value}_low"] for row in rows], [row[f"{value}_high"] for row in rows],
            color=look.colour, alpha=0.16, linewidth=0,
        )  # fmt: skip
    axes.plot(
        x, [row[value] for row in rows], color=look.colour, marker=look.marker, linestyle=look.line
    )


def _kept_axis(axes: Axes) -> None:
    axes.set_xlim(0, 0.93)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("weights kept")


def accuracy(results: Json, narrow: bool) -> Figure:
    """Draw accuracy on the figure inputs against weights kept."""
    panels = _panels(results, narrow)
    original = results["network"]["figure_accuracy"]
    for axes, family in panels:
        _kept_axis(axes)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.axhline(original, color=style.INK, linewidth=0.8)
        axes.text(0.01, original - 0.012, "unpruned", va="top", fontsize=8.5, color=style.SOFT)
        ends = []
        for method in _in_panel(results, family):
            rows, look = _rows(results, method["name"]), look_of(method["name"])
            _curve(axes, rows, "accuracy", look)
            # At the dense end all curves meet; they part where accuracy falls.
            ends.append((_crossing(rows, 0.7 * original), method["label"], look))
        _name_by_legend(axes, ends)
    return _labelled(panels, "accuracy", narrow)


def _labelled(panels: list[tuple[Axes, str]], text: str, narrow: bool) -> Figure:
    """Name the y axis at the left of each row; return the figure of the panels."""
    for axes, _ in panels[:: 1 if narrow else 2]:
        axes.set_ylabel(text)
    figure = panels[0][0].get_figure()
    assert isinstance(figure, Figure)
    return figure


def _crossing(rows: list[Json], level: float) -> float:
    """Weights kept at which a curve falls below a level, coming from the dense end."""
    for dense, sparse in zip(rows[::-1], rows[-2::-1], strict=False):
        if sparse["accuracy"] < level <= dense["accuracy"]:
            part = (level - sparse["accuracy"]) / (dense["accuracy"] - sparse["accuracy"])
            return sparse["kept"] + part * (dense["kept"] - sparse["kept"])
    return rows[0]["kept"]


def _name_by_legend(axes: Axes, ends: list[tuple[float, str, style.Look]]) -> None:
    """Legend outside the axes, in the order in which the curves fall."""
    handles = [
        axes.plot([], [], color=look.colour, marker=look.marker, linestyle=look.line, label=text)[0]
        for _, text, look in sorted(ends, key=lambda e: e[0])
    ]
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=1.9,
        title="from left to right", alignment="left", title_fontsize=8.5, borderpad=0,
        fontsize=8.5,
    )  # fmt: skip


def output_error(results: Json, narrow: bool) -> Figure:
    """Draw the mean relative output error against weights kept, on a log axis."""
    panels = _panels(results, narrow)
    rows = results["grid"]["rows"]
    least = max(min(r["error_low"] for r in rows), 1e-5) / 1.5
    most = max(r["error_high"] for r in rows) * 1.4
    for axes, family in panels:
        axes.set_yscale("log")
        axes.set_ylim(least, most)
        _kept_axis(axes)
        ticks(axes.yaxis, general_tick, LogLocator(numticks=9))
        axes.axhline(1, color=style.INK, linewidth=0.8)
        ends = [(0.93, 1.0, "error = output", style.INK)]
        for method in _in_panel(results, family):
            mine, look = _rows(results, method["name"]), look_of(method["name"])
            _curve(axes, mine, "error", look)
            last = mine[-1]
            ends.append((last["kept"], max(last["error"], least), method["label"], look.colour))
        style.label_ends(axes, ends)
    return _labelled(panels, "mean output error (relative)", narrow)


def certified_curve(results: Json, narrow: bool) -> Figure:
    """Draw eps against delta of the certified networks, and what was certified of one delta."""
    figure, (axes,) = sheet(
        narrow, 4.6 if narrow else 4.1, left=0.16 if narrow else 0.077, right=0.94,
        top=1.3 if narrow else 0.75, bottom=0.55,
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for (name, points), look in zip(alt.certified_curves(results), style.CURVES, strict=False):
        deltas, errors = zip(*points, strict=True)
        # From one share to the next the error of the smaller share is what is certified.
        axes.step(deltas, errors, where="post", color=look.colour, linestyle=look.line, label=name)
    certificate = results["certified"]["certificate"]
    if not certificate["vacuous"] and certificate["eps"] > 0:
        look = style.CURVES[0]
        axes.plot(
            certificate["delta"], certificate["eps"], color=look.colour, marker=look.marker,
            linestyle="none", markersize=7, label="chosen, for one delta only (CT-2)",
        )  # fmt: skip
    target = results["sparsest"]
    axes.plot(
        target["delta"], target["eps"], color=style.BLACK, linestyle="none", marker="+",
        markersize=10, markeredgewidth=1.8, label="target of the others (CT-3)",
    )  # fmt: skip
    axes.set_xlim(right=1)
    ticks(axes.xaxis, percent_tick, LogLocator(subs=(1, 2, 5)))
    ticks(axes.yaxis, general_tick, LogLocator(subs=(1, 2, 5)))
    axes.set_xlabel("share of fresh inputs that may exceed it, delta")
    axes.set_ylabel("certified error, eps")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.17 if narrow else -0.01, 1.0),
        ncols=1 if narrow else 2, fontsize=8 if narrow else 9, borderaxespad=0.3,
    )  # fmt: skip
    return figure


FIGURES: dict[str, Kind] = {
    "accuracy": (always, accuracy, alt.accuracy),
    "output-error": (always, output_error, alt.output_error),
    "certified-curve": (alt.certified_curves, certified_curve, alt.certified_curve),
    "sample-sizes": (always, figures_theory.sample_sizes, alt.sample_sizes),
    "promises": (always, figures_theory.promises, alt.promises),
    "network-bound": (always, figures_theory.network_bound, alt.network_bound),
}
