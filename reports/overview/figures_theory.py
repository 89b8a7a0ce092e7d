"""Figures for the theorist: sizes given and needed, promised and observed, factors of NW-5."""

from __future__ import annotations

from math import log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from reports.overview.alt import labels
from reports.site import style
from reports.site.figure import general_tick, sheet, ticks
from reports.site.plain import significant

Json = dict[str, Any]
SIGNS = {1: "+", -1: "−"}
CLAIM_NAMES = {
    "SP-2": "CoreNet, as printed", "SP-3": "Bernstein", "SP-4": "Chernoff–Hoeffding",
    "SP-5": "Cramér", "SP-5x": "exact tail",
}  # fmt: skip


def _thousands(value: float, _: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def sample_sizes(results: Json, narrow: bool) -> Figure:
    """Draw, per neuron, the draws that each bound asks for and those that Monte Carlo needs."""
    rows = results["check"]["rows"]
    height = (1.95 if narrow else 1.35) + (0.34 if narrow else 0.3) * len(rows)
    figure, (axes,) = sheet(
        narrow, height, left=0.225 if narrow else 0.1, right=0.97, top=1.15 if narrow else 0.62,
        bottom=0.55,
    )  # fmt: skip
    axes.set_xscale("log")
    for y, row in enumerate(rows):
        largest = max(row["sizes"][claim] for claim in CLAIM_NAMES)
        axes.plot([row["needed"], largest], [y, y], color=style.FAINT, linewidth=1.2, zorder=1)
        axes.plot(
            row["weights"], y, marker="|", color=style.GREY, markersize=11, markeredgewidth=1.6,
            linestyle="none", label="weights it has" if y == 0 else None,
        )  # fmt: skip
        axes.plot(
            row["needed"], y, marker="|", color=style.BLACK, markersize=17, markeredgewidth=2.8,
            linestyle="none", label="needed (Monte Carlo)" if y == 0 else None,
        )  # fmt: skip
        for claim, name in reversed(CLAIM_NAMES.items()):
            look = style.CLAIMS[claim]
            axes.plot(
                row["sizes"][claim], y, marker=look.marker, color=look.colour, markersize=6.2,
                markeredgecolor="white", markeredgewidth=0.5, linestyle="none",
                label=f"{name} ({claim})" if y == 0 else None,
            )  # fmt: skip
    axes.set_yticks(
        range(len(rows)),
        [f"{r['layer']} #{r['neuron']} {SIGNS[r['sign']]}" for r in rows],
    )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    ticks(axes.xaxis, _thousands)
    axes.set_xlabel("draws (log scale)")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.3 if narrow else -0.09, 1.0),
        ncols=2 if narrow else 4, handletextpad=0.2, columnspacing=0.9, fontsize=8 if narrow else 9,
        borderaxespad=0.4,
    )  # fmt: skip
    return figure


def promises(results: Json, narrow: bool) -> Figure:
    """Draw, per neuron, the observed error against the promised one."""
    methods = results["promises"]["methods"]
    figure = Figure(figsize=(4.2, 9.6) if narrow else (9.6, 3.9))
    panels = figure.subplots(3, 1) if narrow else figure.subplots(1, 3, sharey=True)
    figure.subplots_adjust(
        left=0.16 if narrow else 0.07, right=0.96 if narrow else 0.985,
        top=0.94 if narrow else 0.84, bottom=0.055 if narrow else 0.135,
        hspace=0.42, wspace=0.1,
    )  # fmt: skip
    names = labels(results)
    values = [
        v for m in methods for e in m["layers"] for k in ("promised", "observed") for v in e[k]
        if v > 0
    ]  # fmt: skip
    low, high = max(min(values, default=0.1), 1e-3) / 3, max([*values, 1.0]) * 1.3
    for axes, method in zip(panels, methods, strict=True):
        _promise_panel(axes, method, low, high)
        axes.set_title(names[method["method"]])
        axes.set_xlabel("error promised")
        if narrow or axes is panels[0]:
            axes.set_ylabel("error observed")
    handles, layers = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, layers, loc="upper left", ncols=len(layers), handletextpad=0.1, markerscale=1.6,
        bbox_to_anchor=(0.14 if narrow else 0.058, 1.0), borderpad=0,
    )  # fmt: skip
    return figure


