"""What pruning without training comes to: the table and the curves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports.validation.networks_plans import (
    CERTIFIED,
    CONFIDENCE,
    DELTA,
    EPS,
    MOST_CERTIFIED,
    OURS,
    RETRAINED,
    Plan,
)
from reports.validation.tables import ends, not_run, panel, points, rows_of, unpruned, where
from reports.validation.verdicts import Line, at_least, compare, interval, points_apart

Json = dict[str, Any]
AIM = "aim of this toolkit"


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        table += _left_out(plan, mine)
        table += [*_accuracies(plan, mine), *_above(plan, mine), *_retrained(plan, mine),
                  *_certified(plan, mine), *_choices(plan, mine), *_many(plan, mine)]  # fmt: skip
    return table


def _left_out(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Parts of the plan of which there is no cell: results may be of a run that was stopped."""
    parts = {
        "prune": ("accuracy without training", plan.methods and plan.keeps),
        "retrain": ("accuracy after a short training", plan.retrained),
        "certified": ("fewest weights certified", plan.certified),
        "choice": (f"{OURS} by setting", plan.choices),
        "many": ("more calibration inputs", plan.many),
    }
    there = {row["part"] for row in rows}
    for part, (what, planned) in parts.items():
        if planned and part not in there:
            yield not_run(f"{what}, {where(plan)}", "-", plan.schedule, "no cell of it is done")
    seen = {row["inputs"] for row in rows if row["part"] == "certified"}
    for inputs in plan.certified:
        if seen and inputs not in seen:
            what = f"fewest weights certified, {inputs} calibration inputs, {where(plan)}"
            yield not_run(what, "-", plan.schedule, "no cell of it is done")


def _values(rows: Sequence[Json], part: str, field: str = "accuracy", **key: Any) -> list[float]:
    """What the seeds came to, in their order."""
    chosen = [
        row for row in rows if row["part"] == part and key.items() <= row.items() and field in row
    ]
    return [row[field] for row in sorted(chosen, key=lambda row: row["seed"])]


def _share(keep: float) -> str:
    return f"{keep:.3g} of the weights" if keep < 0.01 else f"{keep:.0%} of the weights"


