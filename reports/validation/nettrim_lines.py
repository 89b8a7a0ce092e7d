"""What Net-Trim's experiments come to: the table and the curves, beside the published points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.validation.nettrim_plans import CURVES
from reports.validation.verdicts import Line, at_least, compare, interval, points_apart

if TYPE_CHECKING:
    from reports.validation.nettrim_plans import Plan

Json = dict[str, Any]
SPIRALS = ((397, 362), (39_770, 2_663), (399, 131))
# Points of accuracy below the published ones that count as none.
PAR = 0.005
# Loss of accuracy down to which the pictures of trained networks reach.
SHOWN = 0.08
# Outputs are float32, promises float64.
ROUNDING = 1e-5
OURS = "nettrim parallel"
# What stands beside it in the table: SiPP by layers, as Net-Trim goes.
BEST = "sipp-det-mean"
SOURCE = "published curve of [NT]"
FLAWS = ("ours is a net of our own training; whether the published points are after training again "
         "is not said with them, so ours are")  # fmt: skip
LENET = ("; the authors' public LeNet-5 has 32 and 64 channels and 512 neurons, ours 6, 16, 120 "
         "and 84; both leave convolutions whole, and only dense weights count here (98.7% of that "
         "LeNet-5 could not be removed otherwise)")  # fmt: skip


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    found: list[Line] = []
    for plan in plans:
        mine = [r for r in rows if (r["net"], r["data"]) == (plan.subject.net, plan.subject.data)]
        if plan.again is None:
            found += _spirals(plan, mine)
        else:
            found += [*_published(plan, mine), *_beside(plan, mine)]
    found += _bounds(plans[0].schedule, rows)
    done = {(plan.subject.net, plan.subject.data) for plan in plans}
    left = [where for where in CURVES if where not in done]
    return found + [
        Line(
            what=f"curve of {net} on {data}", paper=f"{len(CURVES[net, data])} points", ours="-",
            agrees="not run", schedule=plans[0].schedule, source=SOURCE,
            why="it is in the schedules reduced and paper, on MNIST",
        )
        for net, data in left
    ]  # fmt: skip


def _at(rows: Sequence[Json], seed: int, method: str, removed: float, value: str) -> float | None:
    """A seed's curve at a share removed, on the line between neighbours; None outside of it."""
    mine = [r for r in rows if r["seed"] == seed and r.get("method") == method]
    points = sorted((1 - r["kept"], r[value]) for r in mine)
    if not points or not points[0][0] <= removed <= points[-1][0]:
        return None
    return float(np.interp(removed, [x for x, _ in points], [y for _, y in points]))


