"""Figures of a file's bound by sample size, of its margins, and of the bounds as printed."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from reports.generalization.words import amount, chosen, rate
from reports.site import style
from reports.site.figure import Kind, always, percent_tick, sheet
from reports.site.plain import count, percent, share, significant

Json = dict[str, Any]
_INFINITE = {"infinite": float("inf"), "-infinite": float("-inf")}
_FORMS = (
    ("binomial", "exact binomial tail", style.Look(style.BLUE, "o")),
    ("kl", "kl form", style.Look(style.ORANGE, "s", (0, (5, 1.5)))),
    ("hoeffding", "Hoeffding's form", style.Look(style.PURPLE, "^", (0, (3, 1, 1, 1)))),
)
_TERMS = (
    ("margin_loss", "margins too small", style.SKY, ""),
    ("exceptions", "inputs moved too far by pruning", style.ORANGE, "///"),
    ("penalty", "number of networks", style.GREY, "..."),
)


def _single(narrow: bool, height: float, left: float, below: float) -> tuple[Figure, Axes]:
    figure, (axes,) = sheet(narrow, height, left=left, right=0.95, top=0.15, bottom=below)
    axes.tick_params(labelsize=8)
    return figure, axes


def by_n(facts: Json, narrow: bool) -> Figure:
    """Draw the bound of the file had fewer inputs been counted."""
    figure, axes = _single(narrow, 3.5, 0.15 if narrow else 0.075, 1.2 if narrow else 0.85)
    sizes = [one["n"] for one in facts["by_n"]]
    axes.set_xscale("log")
    for form, name, look in _FORMS:
        axes.plot(sizes, [one[form] for one in facts["by_n"]], color=look.colour,
                  marker=look.marker, linestyle=look.line, label=name)  # fmt: skip
    axes.plot(sizes, [one["errors"] / one["n"] for one in facts["by_n"]], color=style.GREEN,
              marker="v", label="errors counted")  # fmt: skip
    axes.axhline(1, color=style.INK, linewidth=1)
    axes.text(0.99, 1.015, "vacuous", transform=axes.get_yaxis_transform(), fontsize=7.5,
              color=style.SOFT, va="bottom", ha="right")  # fmt: skip
    axes.set_ylim(0, 1.1)
    # On a phone, three labels within a factor of three run into one another.
    ticks = [n for k, n in enumerate(sizes) if not (narrow and k and n < 1.9 * sizes[k - 1])]
    axes.set_xticks(ticks, [f"{n / 1000:.3g}k" if n >= 1000 else str(n) for n in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(percent_tick)
    axes.set_xlabel("training inputs counted (log scale)", fontsize=8.5)
    figure.legend(loc="lower center", ncols=2 if narrow else 4, fontsize=8, borderaxespad=0.2)
    return figure


def _by_n_alt(facts: Json) -> str:
    first, last = facts["by_n"][0], facts["by_n"][-1]
    return (
        f"The certified bound falls from {amount(first['binomial'])} at {count(first['n'])} inputs "
        f"to {amount(last['binomial'])} at {count(last['n'])}."
    )


def margins(facts: Json, narrow: bool) -> Figure:
    """Draw the distribution of margins of the network in the file."""
    figure, axes = _single(narrow, 3.1, 0.15 if narrow else 0.075, 0.55)
    curve = facts["margins"]
    axes.plot(curve["quantiles"], curve["shares"], color=style.BLUE, drawstyle="steps-post")
    axes.axvline(0, color=style.INK, linewidth=1)
    low, high = axes.get_xlim()
    axes.axvspan(min(low, 0), 0, color=style.VERMILLION, alpha=0.1, linewidth=0)
    axes.set(xlim=(low, high), ylim=(0, 1.02))
    axes.text(0, 0.97, " right ", fontsize=8, color=style.SOFT, ha="left", va="top")
    axes.text(0, 0.97, " wrong ", fontsize=8, color=style.SOFT, ha="right", va="top")
    axes.yaxis.set_major_formatter(percent_tick)
    axes.set_xlabel("margin: score of the right class minus the best other", fontsize=8.5)
    axes.set_ylabel("share below it", fontsize=8.5)
    return figure


def _margins_alt(facts: Json) -> str:
    curve = facts["margins"]
    middle = curve["quantiles"][len(curve["quantiles"]) // 2 - 1]
    return (
        f"Share of training inputs below each margin: {percent(curve['error'], 2)} lie at 0 or "
        f"below, half below {significant(middle)}; the largest output has norm "
        f"{significant(curve['largest_output'])}."
    )


def factors(facts: Json, narrow: bool) -> Figure:
    """Draw how many doublings each factor of CoreNet's corollary adds."""
    rows = [(_printed(name), value) for name, value in facts["theorem"]["log2_factors"]]
    rows.sort(key=lambda row: -_INFINITE[row[1]] if isinstance(row[1], str) else -row[1])
    rows.append(("all together", facts["theorem"]["log2_penalty"]))
    height = 0.75 + 0.33 * len(rows)
    figure, axes = _single(narrow, height, 0.42 if narrow else 0.24, 0.55)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for y, (_, value) in enumerate(rows):
        if isinstance(value, str):
            axes.text(0, y, f" {significant(value)}", va="center")
            continue
        last = y == len(rows) - 1
        colour = style.INK if last else style.VERMILLION if value > 0 else style.GREEN
        axes.barh(y, value, color=colour, height=0.68, hatch="///" if value < 0 else "",
                  edgecolor="white", linewidth=0.4)  # fmt: skip
        axes.annotate(f"{value:+.1f}".replace("-", "−"), (max(value, 0), y), fontsize=8,
                      textcoords="offset points", xytext=(4, 0), va="center")  # fmt: skip
    axes.axvline(0, color=style.INK, linewidth=1)
    axes.margins(x=0.14)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("log₂ of the factor; above 0 in all, vacuous", fontsize=8.5)
    return figure


