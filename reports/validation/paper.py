"""A paper as one record, and the trained network that the cells of its experiment are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from reports.validation.subjects import AnyPlan, ModelStore, Planned
from reports.validation.verdicts import Line
from reports.validation.work import Task
from sipp_core.runtime import shuffled
from sipp_core.zoo import Dataset, Recipe, retraining, training

Json = dict[str, Any]
P = TypeVar("P", bound=AnyPlan)
N = TypeVar("N", bound=Planned)


@dataclass(frozen=True)
class Paper(Generic[P]):
    """A paper's experiment.

    Attributes:
        name: as readers know it.
        title: the paper's title and number.
        plans: what is run, by schedule.
        figures: title and caption by a figure's name; one that ends in a dash goes on with a
            network's.
        describe: plans in words.
        tasks: every cell of a plan, from a seed on.
        lines: the table, from plans and rows.
        curves: panels of the figures, from plans and rows.
    """

    name: str
    title: str
    plans: Mapping[str, Sequence[P]]
    figures: Mapping[str, tuple[str, str]]
    describe: Callable[[Sequence[P]], str]
    tasks: Callable[[P, ModelStore, int], Iterator[Task]]
    lines: Callable[[Sequence[P], Sequence[Json]], list[Line]]
    curves: Callable[[Sequence[P], Sequence[Json]], list[Json]]


class Trained(Generic[N]):
    """One trained network; whatever a finished cell does not need is never computed."""

    def __init__(self, plan: N, store: ModelStore, seed: int) -> None:
        self.plan, self.store, self.seed = plan, store, seed

    @property
    def data(self) -> Dataset:
        """Its data."""
        return self.store.data(self.plan.subject)

    @cached_property
    def model(self) -> nn.Module:
        """The trained network."""
        return self.store.trained(self.plan.subject, self.seed, self.data)

    def inputs(self, count: int) -> tuple[Tensor, Tensor]:
        """So many training inputs, with their classes."""
        data = self.data
        return shuffled(data.train_inputs, count, self.seed, data.train_targets)

    def accuracy(self, model: nn.Module) -> float:
        """Share of all test inputs that are classified correctly."""
        # On CPUs a quarter of the usual batch stays in the cache, which halves a ResNet's time.
        return training.accuracy(model, self.data.test_inputs, self.data.test_targets, 256)

    def retrain(
        self, model: nn.Module, recipe: Recipe, masks: Mapping[str, Tensor], seed: int
    ) -> float:
        """Train the weights under the masks on, in place; return the accuracy that comes out."""
        return retraining.retrain(
            model, self.data, recipe, masks=masks, seed=seed, threads=self.store.threads,
            progress=self.store.progress,
        ).test_accuracy  # fmt: skip
