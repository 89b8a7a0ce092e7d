"""The file with the least bound on the true error: how many weights to keep, on how many levels.

Each candidate is pruned, trained again with its zeros held, trained on levels, written to a file
and read back; the errors that count are those of the network that was read back. Occam's bound
(GN-3) holds for every file of the code at once, whatever was tried; the number of candidates is
charged all the same, so that no reader has to follow that argument.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from torch import nn

import sipp_theory
from sipp_core.compressing import Compressed, compress, decompress
from sipp_core.counting import count_errors
from sipp_core.datasets import Dataset
from sipp_core.ladder import Schedule, Setting, ladder
from sipp_core.neuron_order import sort_neurons
from sipp_core.quantizing import learning_levels
from sipp_core.running import Progress, model_device
from sipp_core.training import train

__all__ = ["RULES_BITS", "Coded", "charged", "search"]

RULES_BITS = 32.0
"""Charged for the rules by which bytes become a network. They are fixed and public, but their
constants were settled while networks of the very data sets were looked at; 2**32 is more variants
than were tried. Claim: GN-3."""


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

    Claim: GN-3.
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
        RULES_BITS + log2(count), in bits, rounded up.

    Raises:
        ValueError: a count below 1.

    Claim: GN-3.

    Example:
        >>> charged(4)
        34.0
    """
    return RULES_BITS + float(sipp_theory.choice_bits(count))


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
        >>> from sipp_core import datasets, models
        >>> from sipp_core.ladder import candidates
        >>> from sipp_core.recipes import Recipe
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> plan = Schedule(again=Recipe(1, 64, 3e-3), levels=Recipe(1, 64, 3e-3))
        >>> found = list(search(net, data, candidates(["magnitude"], [0.1], [3], ["grid"]), plan,
        ...                     delta=0.05))
        >>> found[0].file.bits < 32 * 17_000, found[0].bound <= 1
        (True, True)
    """
    if not settings:
        raise ValueError("settings must name a candidate at least; found none")
    sipp_theory.occam_bound("binomial", errors=0, n=1, bits=0, delta=delta)
    price = charged(len(settings))
    total = len(settings)
    rungs = ladder(model, dataset, settings, schedule, seed, threads)
    for made, (setting, pruned, masks) in enumerate(rungs):
        if progress is not None:
            progress(made, total, f"{setting.method} {setting.keep:g}, {setting.levels} levels")
        here = copy.deepcopy(pruned)
        with learning_levels(
            here, levels=setting.levels, codebook=setting.codebook, rate=schedule.rate,
            masks=masks, seed=seed,
        ):  # fmt: skip
            train(here, dataset, **asdict(schedule.levels), seed=seed, threads=threads)
        yield _written(here, dataset, setting, delta, architecture, price)
    if progress is not None:
        progress(total, total, "candidates")


def _written(
    model: nn.Module, dataset: Dataset, setting: Setting, delta: float, architecture: str | None,
    price: float,
) -> Coded:  # fmt: skip
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
