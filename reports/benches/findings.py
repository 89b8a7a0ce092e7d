"""What benchmarks find, as data: figures with targets, curves, checks, and what was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
FORM = 1  # of the JSON; raised whenever an older reader would misread it


@dataclass(frozen=True)
class Measured:
    """One figure.

    Attributes:
        family: of benchmarks, as in `reports.benches.run.FAMILIES`.
        case: what was worked on, such as "LeNet-300-100, 256 inputs".
        what: which way of doing it or which comparison.
        value: median.
        low: lower quartile.
        high: upper quartile.
        unit: "s", "times", "pairs/s", "GB/s", "MiB" or "relative".
        threads: how many worked.
        repeats: how many runs the median is of.
        first: seconds of the first call, loading and compiling included; None if not looked at.
        target: the value to reach, or None.
        sense: "at least" or "at most" the target.
        note: what a reader must know besides.
    """

    family: str
    case: str
    what: str
    value: float
    low: float
    high: float
    unit: str
    threads: int = 1
    repeats: int = 1
    first: float | None = None
    target: float | None = None
    sense: str = "at least"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.sense == "at least" else self.value <= self.target


@dataclass(frozen=True)
class Series:
    """One line of a curve.

    Attributes:
        label: what it shows.
        x: sizes, ascending.
        y: medians.
        exponent: p of the least-squares fit y = c x^p; None if there is no telling.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    exponent: float | None


@dataclass(frozen=True)
class Curve:
    """How a cost grows.

    Attributes:
        family: of benchmarks.
        name: short and unique, such as "time-inputs".
        axis: what grows.
        unit: of the cost: "s" or "MiB".
        series: the lines.
        note: what is fixed.
    """

    family: str
    name: str
    axis: str
    unit: str
    series: tuple[Series, ...]
    note: str = ""


@dataclass(frozen=True)
class Check:
    """Something that must be so, whatever the clock says.

    Attributes:
        family: of benchmarks.
        what: the statement.
        holds: whether it was so.
        found: what was observed.
    """

    family: str
    what: str
    holds: bool
    found: str


@dataclass(frozen=True)
class Skipped:
    """Something that was not measured.

    Attributes:
        family: of benchmarks.
        what: the comparison.
        why: the reason, in words.
    """

    family: str
    what: str
    why: str


@dataclass(frozen=True)
class Findings:
    """Results of one family."""

    measured: tuple[Measured, ...] = ()
    curves: tuple[Curve, ...] = ()
    checks: tuple[Check, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class BenchRun:
    """A run of benchmarks.

    Attributes:
        scale: "full", "quick", or "tiny" as in the tests.
        seed: of all random numbers.
        date: when it began, UTC, ISO 8601.
        machine: what it ran on, and versions, as text by name.
        families: seconds that each family took, in order.
        measured: the figures.
        curves: how costs grow.
        checks: what must be so.
        skipped: what was left out, and why.
    """

    scale: str
    seed: int
    date: str
    machine: dict[str, str]
    families: dict[str, float]
    measured: tuple[Measured, ...]
    curves: tuple[Curve, ...]
    checks: tuple[Check, ...]
    skipped: tuple[Skipped, ...]

    @property
    def violated(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.holds)

    def summary(self) -> Json:
        """Everything, ready for JSON; `read` makes the run of it again."""
        content = dataclasses.asdict(self)
        for figure, one in zip(content["measured"], self.measured, strict=True):
            figure["met"] = one.met
        return {"form": FORM, **content}


def _record(kind: type, name: str, given: Any, ignored: frozenset[str] = frozenset()) -> Any:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be an object; found {type(given).__name__}")
    known = {field.name: field for field in dataclasses.fields(kind)}
    unknown = set(given) - set(known) - ignored
    needed = {n for n, f in known.items() if f.default is dataclasses.MISSING}
    missing = needed - set(given)
    if unknown or missing:
        raise ValueError(
            f"{name} is no {kind.__name__}: missing {sorted(missing)}, unknown {sorted(unknown)}"
        )
    return kind(**{key: _frozen(value) for key, value in given.items() if key in known})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _records(kind: type, name: str, given: Any, ignored: frozenset[str] = frozenset()) -> Any:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{name} must be a list; found {type(given).__name__}")
    return tuple(_record(kind, f"{name}[{k}]", one, ignored) for k, one in enumerate(given))


def read(summary: Any) -> BenchRun:
    """Make a run of what `BenchRun.summary` gave, or refuse what is none.

    Args:
        summary: the object that `sipp bench --json` prints.

    Returns:
        The run.

    Raises:
        ValueError: the object is no run of benchmarks, or of another form.
    """
    if not isinstance(summary, Mapping) or "form" not in summary:
        raise ValueError("this is no output of `sipp bench --json`: it has no 'form'")
    if summary["form"] != FORM:
        raise ValueError(f"form must be {FORM}; found {summary['form']!r}: run sipp bench again")
    given = {key: value for key, value in summary.items() if key != "form"}
    run = _record(BenchRun, "the run", given)
    curves = []
    for k, curve in enumerate(_records(Curve, "curves", run.curves)):
        series = _records(Series, f"curves[{k}].series", curve.series)
        curves.append(dataclasses.replace(curve, series=series))
    return dataclasses.replace(
        run, measured=_records(Measured, "measured", run.measured, frozenset({"met"})),
        curves=tuple(curves), checks=_records(Check, "checks", run.checks),
        skipped=_records(Skipped, "skipped", run.skipped),
    )  # fmt: skip
