"""What SiPP's experiments come to: the table and the curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.validation.corenet_lines import points
from reports.validation.verdicts import Line, at_least, compare, interval, points_apart, same

if TYPE_CHECKING:
    from reports.validation.sipp_plans import Plan

Json = dict[str, Any]
# Accuracy that a pruned network may lose, in percentage points.
LOSS = 0.005
# Share of weights removed at that loss by the iterative cascade: what is published, and our goals.
PUBLISHED = {
    ("resnet-20", "cifar10", "sipp"): (0.849, "84.9% (magnitude 84.9%)", "table of [SP]"),
    ("resnet-20", "cifar10", "magnitude"): (0.849, "84.9%", "table of [SP]"),
    ("lenet-300-100", "mnist", "sipp"): (0.95, "at least 95% (our goal)", "goal of this toolkit"),
    ("lenet-5", "mnist", "sipp"): (0.97, "at least 97% (our goal)", "goal of this toolkit"),
    ("lenet-5-caffe", "mnist", "sipp"): (0.97, "at least 97% (our goal)", "goal of this toolkit"),
}
# Those whose potential the paper reports; the others are variants of ours.
OF_THE_PAPER = ("sipp-det", "sipp-det-mean", "sipp-hybrid")
# Loss of accuracy down to which the pictures of trained networks reach.
SHOWN = 0.08
# Points of accuracy that count as "on a par".
PAR = 0.005


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    found = []
    for plan in plans:
        mine = [row for row in rows if row["net"] == plan.subject.net]
        found += [*_potentials(plan, mine), *_against(plan, mine), *_tickets(plan, mine)]
    done = {(plan.subject.net, plan.subject.data) for plan in plans}
    for (net, data, kind), (_, paper, source) in PUBLISHED.items():
        if (net, data) not in done and kind == "sipp":
            found.append(
                Line(
                    what=f"prune potential, {net} on {data}", paper=paper, ours="-",
                    agrees="not run", schedule=plans[0].schedule, source=source,
                    why="left out, or not in this schedule (reduced: LeNets; paper: all, on a GPU)",
                )
            )  # fmt: skip
    imagenet = Line(
        what="prune potential, ResNet-101 on ImageNet", paper="81.6% (magnitude 81.6%)", ours="-",
        agrees="not run", schedule=plans[0].schedule, source="table of [SP]",
        why="ImageNet is not at hand, and training on it is far beyond these schedules",
    )  # fmt: skip
    return [*found, imagenet]


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


def _potentials(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    found = []
    for method in plan.methods:
        values = _removed(rows, method)
        mean, low, high = interval(values)
        kind = "sipp" if method in OF_THE_PAPER else method
        target, paper, source = PUBLISHED.get(
            (plan.subject.net, plan.subject.data, kind), (None, "-", "ours")
        )
        several = len(values) > 1
        # Nobody looked beyond the last step.
        open_ended = min(values) >= 1 - min(plan.steps) - 1e-3
        found.append(
            Line(
                what=f"prune potential at {LOSS:.1%} loss, iterative: {method}, {_where(plan)}",
                paper=paper,
                ours=f"{'at least ' if open_ended else ''}{mean:.1%} removed",
                agrees="no claim" if target is None else at_least(values, target),
                low=100 * max(low, 0.0) if several else None,
                high=100 * min(high, 1.0) if several else None,
                unit="%",
                seeds=len(values),
                schedule=plan.schedule,
                source=source,
            )
        )
    return found


def _where(plan: Plan) -> str:
    return f"{plan.subject.net} on {plan.subject.data}"


def _paired(rows: Sequence[Json], part: str, ours: str, theirs: str) -> tuple[list[float], ...]:
    """Mean accuracy of two methods over the ratios, for each seed."""
    return tuple(
        [
            float(np.mean([
                r["accuracy"] for r in rows
                if r["part"] == part and r["method"] == method and r["seed"] == seed
            ]))
            for seed in sorted({row["seed"] for row in rows})
        ]
        for method in (ours, theirs)
    )  # fmt: skip


PARTS = (("prune", "without training again"), ("cascade", "after iterative training"))


def _against(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    """SiPP against the baselines: pruned once, and by the cascade."""
    return [
        _difference(plan, rows, ours, theirs, part, words)
        for ours in ("sipp-det", "sipp-det-mean")
        for theirs in ("magnitude", "snip", "wanda", "random")
        for part, words in PARTS
        if ours in plan.methods and theirs in plan.methods
    ]


def _difference(
    plan: Plan, rows: Sequence[Json], mine: str, theirs: str, part: str, words: str
) -> Line:
    ours, other = _paired(rows, part, mine, theirs)
    _, mean, low, high = compare(ours, other)
    claimed = theirs == "magnitude" and part == "cascade"
    several = len(ours) > 1
    return Line(
        what=f"accuracy of {mine} minus {theirs}, {words}, {_where(plan)}",
        paper="on a par" if claimed else "-",
        ours=f"{points_apart(mean)}, {_ratios(plan, part)}",
        agrees=same(ours, other, PAR) if claimed else "no claim",
        low=100 * low if several else None,
        high=100 * high if several else None,
        unit="points",
        seeds=len(ours),
        schedule=plan.schedule,
        source="experiments of [SP]" if claimed else "ours",
    )


def _ratios(plan: Plan, part: str) -> str:
    found = plan.keeps if part == "prune" else plan.steps
    several = f"mean over {len(found)} ratios"
    return several if len(found) > 1 else f"{next(iter(found)):.0%} of the weights"


def _tickets(plan: Plan, rows: Sequence[Json]) -> list[Line]:
    """Masks trained in isolation against random ones of the same layer sizes."""
    found = []
    for method in plan.methods:
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
            found.append(
                Line(
                    what=f"lottery ticket of {method} found at {time}, "
                    f"{cells[0]['keep']:.0%} of the weights, {_where(plan)}",
                    paper="trains in isolation better than a random mask"
                    if method.startswith("sipp")
                    else "-",
                    ours=f"{points_apart(-mean)} over random masks of the same layer sizes",
                    agrees=worse if method.startswith("sipp") else "no claim",
                    low=-100 * high if len(cells) > 1 else None,
                    high=-100 * low if len(cells) > 1 else None,
                    unit="points",
                    seeds=len(cells),
                    schedule=plan.schedule,
                    source="abstract of [SP]" if method.startswith("sipp") else "ours",
                )
            )
    return found


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Three panels a network: accuracy against weights kept, once, trained again, and in steps."""
    panels = []
    parts = (("prune", "pruned once"), ("retrain", "pruned once, trained again"),
             ("cascade", "pruned and trained in steps"))  # fmt: skip
    for plan in plans:
        mine = [row for row in rows if row["net"] == plan.subject.net]
        before = interval([r["accuracy"] for r in mine if r["part"] == "unpruned"])[0]
        for part, words in parts:
            here = [row for row in mine if row["part"] == part]
            panels.append(
                {
                    "figure": f"sipp-{plan.subject.net}", "title": words, "label": "accuracy",
                    "log": False, "level": round(before, 6),
                    "floor": None if part == "prune" else round(before - SHOWN, 6),
                    "series": [points(here, method, "accuracy") for method in plan.methods],
                }
            )  # fmt: skip
    return panels
