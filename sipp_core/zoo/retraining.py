"""Train what pruning left: zeros stay zeros, and the iterative cascade of pruning and training.

Nothing here is promised: a promise of `prune` speaks of the network it made, and ends with the
first step of training. Certify the network that comes out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from sipp_core.network.masks import holding_zeros
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.execution import Progress
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe
from sipp_core.zoo.training import TrainResult, accuracy, train

__all__ = ["Round", "Sparsify", "cascade", "one_round", "retrain", "rewound"]

Sparsify = Callable[[nn.Module, float], PruneResult]
"""Makes a pruned network of a fraction."""


def retrain(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    masks: Mapping[str, Tensor],
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a pruned network in place; its zeros stay.

    Args:
        model: the network; changed in place.
        dataset: what to learn.
        recipe: how.
        masks: bool tensors by layer name, False where a weight must stay 0.
        seed: order of the batches.
        threads: CPU threads, >= 1.
        progress: as for `train`.

    Returns:
        Accuracies and loss afterwards.

    Raises:
        ValueError: a mask of another shape, or what `train` refuses.

    Accuracies are measurements, not guarantees.

    Example:
        >>> import torch
        >>> from sipp_core.zoo import datasets, models
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> mask = torch.rand(net.fc1.weight.shape) < 0.2
        >>> _ = retrain(net, data, Recipe(1, 64, 3e-3), masks={"fc1": mask})
        >>> bool((net.fc1.weight[~mask] == 0).all())
        True
    """
    with holding_zeros(model, masks):
        return train(model, dataset, recipe, seed=seed, threads=threads, progress=progress)


def rewound(start: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A lottery ticket: the network as it began, with only the masked weights.

    Args:
        start: the network at its initialisation; not changed.
        masks: bool tensors by layer name, True where a weight is kept.

    Returns:
        A copy of `start` whose weights outside the masks are 0.

    Raises:
        ValueError: a mask whose shape is not its weight's.

    Source: Frankle, Carbin 2019, arXiv 1803.03635.

    Example:
        >>> import torch
        >>> start = nn.Linear(2, 1)
        >>> ticket = rewound(start, {"": torch.tensor([[True, False]])})
        >>> torch.equal(ticket.weight[0, :1], start.weight[0, :1]), ticket.weight[0, 1].item()
        (True, 0.0)
    """
    ticket = copy.deepcopy(start)
    with holding_zeros(ticket, masks):
        return ticket


@dataclass(frozen=True, eq=False)
class Round:
    """One round of the cascade.

    Attributes:
        keep: fraction of the prunable weights to keep.
        kept: fraction left.
        pruned_accuracy: on the test inputs, before training again.
        accuracy: on the test inputs, after it.
        train_accuracy: on the training inputs, after it.
        model: the network after it; the next round starts from it.
        layers: names of the layers that were pruned.

    Accuracies are measurements, not guarantees.
    """

    keep: float
    kept: float
    pruned_accuracy: float
    accuracy: float
    train_accuracy: float
    model: nn.Module
    layers: tuple[str, ...]


def one_round(
    model: nn.Module,
    dataset: Dataset,
    keep: float,
    sparsify: Sparsify,
    recipe: Recipe,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Round:
    """Prune to a fraction and train what is left.

    Args:
        model: the network; not changed. Its zeros count as weights, and mostly stay zeros.
        dataset: what to train on and to test on.
        keep: fraction of the prunable weights to keep, in (0, 1].
        sparsify: (model, keep) to a pruned network, as `prune` with everything else settled.
        recipe: how to train it.
        seed: order of the batches.
        threads: CPU threads of training.
        progress: as for `train`.

    Returns:
        What came of it.

    Raises:
        ValueError: what pruning and training refuse.

    Example:
        >>> from sipp_core.pruning import prune
        >>> from sipp_core.zoo import datasets, models
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> half = lambda net, keep: prune(net, data.train_inputs, method="magnitude", keep=keep)
        >>> one_round(net, data, 0.5, half, Recipe(1, 64, 3e-3)).kept
        0.5
    """
    result = sparsify(model, keep)
    before = accuracy(result.model, dataset.test_inputs, dataset.test_targets)
    trained = retrain(
        result.model, dataset, recipe, masks=result.masks, seed=seed, threads=threads,
        progress=progress,
    )  # fmt: skip
    return Round(
        keep, result.kept, before, trained.test_accuracy, trained.train_accuracy, result.model,
        tuple(result.masks),
    )  # fmt: skip


def cascade(
    model: nn.Module,
    dataset: Dataset,
    keeps: Sequence[float],
    sparsify: Sparsify,
    recipe: Recipe,
    *,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Round]:
    """Prune a little, train, and again: the iterative schedule of the pruning literature.

    Args:
        model: the trained network; not changed.
        dataset: what to train on and to test on.
        keeps: fractions of the prunable weights to keep, descending.
        sparsify: makes a network of that fraction, as `prune` with everything else settled.
        recipe: how to train after each pruning.
        seed: order of the batches; round k uses seed + k.
        threads: CPU threads of training.
        progress: as for `train`.

    Returns:
        An iterator of rounds, each computed when it is consumed.

    Raises:
        ValueError: fractions that do not descend, or what pruning and training refuse.

    Source: [SP] arXiv 1910.05422 (iterative prune + retrain).

    Example:
        >>> from sipp_core.pruning import prune
        >>> from sipp_core.zoo import datasets, models
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> fewer = lambda net, keep: prune(net, data.train_inputs, method="magnitude", keep=keep)
        >>> [one.kept for one in cascade(net, data, (0.5, 0.25), fewer, Recipe(1, 64, 3e-3))]
        [0.5, 0.25]
    """
    if any(a <= b for a, b in pairwise(keeps)):
        raise ValueError(f"keeps must descend; found {tuple(keeps)}")
    here = model
    for number, keep in enumerate(keeps):
        done = one_round(
            here, dataset, keep, sparsify, recipe, seed=seed + number, threads=threads,
            progress=progress,
        )  # fmt: skip
        here = done.model
        yield done
