"""What SiPP's experiments come to: the table and the curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports.validation.sipp_plans import BASELINE, OF_THE_PAPER, PAIRS, PUBLISHED, Plan
from reports.validation.tables import (
    PAR,
    apart,
    ends,
    not_run,
    panel,
    points,
    rows_of,
    unpruned,
    where,
)
from reports.validation.verdicts import Line, at_least, compare, interval, points_apart, same

Json = dict[str, Any]
# Accuracy that a pruned network may lose, in percentage points.
LOSS = 0.005
PARTS = {"prune": "without training", "retrain": "pruned once and trained again",
         "cascade": "after iterative training"}  # fmt: skip
PANELS = (("prune", "pruned once"), ("retrain", "pruned once, trained again"),
          ("cascade", "pruned and trained in steps"))  # fmt: skip


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        table += [*_potentials(plan, mine), *_on_a_par(plan, mine), *_against(plan, mine),
                  *_tickets(plan, mine)]  # fmt: skip
    schedule = plans[0].schedule
    done = {(plan.subject.net, plan.subject.data) for plan in plans}
    why = "left out, or not in this schedule (reduced: LeNets; paper: all, on a GPU)"
    left_out = {
        (net, data): (paper, source)
        for (net, data, method), (_, paper, source) in PUBLISHED.items()
        if (net, data) not in done and method != BASELINE
    }
    table += [
        not_run(f"prune potential, {net} on {data}", paper, schedule, why, source)
        for (net, data), (paper, source) in left_out.items()
    ]
    imagenet = not_run(
        "prune potential, ResNet-101 on ImageNet", "81.6% (magnitude 81.6%)", schedule,
        "ImageNet is not at hand, and training on it is far beyond these schedules",
        "table of [SP]",
    )  # fmt: skip
    return [*table, imagenet]


def _removed(rows: Sequence[Json], method: str) -> list[float]:
    """For each seed the largest share removed by the cascade at a loss of at most LOSS."""
    result = []
    for seed in sorted({row["seed"] for row in rows}):
        before = next(r["accuracy"] for r in rows if r["part"] == "unpruned" and r["seed"] == seed)
        within = [
            1 - r["kept"]
            for r in rows
            if r["part"] == "cascade" and r["method"] == method and r["seed"] == seed
            and r["accuracy"] >= before - LOSS
        ]  # fmt: skip
        result.append(max(within, default=0.0))
    return result


def _potentials(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for method in plan.trained:
        values = _removed(rows, method)
        mean, low, high = interval(values)
        target, paper, source = PUBLISHED.get(
            (plan.subject.net, plan.subject.data, method), (None, "-", "ours")
        )
        # Nobody looked beyond the last step.
        open_ended = min(values) >= 1 - min(plan.steps) - 1e-3
        yield Line(
            what=f"prune potential at {LOSS:.1%} loss, iterative: {method}, {where(plan)}",
            paper=paper, ours=f"{'at least ' if open_ended else ''}{mean:.1%} removed",
            agrees="no claim" if target is None else at_least(values, target), unit="%",
            schedule=plan.schedule, source=source,
            **ends(max(low, 0.0), min(high, 1.0), len(values), 100),
        )  # fmt: skip


def _means(rows: Sequence[Json], part: str, method: str) -> list[float]:
    """Mean accuracy of a method over the ratios, for each seed."""
    mine = [r for r in rows if r["part"] == part and r["method"] == method]
    seeds = sorted({row["seed"] for row in rows})
    return [float(np.mean([r["accuracy"] for r in mine if r["seed"] == seed])) for seed in seeds]


def _pair(
    plan: Plan, rows: Sequence[Json], part: str, mine: str, theirs: str, **claim: Any
) -> Iterator[Line]:
    """The difference of two methods, if both were run."""
    here = {row["method"] for row in rows if row["part"] == part}
    if mine not in here or theirs not in here:
        return
    ours, other = _means(rows, part, mine), _means(rows, part, theirs)
    if claim:
        claim["agrees"] = same(ours, other, PAR)
    ratios = {"prune": plan.keeps, "retrain": plan.retrained, "cascade": plan.steps}[part]
    yield apart(
        f"accuracy of {mine} minus {theirs}, {PARTS[part]}, {where(plan)}", ours, other,
        plan.schedule, f", {_ratios(ratios)}", **claim,
    )  # fmt: skip


def _on_a_par(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """What the paper says of its methods and magnitude: a cascade, effective weights counted."""
    for mine in OF_THE_PAPER:
        yield from _pair(
            plan, rows, "cascade", mine, BASELINE, paper="on a par", source="experiments of [SP]"
        )


def _against(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """What nothing is published of."""
    for part, pairs in PAIRS.items():
        for mine, theirs in pairs:
            yield from _pair(plan, rows, part, mine, theirs)


def _ratios(ratios: Sequence[float]) -> str:
    if len(ratios) > 1:
        return f"mean over {len(ratios)} ratios"
    return f"{ratios[0]:.0%} of the weights"


def _tickets(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Masks trained in isolation against random ones of the same layer sizes."""
    if not plan.tickets:
        yield not_run(
            f"lottery tickets, {where(plan)}", "train in isolation better than random masks",
            plan.schedule, "each ticket is two whole trainings; the quick schedule has them",
            "abstract of [SP]",
        )  # fmt: skip
    for method in plan.tickets:
        for time in ("initialisation", "training"):
            cells = [
                r for r in rows
                if r["part"] == "ticket" and r["method"] == method and r["time"] == time
            ]  # fmt: skip
            if not cells:
                continue
            worse, mean, low, high = compare(
                [c["random"] for c in cells], [c["accuracy"] for c in cells]
            )
            claimed = method in OF_THE_PAPER
            yield Line(
                what=f"lottery ticket of {method} found at {time}, "
                f"{cells[0]['keep']:.0%} of the weights, {where(plan)}",
                paper="trains in isolation better than a random mask" if claimed else "-",
                ours=f"{points_apart(-mean)} over random masks of the same layer sizes",
                agrees=worse if claimed else "no claim", unit="points", schedule=plan.schedule,
                source="abstract of [SP]" if claimed else "ours",
                **ends(-high, -low, len(cells), 100),
            )  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Three panels a network: accuracy against weights kept, once, trained again, and in steps."""
    panels = []
    for plan in plans:
        mine = rows_of(plan, rows)
        for part, title in PANELS:
            here = [row for row in mine if row["part"] == part]
            if not here:
                continue
            names = [name for name in plan.methods if any(r["method"] == name for r in here)]
            series = [points(here, method, "accuracy") for method in names]
            panels.append(
                panel(f"sipp-{plan.subject.net}", title, series, level=unpruned(mine),
                      floor=part != "prune")
            )  # fmt: skip
    return panels
