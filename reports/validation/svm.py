"""Coresets for support vector machines: suboptimality by method and size, and certificates."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVC

from reports.validation.paper import Paper
from reports.validation.subjects import Workshop
from reports.validation.tables import ends, not_run, rows_of
from reports.validation.verdicts import Line, interval
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.runtime import generator
from sipp_core.svm import CoresetSVC, SVMCoreset, certify_svm
from sipp_core.zoo import datasets
from sipp_theory import (
    baykal_sensitivities,
    cluster_sensitivities,
    dimension_sensitivities,
    dual_sensitivities,
    solve_svm,
    svm_objective,
)

Json = dict[str, Any]
METHODS = ("uniform", "sensitivity", "baykal", "leverage", "lewis", "control-variate")
STREAM = 301
BAND = 10_000
PRINCIPAL = 50
SOURCE = "the thesis of [SV]: sensitivities beat uniform samples"
# Total sensitivities as the paper's table has them (recalled): points, dimensions, total.
TABLE = "475.8 (HTRU, 17,898 points) to 24,231.6 (W1, 49,749)"


@dataclass(frozen=True)
class Points:
    """A data set of two classes; `net` is what `--only` names it by."""

    net: str
    data: str
    count: int
    dimension: int

    def load(self, workshop: Workshop) -> tuple[np.ndarray, np.ndarray]:
        """Rows and labels -1 and 1."""
        if self.data == "digits":
            X, digits = load_digits(return_X_y=True)
            return np.asarray(X) / 16, np.where(digits % 2 == 0, 1.0, -1.0)
        if self.data == "mnist":
            held = datasets.load("mnist", data_dir=workshop.data_dir, flat=True)
            X = PCA(PRINCIPAL, random_state=0).fit_transform(held.train_inputs.numpy())
            return X.astype(np.float64), np.where(held.train_targets.numpy() % 2 == 0, 1.0, -1.0)
        rng = generator(0, STREAM)
        y = np.where(rng.random(self.count) < 0.5, 1.0, -1.0)
        tails = self.data == "heavy tails"
        shape = (self.count, self.dimension)
        X = rng.standard_t(2, shape) if tails else rng.normal(size=shape)
        X[:, 0] += y * (6 if self.data == "separable" else 1)
        if self.data == "outliers":
            X[: self.count // 1000] *= 100
        return X, y


@dataclass(frozen=True)
class Plan:
    """What is run on one data set.

    Attributes:
        schedule: its name.
        subject: the data.
        scales: C times the number of points.
        sizes: of the coresets.
        seeds: draws of each.
        timed: points of the run against other solvers, 0 for none.
    """

    schedule: str
    subject: Points
    scales: tuple[float, ...]
    sizes: tuple[int, ...]
    seeds: int
    timed: int = 0

    @property
    def embedded(self) -> bool:
        """Whether no file is needed."""
        return self.subject.data != "mnist"

    def fetch(self, workshop: Workshop) -> None:
        """Raise FileNotFoundError where the data are not at hand."""
        if not self.embedded:
            datasets.load("mnist", data_dir=workshop.data_dir, flat=True)


def _plans(schedule: str, count: int, sizes: tuple[int, ...], seeds: int) -> tuple[Plan, ...]:
    kinds = ("gaussian", "heavy tails", "separable", "outliers")
    scales = (100.0, 1e4) if schedule != "reduced" else (10.0, 100.0, 1e3, 1e4)
    made = [
        Plan(schedule,
             Points(f"svm-{kind.replace(' ', '-')}", kind, count, 10), scales, sizes, seeds,
             count if kind == "gaussian" else 0)
        for kind in kinds
    ]  # fmt: skip
    digits = tuple(size for size in sizes if size < 1797)
    if digits:
        made.append(Plan(schedule, Points("svm-digits", "digits", 1797, 64), scales, digits, seeds))
    if schedule in ("reduced", "paper"):
        made.append(Plan(schedule, Points("svm-mnist", "mnist", 60_000, 50), scales, sizes, seeds))
    return tuple(made)


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (Plan("tiny", Points("svm-gaussian", "gaussian", 500, 3), (100.0,), (100,), 2),),
    "quick": _plans("quick", 20_000, (1000, 3000), 5),
    "reduced": _plans("reduced", 100_000, (1000, 3000, 10_000), 10),
    "paper": _plans("paper", 1_000_000, (1000, 3000, 10_000), 10),
}


class _Bench:
    """One data set with its optima, each computed when the first cell asks."""

    def __init__(self, plan: Plan, workshop: Workshop, seed: int) -> None:
        self.plan, self.workshop, self.seed = plan, workshop, seed
        self._best: dict[float, Any] = {}

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        return self.plan.subject.load(self.workshop)

    def best(self, scale: float) -> tuple[float, Any]:
        """C, and the solution to nine digits."""
        X, y = self.points
        C = scale / len(y)
        if scale not in self._best:
            self._best[scale] = solve_svm(X, y, C)
        return C, self._best[scale]

    def method(self, name: str, scale: float, size: int) -> Json:
        """How far a coreset's solution is from the optimum, and what is certified of it."""
        X, y = self.points
        C, best = self.best(scale)
        made = SVMCoreset(size, C, method=name, random_state=self.seed).fit(X, y)
        w, b = made.solve(X, y)
        proof = certify_svm(w, b, X, y, C, band=BAND)
        true = svm_objective(w, b, X, y, C) / best.primal - 1
        return {"off": true, "certified": proof.eps, "below": proof.dual <= best.primal}

    def totals(self, scale: float) -> Json:
        """Total sensitivities by bound."""
        X, y = self.points
        C, best = self.best(scale)
        found = {
            "SV-1": cluster_sensitivities(X, y, C),
            "SV-1F": cluster_sensitivities(X, y, C, lower=best.dual),
            "SV-2": np.minimum(1, baykal_sensitivities(X, y, C, best.dual)),
            "SV-6": dual_sensitivities(X, y, C, alpha=best.alpha),
            "SV-7": dimension_sensitivities(X, y, C),
        }
        return {name: float(s.sum()) for name, s in found.items()} | {"points": len(y)}

    def stream(self, scale: float) -> Json:
        """A stream in 20 chunks beside one shot of the same size."""
        X, y = self.points
        C, best = self.best(scale)
        size = self.plan.sizes[-1]
        model = CoresetSVC(C, coreset_size=size, random_state=self.seed)
        for part in np.array_split(np.arange(len(y)), 20):
            model.partial_fit(X[part], y[part], classes=[-1.0, 1.0])
        value = svm_objective(model.coef_[0], float(model.intercept_[0]), X, y, C)
        (proof,) = model.certificates_
        return {"off": value / best.primal - 1, "certified": proof.eps}

    def timed(self, scale: float) -> Json:
        """Seconds to a certified 1e-5, to Newton's 1e-5 and to LinearSVC's 1e-3, in one process."""
        X, y = self.points
        C = scale / len(y)
        took: Json = {}
        start = time.perf_counter()
        model = CoresetSVC(C, target=1e-5, random_state=self.seed).fit(X, y)
        took["coreset"], start = time.perf_counter() - start, time.perf_counter()
        newton = solve_svm(X, y, C, tol=1e-5)
        took["newton"], start = time.perf_counter() - start, time.perf_counter()
        # The bias is a column of 10 there, so that its penalty is small; no warning at its limit.
        other = LinearSVC(loss="hinge", C=C, tol=1e-3, intercept_scaling=10, max_iter=10_000)
        other.fit(X, y)
        took["linear svc"] = time.perf_counter() - start
        proof = certify_svm(other.coef_, other.intercept_, X, y, C, band=BAND)
        return took | {
            "eps": model.certified_eps_, "newton eps": newton.eps, "linear svc eps": proof.eps
        }  # fmt: skip


