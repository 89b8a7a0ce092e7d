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
FORMAT = "sipp-theory validation 1"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: the quantity or statement, with net and data.
        paper: what the paper says, in its own numbers or words.
        ours: what we get, in words with units.
        agrees: "yes", "no", "in part", "not run", or "no claim" where the paper says nothing.
        low: lower end of the 95% interval over seeds, or None.
        high: its upper end, or None.
        unit: of low and high.
        seeds: how many runs it rests on.
        schedule: which schedule the numbers came from.
        source: where the paper says it.
        why: what a reader should know of a disagreement or of what was not run.
        guarantee: whether the paper promises it, so that "no" is a broken promise.

    Raises:
        ValueError: a verdict of no known kind.
    """

    what: str
    paper: str
    ours: str
    agrees: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    seeds: int = 0
    schedule: str = ""
    source: str = ""
    why: str = ""
    guarantee: bool = False

    def __post_init__(self) -> None:
        if self.agrees not in AGREES:
            raise ValueError(f"agrees must be one of {', '.join(AGREES)}; found {self.agrees!r}")


@dataclass(frozen=True)
class Validation:
    """What came of rerunning one paper's experiments.

    Attributes:
        paper: short name: corenet, sipp, networks, nettrim, neurons or svm.
        title: the paper's title and number.
        schedule: the schedule of the run.
        says: what the schedule is, in words, and how it differs from the paper's.
        lines: the table.
        curves: what the pictures show: a list of panels, each with series of points.
        made: machine, date, command and time of the cells.
    """

    paper: str
    title: str
    schedule: str
    says: str
    lines: tuple[Line, ...]
    curves: tuple[Json, ...] = field(repr=False)
    made: Json = field(repr=False)

    @property
    def violated(self) -> tuple[Line, ...]:
        """Lines of promises that were broken; other disagreements are findings."""
        return tuple(line for line in self.lines if line.guarantee and line.agrees == "no")

    def summary(self) -> Json:
        """Everything, ready for JSON."""
        return {"format": FORMAT} | asdict(self)


def read(summary: Any) -> Validation:
    """Make a validation of its summary again.

    Args:
        summary: what `Validation.summary` gave, as JSON holds it.

    Returns:
        The validation.

    Raises:
        ValueError: it is none.

    Example:
        >>> validation = Validation("sipp", "SiPP", "quick", "short", (), (), {})
        >>> read(validation.summary()) == validation
        True
    """
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise ValueError("this is no output of `sipp validate --json`; make it anew")
    rest = {name: value for name, value in summary.items() if name != "format"}
    try:
        rest["lines"] = tuple(Line(**line) for line in rest["lines"])
        rest["curves"] = tuple(rest["curves"])
        return Validation(**rest)
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is no whole output of `sipp validate --json`: {error}") from error


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean over seeds with Student's 95% interval.

    Shapes: returns (mean, low, high).
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

    "yes" if the interval of ours - theirs lies below 0, "no" if above, else "in part".
    """
    if len(ours) != len(theirs):
        raise ValueError(f"pairs needed; found {len(ours)} and {len(theirs)} values")
    mean, low, high = interval([a - b for a, b in zip(ours, theirs, strict=True)])
    verdict = "yes" if high < 0 else "no" if low > 0 else "in part"
    return verdict, mean, low, high


def at_least(values: Sequence[float], goal: float) -> str:
    """Tell whether a quantity reaches a goal in every run."""
    if not values:
        raise ValueError("at least one value is needed; found none")
    return "yes" if min(values) >= goal else "no" if max(values) < goal else "in part"


def same(ours: Sequence[float], theirs: Sequence[float], slack: float) -> str:
    """Tell whether paired numbers are equal up to a slack, by more than the seeds' spread."""
    _, mean, low, high = compare(ours, theirs)
    if len(ours) == 1:
        low = high = mean
    if -slack <= low and high <= slack:
        return "yes"
    return "no" if high < -slack or low > slack else "in part"


def points_apart(difference: float) -> str:
    """A difference of accuracies in percentage points, with its sign."""
    return f"{100 * difference:+.2f} points".replace("-", "−")
