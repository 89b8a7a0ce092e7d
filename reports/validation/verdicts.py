"""What a paper says, what we get, and whether they agree: the last table of every experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

Json = dict[str, Any]
AGREES = ("yes", "no", "in part", "not run", "no claim")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: the quantity or statement, with net and data.
        paper: what the paper says, in its own numbers or words.
        ours: what we get, in words with units.
        agrees: "yes", "no", "in part", "not run", or "no claim" where the paper says nothing.
        low: lower end of the interval over seeds, in the unit of `ours`, or None.
        high: its upper end, or None.
        seeds: how many runs it rests on.
        schedule: which schedule the numbers came from.
        source: where the paper says it.
        why: what a reader should know of a disagreement or of what was not run.

    Raises:
        ValueError: a verdict of no known kind.

    Claim: none (plumbing).
    """

    what: str
    paper: str
    ours: str
    agrees: str
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    schedule: str = ""
    source: str = ""
    why: str = ""

    def __post_init__(self) -> None:
        if self.agrees not in AGREES:
            raise ValueError(f"agrees must be one of {', '.join(AGREES)}; found {self.agrees!r}")


@dataclass(frozen=True)
class Validation:
    """What came of rerunning one paper's experiments.

    Attributes:
        paper: short name ("corenet", "sipp", "nettrim").
        title: the paper's title and number.
        schedule: the schedule asked for.
        says: what the schedule is, in words, and how it differs from the paper's.
        lines: the table.
        curves: what the pictures show: a list of panels, each with series of points.
        made: machine, date, command and time of the cells.

    Claim: none (plumbing).
    """

    paper: str
    title: str
    schedule: str
    says: str
    lines: tuple[Line, ...]
    curves: tuple[Json, ...] = field(repr=False)
    made: Json = field(repr=False)

    def summary(self) -> Json:
        """Everything, ready for JSON."""
        return asdict(self)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds with Student's 95% interval.

    Args:
        values: one number a seed, at least one.

    Returns:
        (mean, low, high); without a second seed the interval is the whole line.

    Raises:
        ValueError: no value.

    Claim: none (plumbing). An estimate that takes seeds as normal, not a guarantee.

    Example:
        >>> interval([1.0, 1.0, 1.0])
        (1.0, 1.0, 1.0)
        >>> interval([2.0])
        (2.0, -inf, inf)
    """
    if not values:
        raise ValueError("an interval needs at least one value; found none")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, -math.inf, math.inf
    spread = float(np.std(np.asarray(values) - mean, ddof=1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * spread / len(values) ** 0.5
    return mean, mean - reach, mean + reach


def compare(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, float, float, float]:
    """Tell whether paired numbers are smaller, by more than the seeds' spread.

    Args:
        ours: one number a seed (or cell).
        theirs: its partner of the same seed (or cell).

    Returns:
        ("yes" if the interval of ours - theirs lies below 0, "no" if above, else "in part"), and
        mean, low and high of the difference.

    Raises:
        ValueError: sequences of different or no length.

    Claim: none (plumbing). An estimate, not a guarantee.

    Example:
        >>> compare([1.0, 1.1, 0.9], [2.0, 2.2, 2.1])[0]
        'yes'
    """
    if len(ours) != len(theirs):
        raise ValueError(f"pairs needed; found {len(ours)} and {len(theirs)} values")
    mean, low, high = interval([a - b for a, b in zip(ours, theirs, strict=True)])
    verdict = "yes" if high < 0 else "no" if low > 0 else "in part"
    return verdict, mean, low, high
