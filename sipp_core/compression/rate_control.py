"""The file with the least bound on the true error: how many weights to keep, on how many levels.

Each candidate is pruned, trained again with its zeros held, trained on levels, polished, written
to a file and read back; the errors that count are those of the network that was read back. Occam's
bound (GN-3) holds for every file of the code at once, whatever was tried; the number of candidates
is charged all the same, so that no reader has to follow that argument.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.errors import count_errors
from sipp_core.compression.candidates import (
    RULES_BITS,
    UNPRUNED,
    CandidateCache,
    Coded,
    Schedule,
    Setting,
    candidates,
    charged,
)
from sipp_core.compression.compress import compress, decompress
from sipp_core.compression.neuron_order import sort_neurons
from sipp_core.compression.polishing import polished
from sipp_core.compression.quantization import learning_levels
from sipp_core.methods.filters import prune_filters
from sipp_core.network.layers import weight_of
from sipp_core.network.masks import nonzeros
from sipp_core.network.packed import layer_of
from sipp_core.pruning.prune import prune
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.execution import Progress, model_device, some_threads
from sipp_core.runtime.inputs import shuffled
from sipp_core.runtime.provenance import checksum, fingerprint, versions
from sipp_core.runtime.tasks import mapped, workers
from sipp_core.zoo import retraining
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.training import train

__all__ = [
    "RULES_BITS", "UNPRUNED", "Coded", "Schedule", "Setting", "candidates", "charged", "search",
]  # fmt: skip

# Whole neurons go by and by too: this many halvings, or what is left of them, at a time.
NARROWING = 0.5
# What a worker loads before its first task.
LOADED = ("torch", "sipp_core.methods", "sipp_core.compression", "sklearn.cluster")


Rung = tuple[nn.Module, dict[str, Tensor]]  # a pruned network, and the masks of its weights


def _ladder(
    model: nn.Module, dataset: Dataset, settings: Sequence[Setting], schedule: Schedule,
    seed: int, threads: int, jobs: int | None,
) -> Iterator[tuple[Setting, Rung]]:  # fmt: skip
    """Each candidate with its pruned network, method by method, from dense to sparse.

    Candidates of one method share the way down; each is computed when it is needed.
    """
    shares = list(dict.fromkeys(setting.filters for setting in settings))
    making = (dataset, schedule, seed, threads)
    calls = [(model, share, *making) for share in shares]
    starts = dict(zip(shares, mapped(_without_filters, calls, jobs, LOADED), strict=True))
    groups: dict[tuple[float, str], list[Setting]] = {}
    for setting in _order(settings):
        groups.setdefault((setting.filters, setting.method), []).append(setting)
    ways = [(own, starts[own[0].filters], *making) for own in groups.values()]
    alone = workers(jobs) == 1
    downs = (_way_down(*way) for way in ways) if alone else mapped(_down, ways, jobs, LOADED)
    for own, down in zip(groups.values(), downs, strict=True):
        for keep, rung in down:
            yield from ((setting, rung) for setting in own if setting.keep == keep)


def _way_down(
    settings: Sequence[Setting], start: Rung, dataset: Dataset, schedule: Schedule, seed: int,
    threads: int,
) -> Iterator[tuple[float, Rung]]:  # fmt: skip
    """The networks of one method's candidates by the share that they keep, from dense to sparse."""
    method, filters = settings[0].method, settings[0].filters
    if method == UNPRUNED:
        yield 1.0, start
        return
    keeps = {setting.keep for setting in settings}
    on_the_way = {keep for keep in schedule.steps if min(keeps) < keep < filters}
    rounds = retraining.cascade(
        start[0], dataset, sorted(keeps | on_the_way, reverse=True),
        _sparsifier(method, dataset, schedule, seed), schedule.again, seed=seed, threads=threads,
    )  # fmt: skip
    while True:
        with some_threads(threads):
            done = next(rounds, None)
        if done is None:
            return
        if done.keep in keeps:
            yield done.keep, (done.model, nonzeros(done.model, done.layers))


def _down(*way: Any) -> list[tuple[float, Rung]]:
    """All of `_way_down` at once, for another process to hand back."""
    return list(_way_down(*way))


def _without_filters(
    model: nn.Module, share: float, dataset: Dataset, schedule: Schedule, seed: int, threads: int
) -> Rung:
    """The network without its least sensitive neurons, zeros in their place, trained again."""
    with some_threads(threads):
        return _narrowed(model, share, dataset, schedule, seed, threads)