def _promise_panel(axes: Axes, method: Json, low: float, high: float) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        ticks(axis, general_tick)
    axes.plot([low, high], [low, high], color=style.INK, linewidth=0.9)
    axes.axvspan(1, high, color=style.FAINT, alpha=0.5, linewidth=0, zorder=0)
    axes.text(
        high / 1.08, low * 1.15, "says nothing", ha="right", fontsize=8.5, color=style.SOFT,
        rotation=90, va="bottom",
    )  # fmt: skip
    axes.text(
        0.03, 0.97, "above the line: worse\nthan promised", transform=axes.transAxes, fontsize=8.5,
        color=style.SOFT, va="top",
    )  # fmt: skip
    for index, layer in enumerate(method["layers"]):
        look = style.LAYERS[index % len(style.LAYERS)]
        axes.plot(
            layer["promised"], layer["observed"], linestyle="none", marker=look.marker,
            color=look.colour, markersize=3.6, alpha=0.75, markeredgewidth=0, label=layer["layer"],
        )  # fmt: skip


def _power(exponent: float) -> str:
    """A power of ten, its exponent raised."""
    return significant(10.0**exponent, 1).removeprefix("1 × ")


FACTORS = (
    ("constants", "constants and logarithms", style.GREY, ""),
    ("sensitivity", "sensitivity sum S", style.SKY, "...."),
    ("own", "this layer's cancellation, squared", style.VERMILLION, "////"),
    ("later", "later layers' cancellation, squared", style.ORANGE, "\\\\\\\\"),
)


def network_bound(results: Json, narrow: bool) -> Figure:
    """Draw the factors that multiply to the draws NW-5 asks of one neuron of each layer."""
    layers = results["theory"]["network"]["layers"]
    height = (2.0 if narrow else 1.45) + 0.52 * len(layers)
    figure, (axes,) = sheet(
        narrow, height, left=0.11 if narrow else 0.06, right=0.95, top=1.1 if narrow else 0.62,
        bottom=0.58,
    )  # fmt: skip
    for y, layer in enumerate(layers):
        start = 0.0
        for key, name, colour, hatch in FACTORS:
            width = layer["factors"][key]
            axes.barh(
                y, width, left=start, height=0.56, color=colour, edgecolor="white", hatch=hatch,
                linewidth=0.8, label=name if y == 0 else None,
            )  # fmt: skip
            start += width
        axes.text(
            start + 0.3, y, significant(layer["draws"], 2) + ("" if narrow else " draws"),
            va="center", fontsize=9,
        )  # fmt: skip
        axes.plot(
            [log10(max(1, layer["weights"]))] * 2, [y - 0.4, y + 0.4], color=style.INK,
            linewidth=2.4, label="weights that it has" if y == 0 else None, solid_capstyle="butt",
        )  # fmt: skip
    widest = max(sum(layer["factors"].values()) for layer in layers)
    axes.set_xlim(0, widest * (1.32 if narrow else 1.16))
    axes.set_ylim(len(layers) - 0.45, -0.55)
    axes.set_yticks(range(len(layers)), [layer["layer"] for layer in layers])
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MultipleLocator(4 if widest > 12 else 1))
    axes.xaxis.set_major_formatter(lambda v, _: _power(v))
    axes.set_xlabel("draws asked of one neuron and sign (log scale)")
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.12 if narrow else -0.05, 1.0),
        ncols=1 if narrow else 3, fontsize=8 if narrow else 9, borderaxespad=0.3,
        handlelength=1.6, columnspacing=1.2, labelspacing=0.3,
    )  # fmt: skip
    return figure
