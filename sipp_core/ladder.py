"""From a trained network down to sparse ones: candidates for a short file, each trained again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sipp_core import retraining
from sipp_core.datasets import Dataset
from sipp_core.drawing import shuffled
from sipp_core.filters import prune_filters
from sipp_core.layers import weight_of
from sipp_core.masks import nonzeros
from sipp_core.prune import prune
from sipp_core.quantizing import Codebook
from sipp_core.recipes import Recipe
from sipp_core.result import PruneResult

__all__ = ["UNPRUNED", "Schedule", "Setting", "candidates", "ladder"]

UNPRUNED = "none"
"""Method of a candidate that keeps every weight. Claim: none (plumbing)."""


@dataclass(frozen=True)
class Setting:
    """What one candidate of the search is.

    Attributes:
        method: a method of `prune`, or "none".
        keep: fraction of the prunable weights, in (0, 1]; 1 with "none".
        levels: values that a weight may take.
        codebook: "grid" or "table".
        filters: fraction of the weights that is left when whole neurons and filters go first, the
            same share of each layer, in (0, 1].

    Claim: none (plumbing).
    """

    method: str
    keep: float
    levels: int
    codebook: Codebook
    filters: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How candidates are made.

    Attributes:
        again: training after each pruning.
        levels: training on levels.
        steps: fractions kept on the way to a candidate's, between `filters` and `keep`,
            descending; each is pruned to and trained again.
        rate: price of a bit in squared steps; see `learning_levels`.
        inputs: calibration inputs of a pruning method.

    Claim: none (plumbing).
    """

    again: Recipe
    levels: Recipe
    steps: tuple[float, ...] = ()
    rate: float = 0.05
    inputs: int = 400


def candidates(
    methods: Sequence[str], keeps: Sequence[float], levels: Sequence[int],
    codebooks: Sequence[Codebook], filters: Sequence[float] = (1.0,),
) -> list[Setting]:  # fmt: skip
    """Every combination; a grid takes odd numbers of levels only, and "none" keeps everything.

    Args:
        methods: of `prune`, or "none".
        keeps: fractions, each in (0, 1].
        levels: values a weight may take.
        codebooks: kinds of levels.
        filters: fractions left when whole neurons go first, each in (0, 1].

    Returns:
        Settings without repetition, the densest first.

    Raises:
        ValueError: none is left, or a fraction outside (0, 1].

    Claim: none (plumbing).

    Example:
        >>> [c.codebook for c in candidates(["none"], [0.5, 0.1], [4, 5], ["grid", "table"])]
        ['table', 'grid', 'table']
    """
    for name, shares in (("keep", keeps), ("filters", filters)):
        for share in shares:
            if not 0 < share <= 1:
                raise ValueError(f"{name} must lie in (0, 1]; found {share!r}")
    found = {
        Setting(method, 1.0 if method == UNPRUNED else keep, count, codebook, share): None
        for share in filters
        for method in methods
        for keep in sorted(keeps, reverse=True)
        for count in levels
        for codebook in codebooks
        if codebook == "table" or count % 2
    }
    if not found:
        raise ValueError("no candidate is left: a grid needs an odd number of levels")
    return list(found)


Rung = tuple[Setting, nn.Module, dict[str, Tensor]]


def ladder(
    model: nn.Module, dataset: Dataset, settings: Sequence[Setting], schedule: Schedule,
    seed: int, threads: int,
) -> Iterator[Rung]:  # fmt: skip
    """Each candidate with its pruned network, method by method, from dense to sparse.

    Candidates of one method share the way down; each is made when it is asked for.

    Args:
        model: the trained network; not changed.
        dataset: what to train on.
        settings: the candidates.
        schedule: how they are trained.
        seed: of draws and of the order of batches.
        threads: CPU threads of training.

    Returns:
        An iterator of candidates, their networks and the masks of their layers.

    Claim: none (plumbing).
    """
    for filters in dict.fromkeys(setting.filters for setting in settings):
        here = [setting for setting in settings if setting.filters == filters]
        start, held = _without_filters(model, dataset, filters, schedule, seed, threads)
        for method in dict.fromkeys(setting.method for setting in here):
            mine = [setting for setting in here if setting.method == method]
            if method == UNPRUNED:
                yield from ((setting, start, held) for setting in mine)
                continue
            wanted = {setting.keep for setting in mine}
            on_the_way = {keep for keep in schedule.steps if min(wanted) < keep < filters}
            rounds = retraining.cascade(
                start, dataset, sorted(wanted | on_the_way, reverse=True),
                _sparsifier(method, dataset, schedule, seed), schedule.again, seed=seed,
                threads=threads,
            )  # fmt: skip
            for done in rounds:
                masks = nonzeros(done.model, done.layers)
                yield from ((s, done.model, masks) for s in mine if s.keep == done.keep)


# Whole neurons go by and by too: this many halvings, or what is left of them, at a time.
NARROWING = 0.5


def _without_filters(
    model: nn.Module, dataset: Dataset, share: float, schedule: Schedule, seed: int, threads: int
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network without its least sensitive neurons, zeros in their place, trained again."""
    here, masks, left = model, {}, 1.0
    while left > share:
        left = max(left * NARROWING, share)
        inputs, _ = _calibration(dataset, schedule, seed)
        found = prune_filters(
            here, inputs, method="filters-det", keep=left, alike="channels", seed=seed
        )
        here, masks = copy.deepcopy(here), {}
        for report in found.layers:
            module = here.get_submodule(report.name)
            mask = torch.zeros(weight_of(module).shape, dtype=torch.bool)
            rows = torch.from_numpy(report.kept_filters)[:, None]
            mask[rows, torch.from_numpy(report.kept_inputs)] = True
            masks[report.name] = mask
            if isinstance(module.bias, Tensor):
                gone = ~mask.flatten(1).any(1)
                with torch.no_grad():
                    module.bias[gone.to(module.bias.device)] = 0.0
        retraining.retrain(here, dataset, schedule.again, masks=masks, seed=seed, threads=threads)
    return here, masks


def _calibration(dataset: Dataset, schedule: Schedule, seed: int) -> tuple[Tensor, Tensor]:
    return shuffled(dataset.train_inputs, schedule.inputs, seed, dataset.train_targets)


def _sparsifier(
    method: str, dataset: Dataset, schedule: Schedule, seed: int
) -> Callable[[nn.Module, float], PruneResult]:
    pairs = [_calibration(dataset, schedule, seed)]
    return lambda model, keep: prune(model, pairs, method=method, keep=keep, seed=seed)