def _narrowed(
    model: nn.Module, share: float, dataset: Dataset, schedule: Schedule, seed: int, threads: int
) -> Rung:
    here, masks, left = model, {}, 1.0
    while left > share:
        left = max(left * NARROWING, share)
        inputs, _ = _calibration(dataset, schedule, seed)
        result = prune_filters(here, inputs, keep=left, alike="channels", seed=seed)
        here, masks = copy.deepcopy(here), {}
        for layer in result.layers:
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
    jobs: int | None = None,
    folder: str | PathLike[str] | None = None,
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
        jobs: processes, >= 1, or -1 for every core; None for what joblib's context says, else 1.
            They change no bit, and one that is killed costs what it was at.
        folder: where finished candidates are kept, so that a search that was stopped goes on from
            there; a folder that every process sees.
        progress: called as progress(done, total, what).

    Returns:
        An iterator of candidates, each computed when it is consumed; the best is the one with the
        least bound.

    Raises:
        ValueError: no candidates, delta outside (0, 1), or what pruning, training and compression
            refuse.

    Claim: GN-3. Source: [OWN] the search; Blumer et al. 1987, Langford 2005 (the bound).

    Example:
        >>> from sipp_core import methods; from sipp_core.zoo import datasets, models, training
        >>> net, data = models.build("digits-mlp"), datasets.load("digits")
        >>> short = training.Recipe(1, 64, 3e-3); plan = Schedule(again=short, levels=short)
        >>> settings = candidates([methods.Magnitude.name], [0.1], [3], ["grid"])
        >>> results = list(search(net, data, settings, plan, delta=0.05))
        >>> results[0].file.bits < 32 * 17_000, results[0].bound <= 1
        (True, True)
    """
    if not settings:
        raise ValueError("settings must name a candidate at least; found none")
    sipp_theory.occam_bound("binomial", errors=0, n=1, bits=0, delta=delta)
    price = charged(len(settings))
    total = len(settings)
    cache = None if folder is None else CandidateCache(Path(folder), (
        fingerprint(model), _fingerprint(dataset), repr(schedule), delta, architecture, seed,
        threads, total, versions(),
    ))  # fmt: skip
    known = {s: one for s in settings if cache and (one := cache.get(s)) is not None}
    # What lies on a way down depends on all that is on it.
    left = {(s.filters, s.method) for s in settings if s not in known}
    again = [s for s in settings if (s.filters, s.method) in left]
    rungs = _ladder(model, dataset, again, schedule, seed, threads, jobs)
    calls = (
        (setting, rung, dataset, schedule, delta, architecture, price, seed, threads, cache)
        for setting, rung in rungs
        if setting not in known
    )
    alone = workers(jobs) == 1
    results = (_coded(*call) for call in calls) if alone else mapped(_coded, [*calls], jobs, LOADED)
    for number, setting in enumerate(_order(settings)):
        if progress is not None:
            progress(number, total, f"{setting.method} {setting.keep:g}, {setting.levels} levels")
        yield known[setting] if setting in known else next(results)
    if progress is not None:
        progress(total, total, "candidates")


def _order(settings: Sequence[Setting]) -> list[Setting]:
    """Candidates as they are made: by filters, by method, and from dense to sparse."""
    shares = list(dict.fromkeys(setting.filters for setting in settings))
    methods = list(dict.fromkeys((setting.filters, setting.method) for setting in settings))
    return sorted(
        settings,
        key=lambda s: (shares.index(s.filters), methods.index((s.filters, s.method)), -s.keep),
    )


def _fingerprint(dataset: Dataset) -> str:
    """SHA-256 of its inputs and targets."""
    tensors = ("train_inputs", "train_targets", "test_inputs", "test_targets")
    return checksum({name: getattr(dataset, name) for name in tensors})


def _coded(
    setting: Setting, rung: Rung, dataset: Dataset, schedule: Schedule, delta: float,
    architecture: str | None, price: float, seed: int, threads: int, cache: CandidateCache | None,
) -> Coded:  # fmt: skip
    """A candidate's file: its pruned network is trained on levels and written."""
    here = copy.deepcopy(rung[0])
    with some_threads(threads):
        with learning_levels(
            here, levels=setting.levels, codebook=setting.codebook, rate=schedule.rate,
            masks=rung[1], seed=seed,
        ):  # fmt: skip
            train(here, dataset, schedule.levels, seed=seed, threads=threads)
        result = _written(here, dataset, setting, delta, architecture, price)
    if cache is not None:
        cache.put(result)
    return result


def _written(
    model: nn.Module, dataset: Dataset, setting: Setting, delta: float, architecture: str | None,
    price: float,
) -> Coded:  # fmt: skip
    bits = compress(model).bits + price
    model = polished(model, dataset.train_inputs, dataset.train_targets, bits, delta)
    model = _in_any_order(model)
    file = compress(model, architecture=architecture)
    # Everything from here on holds for what the file decodes to.
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
