"""What CoreNet's experiment comes to: the table and the curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from reports.validation.corenet_plans import COMPARISONS, PANELS, Plan
from reports.validation.tables import ends, panel, points, rows_of
from reports.validation.verdicts import Line, compare, points_apart

Json = dict[str, Any]
Place = tuple[str, str, float]
# An output error of exactly 0 has no logarithm.
LEAST = 1e-12


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    return [_line(rows, plans[0].schedule, *comparison) for comparison in COMPARISONS]


def _line(
    rows: Sequence[Json], schedule: str, ours: str, theirs: str, column: str, paper: str
) -> Line:
    """Whether a method's output error or loss of accuracy is smaller than another's."""
    mine, other = _values(rows, ours, column), _values(rows, theirs, column)
    pairs = _paired(mine, other, column == "error")
    verdict, mean, low, high = compare(*pairs)
    if len(pairs[0]) == 1:
        verdict = "yes" if mean < 0 else "no"
    if paper.endswith("or is equal") and verdict == "in part":
        verdict = "yes"
    claimed = paper != "-"
    if column == "error":
        what = f"mean output error of {ours} divided by that of {theirs}"
        size, unit = f"{math.exp(mean):.3g} times", "times"
        interval = ends(math.exp(low), math.exp(high), len(pairs[0]))
    else:
        what = f"mean accuracy lost by {ours} minus that by {theirs}"
        size, unit, interval = points_apart(mean), "points", ends(low, high, len(pairs[0]), 100)
    return Line(
        what=what, paper=paper, ours=f"{size}; smaller in {_wins(mine, other)} cells",
        agrees=verdict if claimed else "no claim", unit=unit, schedule=schedule,
        source="figures of arXiv 1804.05345" if claimed else "ours: SiPP came after CoreNet",
        **interval,
    )  # fmt: skip


def _values(rows: Sequence[Json], method: str, column: str) -> dict[int, dict[Place, float]]:
    """For each seed a number by network, data and ratio."""
    values: dict[int, dict[Place, float]] = {}
    for row in rows:
        if row["method"] == method:
            place = (row["net"], row["data"], row["keep"])
            values.setdefault(row["seed"], {})[place] = row[column]
    return values


def _paired(
    mine: dict[int, dict[Place, float]], other: dict[int, dict[Place, float]], log: bool
) -> tuple[list[float], list[float]]:
    """For each seed the mean of a number of both methods over the cells that both have."""
    means: tuple[list[float], list[float]] = ([], [])
    for seed in sorted(mine if len(mine) >= len(other) else other):
        # A method without dice stands beside every draw of the other.
        pair = [values.get(seed) or values[min(values)] for values in (mine, other)]
        both = sorted(pair[0].keys() & pair[1].keys())
        for mean, values in zip(means, pair, strict=True):
            numbers = [values[place] for place in both]
            mean.append(
                float(np.mean([math.log(max(n, LEAST)) for n in numbers] if log else numbers))
            )
    return means


def _wins(mine: dict[int, dict[Place, float]], other: dict[int, dict[Place, float]]) -> str:
    """In how many pairs of network and ratio the mean over seeds is smaller."""

    def means(values: dict[int, dict[Place, float]]) -> dict[Place, float]:
        places = dict.fromkeys(place for one in values.values() for place in one)
        return {p: float(np.mean([one[p] for one in values.values() if p in one])) for p in places}

    a, b = means(mine), means(other)
    return f"{sum(a[place] < b[place] for place in a)} of {len(a)}"


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Three panels a network: output error and accuracy drop, and SiPP beside CoreNet."""
    return [
        panel(
            figure, f"{_short(plan.subject.net)} on {plan.subject.data}",
            [points(rows_of(plan, rows), method, column) for method in methods], label,
        )
        for figure, column, label, methods in PANELS
        for plan in plans
    ]  # fmt: skip


def _short(net: str) -> str:
    """A network's name, short enough for a panel: all hidden layers have one width."""
    words = net.split("-")
    if words[0] != "fc" or len(set(words[2:-1])) != 1:
        return net
    return f"{len(words) - 2} layers, {words[2]} wide"
