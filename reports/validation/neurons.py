"""Neuron coresets: accuracy with 90% fewer parameters, attacks, certificates, local boxes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sipp_core
import sipp_theory
from reports.validation.neurons_lines import SCRATCH, curves, lines
from reports.validation.neurons_plans import AROUND, FIGURES, PLANS, RULES, Plan
from reports.validation.paper import Paper, Trained
from reports.validation.subjects import ModelStore
from reports.validation.tables import where
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.certificates import ascend
from sipp_core.neurons import Domain
from sipp_core.zoo import models, training

Json = dict[str, Any]
# Next neurons that certificates over the whole box are made for.
NEXT = (0, 7)
DELTA = 0.05
# Steps of gradient ascent against a trained network, and against a certificate.
STEPS, LONG = 10, 100


def describe(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    return "; ".join(
        f"{where(plan)}: {', '.join(RULES)}, over the box [0, 1], "
        f"{', '.join(f'{keep:.0%}' for keep in plan.keeps)} of the weights, "
        f"{plan.subject.recipe.epochs} epochs of training before and {plan.again.epochs} "
        f"afterwards, {plan.seeds} seed{'s' if plan.seeds > 1 else ''}"
        for plan in plans
    )


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed; certificates are made of the first."""
    return seed_by_seed(
        plan, settings_of(plan, ("keeps", "seeds", "schedule", "sizes", "radii")),
        range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, store, here), here == seed),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench, first: bool) -> Iterator[Task]:
    yield {"part": "unpruned"}, bench.unpruned
    for keep in plan.keeps:
        for rule in RULES:
            ask = {"part": "neurons", "method": f"neurons-{rule}", "keep": keep}
            yield ask, lambda r=rule, k=keep: bench.smaller(r, k)
        ask = {"part": SCRATCH, "method": SCRATCH, "keep": keep}
        yield ask, lambda k=keep: bench.scratch(k)
    for size in plan.sizes if first else ():
        for rule in RULES:
            ask = {"part": "box", "method": f"neurons-{rule}", "size": size}
            yield ask, lambda r=rule, n=size: bench.over_the_box(r, n)
    for radius in plan.radii if first else ():
        for rule in AROUND:
            ask = {"part": "around", "method": f"neurons-{rule}", "radius": radius}
            yield ask, lambda r=rule, x=radius: bench.around(r, x)


