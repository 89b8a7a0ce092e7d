"""What the papers' tables and curves share: rows of a plan, lines, panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from reports.validation.subjects import AnyPlan
from reports.validation.verdicts import Line, compare, interval, points_apart

Json = dict[str, Any]
# Loss of accuracy down to which the pictures of trained networks reach.
SHOWN = 0.08
# Difference of accuracies that counts as none.
PAR = 0.005


def rows_of(plan: AnyPlan, rows: Sequence[Json]) -> list[Json]:
    """The rows of a plan's network."""
    subject = plan.subject
    return [row for row in rows if (row["net"], row["data"]) == (subject.net, subject.data)]


def where(plan: AnyPlan) -> str:
    """The network and its data, in words."""
    return f"{plan.subject.net} on {plan.subject.data}"


def unpruned(rows: Sequence[Json]) -> float:
    """Mean accuracy of the trained networks."""
    return interval([row["accuracy"] for row in rows if row["part"] == "unpruned"])[0]


def ends(low: float, high: float, seeds: int, scale: float = 1.0) -> Json:
    """Fields of a line that hold its interval, in its unit; one seed has none."""
    if seeds < 2:
        return {"low": None, "high": None, "seeds": seeds}
    return {"low": scale * low, "high": scale * high, "seeds": seeds}


def apart(
    what: str, ours: Sequence[float], theirs: Sequence[float], schedule: str, note: str,
    paper: str = "-", agrees: str = "no claim", source: str = "ours",
) -> Line:  # fmt: skip
    """A line about the paired difference of two accuracies."""
    _, mean, low, high = compare(ours, theirs)
    return Line(
        what=what, paper=paper, ours=f"{points_apart(mean)}{note}", agrees=agrees, unit="points",
        schedule=schedule, source=source, **ends(low, high, len(ours), 100),
    )  # fmt: skip


def not_run(what: str, paper: str, schedule: str, why: str, source: str = "") -> Line:
    """A line about what the paper says and nobody looked at."""
    return Line(what=what, paper=paper, ours="-", agrees="not run", schedule=schedule,
                source=source, why=why)  # fmt: skip


def points(rows: Sequence[Json], method: str, value: str, by_kept: bool = False) -> Json:
    """Mean, least and largest over seeds at every ratio: ascending, or by the weights kept."""
    mine = [row for row in rows if row.get("method") == method]
    numbers = []
    for keep in sorted({row["keep"] for row in mine}):
        kept = [row["kept"] for row in mine if row["keep"] == keep]
        values = [row[value] for row in mine if row["keep"] == keep]
        numbers.append((float(np.mean(kept)), float(np.mean(values)), min(values), max(values)))
    if by_kept:
        numbers.sort()
    columns = [[float(f"{row[k]:.5g}") for row in numbers] for k in range(4)]
    return {"name": method} | dict(zip(("kept", "y", "low", "high"), columns, strict=True))


def panel(
    figure: str, title: str, series: Sequence[Json], label: str = "accuracy",
    level: float | None = None, floor: bool = False, along: str = "weights kept",
) -> Json:  # fmt: skip
    """One panel of a figure: log if it shows errors; with a floor, down to a loss of SHOWN."""
    return {
        "figure": figure, "title": title, "label": label, "log": "error" in label,
        "along": along,
        "level": None if level is None else round(level, 6),
        "floor": round(level - SHOWN, 6) if floor and level is not None else None,
        "series": list(series),
    }  # fmt: skip
