"""Neuron coresets in a table and in curves: accuracies, certificates over the box, local ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports.validation.neurons_plans import AROUND, PUBLISHED, RULES, SOURCE, TENTH, Plan
from reports.validation.tables import apart, not_run, panel, points, rows_of, unpruned, where
from reports.validation.verdicts import Line

Json = dict[str, Any]
SCRATCH = "scratch"


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        for keep in plan.keeps:
            table += _accuracies(plan, mine, keep)
        table += [_attacked(plan, mine), *_over_the_box(plan, mine), *_local(plan, mine)]
    if not any(plan.subject.net.startswith("vgg-") for plan in plans):
        why = "it is in the schedules reduced and paper, on CIFAR-10"
        table.append(not_run("VGG with fewer channels", "-", plans[0].schedule, why, SOURCE))
    return table


def _column(rows: Sequence[Json], method: str, keep: float, name: str) -> list[float]:
    return [
        r[name]
        for r in rows
        if r.get("method") == method and r.get("keep") == keep and r.get(name) is not None
    ]


def _accuracies(plan: Plan, rows: Sequence[Json], keep: float) -> Iterator[Line]:
    dense = [row["accuracy"] for row in rows if row["part"] == "unpruned"]
    ours = _column(rows, "neurons-mussay", keep, "trained")
    before = _column(rows, "neurons-mussay", keep, "accuracy")
    reached = [a >= b for a, b in zip(ours, dense, strict=True)]
    published = keep == TENTH and plan.subject.net == "lenet-300-100"
    short = plan.subject.recipe.epochs < 10
    yield Line(
        what=f"test error of Mussay's coreset, {keep:.0%} of the weights, {where(plan)}",
        paper=PUBLISHED if published else "no loss of accuracy",
        ours=f"{1 - np.mean(dense):.2%} before, {1 - np.mean(ours):.2%} after training again, "
             f"{1 - np.mean(before):.1%} without",
        agrees="yes" if all(reached) else "in part" if any(reached) else "no",
        seeds=len(ours), schedule=plan.schedule, source=SOURCE,
        why="the original was trained for few epochs and would gain by more" if short else "",
    )  # fmt: skip
    for other in ("neurons-uniform", "neurons-norm", "neurons-omp", SCRATCH):
        theirs = _column(rows, other, keep, "trained")
        yield apart(
            f"accuracy after training again, Mussay's coreset less {other}, {keep:.0%} of the "
            f"weights, {where(plan)}", ours, theirs, plan.schedule, "",
        )  # fmt: skip


def _attacked(plan: Plan, rows: Sequence[Json]) -> Line:
    """Accuracy at inputs that gradient ascent changed against each network itself."""
    dense = float(np.mean([row["attacked"] for row in rows if row["part"] == "unpruned"]))
    keep = plan.keeps[-1]
    parts = [
        f"{name.removeprefix('neurons-')} {np.mean(_column(rows, name, keep, 'attacked')):.1%}"
        for name in (*(f"neurons-{rule}" for rule in RULES), SCRATCH)
    ]
    return Line(
        what=f"accuracy under attack, each network by itself, radius {plan.reach:g}, {keep:.0%} of "
             f"the weights trained again, {where(plan)}",
        paper="-", ours=f"original {dense:.1%}; {', '.join(parts)}", agrees="no claim",
        seeds=plan.seeds, schedule=plan.schedule, source="ours",
    )  # fmt: skip


def _ratios(rows: Sequence[Json], above: str, below: str) -> list[float]:
    return [
        float(a) / float(b)
        for row in rows
        for a, b in zip(row[above], row[below], strict=True)
        if b > 0
    ]


def _over_the_box(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for size in plan.sizes:
        mine = [row for row in rows if row["part"] == "box" and row["size"] == size]
        held = all(
            a <= c for r in mine for a, c in zip(r["attack"], r["certified"], strict=True)
        ) and all(r["found"] <= r["network"] for r in mine)
        yield Line(
            what=f"certificate NC-6 over the box [0, 1], {size} first neurons, {where(plan)}",
            paper="no attack passes it",
            ours=f"held for {len(mine)} rules; times the attack: "
                 f"{_by_rule(mine, 'certified', 'attack')}; below the LP bound: "
                 f"{_by_rule(mine, 'linear', 'certified')}; below NC-3: "
                 f"{_by_rule(mine, 'ball', 'certified')}",
            agrees="yes" if held else "no", seeds=1, schedule=plan.schedule,
            source="ours", guarantee=True,
            why=f"the whole network's bound is {_range(mine, 'network')}, the attack moves an "
                f"output by {_range(mine, 'found')}",
        )  # fmt: skip
        yield Line(
            what=f"{size} first neurons, {where(plan)}: neurons kept, parameters, promised at one "
                 "input (NC-1g), over the box (NC-3g), LP, certified, attack, seen on test inputs",
            paper="-", ours="; ".join(_row(row) for row in mine), agrees="no claim",
            seeds=1, schedule=plan.schedule, source="ours",
        )  # fmt: skip


def _by_rule(rows: Sequence[Json], above: str, below: str) -> str:
    return ", ".join(
        f"{row['method'].removeprefix('neurons-')} "
        + " and ".join(f"{ratio:.2g}" for ratio in _ratios([row], above, below))
        for row in rows
    )


def _range(rows: Sequence[Json], name: str) -> str:
    ends = (min(row[name] for row in rows), max(row[name] for row in rows))
    return " to ".join(f"{end:,.0f}" if end >= 100 else f"{end:.3g}" for end in ends)


def _row(row: Json) -> str:
    over = f"{row['region']:.3g}" if np.isfinite(row["region"]) else "none"
    numbers = [f"{max(row[name]):.3g}" for name in ("linear", "certified", "attack", "seen")]
    return (
        f"{row['method'].removeprefix('neurons-')} {row['neurons']}, {row['parameters']:,}, "
        f"{row['promise']:.3g}, "
        f"{over}, {', '.join(numbers)}"
    )


def _local(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for radius in plan.radii:
        mine = [row for row in rows if row["part"] == "around" and row["radius"] == radius]
        parts = [
            f"{row['method'].removeprefix('neurons-')} {row['share']:.1%} (changed by an attack "
            f"{row['broken']:.1%}, bound {row['ratio']:.2f} times the attack)"
            for row in mine
        ]
        yield Line(
            what="inputs around which pruning provably changes no decision, radius "
                 f"{radius:g}, {plan.keeps[-1]:.0%} of the weights, {where(plan)}",
            paper="sound against every attack", ours=f"of {plan.around:,}: {', '.join(parts)}",
            agrees="yes" if all(row["sound"] for row in mine) else "no", seeds=1,
            schedule=plan.schedule, source="ours", guarantee=True,
        )  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Accuracy along the weights kept, and shares of proved decisions along radii."""
    panels = []
    for plan in plans:
        mine = rows_of(plan, rows)
        pruned = [row for row in mine if row["part"] == "neurons"]
        for value, title in (("accuracy", "not trained again"), ("trained", "trained again")):
            series = [points(pruned, f"neurons-{rule}", value) for rule in RULES]
            name = f"neurons-{plan.subject.net}"
            panels.append(panel(name, title, series, level=unpruned(mine)))
        if plan.radii:
            series = [_proved(mine, f"neurons-{rule}", plan.radii) for rule in AROUND]
            panels.append(
                panel("neurons-around", where(plan), series, "share proved", along="radius")
            )
    return panels


def _proved(rows: Sequence[Json], method: str, radii: Sequence[float]) -> Json:
    shares = [
        next(
            float(row["share"])
            for row in rows
            if row["part"] == "around" and row["method"] == method and row["radius"] == radius
        )
        for radius in radii
    ]
    return {"name": method, "kept": list(radii), "y": shares, "low": shares, "high": shares}