class _Bench(Trained[Plan]):
    """One trained network that loses neurons."""

    @cached_property
    def box(self) -> sipp_core.Box:
        """All images."""
        shape = self.data.test_inputs.shape[1:]
        return sipp_core.Box(torch.zeros(shape), torch.ones(shape))

    def _result(self, rule: str, **options: Any) -> sipp_core.PruneResult:
        data = self.inputs(self.plan.inputs)[0] if rule == "omp" else None
        return sipp_core.prune_neurons(
            self.model, self.box, method=rule, seed=self.seed, data=data, **options
        )

    def _accuracies(self, model: nn.Module, name: str = "accuracy") -> Json:
        """Share of the test inputs that are right, as they are and changed against the network."""
        count, reach = self.plan.attacked, self.plan.reach
        x, y = self.data.test_inputs[:count].double(), self.data.test_targets[:count]
        net = copy.deepcopy(model).double().eval().requires_grad_(False)
        near = Domain.box((x - reach).clamp_min(0), (x + reach).clamp_max(1))

        def loss(inputs: Tensor) -> Tensor:
            out = net(inputs.flatten(0, 1))
            right = out.gather(1, y.repeat(len(inputs))[:, None])
            return (out.logsumexp(1) - right[:, 0]).view(inputs.shape[:2])

        worst = ascend(loss, near, 1, STEPS, self.seed)[1]
        with torch.no_grad():
            share = (net(worst).argmax(1) == y).double().mean()
        return {name: self.accuracy(model), "attacked": float(share)}

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return self._accuracies(self.model)

    def _trained(self, model: nn.Module, recipe: training.Recipe, seed: int) -> Json:
        training.train(model, self.data, recipe, seed=seed, threads=self.store.threads)
        return self._accuracies(model, "trained")

    def smaller(self, rule: str, keep: float) -> Json:
        """One rule: accuracies before and after training again."""
        result = self._result(rule, keep=keep)
        assert result.channels is not None
        row = {
            "accuracy": self.accuracy(result.model), "kept": result.kept,
            "parameters": result.channels.parameters_after,
            "neurons": sum(g.kept for g in result.channels.groups),
        }  # fmt: skip
        new = copy.deepcopy(result.model)
        return row | self._trained(new, self.plan.again, 1000 + self.seed)

    def scratch(self, keep: float) -> Json:
        """A network of the size that the largest neurons leave, trained from the beginning."""
        result = self._result("norm", keep=keep)
        new = models.initialise(copy.deepcopy(result.model), 2000 + self.seed)
        row = self._trained(new, self.plan.subject.recipe, 2000 + self.seed)
        return row | {"accuracy": row["trained"], "kept": result.kept}

    def over_the_box(self, rule: str, size: int) -> Json:
        """First layer alone: promise, certificate of two next neurons, attack, what is seen."""
        first, second = [
            name for name, m in self.model.named_modules() if isinstance(m, nn.Linear)
        ][:2]
        result = self._result(rule, neurons=size, layers=[first, second])
        assert result.channels is not None
        (group,) = result.channels.groups
        worst = sipp_core.certify_region(
            self.model, result, self.box, outputs=NEXT, steps=self.plan.steps, seed=self.seed,
            attack_steps=LONG if self.plan.steps > LONG else STEPS,
        )  # fmt: skip
        (layer,) = worst.layers
        with torch.no_grad():
            old, new = (
                _reads(net, second, self.data.test_inputs) for net in (self.model, result.model)
            )
        weight, bias, onward = (
            self.model.get_parameter(name).detach().double().numpy()
            for name in (f"{first}.weight", f"{first}.bias", f"{second}.weight")
        )
        reach = np.sqrt(weight.shape[1] + 1) * np.sqrt((weight**2).sum(1) + bias**2)
        mass = np.abs(onward[list(NEXT)]) @ reach
        return {
            "neurons": group.kept, "parameters": result.channels.parameters_after,
            "draws": group.draws, "promise": group.error, "region": group.region_error,
            "ball": sipp_theory.ball_error(mass, max(1, group.draws or group.kept), DELTA).tolist(),
            "interval": layer.interval.tolist(), "linear": layer.linear.tolist(),
            "certified": layer.certified.tolist(), "attack": layer.attack.tolist(),
            "seen": (new - old).abs().amax(0)[list(NEXT)].tolist(),
            "network": float(worst.bound.max()), "found": float(worst.attack.max()),
        }  # fmt: skip

    def around(self, rule: str, radius: float) -> Json:
        """Local certificates around test inputs, with the most weights that the plan has."""
        x = self.data.test_inputs[: self.plan.around]
        certificate = sipp_core.certify_around(
            self.model, self._result(rule, keep=self.plan.keeps[-1]), x, radius, within=self.box,
            seed=self.seed,
        )  # fmt: skip
        ratio = (
            certificate.bound[certificate.attack > 0] / certificate.attack[certificate.attack > 0]
        )
        return {
            "share": certificate.share, "broken": float(certificate.broken.mean()),
            "ratio": float(np.median(ratio)) if len(ratio) else 1.0,
            "sound": bool((certificate.attack <= certificate.bound).all())
            and not bool((certificate.proved & certificate.broken).any()),
        }  # fmt: skip


def _reads(net: nn.Module, name: str, inputs: Tensor) -> Tensor:
    """What a layer gives."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _given: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append(out)

    hook = net.get_submodule(name).register_forward_hook(keep)
    try:
        net(inputs)
    finally:
        hook.remove()
    return seen[0]


PAPER = Paper(
    "Neuron coresets",
    "Data-independent neural pruning via coresets (arXiv 1907.04018)",
    PLANS, FIGURES, describe, tasks, lines, curves,
)  # fmt: skip