def _printed(name: str) -> str:
    return {
        "L^2": "L², L layers", "(2 max ||f|| / gamma)^2": "(2 max‖f‖ / γ)²",
        "sum of S": "Σ S, all neurons", "ln(eta eta*)": "ln(η η*)",
        "ln(8 eta / failure)": "ln(8 η / failure)", "1 / (2 n)": "1 / (2 n)",
        "mean Delta^2": "mean of Δ²",
    }.get(name, name)  # fmt: skip


def _factors_alt(facts: Json) -> str:
    theorem = facts["theorem"]
    return (
        "Factors of CoreNet's corollary as powers of two: "
        + ", ".join(f"{name} {significant(value)}" for name, value in theorem["log2_factors"])
        + f"; together {significant(theorem['log2_penalty'])}."
    )


def printed(facts: Json, narrow: bool) -> Figure:
    """Draw GN-1's three terms by the share of weights kept."""
    figure, axes = _single(narrow, 3.5, 0.17 if narrow else 0.075, 1.15 if narrow else 0.85)
    rows = facts["printed"]
    for x, row in enumerate(rows):
        start = 0.0
        rest = row["bound"] - row["margin_loss"] - row["exceptions"]
        for what, _, colour, hatch in _TERMS:
            value = rest if what == "penalty" else row[what]
            axes.bar(x, value, bottom=start, color=colour, hatch=hatch, edgecolor="white",
                     linewidth=0.4, width=0.66)  # fmt: skip
            start += value
    axes.axhline(1, color=style.INK, linewidth=1.2)
    axes.text(0.005, 1, "vacuous above", transform=axes.get_yaxis_transform(), fontsize=7.5,
              va="bottom", color=style.INK,
              bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5, "alpha": 0.8})  # fmt: skip
    axes.set_xticks(range(len(rows)), [share(row["keep"]) for row in rows])
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_formatter(percent_tick)
    axes.set_xlabel("weights kept", fontsize=8.5)
    for _, name, colour, hatch in _TERMS:
        axes.bar(0, 0, color=colour, hatch=hatch, edgecolor="white", label=name)
    figure.legend(loc="lower center", ncols=1 if narrow else 3, fontsize=8, borderaxespad=0.2,
                  labelspacing=0.3)  # fmt: skip
    return figure


def _printed_alt(facts: Json) -> str:
    bounds = ", ".join(
        f"{amount(row['bound'])} at {share(row['keep'])} of the weights" for row in facts["printed"]
    )
    return f"Arora et al.'s bound by weights kept: {bounds}. The file's own bound beside it: " + (
        f"{amount(facts['bounds'][0]['value'])}, "
        f"with {rate(chosen(facts)['errors'], facts['n'])} of training inputs wrong."
    )


PRINTED: dict[str, Kind] = {
    "by-n": (always, by_n, _by_n_alt),
    "margins": (always, margins, _margins_alt),
    "compression": (lambda facts: facts["printed"], printed, _printed_alt),
    "factors": (lambda facts: "refused" not in facts["theorem"], factors, _factors_alt),
}
