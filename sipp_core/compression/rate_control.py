"""The file with the least bound on the true error: how many weights to keep, on how many levels.

Each candidate is pruned, trained again with its zeros held, trained on levels, polished, written
to a file and read back; the errors that count are those of the network that was read back. Occam's
bound (GN-3) holds for every file of the code at once, whatever was tried; the number of candidates
is charged all the same, so that no reader has to follow that argument.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.errors import count_errors
from sipp_core.compression.compress import Compressed, compress, decompress
from sipp_core.compression.neuron_order import sort_neurons
from sipp_core.compression.polishing import polished
from sipp_core.compression.quantization import Codebook, learning_levels
from sipp_core.methods.filters import prune_filters
from sipp_core.network.layers import weight_of
from sipp_core.network.masks import nonzeros
from sipp_core.network.packed import layer_of
from sipp_core.pruning.prune import prune
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.execution import Progress, model_device
from sipp_core.runtime.inputs import shuffled
from sipp_core.zoo import retraining
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe
from sipp_core.zoo.training import train

__all__ = [
    "RULES_BITS", "UNPRUNED", "Coded", "Schedule", "Setting", "candidates", "charged", "search",
]  # fmt: skip

RULES_BITS = sipp_theory.RULES_BITS
"""Charged for the rules by which bytes become a network."""

UNPRUNED = "none"
"""Method of a candidate that keeps every weight."""
# Whole neurons go by and by too: this many halvings, or what is left of them, at a time.
NARROWING = 0.5


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


def _ladder(
    model: nn.Module, dataset: Dataset, settings: Sequence[Setting], schedule: Schedule,
    seed: int, threads: int,
) -> Iterator[tuple[Setting, nn.Module, dict[str, Tensor]]]:  # fmt: skip
    """Each candidate with its pruned network, method by method, from dense to sparse.

    Candidates of one method share the way down; each is made when it is asked for.
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


