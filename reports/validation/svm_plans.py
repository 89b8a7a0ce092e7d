"""What is run of the experiments on SVM coresets: data, penalties, sizes and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.validation.subjects import ModelStore
from sipp_core.zoo import datasets

METHODS = ("uniform", "sensitivity", "baykal", "leverage", "lewis", "control-variate")
# Points that stay single in a certificate.
BAND = 10_000
# Columns of the Gaussian points, and the penalty of the race against other solvers.
COLUMNS, PENALTY = 20, 1.0
SOLVERS = ("coreset", "newton", "linear svc", "sgd")
# Its time grows with the square of the points: of 10^5 it would take minutes, of 10^6 hours.
LIBSVM = (5_000, 10_000, 20_000, 40_000)


@dataclass(frozen=True)
class Points:
    """A data set of two classes; `net` is what `--only` names it by."""

    net: str
    data: str
    count: int
    dimension: int


@dataclass(frozen=True)
class Plan:
    """What is run on one data set.

    Attributes:
        schedule: its name.
        subject: the data.
        scales: C times the number of points.
        sizes: of the coresets.
        seeds: draws of each.
        timed: numbers of points of the race against other solvers: drawn ones, or of the data.
        libsvm: those that LIBSVM is given.
    """

    schedule: str
    subject: Points
    scales: tuple[float, ...]
    sizes: tuple[int, ...]
    seeds: int
    timed: tuple[int, ...] = ()
    libsvm: tuple[int, ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether no file is needed."""
        return self.subject.data != "mnist"

    def fetch(self, store: ModelStore) -> None:
        """Raise FileNotFoundError where the data are not at hand."""
        if not self.embedded:
            datasets.load("mnist", data_dir=store.data_dir, flat=True)


def _plans(
    schedule: str, count: int, sizes: tuple[int, ...], seeds: int, timed: tuple[int, ...]
) -> tuple[Plan, ...]:
    scales = (100.0, 1e4) if schedule == "quick" else (10.0, 100.0, 1e3, 1e4)
    gaussian = Points("svm-gaussian", "gaussian", count, COLUMNS)
    few = tuple(points for points in LIBSVM if points <= count)
    plans = [Plan(schedule, gaussian, scales, sizes, seeds, timed, few)]
    for kind in ("heavy tails", "separable", "outliers"):
        points = Points(f"svm-{kind.replace(' ', '-')}", kind, count, 10)
        plans.append(Plan(schedule, points, scales, sizes, seeds))
    digits = Points("svm-digits", "digits", 1797, 64)
    plans.append(Plan(schedule, digits, scales, (300, 1000), seeds))
    if schedule != "quick":
        mnist = Points("svm-mnist", "mnist", 60_000, 50)
        plans.append(Plan(schedule, mnist, scales, sizes, seeds, (20_000, 60_000), LIBSVM))
    return tuple(plans)


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (Plan("tiny", Points("svm-gaussian", "gaussian", 500, 3), (100.0,), (100,), 2),),
    "quick": _plans("quick", 20_000, (1000, 3000), 5, (20_000,)),
    "reduced": _plans("reduced", 100_000, (1000, 3000, 10_000), 10, (20_000, 100_000, 1_000_000)),
    "paper": _plans("paper", 1_000_000, (1000, 3000, 10_000), 10, (20_000, 100_000, 1_000_000)),
}


def describe(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    data = ", ".join(
        f"{p.subject.data} ({p.subject.count:,} x {p.subject.dimension})" for p in plans
    )
    one = plans[0]
    return (
        f"{data}; C n = {', '.join(f'{s:g}' for s in one.scales)}; coresets of "
        f"{', '.join(f'{m:,}' for m in one.sizes)} points, {one.seeds} draws each; bands of "
        f"{BAND:,}"
    )