def _accuracies(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Every method at one ratio in one line, sipp-network against what is aimed at."""
    for keep in plan.keeps:
        means = {
            method: float(np.mean(values))
            for method in plan.methods
            if (values := _values(rows, "prune", method=method, keep=keep))
        }
        if OURS not in means:
            continue
        ours = _values(rows, "prune", method=OURS, keep=keep)
        mean, low, high = interval(ours)
        dense = unpruned(rows)
        goal = dict(plan.goals).get(keep)
        rest = sorted((name for name in means if name != OURS), key=lambda name: -means[name])
        yield Line(
            what=f"accuracy without training, {_share(keep)}, {where(plan)}",
            paper="-" if goal is None else f"{OURS} at least {goal:.1%} in the mean (our aim)",
            ours=f"{OURS} {mean:.2%} (unpruned {dense:.2%}); "
            + ", ".join(f"{name} {means[name]:.1%}" for name in rest),
            agrees="no claim" if goal is None else at_least([mean], goal), unit="%",
            schedule=plan.schedule, source=AIM,
            **ends(low, min(high, 1.0), len(ours), 100),
        )  # fmt: skip


def _above(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Paired differences from the methods that it is to be above, and from the dense network."""
    for other in plan.above:
        for keep in plan.keeps:
            ours = _values(rows, "prune", method=OURS, keep=keep)
            theirs = _values(rows, "prune", method=other, keep=keep)
            if len(theirs) == 1:  # one run stands beside every draw
                theirs = theirs * len(ours)
            if not ours or len(ours) != len(theirs):
                continue
            verdict, mean, low, high = compare(theirs, ours)
            yield Line(
                what=f"accuracy of {OURS} minus {other}, without training, {_share(keep)}, "
                f"{where(plan)}",
                paper="above (our aim)", ours=points_apart(-mean), agrees=verdict, unit="points",
                schedule=plan.schedule, source=AIM, **ends(-high, -low, len(ours), 100),
            )  # fmt: skip


def _retrained(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """The same short training after ours and after global magnitude with effective weights."""
    rival, *mine = RETRAINED
    for method in mine:
        for keep in plan.retrained:
            ours = _values(rows, "retrain", method=method, keep=keep)
            theirs = _values(rows, "retrain", method=rival, keep=keep)
            if not ours or len(ours) != len(theirs):
                continue
            _, mean, low, high = compare(ours, theirs)
            epochs = f"{plan.again.epochs} epoch{'s' * (plan.again.epochs != 1)}"
            yield Line(
                what=f"accuracy of {method} minus {rival}, {epochs} of training after, "
                f"{_share(keep)}, {where(plan)}",
                paper="at or above (our aim)",
                ours=f"{points_apart(mean)} ({np.mean(ours):.2%} and {np.mean(theirs):.2%})",
                agrees="yes" if mean >= 0 else "no" if high < 0 else "in part", unit="points",
                schedule=plan.schedule, source=AIM, **ends(low, high, len(ours), 100),
                why="" if mean >= 0 else "below in the mean",
            )  # fmt: skip


def _certified(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for inputs in plan.certified:
        for method in CERTIFIED:
            kept = _values(rows, "certified", "kept", method=method, inputs=inputs)
            if not kept:
                continue
            aim = method == OURS
            yield Line(
                what=f"fewest weights certified, {method}, {inputs} calibration inputs, "
                f"{where(plan)}",
                paper=f"at most {MOST_CERTIFIED:.0%} (our aim)" if aim else "-",
                ours=", ".join(f"{share:.0%}" for share in kept) + " by seed",
                agrees=at_least([-share for share in kept], -MOST_CERTIFIED - 1e-3)
                if aim
                else "no claim",
                schedule=plan.schedule, source=AIM if aim else "ours", seeds=len(kept),
                why=f"`sparsest(eps={EPS}, delta={DELTA}, confidence={CONFIDENCE})` on all test "
                "inputs; 100% where not even 90% passes",
            )  # fmt: skip


def _choices(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Settings of sipp-network by accuracy on training inputs outside calibration."""
    for keep in plan.chosen:
        texts = []
        for rounds, exponent in plan.choices:
            accuracies = _values(rows, "choice", rounds=rounds, exponent=exponent, keep=keep)
            if accuracies:
                many = "its own" if rounds == 0 else f"{rounds}"
                texts.append(f"{many} rounds, exponent {exponent:g}: {np.mean(accuracies):.2%}")
        if texts:
            yield Line(
                what=f"accuracy on {plan.judges:,} training inputs that calibration does not see, "
                f"{OURS} by setting, {_share(keep)}, {where(plan)}",
                paper="-", ours="; ".join(texts), agrees="no claim", schedule=plan.schedule,
                source="ours", seeds=plan.seeds,
                why="what defaults were chosen by; the network was trained on these inputs",
            )  # fmt: skip


def _many(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for row in rows:
        if row["part"] == "many":
            yield Line(
                what=f"accuracy without training, {row['inputs']:,} calibration inputs, "
                f"{_share(row['keep'])}, {where(plan)}",
                paper="-",
                ours=f"{OURS} {row['accuracy']:.2%}; {math.ceil(row['cpu'])} processor seconds",
                agrees="no claim", schedule=plan.schedule, source="ours", seeds=1,
            )  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """A panel a network: without training, and where it was trained a panel of that."""
    panels = []
    for plan in plans:
        mine = rows_of(plan, rows)
        for part, title, names in (
            ("prune", "without training", plan.methods),
            ("retrain", f"then {plan.again.epochs} epochs of training", RETRAINED),
        ):
            here = [row for row in mine if row["part"] == part]
            series = [points(here, name, "accuracy") for name in names
                      if any(row["method"] == name for row in here)]  # fmt: skip
            if series:
                panels.append(
                    panel(f"networks-{plan.subject.net}", title, series, level=unpruned(mine))
                )
    return panels