def tasks(plan: Plan, workshop: Workshop, seed: int) -> Iterator[Task]:
    """Every cell of one data set, seed by seed."""
    settings = settings_of(plan, ("scales", "sizes", "seeds", "schedule"))  # type: ignore[arg-type]
    return seed_by_seed(
        plan, settings, range(seed, seed + plan.seeds),  # type: ignore[arg-type]
        lambda here: _cells(plan, _Bench(plan, workshop, here), here == seed),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench, first: bool) -> Iterator[Task]:
    for scale in plan.scales:
        for size in plan.sizes:
            for name in METHODS:
                ask = {"part": "method", "method": name, "scale": scale, "size": size}
                yield ask, lambda n=name, s=scale, m=size: bench.method(n, s, m)
        yield {"part": "stream", "scale": scale}, lambda s=scale: bench.stream(s)
        if first:
            yield {"part": "totals", "scale": scale}, lambda s=scale: bench.totals(s)
    if first and plan.timed:
        yield {"part": "timed", "scale": plan.scales[0]}, lambda: bench.timed(plan.scales[0])


def says(plans: Sequence[Plan]) -> str:
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


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)  # type: ignore[arg-type]
        for scale in plan.scales:
            here = [row for row in mine if row.get("scale") == scale]
            for size in plan.sizes:
                table.append(_methods(plan, scale, size, here))
            table += [*_totals(plan, scale, here), *_stream(plan, scale, here)]
        table += _timed(plan, mine)
    schedule = plans[0].schedule
    table += _certificates(schedule, rows)
    for name in ("HTRU", "Skin", "Cod-RNA", "W1"):
        table.append(
            not_run(
                f"experiments on {name}", "figures", schedule, "its files are not at hand", "[SV]"
            )
        )
    return table