def _published(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    net, data = plan.subject.net, plan.subject.data
    seeds = sorted({row["seed"] for row in rows})
    before = interval([r["accuracy"] for r in rows if r["part"] == "unpruned"])[0]
    why = FLAWS + (LENET if net == "lenet-5" else "")
    found = []
    for removed, accuracy in CURVES.get((net, data), ()):
        values = [_at(rows, seed, OURS, removed, "trained") for seed in seeds]
        known = [value for value in values if value is not None]
        mean, low, high = interval(known) if known else (0.0, 0.0, 0.0)
        beside = [
            row["trained"]
            for row in rows
            if row.get("method") == BEST and abs(row["keep"] - 1 + removed) < 1e-6
        ]
        also = f"; {BEST} {np.mean(beside):.2%}" if beside else ""
        several = len(known) > 1
        found.append(
            Line(
                what=f"accuracy with {removed:.2%} removed, {net} on {data}",
                paper=f"{accuracy:.2%}",
                ours=f"{mean:.2%} (unpruned {before:.2%}{also})" if known else "-",
                agrees=at_least(known, accuracy - PAR) if known else "not run",
                low=100 * low if several else None,
                high=100 * high if several else None,
                unit="%",
                seeds=len(known),
                schedule=plan.schedule,
                source=SOURCE,
                why=why if known else "beyond the radii that were run",
            )
        )
    return found


def _beside(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    """Net-Trim against the others at their shares, before and after training again."""
    seeds = sorted({row["seed"] for row in rows})
    found = []
    for theirs in ("sipp-det", "sipp-det-mean", "magnitude"):
        for value, words in (("accuracy", "without"), ("trained", "after")):
            ours: list[float] = []
            other: list[float] = []
            for seed in seeds:
                pairs = [
                    (at, row[value])
                    for row in rows
                    if row["seed"] == seed and row.get("method") == theirs
                    and (at := _at(rows, seed, OURS, 1 - row["kept"], value)) is not None
                ]  # fmt: skip
                if pairs:
                    ours.append(float(np.mean([a for a, _ in pairs])))
                    other.append(float(np.mean([b for _, b in pairs])))
            if not ours:
                continue
            _, mean, low, high = compare(ours, other)
            several = len(ours) > 1
            found.append(
                Line(
                    what=f"accuracy of {OURS} minus {theirs}, {words} training again, "
                    f"{plan.subject.net} on {plan.subject.data}",
                    paper="-",
                    ours=f"{points_apart(mean)}, mean over the shares both reach",
                    agrees="no claim",
                    low=100 * low if several else None,
                    high=100 * high if several else None,
                    unit="points",
                    seeds=len(ours),
                    schedule=plan.schedule,
                    source="ours",
                )
            )
    return found


def _bounds(schedule: str, rows: Sequence[Json]) -> list[Line]:
    """Whether the whole network's error stayed below what NT-2 and NT-3 promise."""
    held = [row for row in rows if row.get("promised") is not None]
    if not held:
        return []
    shares = [row["discrepancy"] / row["promised"] for row in held]
    return [
        Line(
            what="error of the trimmed network against its promise (NT-2, NT-3), all solves",
            paper="never above it",
            ours=f"{min(shares):.2g} to {max(shares):.2g} of it in {len(shares)} networks",
            agrees="yes" if max(shares) <= 1 + ROUNDING else "no",
            schedule=schedule,
            source="theorems of [NT], with general norms",
            guarantee=True,
        )
    ]


def _spirals(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    """Nonzeros of each layer, at the radius whose discrepancy is nearest to the paper's."""
    start = [r for r in rows if r["part"] == "unpruned"]
    done = [r for r in rows if r["part"] == "spirals"]
    off = interval([r["discrepancy"] for r in done])[0]
    right = float(np.mean([r["accuracy"] for r in done]))
    real = plan.subject.net == "fc-2-200-200-2"
    found = []
    for layer, (before, after) in enumerate(SPIRALS):
        counts = [float(r["nonzero"][layer]) for r in done]
        began = float(np.mean([r["nonzero"][layer] for r in start]))
        mean, low, high = interval(counts)
        several = len(counts) > 1
        found.append(
            Line(
                what=f"nonzero weights of layer {layer + 1}, {plan.subject.net} on spirals, "
                f"cascade at gamma {plan.gamma}",
                paper=f"{before:,} to {after:,} at relative discrepancy .046",
                ours=f"{began:,.0f} to {mean:,.0f} at {off:.3f}; accuracy {right:.1%}",
                agrees=at_least([-count for count in counts], -after) if real else "no claim",
                low=max(low, 0.0) if several else None,
                high=high if several else None,
                unit="weights",
                seeds=len(counts),
                schedule=plan.schedule,
                source="example of [NT]",
                why="the paper's points, training and eps are not published with the counts: data "
                "and net are of the same kind, and eps is searched for the same discrepancy",
            )
        )
    return found


PANELS = (("accuracy", "not trained again"), ("trained", "trained again"))


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Two panels a network: accuracy against weights kept, before and after training again."""
    panels = []
    for plan in plans:
        if plan.again is None:
            continue
        net, data = plan.subject.net, plan.subject.data
        mine = [r for r in rows if (r["net"], r["data"]) == (net, data)]
        before = interval([r["accuracy"] for r in mine if r["part"] == "unpruned"])[0]
        names = dict.fromkeys(r["method"] for r in mine if r.get("method"))
        for value, words in PANELS:
            series = [_points(mine, name, value) for name in sorted(names)]
            if value == "trained" and (net, data) in CURVES:
                series.append(_as_published(CURVES[net, data]))
            panels.append(
                {
                    "figure": f"nettrim-{net}", "title": words, "label": "accuracy",
                    "log": False, "level": round(before, 6), "series": series,
                    "floor": None if value == "accuracy" else round(before - SHOWN, 6),
                }
            )  # fmt: skip
    return panels


def _points(rows: Sequence[Json], method: str, value: str) -> Json:
    """Mean, least and largest over seeds at every ratio or radius, sparse to dense."""
    mine = [r for r in rows if r.get("method") == method]
    groups = [[r for r in mine if r["keep"] == keep] for keep in {r["keep"] for r in mine}]
    numbers = sorted(
        (
            float(np.mean([r["kept"] for r in group])),
            float(np.mean([r[value] for r in group])),
            min(r[value] for r in group),
            max(r[value] for r in group),
        )
        for group in groups
    )
    columns = [[float(f"{x:.5g}") for x in column] for column in zip(*numbers, strict=True)]
    return {"name": method} | dict(zip(("kept", "y", "low", "high"), columns, strict=True))


def _as_published(curve: Sequence[tuple[float, float]]) -> Json:
    kept = [round(1 - removed, 6) for removed, _ in reversed(curve)]
    y = [accuracy for _, accuracy in reversed(curve)]
    return {"name": "published", "kept": kept, "y": y, "low": y, "high": y}
