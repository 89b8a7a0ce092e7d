"""CoreNet's experiment: prune fully connected networks without retraining, by every sampler.

The paper shows accuracy drop and output error against the weights kept, for networks of several
depths and widths, in figures only: its statements are about which curve lies below which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

import sipp_core
from reports.overview.settings import method_facts
from reports.validation import corenet_lines
from reports.validation.corenet_plans import PLANS, Plan
from reports.validation.subjects import Workshop
from reports.validation.work import Task, settings_of
from sipp_core.pruning import DEFAULT_POINTS, VALIDATION_EVERY
from sipp_core.runtime import shuffled
from sipp_core.zoo import training

Json = dict[str, Any]
TITLE = "Data-Dependent Coresets for Compressing Neural Networks (CoreNet), arXiv 1804.05345"
AMPLIFIED = "corenet++"
lines, curves = corenet_lines.lines, corenet_lines.curves
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
    """Every cell of one network; it is trained when the first of them is made."""
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
