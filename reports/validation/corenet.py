"""CoreNet's experiment: prune fully connected networks without retraining, by every sampler.

The paper shows accuracy drop and output error against the weights kept, for networks of several
depths and widths, in figures only: its statements are about which curve lies below which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

import sipp_core
from reports.settings import method_facts
from reports.validation import corenet_lines
from reports.validation.subjects import Subject, Workshop
from reports.validation.work import Task, settings_of
from sipp_core import training
from sipp_core.drawing import shuffled
from sipp_core.fitting import VALIDATION_EVERY
from sipp_core.prune import DEFAULT_POINTS
from sipp_core.recipes import Recipe

Json = dict[str, Any]
TITLE = "Data-Dependent Coresets for Compressing Neural Networks (CoreNet), arXiv 1804.05345"
AMPLIFIED = "corenet++"
lines, curves = corenet_lines.lines, corenet_lines.curves


@dataclass(frozen=True)
class Plan:
    """What is run on one network.

    Attributes:
        schedule: its name.
        subject: the network, its data and how it is trained.
        keeps: fractions of the weights kept.
        seeds: draws of each random method.
        inputs: calibration inputs.
        tests: test inputs measured.

    Claim: none (plumbing).
    """

    schedule: str
    subject: Subject
    keeps: tuple[float, ...]
    seeds: int
    inputs: int
    tests: int


def _plans(
    schedule: str, data: str, depths: Sequence[int], widths: Sequence[int], recipe: Recipe,
    keeps: tuple[float, ...], seeds: int, inputs: int, tests: int,
) -> tuple[Plan, ...]:  # fmt: skip
    """One plan for each depth (all layers counted) and width of the hidden layers."""
    pixels = 64 if data == "digits" else 784
    nets = ["-".join(map(str, ("fc", pixels, *[w] * (d - 1), 10))) for d in depths for w in widths]
    if data != "digits":
        nets.insert(0, "lenet-300-100")
    return tuple(
        Plan(schedule, Subject(net, data, recipe), keeps, seeds, inputs, tests) for net in nets
    )


_LONG = Recipe(epochs=20, batch_size=128, lr=1e-3)
_KEEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
_FEW = (0.1, 0.2, 0.3, 0.5, 0.7)
_DEEP, _WIDE = (2, 3, 4, 5, 6), (100, 300, 500, 700, 1000)
PLANS = {
    "tiny": _plans("tiny", "digits", [2], [16], Recipe(8, 64, 5e-3), (0.3,), 2, 60, 60),
    "quick": (
        *_plans("quick", "digits", [2, 4], [50, 100], Recipe(40, 64, 3e-3), _FEW, 3, 200, 360),
        *_plans("quick", "mnist", [], [], Recipe(2, 128, 2e-3), _FEW, 3, 200, 1000),
    ),
    "reduced": _plans("reduced", "mnist", [2, 3, 5], [100, 300], _LONG, _KEEPS, 10, 400, 2000),
    "paper": (
        *_plans("paper", "mnist", _DEEP, _WIDE, _LONG, _KEEPS, 10, 400, 10_000),
        *_plans("paper", "fashion-mnist", _DEEP, _WIDE, _LONG, _KEEPS, 10, 400, 10_000),
    ),
}
WORDS = {
    "tiny": "One small network on the embedded digits, one ratio",
    "quick": "Fully connected networks of 2 and 4 layers, 50 and 100 wide, on the embedded digits, "
    "and LeNet-300-100 trained for 2 epochs where MNIST is at hand; five ratios",
    "reduced": "LeNet-300-100 and fully connected networks of 2, 3 and 5 layers, 100 and 300 wide, "
    "on MNIST; ten ratios, the first 2,000 of the shuffled test inputs",
    "paper": "Fully connected networks of 2 to 6 layers, 100 to 1,000 wide, on MNIST and "
    "Fashion-MNIST, as in the paper; ten ratios, all test inputs",
}


def says(plans: Sequence[Plan]) -> str:
    """The schedule in words."""
    one = plans[0]
    some = (
        ""
        if len(plans) == len(PLANS[one.schedule])
        else (f" (of these only {', '.join(plan.subject.net for plan in plans)})")
    )
    return (
        f"{WORDS[one.schedule]}{some}; {one.subject.recipe.epochs} epochs of training, "
        f"{one.inputs} calibration inputs, {one.seeds} draws of each random method on the same "
        "trained networks, no training after pruning"
    )


def tasks(plan: Plan, workshop: Workshop, seed: int) -> Iterator[Task]:
    """Every cell of one network; it is trained when the first of them is made.

    Args:
        plan: what is run.
        workshop: where networks are trained.
        seed: of everything.

    Returns:
        An iterator of keys with what makes their values.

    Claim: none (plumbing).
    """
    made: list[_Bench] = []

    def bench() -> _Bench:
        if not made:
            made.append(_Bench(plan, workshop, seed))
        return made[0]

    subject, settings = plan.subject, settings_of(plan, ("keeps", "seeds", "schedule"))
    for method in corenet_lines.METHODS:
        for keep in plan.keeps:
            for draw in range(plan.seeds if method_facts(method).random else 1):
                key = {"net": subject.net, "data": subject.data, "schedule": plan.schedule,
                       "settings": settings, "method": method, "keep": keep,
                       "seed": seed + draw}  # fmt: skip
                yield (
                    key,
                    lambda m=method, k=keep, d=draw: bench().measure(m, k, seed + d),
                )


class _Bench:
    """One trained network with its calibrations and test inputs."""

    def __init__(self, plan: Plan, workshop: Workshop, seed: int) -> None:
        data = workshop.data(plan.subject)
        self.model: nn.Module = workshop.trained(plan.subject, seed, data)
        inputs = shuffled(data.train_inputs, plan.inputs, seed)[0]
        tests, self.targets = shuffled(data.test_inputs, plan.tests, seed, data.test_targets)
        self.tests = tests.to(workshop.device)
        self.before = training.accuracy(self.model, self.tests, self.targets)
        self.plain = sipp_core.calibrate(self.model, inputs, seed=seed)
        self.aside = sipp_core.calibrate(
            self.model, inputs, seed=seed, points=DEFAULT_POINTS, validation_every=VALIDATION_EVERY
        )

    def measure(self, method: str, keep: float, seed: int) -> Json:
        """Prune once and measure."""
        ready = self.aside if method == AMPLIFIED else self.plain
        pruned = sipp_core.prune(self.model, ready, method=method, keep=keep, seed=seed)
        errors, _ = sipp_core.output_errors(self.model, pruned.model, self.tests)
        after = training.accuracy(pruned.model, self.tests, self.targets)
        return {
            "kept": pruned.kept,
            "error": float(errors.mean()),
            "accuracy": after,
            "drop": self.before - after,
        }
