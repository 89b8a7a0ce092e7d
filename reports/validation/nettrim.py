"""Net-Trim's experiments: accuracy along the radius eps, and two spirals by the cascade."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import sipp_core
from reports.validation import nettrim_lines
from reports.validation.subjects import Subject, Workshop
from reports.validation.variants import variant
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core import retraining, training
from sipp_core.datasets import Dataset
from sipp_core.drawing import shuffled
from sipp_core.masks import nonzeros
from sipp_core.nettrim_network import retrim
from sipp_core.recipes import Recipe, recipe
from sipp_core.running import evaluating

Json = dict[str, Any]
TITLE = (
    "Net-Trim: Convex Pruning of Deep Neural Networks with Performance Guarantee (Net-Trim), "
    "arXiv 1611.05162"
)
lines, curves = nettrim_lines.lines, nettrim_lines.curves


@dataclass(frozen=True)
class Plan:
    """What is run on one network.

    Attributes:
        schedule: its name.
        subject: the network, its data and how it is trained.
        again: how what is left is trained; None for the spirals, where nothing is.
        radii: eps of the first layer (parallel: of each) as a share of ||Y||_F of its outputs; for
            the spirals least and largest radius of the search.
        keeps: fractions at which other methods stand beside it.
        gamma: inflation of later layers in the cascade.
        seeds: trained networks.
        inputs: inputs that each program is about.

    Claim: none (plumbing).
    """

    schedule: str
    subject: Subject
    again: Recipe | None
    radii: tuple[float, ...]
    keeps: tuple[float, ...]
    gamma: float
    seeds: int
    inputs: int


BESIDE = ("sipp-det", "sipp-det-mean", "magnitude")
LINKS = ("parallel", "cascade")
GAMMA = 1.1
# Relative discrepancy of the spirals' outputs at which the paper counts nonzeros.
DISCREPANCY = 0.046
SEARCH = 7
# Relative duality gap: a thousandth of the objective moves no point of a curve.
GAP = 1e-3
_RADII = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.88)
_KEEPS = tuple(round(1 - p, 4) for p, _ in nettrim_lines.CURVES["fc-784-300-1000-100-10", "mnist"])
_KEEPS_5 = tuple(round(1 - p, 4) for p, _ in nettrim_lines.CURVES["lenet-5", "mnist"])
_DIGITS = Recipe(40, 64, 3e-3)
_TOY = Recipe(250, 32, 5e-3)
_BOUNDS = (1e-3, 0.3)
_LONG = Recipe(20, 128, 1e-3)


def _spirals(schedule: str, net: str, taught: Recipe, seeds: int) -> Plan:
    return Plan(schedule, Subject(net, "spirals", taught), None, _BOUNDS, (), GAMMA, seeds, 300)


def _big(schedule: str, again: int, seeds: int, inputs: int) -> tuple[Plan, ...]:
    small = recipe("lenet-5", "mnist", "paper" if schedule == "paper" else "short")
    return (
        Plan(schedule, Subject("fc-784-300-1000-100-10", "mnist", _LONG), Recipe(again, 128, 1e-3),
             _RADII, _KEEPS, GAMMA, seeds, inputs),
        Plan(schedule, Subject("lenet-5", "mnist", small), Recipe(again, 128, 1e-3), _RADII,
             _KEEPS_5, GAMMA, seeds, inputs),
        _spirals(schedule, "fc-2-200-200-2", _TOY, 3),
    )  # fmt: skip


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan("tiny", Subject("fc-64-12-10", "digits", Recipe(8, 64, 5e-3)), Recipe(2, 64, 5e-3),
             (0.1, 0.4), (0.5,), GAMMA, 1, 40),
        _spirals("tiny", "fc-2-12-12-2", Recipe(30, 32, 1e-2), 1),
    ),
    "quick": (
        Plan("quick", Subject("fc-64-60-100-30-10", "digits", _DIGITS), Recipe(10, 64, 3e-3),
             (0.05, 0.15, 0.4), (0.05, 0.1, 0.2, 0.4), GAMMA, 3, 200),
        _spirals("quick", "fc-2-200-200-2", _TOY, 1),
    ),
    "reduced": _big("reduced", 5, 2, 1000),
    "paper": _big("paper", 20, 3, 4000),
}  # fmt: skip


def says(plans: Sequence[Plan]) -> str:
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


def tasks(plan: Plan, workshop: Workshop, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed; it is trained when the first of them is made.

    Args:
        plan: what is run.
        workshop: where networks are trained.
        seed: of everything.

    Returns:
        An iterator of keys with what makes their values.

    Claim: none (plumbing).
    """
    settings = settings_of(plan, ("radii", "keeps", "seeds", "schedule"))
    return seed_by_seed(
        plan, settings, seed, lambda here: _cells(plan, _Bench(plan, workshop, here))
    )


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


