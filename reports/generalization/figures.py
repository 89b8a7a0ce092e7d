"""Figures of the generalization page: what a file's bits go to, and how its bound moves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

import sipp_theory
from reports.generalization.figures_of_bounds import PRINTED
from reports.generalization.words import PARTS, amount, chosen, kind, label, rate
from reports.site import style
from reports.site.figure import Kind, always, percent_tick, sheet
from reports.site.methods import look as look_of
from reports.site.plain import count, percent

Json = dict[str, Any]
_LEVELS = (0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_MARKERS = ("o", "s", "^", "D", "v", "P")
_FILLS = {
    "positions": (style.ORANGE, ""), "magnitudes": (style.BLUE, "///"),
    "signs": (style.GREEN, "..."), "bytes": (style.PURPLE, "xxx"), "form": (style.SKY, "|||"),
    "frame": (style.GREY, ""), "search": (style.BLACK, ""),
}  # fmt: skip


def rows_of(facts: Json) -> dict[str, list[tuple[str, float]]]:
    """Bits of each tensor, of the frame and of what is charged besides, as (part, bits)."""
    rows: dict[str, list[tuple[str, float]]] = {}
    for layer, part, bits in facts["file"]["sections"]:
        what = kind({"what": f"{layer} {part}".strip()})
        tensor = part.rpartition(" ")[0]
        rows.setdefault(f"{layer} {tensor}" if layer else "frame", []).append((what, bits))
    for charge in facts["budget"]:
        if kind(charge) == "search":
            rows.setdefault("besides", []).append(("search", charge["bits"]))
    return rows


def budget(facts: Json, narrow: bool) -> Figure:
    """Draw every bit of the description: one bar a tensor, stacked by part."""
    rows = rows_of(facts)
    shown = [part for part in PARTS if any(part == p for row in rows.values() for p, _ in row)]
    below = 0.55 + 0.2 * -(-len(shown) // (1 if narrow else 3))
    height = 0.25 + 0.33 * len(rows) + below
    figure, (axes,) = sheet(
        narrow, height, left=0.27 if narrow else 0.15, right=0.82 if narrow else 0.9, top=0.12,
        bottom=below + 0.1,
    )  # fmt: skip
    for y, row in enumerate(rows.values()):
        start = 0.0
        for part in shown:
            bits = sum(b for p, b in row if p == part)
            colour, hatch = _FILLS[part]
            axes.barh(y, bits, left=start, color=colour, hatch=hatch, edgecolor="white",
                      linewidth=0.4, height=0.72)  # fmt: skip
            start += bits
        label = f"{start:,.0f}" if start >= 10 else f"{start:.1f}"
        axes.annotate(label, (start, y), textcoords="offset points", xytext=(4, 0), va="center",
                      fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(rows)), list(rows), fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="x", labelsize=8)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axes.set_xlabel("bits", fontsize=8.5)
    if narrow:
        axes.locator_params(axis="x", nbins=4)
    handles = [Patch(facecolor=_FILLS[part][0], hatch=_FILLS[part][1], edgecolor="white",
                     label=PARTS[part]) for part in shown]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=1 if narrow else 3, fontsize=8,
                  borderaxespad=0.2, labelspacing=0.3)  # fmt: skip
    return figure


def _budget_alt(facts: Json) -> str:
    rows = {name: sum(bits for _, bits in row) for name, row in rows_of(facts).items()}
    most = max(rows, key=lambda name: rows[name])
    return (
        f"What the network costs to tell: {count(round(sum(rows.values())))} bits, of which "
        f"{most} takes the most, {count(round(rows[most]))}."
    )


def candidates(facts: Json, narrow: bool) -> Figure:
    """Draw all files: bits against errors with lines of equal bound, and bound against weights."""
    tried = facts["candidates"]
    looks = list(dict.fromkeys((c["method"], c["levels"], c["codebook"]) for c in tried))
    columns = 1 if narrow else 2
    below = 0.62 + 0.2 * -(-len(looks) // columns)
    figure, (left, right) = sheet(
        narrow, 7.4 if narrow else 4.5, left=0.17 if narrow else 0.08,
        right=0.93 if narrow else 0.98, top=0.32, bottom=below, rows=2 if narrow else 1,
        columns=columns, wspace=0.22, hspace=0.32,
    )  # fmt: skip
    for axes, x, y in ((left, "bits", "error"), (right, "kept", "bound")):
        for one in tried:
            spot = {**one, "error": one["errors"] / facts["n"]}
            _spot(axes, spot[x], spot[y], looks, one)
        best = {**chosen(facts), "error": chosen(facts)["errors"] / facts["n"]}
        axes.plot(best[x], best[y], "o", color=style.INK, markersize=14, markerfacecolor="none",
                  markeredgewidth=1.2)  # fmt: skip
        axes.margins(0.12)
        axes.yaxis.set_major_formatter(percent_tick)
        axes.tick_params(labelsize=8)
    _contours(left, facts)
    left.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    left.set(xlabel="bits of the file", ylabel="training error")
    left.set_title("lines join files of equal bound", fontsize=9, weight="normal")
    left.locator_params(axis="x", nbins=5)
    right.xaxis.set_major_formatter(percent_tick)
    right.set(xlabel="weights that are not zero", ylabel="bound on the true error")
    right.set_title("bound against weights kept", fontsize=9, weight="normal")
    handles = [
        right.plot([], [], **_sign(looks, look), linestyle="none",
                   label=f"{label(look[0])}, {look[1]} levels, {look[2]}")[0]
        for look in looks
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=columns, fontsize=8,
                  borderaxespad=0.2, labelspacing=0.3)  # fmt: skip
    return figure


Look = tuple[str, int, str]


def _sign(looks: Sequence[Look], look: Look) -> dict[str, Any]:
    """Colour by method, marker by number of levels, hollow for a table."""
    colour = look_of(look[0]).colour
    counts = sorted({count for _, count, _ in looks})
    return {"color": colour, "marker": _MARKERS[counts.index(look[1]) % len(_MARKERS)],
            "markersize": 6.5, "markerfacecolor": "none" if look[2] == "table" else colour,
            "markeredgewidth": 1.5}  # fmt: skip


def _spot(axes: Axes, x: float, y: float, looks: Sequence[Look], one: Json) -> None:
    sign = _sign(looks, (one["method"], one["levels"], one["codebook"]))
    axes.plot(x, y, linestyle="none", **sign)


def _contours(axes: Axes, facts: Json) -> None:
    """Lines along which bits and errors give the same bound."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    errors = np.unique(np.round(np.linspace(max(low, 0), high, 40) * facts["n"]))
    paid = sum(charge["bits"] for charge in facts["budget"] if kind(charge) == "search")
    for risk in _LEVELS:
        bits = _bits_allowed(tuple(errors), facts["n"], risk, facts["delta"]) - paid
        there = np.isfinite(bits) & (bits >= left) & (bits <= right)
        if there.sum() < 2:
            continue
        axes.plot(bits[there], errors[there] / facts["n"], color=style.SOFT, linewidth=0.8,
                  zorder=0)  # fmt: skip
        middle = np.flatnonzero(there)[int(there.sum()) // 2]
        spot = float(bits[middle]), float(errors[middle] / facts["n"])
        axes.text(*spot, f"{100 * risk:g}%", fontsize=7.5,
                  color=style.SOFT, ha="center", va="center",
                  bbox={"facecolor": "white", "linewidth": 0, "pad": 0.8})  # fmt: skip
    axes.set(xlim=(left, right), ylim=(low, high))


@lru_cache(maxsize=64)
def _bits_allowed(
    errors: tuple[float, ...], n: int, risk: float, delta: float
) -> NDArray[np.float64]:
    """The narrow form asks for what the wide one did."""
    return np.asarray(
        sipp_theory.bits_allowed("binomial", errors=np.array(errors), n=n, risk=risk, delta=delta)
    )


def _candidates_alt(facts: Json) -> str:
    tried, best = facts["candidates"], chosen(facts)
    bits, kept = [c["bits"] for c in tried], [c["kept"] for c in tried]
    return (
        f"{len(tried)} files of {count(min(bits))} to {count(max(bits))} bits, with "
        f"{percent(min(kept))} to {percent(max(kept))} of the weights not zero; the least bound, "
        f"{amount(best['bound'])}, is that of {count(best['bits'])} bits with "
        f"{rate(best['errors'], facts['n'])} of training inputs wrong."
    )


FIGURES: dict[str, Kind] = {
    "budget": (always, budget, _budget_alt),
    "candidates": (always, candidates, _candidates_alt),
    **PRINTED,
}
