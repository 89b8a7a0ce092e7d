"""The tails that assumptions speak of: what was seen beside what an assumption allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.claims.terms import family
from reports.site import style
from reports.site.figure import NARROW, WIDE, ticks
from reports.site.plain import significant

Json = dict[str, Any]
# Names under which an assumption's evidence may bring its series: what they are, how they look.
TAIL = ("tail", "share_above_t")
CURVES = (
    (TAIL, "seen", style.Look(style.BLUE, "o")),
    (("fit", "hill_fit"), "power law, fitted", style.Look(style.BLACK, "", (0, (1, 1.2)))),
    (
        ("envelope", "subexponential_envelope"),
        "at most, if the assumption held",
        style.Look(style.VERMILLION, "", "--"),
    ),
)


def power(value: float, _: float) -> str:
    """A tick: 100 as it is, 10⁹ as a power."""
    return f"{value:,.10g}" if 1e-3 < value < 1e5 else significant(value, 1).removeprefix("1 × ")


def tails_of(summary: Json) -> list[tuple[str, Mapping[str, list[float]]]]:
    """Title and series of each piece of evidence on an assumption that has a tail to show."""
    tails = [
        (claim["id"], evidence["check"].rpartition(".")[2].replace("_", " "), evidence["series"])
        for claim in summary["claims"]
        if family(claim) == "A"
        for evidence in claim["evidence"]
        if _points(evidence["series"], TAIL)
    ]
    twice = Counter((claim, what) for claim, what, _ in tails)
    return [
        (f"{claim}, {what}" + (f" ({index})" if twice[claim, what] > 1 else ""), series)
        for index, (claim, what, series) in enumerate(tails, 1)
    ]


def _points(series: Mapping[str, list[float]], names: tuple[str, ...]) -> list[tuple[float, float]]:
    """What of a curve can be drawn on log axes; empty if the series has no such curve."""
    values = next((series[name] for name in names if name in series), [])
    pairs = zip(series.get("t", []), values, strict=False)
    return [(x, y) for x, y in pairs if _drawable(x) and _drawable(y)]


def _drawable(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def tails(summary: Json, narrow: bool) -> Figure:
    """Draw each tail on log-log axes, beside the heaviest that its assumption allows."""
    charts = tails_of(summary)
    columns = 1 if narrow else min(2, len(charts))
    rows = -(-len(charts) // columns)
    width = NARROW if narrow else (WIDE if columns == 2 else 6.4)
    height = 3.5 * rows
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.66 / width, right=1 - 0.12 / width, top=1 - 0.38 / height, bottom=0.55 / height,
        hspace=0.42, wspace=0.26,
    )  # fmt: skip
    panels = list(grid.flat)
    for axes, (title, series) in zip(panels, charts, strict=False):
        _tail_panel(axes, series)
        axes.set_title(title, fontsize=9.5)
    for axes in panels[len(charts) :]:
        axes.set_visible(False)
    return figure


def _tail_panel(axes: Axes, series: Mapping[str, list[float]]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for names, text, look in CURVES:
        points = _points(series, names)
        axes.plot(
            [x for x, _ in points], [y for _, y in points], color=look.colour, marker=look.marker,
            linestyle=look.line, markersize=3.4, label=text if points else None,
        )  # fmt: skip
    least = min(y for _, y in _points(series, TAIL))
    # An envelope that falls like an exponential would else leave the tail a line at the top.
    axes.set_ylim(least / 2, 2)
    for axis in (axes.xaxis, axes.yaxis):
        ticks(axis, power)
    axes.set_xlabel("t")
    axes.set_ylabel("share above t")
    axes.legend(loc="upper right")


def tails_alt(summary: Json) -> str:
    """Say how far each tail reaches."""
    text = "Log-log chart of the share of inputs above t, beside what the assumption allows."
    for title, series in tails_of(summary):
        t, share = _points(series, TAIL)[-1]
        text += f" {title}: at t = {significant(t)} the share is {significant(share, 2)}."
    return text