def _without_filters(
    model: nn.Module, dataset: Dataset, share: float, schedule: Schedule, seed: int, threads: int
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network without its least sensitive neurons, zeros in their place, trained again."""
    here, masks, left = model, {}, 1.0
    while left > share:
        left = max(left * NARROWING, share)
        inputs, _ = _calibration(dataset, schedule, seed)
        found = prune_filters(here, inputs, keep=left, alike="channels", seed=seed)
        here, masks = copy.deepcopy(here), {}
        for layer in found.layers:
            report = layer.channels
            assert report is not None
            module = layer_of(here, report.name)
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


@dataclass(frozen=True, eq=False)
class Coded:
    """A candidate as a file, with what it gets wrong and what is promised of it.

    Attributes:
        setting: what it is.
        file: its bytes; the network is what they decode to.
        kept: fraction of the prunable weights that is not zero after decoding.
        errors: training inputs that the decoded network gets wrong.
        n: training inputs.
        test_errors: the same on the test inputs; takes no part in the bound.
        test_n: test inputs.
        choice_bits: what is charged besides the file; see `charged`.
        bound: upper bound on the true error at confidence 1 - delta, GN-3's binomial form.

    Claim: GN-3. Source: Blumer et al. 1987, Langford 2005.
    """

    setting: Setting
    file: Compressed
    kept: float
    errors: int
    n: int
    test_errors: int
    test_n: int
    choice_bits: float
    bound: float

    def network(self, template: nn.Module | None = None) -> nn.Module:
        """The network that the file decodes to."""
        return decompress(self.file.content, template).eval()


def charged(count: int) -> float:
    """What is charged besides the file: the rules of the code, and which candidate was taken.

    Args:
        count: candidates of the search, >= 1.

    Returns:
        `sipp_theory.search_bits`: RULES_BITS + log2(count), in bits, rounded up.

    Raises:
        ValueError: a count below 1.

    Claim: GN-3. Source: Blumer et al. 1987, Langford 2005.

    Example:
        >>> charged(4)
        34.0
    """
    return float(sipp_theory.search_bits(count))


def search(
    model: nn.Module,
    dataset: Dataset,
    settings: Sequence[Setting],
    schedule: Schedule,
    *,
    delta: float,
    architecture: str | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[Coded]:
    """Make every candidate's file, and bound the true error of the network that it decodes to.

    Args:
        model: the trained network; not changed.
        dataset: training inputs, i.i.d., all of which the bound counts; test inputs to compare.
        settings: the candidates; those of one method share the way down from dense to sparse.
        schedule: how they are trained.
        delta: failure probability of the bound over the training inputs, in (0, 1).
        architecture: the family that the file names; see `compress`.
        seed: of draws and of the order of batches.
        threads: CPU threads of training; part of the result's definition.
        progress: called as progress(done, total, what).

    Returns:
        An iterator of candidates, each made when it is asked for; the best is the one with the
        least bound.

    Raises:
        ValueError: no candidates, delta outside (0, 1), or what pruning, training and compression
            refuse.

    Claim: GN-3. Source: [OWN] the search; Blumer et al. 1987, Langford 2005 (the bound).

    Example:
        >>> from sipp_core import methods; from sipp_core.zoo import datasets, models
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> plan = Schedule(again=Recipe(1, 64, 3e-3), levels=Recipe(1, 64, 3e-3))
        >>> settings = candidates([methods.Magnitude.name], [0.1], [3], ["grid"])
        >>> found = list(search(net, data, settings, plan, delta=0.05))
        >>> found[0].file.bits < 32 * 17_000, found[0].bound <= 1
        (True, True)
    """
    if not settings:
        raise ValueError("settings must name a candidate at least; found none")
    sipp_theory.occam_bound("binomial", errors=0, n=1, bits=0, delta=delta)
    price = charged(len(settings))
    total = len(settings)
    rungs = _ladder(model, dataset, settings, schedule, seed, threads)
    for made, (setting, pruned, masks) in enumerate(rungs):
        if progress is not None:
            progress(made, total, f"{setting.method} {setting.keep:g}, {setting.levels} levels")
        here = copy.deepcopy(pruned)
        with learning_levels(
            here, levels=setting.levels, codebook=setting.codebook, rate=schedule.rate,
            masks=masks, seed=seed,
        ):  # fmt: skip
            train(here, dataset, schedule.levels, seed=seed, threads=threads)
        yield _written(here, dataset, setting, delta, architecture, price)
    if progress is not None:
        progress(total, total, "candidates")


def _written(
    model: nn.Module, dataset: Dataset, setting: Setting, delta: float, architecture: str | None,
    price: float,
) -> Coded:  # fmt: skip
    bits = compress(model).bits + price
    model = polished(model, dataset.train_inputs, dataset.train_targets, bits, delta)
    model = _in_any_order(model)
    file = compress(model, architecture=architecture)
    # Everything from here on is said of what the file decodes to.
    read = decompress(file.content, model if architecture is None else None)
    read = read.to(model_device(model)).eval()
    n, tests = len(dataset.train_inputs), len(dataset.test_inputs)
    errors = count_errors(read, dataset.train_inputs, dataset.train_targets)
    bound = sipp_theory.occam_bound(
        "binomial", errors=errors, n=n, bits=file.bits + price, delta=delta
    )
    return Coded(
        setting, file, _kept(read), errors, n,
        count_errors(read, dataset.test_inputs, dataset.test_targets), tests, price, float(bound),
    )  # fmt: skip


def _in_any_order(model: nn.Module) -> nn.Module:
    """The network with its neurons sorted; one that is no chain keeps its order and pays for it."""
    try:
        return sort_neurons(model)
    except ValueError:
        return model


def _kept(model: nn.Module) -> float:
    weights = [p for p in model.parameters() if p.ndim > 1]
    return sum(int(w.count_nonzero()) for w in weights) / sum(w.numel() for w in weights)