def _methods(plan: Plan, scale: float, size: int, rows: Sequence[Json]) -> Line:
    """The median suboptimality by method, and whether sensitivities beat uniform samples."""
    off = {
        name: [
            max(row["off"], 1e-12)
            for row in rows
            if row["part"] == "method" and row["method"] == name and row["size"] == size
        ]
        for name in METHODS
    }
    logs = [math.log(u / s) for u, s in zip(off["uniform"], off["sensitivity"], strict=True)]
    mean, low, high = interval(logs)
    words = ", ".join(f"{name} {np.median(values):.2g}" for name, values in off.items())
    agrees = "in part" if len(logs) < 2 or low <= 0 <= high else "yes" if low > 0 else "no"
    return Line(
        what=f"suboptimality F/F* - 1 of {size:,} points, {plan.subject.data}, C n = {scale:g}",
        paper="sensitivity sampling is better than uniform",
        ours=f"{words}; uniform is {math.exp(mean):.2g} times sensitivity's",
        agrees=agrees, unit="times", schedule=plan.schedule, source=SOURCE,
        why="medians over draws; the interval is of the ratio, uniform over sensitivity",
        **ends(math.exp(low), math.exp(high), len(logs)),
    )  # fmt: skip


def _totals(plan: Plan, scale: float, rows: Sequence[Json]) -> Iterator[Line]:
    for row in rows:
        if row["part"] == "totals":
            names = ("SV-1", "SV-1F", "SV-2", "SV-6", "SV-7")
            yield Line(
                what=f"total sensitivity bounds, {plan.subject.data}, C n = {scale:g}",
                paper=TABLE, ours=", ".join(f"{name} {row[name]:,.0f}" for name in names)
                + f" of {row['points']:,} points", agrees="no claim", schedule=plan.schedule,
                source="[SV], recalled",
            )  # fmt: skip


def _stream(plan: Plan, scale: float, rows: Sequence[Json]) -> Iterator[Line]:
    size = plan.sizes[-1]
    tree = [row["off"] for row in rows if row["part"] == "stream"]
    shot = [
        row["off"]
        for row in rows
        if row["part"] == "method" and row["method"] == "uniform" and row["size"] == size
    ]
    if tree:
        yield Line(
            what=f"stream of 20 chunks, levels of {size:,}, {plan.subject.data}, C n = {scale:g}",
            paper="(1 + eps)^levels - 1",
            ours=f"{np.median(tree):.2g}, one shot {np.median(shot):.2g}",
            agrees="no claim", schedule=plan.schedule, source="SV-4",
        )  # fmt: skip


def _timed(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for row in rows:
        if row["part"] == "timed":
            yield Line(
                what=f"time to a certified 1e-5, {plan.timed:,} points, C n = {row['scale']:g}",
                paper="-",
                ours=f"coreset {row['coreset']:.2g} s (eps {row['eps']:.1e}), Newton "
                f"{row['newton'] / row['coreset']:.2g} times that, LinearSVC to its 1e-3 "
                f"{row['linear svc'] / row['coreset']:.2g} times (certified "
                f"{row['linear svc eps']:.1e})",
                agrees="no claim", schedule=plan.schedule, source="ours",
                why="one run in one process, which others may have slowed",
            )  # fmt: skip


def _certificates(schedule: str, rows: Sequence[Json]) -> list[Line]:
    """SV-10 against the truth: never below it, and how far above."""
    held = [row for row in rows if row["part"] == "method"]
    if not held:
        return []
    broken = [r for r in held if not r["below"] or r["certified"] < r["off"] * (1 - 1e-9) - 1e-9]
    close = [r["certified"] / r["off"] for r in held if r["off"] > 1e-6]
    near = float(np.mean([ratio <= 1.01 for ratio in close])) if close else 1.0
    worst = max(close, default=1.0)
    return [
        Line(
            what="certified suboptimality (SV-10) against the true one, all coresets",
            paper="never below it",
            ours=f"{len(broken)} of {len(held)} below; {near:.0%} within 1% of it, the loosest "
            f"{worst:.3g} times it",
            agrees="no" if broken else "yes", schedule=schedule, source="SV-10", guarantee=True,
        )
    ]  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """No pictures yet: the table says it."""
    return []


PAPER = Paper(
    "SVM coresets",
    "On Coresets for Support Vector Machines, arXiv 2002.06469, and Small Coresets to Represent "
    "Large Training Data for Support Vector Machines, arXiv 1708.03835",
    PLANS, {}, says, tasks, lines, curves,  # type: ignore[arg-type]
)  # fmt: skip
