"""Net-Trim's experiments: accuracy along the radius eps, and two spirals by the cascade."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import sipp_core
from reports.validation.nettrim_lines import curves, lines
from reports.validation.nettrim_plans import (
    BESIDE,
    DISCREPANCY,
    FIGURES,
    GAP,
    LINKS,
    PLANS,
    SEARCH,
    Plan,
)
from reports.validation.paper import Paper, Trained
from reports.validation.sipp_methods import arguments
from reports.validation.subjects import ModelStore
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.nettrim import retrim
from sipp_core.network import nonzeros
from sipp_core.runtime import evaluating

Json = dict[str, Any]


def describe(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    parts = []
    for plan in plans:
        where = f"{plan.subject.net} on {plan.subject.data}"
        seeds = f"{plan.seeds} seed{'s' if plan.seeds > 1 else ''}"
        if plan.again is None:
            parts.append(f"{where}: cascade at gamma {plan.gamma}, {plan.inputs} inputs, {seeds}")
        else:
            parts.append(
                f"{where}: radii {', '.join(map(str, plan.radii))} of ||Y||, parallel and cascade "
                f"(gamma {plan.gamma}), {plan.inputs} inputs, with and without {plan.again.epochs} "
                f"epochs of training afterwards, {seeds}"
            )
    return "; ".join(parts)


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed; it is trained when the first of them is made."""
    settings = settings_of(plan, ("radii", "keeps", "seeds", "schedule"))
    return seed_by_seed(
        plan, settings, range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, store, here)),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench) -> Iterator[Task]:
    yield {"part": "unpruned"}, bench.unpruned
    if plan.again is None:
        low, high = plan.radii
        yield {"part": "spirals", "low": low, "high": high}, bench.spirals
        return
    for method in BESIDE:
        for ratio in plan.keeps:
            ask = {"part": "beside", "method": method, "keep": ratio}
            yield ask, lambda m=method, k=ratio: bench.beside(m, k)
    for link in LINKS:
        for radius in plan.radii:
            # Solved from scratch: a warm start would make cells depend on what ran before.
            ask = {"part": "trim", "method": f"nettrim {link}", "keep": radius}
            yield ask, lambda k=link, r=radius: bench.trim(k, r)


class _Bench(Trained[Plan]):
    """One trained network, trimmed."""

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return {"accuracy": self.accuracy(self.model)} | _counts(self.model)

    def beside(self, method: str, keep: float) -> Json:
        """Another method at a published share, and trained again."""
        result = sipp_core.prune(
            self.model, [self.inputs(self.plan.inputs)], keep=keep, seed=self.seed,
            layers=nn.Linear, **arguments(method),
        )  # fmt: skip
        return {"accuracy": self.accuracy(result.model)} | self._again(result.model)

    def trim(self, link: str, radius: float) -> Json:
        """Net-Trim at one radius, and trained again."""
        new, result = self._trimmed(radius, link == "cascade")
        return result | self._again(new)

    def _trimmed(self, radius: float, cascade: bool) -> tuple[nn.Module, Json]:
        rows = self.inputs(self.plan.inputs)[0].to(self.store.device)
        # Convolutions stay as they are, with every method, as in the authors' code.
        new = retrim(
            self.model, rows, eps=radius, cascade=cascade, gamma=self.plan.gamma, layers=nn.Linear,
            tolerance=GAP, progress=self.store.progress,
        )  # fmt: skip
        with evaluating(self.model), evaluating(new.model), torch.no_grad():
            before, after = self.model(rows).double(), new.model(rows).double()
        size, promised = float(before.norm()), new.promised[-1]
        return new.model, {
            "radius": radius,
            "accuracy": self.accuracy(new.model),
            "gap": max(layer.gap for layer in new.layers.values()),
            "discrepancy": float((after - before).norm()) / size,
            # Nothing is promised where convolutions come first.
            "promised": promised / size if math.isfinite(promised) else None,
        }

    def _again(self, model: nn.Module) -> Json:
        assert self.plan.again is not None
        masks = nonzeros(model, list(_weights(model)))
        counts = _counts(model)
        return counts | {"trained": self.retrain(model, self.plan.again, masks, 1000 + self.seed)}

    def spirals(self) -> Json:
        """The cascade whose discrepancy is nearest to the paper's."""

        def at(radius: float) -> tuple[float, Json]:
            new, result = self._trimmed(radius, cascade=True)
            return result["discrepancy"], result | _counts(new)

        return _nearest(at, self.plan.radii, DISCREPANCY)


def _nearest(
    at: Callable[[float], tuple[float, Json]], ends: tuple[float, ...], goal: float
) -> Json:
    """Bisect ln radius; the discrepancy mostly grows with it, so the best of what was seen."""
    low, high = ends
    seen: list[tuple[float, Json]] = []
    for _ in range(SEARCH):
        middle = math.sqrt(low * high)
        discrepancy, value = at(middle)
        seen.append((abs(discrepancy - goal), value))
        low, high = (middle, high) if discrepancy < goal else (low, middle)
    return min(seen, key=lambda pair: pair[0])[1]


def _counts(model: nn.Module) -> Json:
    """Nonzero weights of each dense layer, and the share of them all that is left."""
    weights = _weights(model).values()
    nonzero = [int((weight != 0).sum()) for weight in weights]
    return {"nonzero": nonzero, "kept": sum(nonzero) / sum(weight.numel() for weight in weights)}


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


PAPER = Paper(
    "Net-Trim",
    "Net-Trim: Convex Pruning of Deep Neural Networks with Performance Guarantee (Net-Trim), "
    "arXiv 1611.05162",
    PLANS, FIGURES, describe, tasks, lines, curves,
)  # fmt: skip
