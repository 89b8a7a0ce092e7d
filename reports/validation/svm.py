"""Coresets for support vector machines: suboptimality by method and size, and certificates."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from reports.benches import child, children
from reports.benches import svm as race
from reports.validation.paper import Paper
from reports.validation.sources import modules_digest
from reports.validation.subjects import ModelStore
from reports.validation.svm_lines import FIGURES, curves, lines
from reports.validation.svm_plans import (
    BAND,
    COLUMNS,
    METHODS,
    PENALTY,
    PLANS,
    SOLVERS,
    Plan,
    Points,
    describe,
)
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
STREAM, SOME = 301, 302
# CPU seconds that a solver, or the search for its effort, may take: SGD would take any.
PATIENCE = {"linear svc": 400, "sgd": 40, "libsvm": 300}


def load(subject: Points, store: ModelStore) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels -1 and 1; of MNIST the first principal components."""
    if subject.data == "digits":
        X, digits = load_digits(return_X_y=True)
        return np.asarray(X) / 16, np.where(digits % 2 == 0, 1.0, -1.0)
    if subject.data == "mnist":
        held = datasets.load("mnist", data_dir=store.data_dir, flat=True)
        X = PCA(subject.dimension, random_state=0).fit_transform(held.train_inputs.numpy())
        return X.astype(np.float64), np.where(held.train_targets.numpy() % 2 == 0, 1.0, -1.0)
    rng = generator(0, STREAM)
    y = np.where(rng.random(subject.count) < 0.5, 1.0, -1.0)
    tails = subject.data == "heavy tails"
    shape = (subject.count, subject.dimension)
    X = rng.standard_t(2, shape) if tails else rng.normal(size=shape)
    X[:, 0] += y * (6 if subject.data == "separable" else 1)
    if subject.data == "outliers":
        X[: subject.count // 1000] *= 100
    return X, y


class _Bench:
    """One data set with its optima, each computed when the first cell asks."""

    def __init__(self, plan: Plan, store: ModelStore, seed: int) -> None:
        self.plan, self.store, self.seed = plan, store, seed
        self._best: dict[float, Any] = {}

    @cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        return load(self.plan.subject, self.store)

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
        coreset = SVMCoreset(size, C, method=name, random_state=self.seed).fit(X, y)
        w, b = coreset.solve(X, y)
        proof = certify_svm(w, b, X, y, C, band=BAND)
        true = svm_objective(w, b, X, y, C) / best.primal - 1
        return {"off": true, "certified": proof.eps, "below": proof.dual <= best.primal}

    def totals(self, scale: float) -> Json:
        """Total sensitivities by bound."""
        X, y = self.points
        C, best = self.best(scale)
        scores = {
            "SV-1": cluster_sensitivities(X, y, C),
            "SV-1F": cluster_sensitivities(X, y, C, lower=best.dual),
            "SV-2": np.minimum(1, baykal_sensitivities(X, y, C, best.dual)),
            "SV-6": dual_sensitivities(X, y, C, alpha=best.alpha),
            "SV-7": dimension_sensitivities(X, y, C),
        }
        return {name: float(s.sum()) for name, s in scores.items()} | {"points": len(y)}

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

    def race(self, solver: str, count: int) -> Json:
        """CPU time and memory of one solver, in a process of its own, and what it reached."""
        patience = PATIENCE.get(solver, 0)
        options = {"solver": solver, "C": PENALTY, "seed": self.seed, "patience": patience}
        if self.plan.embedded:
            # LIBSVM's limit is of the whole process.
            repeats = 1 if solver == "libsvm" else race.REPEATS
            return race.one(options | {"n": count, "d": COLUMNS, "repeats": repeats})
        X, y = self.points
        some = np.sort(generator(0, SOME).choice(len(y), count, replace=False))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "points.npz")
            np.savez(file, X=X[some], y=y[some])
            return race.one(options | {"file": str(file)})


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one data set, seed by seed."""
    settings = settings_of(plan, ("scales", "sizes", "seeds", "schedule", "timed", "libsvm"))
    return seed_by_seed(
        plan, settings, range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, store, here), here == seed),
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
    if first and (plan.timed or plan.libsvm):
        code = modules_digest(race, children, child)
        for solver, counts in {**dict.fromkeys(SOLVERS, plan.timed), "libsvm": plan.libsvm}.items():
            for count in counts:
                ask = {"part": "race", "solver": solver, "points": count, "code": code}
                yield ask, lambda s=solver, n=count: bench.race(s, n)


PAPER = Paper(
    "SVM coresets",
    "On Coresets for Support Vector Machines, arXiv 2002.06469, and Small Coresets to Represent "
    "Large Training Data for Support Vector Machines, arXiv 1708.03835",
    PLANS, FIGURES, describe, tasks, lines, curves,
)  # fmt: skip