class _Bench:
    """One trained network."""

    def __init__(self, plan: Plan, workshop: Workshop, seed: int) -> None:
        self.plan, self.workshop, self.seed = plan, workshop, seed
        self._model: nn.Module | None = None

    @property
    def data(self) -> Dataset:
        """Its data."""
        return self.workshop.data(self.plan.subject)

    @property
    def model(self) -> nn.Module:
        """The trained network."""
        if self._model is None:
            self._model = self.workshop.trained(self.plan.subject, self.seed, self.data)
        return self._model

    def accuracy(self, model: nn.Module) -> float:
        """Share of all test inputs that are classified correctly."""
        return training.accuracy(model, self.data.test_inputs, self.data.test_targets)

    def inputs(self) -> tuple[Tensor, Tensor]:
        """The inputs that programs are about, with their classes."""
        data = self.data
        return shuffled(data.train_inputs, self.plan.inputs, self.seed, data.train_targets)

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return {"accuracy": self.accuracy(self.model)} | _counts(self.model)

    def beside(self, method: str, keep: float) -> Json:
        """Another method at a published share, and trained again."""
        result = sipp_core.prune(
            self.model, [self.inputs()], keep=keep, seed=self.seed, layers=nn.Linear,
            **variant(method),
        )  # fmt: skip
        return {"accuracy": self.accuracy(result.model)} | self._again(result.model)

    def trim(self, link: str, radius: float) -> Json:
        """Net-Trim at one radius, and trained again."""
        new, found = self._trimmed(radius, link == "cascade")
        return found | self._again(new)

    def _trimmed(self, radius: float, cascade: bool) -> tuple[nn.Module, Json]:
        rows = self.inputs()[0].to(self.workshop.device)
        # Convolutions stay as they are, with every method, as in the authors' code.
        new = retrim(
            self.model, rows, eps=radius, cascade=cascade, gamma=self.plan.gamma, layers=nn.Linear,
            tolerance=GAP, progress=self.workshop.progress,
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
        done = retraining.retrain(
            model, self.data, self.plan.again, masks=masks, seed=1000 + self.seed,
            threads=self.workshop.threads, progress=self.workshop.progress,
        )  # fmt: skip
        return counts | {"trained": done.test_accuracy}

    def spirals(self) -> Json:
        """The cascade whose discrepancy is nearest to the paper's."""

        def at(radius: float) -> tuple[float, Json]:
            new, found = self._trimmed(radius, cascade=True)
            return found["discrepancy"], found | _counts(new)

        return _nearest(at, self.plan.radii, DISCREPANCY)


def _nearest(
    at: Callable[[float], tuple[float, Json]], ends: tuple[float, ...], goal: float
) -> Json:
    """Bisect ln radius; the discrepancy mostly grows with it, so the best of what was seen."""
    low, high = ends
    seen: list[tuple[float, Json]] = []
    for _ in range(SEARCH):
        middle = math.sqrt(low * high)
        found, value = at(middle)
        seen.append((abs(found - goal), value))
        low, high = (middle, high) if found < goal else (low, middle)
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
