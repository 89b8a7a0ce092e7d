"""What CoreNet's experiment comes to: the table and the curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.validation.verdicts import Line, compare, points_apart

if TYPE_CHECKING:
    from reports.validation.corenet_plans import Plan

Json = dict[str, Any]
Value = Callable[[Json], float]
CORENET = ("corenet", "corenet+", "corenet++")
PEERS = ("entry-uniform", "entry-l1", "entry-l2", "entry-mixture", "svd")
SIPP = ("sipp-rand", "sipp-det", "sipp-hybrid", "sipp-poisson")
METHODS = (*CORENET, *SIPP, *PEERS)
SOURCE = "figures of arXiv 1804.05345"
# An output error of exactly 0 has no logarithm.
LEAST = 1e-12


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    schedule = plans[0].schedule
    below = "CoreNet's curve lies below, at equal weights"
    return [
        *(_versus(schedule, rows, "corenet", peer, below) for peer in PEERS),
        *(_lost(schedule, rows, peer, below) for peer in PEERS),
        _versus(schedule, rows, "corenet+", "corenet", "helps or is equal", or_equal=True),
        _versus(schedule, rows, "corenet++", "corenet+", "helps"),
        *(_versus(schedule, rows, method, "corenet", "-") for method in SIPP),
    ]


def _lost(schedule: str, rows: Sequence[Json], theirs: str, paper: str) -> Line:
    """A line that says whether CoreNet loses less accuracy than a peer."""
    mine, other = _paired(rows, "corenet", theirs, lambda row: row["drop"])
    verdict, mean, low, high = compare(mine, other)
    several = len(mine) > 1
    if not several:
        verdict = "yes" if mean < 0 else "no"
    return Line(
        what=f"mean accuracy lost by corenet minus that by {theirs}",
        paper=paper,
        ours=f"{points_apart(mean)}; smaller in {_wins(rows, 'corenet', theirs, 'drop')} cells",
        agrees=verdict,
        low=100 * low if several else None,
        high=100 * high if several else None,
        unit="points",
        seeds=len(mine),
        schedule=schedule,
        source=SOURCE,
    )


def _values(
    rows: Sequence[Json], method: str, value: Value
) -> dict[int, dict[tuple[Any, ...], float]]:
    """For each seed a number by network and ratio."""
    found: dict[int, dict[tuple[Any, ...], float]] = {}
    for row in rows:
        if row["method"] == method:
            where = (row["net"], row["data"], row["keep"])
            found.setdefault(row["seed"], {})[where] = value(row)
    return found


def _log_error(row: Json) -> float:
    return math.log(max(row["error"], LEAST))


def _paired(
    rows: Sequence[Json], ours: str, theirs: str, value: Value = _log_error
) -> tuple[list[float], list[float]]:
    """For each seed the mean of a number of both methods over the cells that both have."""
    mine, other = _values(rows, ours, value), _values(rows, theirs, value)
    seeds = sorted(mine if len(mine) >= len(other) else other)

    def at(found: dict[int, dict[tuple[Any, ...], float]], seed: int) -> dict[Any, float]:
        # A method without dice stands beside every draw of the other.
        return found.get(seed) or found[min(found)]

    pairs = [(at(mine, seed), at(other, seed)) for seed in seeds]
    both = [sorted(set(a) & set(b)) for a, b in pairs]
    return (
        [float(np.mean([a[w] for w in where])) for (a, _), where in zip(pairs, both, strict=True)],
        [float(np.mean([b[w] for w in where])) for (_, b), where in zip(pairs, both, strict=True)],
    )


def _versus(
    schedule: str, rows: Sequence[Json], ours: str, theirs: str, paper: str, or_equal: bool = False
) -> Line:
    """A line that says whether one method's output error is below another's."""
    mine, other = _paired(rows, ours, theirs)
    verdict, mean, low, high = compare(mine, other)
    several = len(mine) > 1
    if not several:
        verdict = "yes" if mean < 0 else "no"
    if or_equal and verdict == "in part":
        verdict = "yes"
    claimed = paper != "-"
    return Line(
        what=f"mean output error of {ours} divided by that of {theirs}",
        paper=paper,
        ours=f"{math.exp(mean):.3g} times; smaller in {_wins(rows, ours, theirs)} cells",
        agrees=verdict if claimed else "no claim",
        low=math.exp(low) if several else None,
        high=math.exp(high) if several else None,
        unit="times",
        seeds=len(mine),
        schedule=schedule,
        source=SOURCE if claimed else "ours: SiPP came after CoreNet",
    )


def _wins(rows: Sequence[Json], ours: str, theirs: str, value: str = "error") -> str:
    """In how many pairs of network and ratio the mean over seeds is smaller."""

    def means(method: str) -> dict[tuple[str, str, float], float]:
        found: dict[tuple[str, str, float], list[float]] = {}
        for row in rows:
            if row["method"] == method:
                found.setdefault((row["net"], row["data"], row["keep"]), []).append(row[value])
        return {where: float(np.mean(values)) for where, values in found.items()}

    a, b = means(ours), means(theirs)
    return f"{sum(a[where] < b[where] for where in a)} of {len(a)}"


PANELS = (
    ("corenet-error", "error", "mean output error (relative)", (*CORENET, *PEERS)),
    ("corenet-drop", "drop", "accuracy lost", (*CORENET, *PEERS)),
    ("corenet-sipp", "error", "mean output error (relative)", ("corenet", *SIPP)),
)


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Three panels a network: output error and accuracy drop, and SiPP beside CoreNet."""
    found = []
    for figure, value, label, methods in PANELS:
        for plan in plans:
            net, data = plan.subject.net, plan.subject.data
            mine = [r for r in rows if (r["net"], r["data"]) == (net, data)]
            series = [points(mine, method, value) for method in methods]
            found.append(
                {
                    "figure": figure, "title": f"{_short(net)} on {data}", "label": label,
                    "log": value == "error", "level": None, "floor": None, "series": series,
                }
            )  # fmt: skip
    return found


def _short(net: str) -> str:
    """A network's name, short enough for a panel: all hidden layers have one width."""
    words = net.split("-")
    if words[0] != "fc" or len(set(words[2:-1])) != 1:
        return net
    return f"{len(words) - 2} layers, {words[2]} wide"


def points(rows: Sequence[Json], method: str, value: str) -> Json:
    """Mean, least and largest over seeds at every ratio, sparse to dense."""
    found: Json = {"name": method, "kept": [], "y": [], "low": [], "high": []}
    mine = [row for row in rows if row["method"] == method]
    for keep in sorted({row["keep"] for row in mine}):
        values = [row[value] for row in mine if row["keep"] == keep]
        kept = [row["kept"] for row in mine if row["keep"] == keep]
        numbers = (float(np.mean(kept)), float(np.mean(values)), min(values), max(values))
        for name, number in zip(("kept", "y", "low", "high"), numbers, strict=True):
            found[name].append(float(f"{number:.5g}"))
    return found
