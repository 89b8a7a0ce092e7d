"""CoreNet's experiment: prune fully connected networks without retraining, by every sampler.

The paper shows accuracy drop and output error against the weights kept, for networks of several
depths and widths, in figures only: its statements are about which curve lies below which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor

import sipp_core
from reports.site.methods import calibrations
from reports.validation.corenet_lines import curves, lines
from reports.validation.corenet_plans import FIGURES, METHODS, PLANS, Plan
from reports.validation.paper import Paper, Trained
from reports.validation.subjects import ModelStore
from reports.validation.work import Task, cell, settings_of
from sipp_core.pruning import find_method
from sipp_core.runtime import shuffled
from sipp_core.zoo import training

Json = dict[str, Any]
WORDS = {
    "tiny": "One small network on the embedded digits, one ratio",
    "quick": "Fully connected networks of 2 and 4 layers, 50 and 100 wide, on the embedded digits, "
    "and LeNet-300-100 trained for 2 epochs where MNIST is at hand; five ratios",
    "reduced": "LeNet-300-100 and fully connected networks of 2, 3 and 5 layers, 100 and 300 wide, "
    "on MNIST; ten ratios, the first 2,000 of the shuffled test inputs",
    "paper": "Fully connected networks of 2 to 6 layers, 100 to 1,000 wide, on MNIST and "
    "Fashion-MNIST, as in the paper; ten ratios, all test inputs",
}


def describe(plans: Sequence[Plan]) -> str:
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


def tasks(plan: Plan, store: ModelStore, seed: int) -> Iterator[Task]:
    """Every cell of one network; it is trained when the first of them is made."""
    bench = _Bench(plan, store, seed)
    settings = settings_of(plan, ("keeps", "seeds", "schedule"))
    for method in METHODS:
        for keep in plan.keeps:
            for draw in range(plan.seeds if find_method(method).random else 1):
                key = cell(plan, settings, seed + draw) | {"method": method, "keep": keep}
                yield key, lambda m=method, k=keep, d=draw: bench.measure(m, k, seed + d)


class _Bench(Trained[Plan]):
    """One trained network with its calibrations and test inputs."""

    @cached_property
    def tests(self) -> tuple[Tensor, Tensor]:
        """Test inputs with their classes."""
        data = self.data
        inputs, targets = shuffled(data.test_inputs, self.plan.tests, self.seed, data.test_targets)
        return inputs.to(self.store.device), targets

    @cached_property
    def before(self) -> float:
        """Accuracy of the network on them."""
        return training.accuracy(self.model, *self.tests)

    @cached_property
    def calibrations(self) -> dict[str, sipp_core.Calibration]:
        """What each method is given."""
        inputs, _ = self.inputs(self.plan.inputs)
        return calibrations(self.model, inputs, METHODS, self.seed)

    def measure(self, method: str, keep: float, seed: int) -> Json:
        """Prune once and measure."""
        ready = self.calibrations[method]
        pruned = sipp_core.prune(self.model, ready, method=method, keep=keep, seed=seed)
        errors, _ = sipp_core.output_errors(self.model, pruned.model, self.tests[0])
        after = training.accuracy(pruned.model, *self.tests)
        return {
            "kept": pruned.kept, "error": float(errors.mean()), "accuracy": after,
            "drop": self.before - after,
        }  # fmt: skip


PAPER = Paper(
    "CoreNet",
    "Data-Dependent Coresets for Compressing Neural Networks (CoreNet), arXiv 1804.05345",
    PLANS, FIGURES, describe, tasks, lines, curves,
)  # fmt: skip
