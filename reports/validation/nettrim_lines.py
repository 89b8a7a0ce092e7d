"""What Net-Trim's experiments come to: the table and the curves, beside the published points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reports.validation.nettrim_plans import BESIDE, BEST, CURVES, SPIRALS, Plan
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
from reports.validation.verdicts import Line, at_least, interval

Json = dict[str, Any]
# Outputs are float32, promises float64.
ROUNDING = 1e-5
OURS = "nettrim parallel"
SOURCE = "published curve of [NT]"
FLAWS = ("ours is a net of our own training; whether the published points are after training again "
         "is not said with them, so ours are")  # fmt: skip
LENET = ("; the authors' public LeNet-5 has 32 and 64 channels and 512 neurons, ours 6, 16, 120 "
         "and 84; both leave convolutions whole, and only dense weights count here (98.7% of that "
         "LeNet-5 could not be removed otherwise)")  # fmt: skip
PANELS = (("accuracy", "not trained again"), ("trained", "trained again"))


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        if plan.again is None:
            table += _spirals(plan, mine)
        else:
            table += [*_published(plan, mine), *_beside(plan, mine)]
    schedule = plans[0].schedule
    done = {(plan.subject.net, plan.subject.data) for plan in plans}
    why = "it is in the schedules reduced and paper, on MNIST"
    return [
        *table,
        *_bounds(schedule, rows),
        *(
            not_run(f"curve of {net} on {data}", f"{len(curve)} points", schedule, why, SOURCE)
            for (net, data), curve in CURVES.items()
            if (net, data) not in done
        ),
    ]


def _at(rows: Sequence[Json], seed: int, method: str, removed: float, value: str) -> float | None:
    """A seed's curve at a share removed, on the line between neighbours; None outside of it."""
    mine = [r for r in rows if r["seed"] == seed and r.get("method") == method]
    points = sorted((1 - r["kept"], r[value]) for r in mine)
    if not points or not points[0][0] <= removed <= points[-1][0]:
        return None
    return float(np.interp(removed, [x for x, _ in points], [y for _, y in points]))


def _published(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Our curve at the published shares."""
    seeds = sorted({row["seed"] for row in rows})
    why = FLAWS + (LENET if plan.subject.net == "lenet-5" else "")
    for removed, accuracy in CURVES.get((plan.subject.net, plan.subject.data), ()):
        values = [_at(rows, seed, OURS, removed, "trained") for seed in seeds]
        known = [value for value in values if value is not None]
        mean, low, high = interval(known) if known else (0.0, 0.0, 0.0)
        beside = [
            row["trained"]
            for row in rows
            if row.get("method") == BEST and abs(row["keep"] - 1 + removed) < 1e-6
        ]
        also = f"; {BEST} {np.mean(beside):.2%}" if beside else ""
        yield Line(
            what=f"accuracy with {removed:.2%} removed, {where(plan)}", paper=f"{accuracy:.2%}",
            ours=f"{mean:.2%} (unpruned {unpruned(rows):.2%}{also})" if known else "-",
            agrees=at_least(known, accuracy - PAR) if known else "not run", unit="%",
            schedule=plan.schedule, source=SOURCE,
            why=why if known else "beyond the radii that were run",
            **ends(low, high, len(known), 100),
        )  # fmt: skip


def _beside(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Net-Trim against the others at their shares, before and after training again."""
    for theirs in BESIDE:
        for value, words in (("accuracy", "without"), ("trained", "after")):
            ours: list[float] = []
            other: list[float] = []
            for seed in sorted({row["seed"] for row in rows}):
                pairs = [
                    (at, row[value])
                    for row in rows
                    if row["seed"] == seed and row.get("method") == theirs
                    and (at := _at(rows, seed, OURS, 1 - row["kept"], value)) is not None
                ]  # fmt: skip
                if pairs:
                    ours.append(float(np.mean([a for a, _ in pairs])))
                    other.append(float(np.mean([b for _, b in pairs])))
            if ours:
                what = f"accuracy of {OURS} minus {theirs}, {words} training again, {where(plan)}"
                note = ", mean over the shares both reach"
                yield apart(what, ours, other, plan.schedule, note)


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


def _spirals(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    """Nonzeros of each layer, at the radius whose discrepancy is nearest to the paper's."""
    start = [r for r in rows if r["part"] == "unpruned"]
    done = [r for r in rows if r["part"] == "spirals"]
    off = interval([r["discrepancy"] for r in done])[0]
    right = float(np.mean([r["accuracy"] for r in done]))
    real = plan.subject.net == "fc-2-200-200-2"
    for layer, (before, after) in enumerate(SPIRALS):
        counts = [float(r["nonzero"][layer]) for r in done]
        began = float(np.mean([r["nonzero"][layer] for r in start]))
        mean, low, high = interval(counts)
        yield Line(
            what=f"nonzero weights of layer {layer + 1}, {where(plan)}, cascade at gamma "
            f"{plan.gamma}",
            paper=f"{before:,} to {after:,} at relative discrepancy .046",
            ours=f"{began:,.0f} to {mean:,.0f} at {off:.3f}; accuracy {right:.1%}",
            agrees=at_least([-count for count in counts], -after) if real else "no claim",
            unit="weights", schedule=plan.schedule, source="example of [NT]",
            why="the paper's points, training and eps are not published with the counts: data "
            "and net are of the same kind, and eps is searched for the same discrepancy",
            **ends(max(low, 0.0), high, len(counts)),
        )  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Two panels a network: accuracy against weights kept, before and after training again."""
    panels = []
    for plan in plans:
        if plan.again is None:
            continue
        mine, net = rows_of(plan, rows), plan.subject.net
        names = sorted({r["method"] for r in mine if r.get("method")})
        for value, title in PANELS:
            trained = value == "trained"
            series = [points(mine, name, value, by_kept=True) for name in names]
            if trained and (net, plan.subject.data) in CURVES:
                series.append(_as_published(CURVES[net, plan.subject.data]))
            panels.append(
                panel(f"nettrim-{net}", title, series, level=unpruned(mine), floor=trained)
            )
    return panels


def _as_published(curve: Sequence[tuple[float, float]]) -> Json:
    kept = [round(1 - removed, 6) for removed, _ in reversed(curve)]
    y = [accuracy for _, accuracy in reversed(curve)]
    return {"name": "published", "kept": kept, "y": y, "low": y, "high": y}
