"""Networks pruned without training: sipp-network beside its rivals, and its options."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import sipp_core
from reports.validation.networks_lines import curves, lines
from reports.validation.networks_plans import (
    BLIND,
    CERTIFIED,
    CONFIDENCE,
    DELTA,
    EPS,
    FIGURES,
    LISTS,
    OURS,
    PLANS,
    RETRAINED,
    Plan,
)
from reports.validation.paper import Paper
from reports.validation.sipp_methods import Pruned, arguments
from reports.validation.subjects import ModelStore
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.methods import SippNetwork
from sipp_core.zoo import retraining, training

Json = dict[str, Any]


def describe(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    return "; ".join(
        f"{plan.subject.net} on {plan.subject.data}: {plan.inputs} calibration inputs, "
        f"{plan.seeds} {'draws of them' if plan.subject.shipped else 'networks with their own'}"
        for plan in plans
    )


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed."""
    return seed_by_seed(
        plan, settings_of(plan, LISTS), range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, store, here), here == seed),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench, first: bool) -> Iterator[Task]:
    yield {"part": "unpruned"}, bench.unpruned
    for method in plan.methods:
        if plan.subject.shipped and method in BLIND and not first:
            continue
        for keep in plan.keeps:
            ask = {"part": "prune", "method": method, "keep": keep}
            yield ask, lambda m=method, k=keep: bench.pruned(m, k)
    for method in RETRAINED:
        for keep in plan.retrained:
            ask = {"part": "retrain", "method": method, "keep": keep}
            yield ask, lambda m=method, k=keep: bench.retrained(m, k)
    for inputs in plan.certified:
        for method in CERTIFIED:
            ask = {"part": "certified", "method": method, "inputs": inputs}
            yield ask, lambda m=method, n=inputs: bench.certified(m, n)
    for rounds, exponent in plan.choices:
        for keep in plan.chosen:
            ask = {"part": "choice", "method": OURS, "rounds": rounds, "exponent": exponent,
                   "keep": keep}  # fmt: skip
            rule = SippNetwork(rounds=rounds or None, exponent=exponent)
            yield ask, lambda r=rule, k=keep: bench.chosen(r, k)
    if plan.many is not None and first:
        inputs, keep = plan.many
        ask = {"part": "many", "method": OURS, "inputs": inputs, "keep": keep}
        yield ask, lambda n=inputs, k=keep: bench.many(n, k)


class _Bench(Pruned[Plan]):
    """One trained network."""

    def retrained(self, method: str, keep: float) -> Json:
        """Pruned, and trained for a short while."""
        done = retraining.one_round(
            self.model, self.data, keep, lambda m, k: self.sparsify(method, m, k), self.plan.again,
            seed=1000 + self.seed, threads=self.store.threads, progress=self.store.progress,
        )  # fmt: skip
        return {"accuracy": done.accuracy, "kept": done.kept, "pruned": done.pruned_accuracy}

    def certified(self, method: str, inputs: int) -> Json:
        """The fewest weights that are certified on the test inputs, by a ladder fixed before."""
        search = sipp_core.sparsest(
            self.model, self.inputs(inputs)[0], self.data.test_inputs, eps=EPS, delta=DELTA,
            confidence=CONFIDENCE, seed=self.seed, **arguments(method),  # type: ignore[arg-type]
        )  # fmt: skip
        # None passed: it is certified with all of its weights alone.
        kept = 1.0 if search.result is None else search.result.kept
        return {"kept": kept, "tested": len(search.keeps), "violations": search.violations[-1]}

    def chosen(self, rule: SippNetwork, keep: float) -> Json:
        """Accuracy on training inputs that calibration did not see."""
        inputs, targets = self.inputs(self.plan.inputs + self.plan.judges)
        seen = self.plan.inputs
        result = sipp_core.prune(self.model, inputs[:seen], method=rule, keep=keep, seed=self.seed)
        right = training.accuracy(result.model, inputs[seen:], targets[seen:], 256)
        return {"accuracy": right, "kept": result.kept}

    def many(self, inputs: int, keep: float) -> Json:
        """One run on more inputs, with the processor's seconds of it."""
        begun, pairs = time.process_time(), [self.inputs(inputs)]
        result = sipp_core.prune(self.model, pairs, method=OURS, keep=keep, seed=self.seed)
        took = round(time.process_time() - begun, 1)
        return {"accuracy": self.accuracy(result.model), "kept": result.kept, "cpu": took}


PAPER = Paper(
    "Networks without training",
    "What SiPP network is to reach, beside its rivals in the same call (our own aims; no paper's)",
    PLANS,
    FIGURES,
    describe,
    tasks,
    lines,
    curves,
)
