"""SiPP's experiments: prune, prune and train again, the iterative cascade, and lottery tickets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from reports.validation.paper import Paper
from reports.validation.sipp_lines import curves, lines
from reports.validation.sipp_methods import Pruned
from reports.validation.sipp_plans import FIGURES, LISTS, PLANS, Plan
from reports.validation.subjects import ModelStore, read_weights, write_weights
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.network import random_like
from sipp_core.zoo import retraining

Json = dict[str, Any]
# Where a network's weights stand when masks are looked for.
TIMES = ("initialisation", "training")


def describe(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    return "; ".join(_describe(plan) for plan in plans)


def _describe(plan: Plan) -> str:
    many = f"{plan.seeds} {'seed' if plan.seeds == 1 else 'seeds'}"
    if plan.subject.shipped:
        how, each = "the weights that come with the package", "draws of calibration inputs"
    else:
        how, each = (
            f"{plan.subject.recipe.epochs} epochs of training",
            "a trained network of its own",
        )
    again = f", {plan.again.epochs} after each pruning" if plan.trained else ""
    return (
        f"{plan.subject.net} on {plan.subject.data}: {how}{again}, {many} (each {each}), "
        f"{plan.inputs} calibration inputs"
    )


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed; it is trained when the first of them is made."""
    settings = settings_of(plan, LISTS)
    return seed_by_seed(
        plan, settings, range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, store, here, settings)),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench) -> Iterator[Task]:
    """The cascades first, for they tell most, and tickets last."""
    yield {"part": "unpruned"}, bench.unpruned
    for method in plan.trained:
        for index, ratio in enumerate(plan.steps):
            ask = {"part": "cascade", "method": method, "step": index, "keep": ratio}
            yield ask, lambda m=method, i=index: bench.step(m, i)
    for method in plan.methods:
        for ratio in plan.keeps:
            ask = {"part": "prune", "method": method, "keep": ratio}
            yield ask, lambda m=method, k=ratio: bench.pruned(m, k)
    for method in plan.trained:
        for ratio in plan.retrained:
            ask = {"part": "retrain", "method": method, "keep": ratio}
            yield ask, lambda m=method, k=ratio: bench.retrained(m, k)
    for method in plan.tickets:
        for time in TIMES:
            ask = {"part": "ticket", "method": method, "keep": plan.ticket, "time": time}
            yield ask, lambda m=method, k=plan.ticket, t=time: bench.ticket(m, k, t)


class _Bench(Pruned[Plan]):
    """One trained network, pruned and trained again."""

    def __init__(self, plan: Plan, store: ModelStore, seed: int, settings: str) -> None:
        super().__init__(plan, store, seed)
        self.settings = settings
        self._stages: dict[tuple[str, int], nn.Module] = {}

    def _round(self, model: nn.Module, method: str, keep: float, number: int) -> retraining.Round:
        return retraining.one_round(
            model, self.data, keep, lambda m, k: self.sparsify(method, m, k), self.plan.again,
            seed=1000 * (number + 1) + self.seed, threads=self.store.threads,
            progress=self.store.progress,
        )  # fmt: skip

    def retrained(self, method: str, keep: float) -> Json:
        """Pruned once and trained again."""
        done = self._round(self.model, method, keep, 0)
        return {"accuracy": done.accuracy, "kept": done.kept}

    def step(self, method: str, index: int) -> Json:
        """One step of the cascade; earlier steps are read from disk, or computed again."""
        before = self.model if index == 0 else self._after(method, index - 1)
        done = self._round(before, method, self.plan.steps[index], index)
        self._keep(method, index, done.model)
        return {"accuracy": done.accuracy, "kept": done.kept, "pruned": done.pruned_accuracy}

    def _after(self, method: str, index: int) -> nn.Module:
        """The network after a step: at hand, on disk, or made again."""
        path = self._path(method, index)
        if (method, index) not in self._stages:
            if path is not None and path.is_file():
                model = self.plan.subject.build(self.seed).to(self.store.device)
                self._stages = {(method, index): read_weights(model, path)}
            else:
                self.step(method, index)
        return self._stages[method, index]

    def _path(self, method: str, index: int) -> Path | None:
        if self.store.folder is None:
            return None
        name = f"{self.plan.subject.net}-{self.seed}-{method}-{index}-{self.settings}"
        return self.store.folder / f"{name}.safetensors"

    def _keep(self, method: str, index: int, model: nn.Module) -> None:
        # A cascade goes on from its last step only.
        self._stages = {(method, index): model}
        path, old = self._path(method, index), self._path(method, index - 1)
        if path is not None:
            write_weights(model, path)
        if old is not None:
            old.unlink(missing_ok=True)

    def ticket(self, method: str, share: float, time: str) -> Json:
        """A lottery ticket trained in isolation, beside one of the same layer sizes at random."""
        plan, start = self.plan, self.plan.subject.build(self.seed).to(self.store.device)
        seen = start if time == "initialisation" else self.model
        masks = self.sparsify(method, seen, share).masks
        result: Json = {"kept": sum(int(m.sum()) for m in masks.values())
                       / sum(m.numel() for m in masks.values())}  # fmt: skip
        at_random = random_like(masks, self.seed)
        for name, chosen in (("accuracy", masks), ("random", at_random)):
            model = retraining.rewound(start, chosen)
            result[name] = self.retrain(model, plan.subject.recipe, chosen, self.seed)
        return result


PAPER = Paper(
    "SiPP",
    "SiPPing Neural Networks (SiPP), arXiv 1910.05422",
    PLANS,
    FIGURES,
    describe,
    tasks,
    lines,
    curves,
)
