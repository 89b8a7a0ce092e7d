"""`generalize`: a pruned network as a file, and every bound on its true error side by side."""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

import sipp_theory
from reports.generalization import classic, halves
from reports.generalization.fitting import refuse_unfitting
from reports.generalization.plans import Plan, adjusted, plan_of
from reports.validation.cells import machine
from reports.validation.subjects import ModelStore
from sipp_core.certificates import count_errors, exact_scores, wrong
from sipp_core.compression import RULES_BITS, Coded, Compressed, candidates, search
from sipp_core.runtime import shuffled, some_threads, versions
from sipp_core.zoo import Dataset

Json = dict[str, Any]
Progress = Callable[[int, int, str], None]
FORMAT = "sipp-theory generalization 1"
FORMS = ("binomial", "kl", "hoeffding")
# Sample sizes at which the best file's bound is shown.
POINTS = (300, 1000, 3000, 10_000, 20_000, 30_000, 60_000)
# Fractions at which GN-1 is shown.
KEEPS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class Generalization:
    """A network's file and what is promised of it.

    Attributes:
        file: the file with the least bound; the network is what it decodes to.
        facts: everything that was computed, as JSON holds it.

    Claim: GN-3. Source: Blumer et al. 1987, Langford 2005.
    """

    file: Compressed
    facts: Json

    @property
    def bound(self) -> float:
        """The certified upper bound on the true error."""
        return float(self.facts["bounds"][0]["value"])

    def summary(self) -> Json:
        """What a result file holds."""
        return dict(self.facts)


def generalize(
    net: str | None = None,
    data: str = "digits",
    *,
    delta: float = 0.05,
    data_dir: str | PathLike[str] | None = None,
    folder: str | PathLike[str] | None = None,
    methods: Sequence[str] | None = None,
    keeps: Sequence[float] | None = None,
    levels: Sequence[int] | None = None,
    seed: int = 0,
    threads: int = 1,
    jobs: int | None = None,
    device: str = "cpu",
    command: str = "",
    progress: Progress | None = None,
) -> Generalization:
    """Find the file with the least bound on the true error, and compute every bound beside it.

    Args:
        net: an architecture, as "lenet-5" or "compact:28,8,12"; None for the data set's usual one.
        data: digits or mnist.
        delta: failure probability of each bound over the training inputs, in (0, 1).
        data_dir: folder of the data files.
        folder: where trained networks and finished candidates are kept, so that a search that was
            stopped goes on from there; None keeps nothing.
        methods: pruning methods to try, "none" for no pruning; None for the plan's.
        keeps: fractions of the weights to try; None for the plan's.
        levels: values that a weight may take; None for the plan's.
        seed: of everything random.
        threads: CPU threads of training; part of the result's definition.
        jobs: processes for the candidates, as in `sipp_core.compression.search`.
        device: where torch computes.
        command: what the user typed, noted in the result.
        progress: called as progress(done, total, what).

    Returns:
        The file and all numbers.

    Raises:
        ValueError: an unknown network or data set, or an argument out of range.
        FileNotFoundError: the data files are not there.

    Claim: GN-1 to GN-4. Source: [AR] arXiv 1802.05296, [CN] arXiv 1804.05345, Langford
        2005, Zhou et al. 2019.

    Example:
        >>> generalize("no such net")
        Traceback (most recent call last):
        ...
        ValueError: net must be one of dense:64,10, or of their families; found 'no such net'
    """
    sipp_theory.occam_bound("binomial", errors=0, n=1, bits=0, delta=delta)
    plan = adjusted(plan_of(net, data), methods, keeps, levels)
    started = time.perf_counter()
    store = ModelStore(
        data_dir, None if folder is None else Path(folder), device, threads, progress
    )
    dataset = store.data(plan.subject)
    refuse_unfitting(plan.subject.net, dataset)
    with some_threads(threads):
        model = store.trained(plan.subject, seed, dataset)
        candidates = _searched(
            plan, model, dataset, delta, seed, threads, jobs, store.folder, progress
        )
        best = min(candidates, key=lambda one: (one.bound, one.file.bits))
        facts = _facts(plan, model, dataset, candidates, best, delta, seed, threads, progress)
    origin = {
        "seconds": round(time.perf_counter() - started, 1), "command": command,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": machine(device), "versions": versions(), "seed": seed, "threads": threads,
    }  # fmt: skip
    return Generalization(best.file, facts | {"made": origin})


def _searched(
    plan: Plan, model: nn.Module, dataset: Dataset, delta: float, seed: int, threads: int,
    jobs: int | None, folder: Path | None, progress: Progress | None,
) -> list[Coded]:  # fmt: skip
    settings = candidates(plan.methods, plan.keeps, plan.levels, plan.codebooks, plan.filters)
    results = search(
        model, dataset, settings, plan.schedule, delta=delta, architecture=plan.subject.net,
        seed=seed, threads=threads, jobs=jobs,
        folder=None if folder is None else folder / "candidates", progress=progress,
    )  # fmt: skip
    return list(results)


def _facts(
    plan: Plan, model: nn.Module, dataset: Dataset, candidates: Sequence[Coded], best: Coded,
    delta: float, seed: int, threads: int, progress: Progress | None,
) -> Json:  # fmt: skip
    say = progress or (lambda done, total, what: None)
    say(0, 3, "the data-dependent prior")
    half = halves.column(plan, dataset, delta, seed, threads)
    say(1, 3, "the bounds as printed")
    dense = exact_scores(model, dataset.train_inputs)
    printed = classic.compression(model, dense.numpy(), dataset, KEEPS, delta, seed)
    theorem = classic.corenet(model, dense.numpy(), dataset, delta, seed)
    say(2, 3, "how the bound moves")
    scores = exact_scores(best.network(), dataset.train_inputs)
    facts = {
        "format": FORMAT, "net": plan.subject.net, "data": plan.subject.data, "n": best.n,
        "test_n": best.test_n, "classes": dataset.num_classes, "delta": delta,
        "weights": sum(p.numel() for p in model.parameters() if p.ndim > 1),
        "dense": {
            "train_errors": int(wrong(dense, dataset.train_targets).sum()),
            "test_errors": count_errors(model, dataset.test_inputs, dataset.test_targets),
        },
        "candidates": [_row(one) for one in candidates], "best": list(candidates).index(best),
        "file": {
            "bits": best.file.bits, "bytes": len(best.file.content),
            "sha256": hashlib.sha256(best.file.content).hexdigest(),
            "sections": [list(section) for section in best.file.sections],
        },
        "budget": [asdict(charge) for charge in budget(best, len(candidates)).charges],
        "bounds": bounds(best, half, printed, theorem, delta), "half": half, "printed": printed,
        "theorem": theorem,
        "margins": classic.margin_facts(scores.numpy(), dataset.train_targets),
        "by_n": _by_n(wrong(scores, dataset.train_targets), best, delta, seed),
    }  # fmt: skip
    say(3, 3, "done")
    return facts


def _row(one: Coded) -> Json:
    return {**asdict(one.setting), "bits": one.file.bits, "kept": one.kept, "errors": one.errors,
            "test_errors": one.test_errors, "bound": one.bound}  # fmt: skip


def budget(best: Coded, count: int) -> sipp_theory.BitBudget:
    """Everything that the network's description costs, section by section and choice by choice.

    Claim: GN-3.
    """
    in_file = "the file: a network that came out otherwise would be another file of the same code"
    parts = {f"{layer} {part}".strip(): bits for layer, part, bits in best.file.sections}
    if parts["rounding"] < 0:
        # The stream may end before its last decisions are paid for in full; no item is a credit.
        parts["checksum, less rounding"] = parts.pop("checksum") + parts.pop("rounding")
    charges = [
        sipp_theory.Charge(what, bits, "in the file") for what, bits in parts.items() if bits > 0
    ]
    free = ("seed, recipe and number of epochs", "keep ratio, levels, codebook and method")
    charges += [sipp_theory.Charge(what, 0.0, f"paid by {in_file}") for what in free]
    charges.append(
        sipp_theory.Charge(
            "the search", best.choice_bits - RULES_BITS,
            f"one of {count} candidates fixed before; paid although the file would do",
        )
    )  # fmt: skip
    charges.append(
        sipp_theory.Charge(
            "the rules of the code", RULES_BITS,
            "constants settled while networks of these data were looked at; at most 2^32 variants",
        )
    )  # fmt: skip
    return sipp_theory.BitBudget(tuple(charges))


def bounds(
    best: Coded, half: Json, printed: Sequence[Json], theorem: Json, delta: float
) -> list[Json]:
    """Every bound on the true error, the certified one first.

    Claim: GN-1 to GN-4.
    """
    bits = best.file.bits + best.choice_bits
    rows = of_file(best.errors, best.n, bits, delta)
    rows.append(of_half(half))
    least = min(float(row["bound"]) for row in printed)
    rows.append(_bound("GN-1", "Compression by parameters and levels", least))
    if "refused" not in theorem:
        rows.append(_bound("GN-2", "CoreNet's corollary", theorem["bound"]))
    return rows


def of_file(errors: int, n: int, bits: float, delta: float) -> list[Json]:
    """The bounds that need a file's bits and its errors only, the certified one first.

    Claim: GN-3, GN-4.
    """
    given = {"errors": errors, "n": n, "bits": bits, "delta": delta}
    names = {"binomial": "Occam, exact binomial tail", "kl": "Occam, kl form",
             "hoeffding": "Occam, Hoeffding's form"}  # fmt: skip
    rows = [
        _bound("GN-3", names[form], float(sipp_theory.occam_bound(form, **given))) for form in FORMS
    ]
    catoni = sipp_theory.catoni_bound(
        error_rate=errors / n, n=n, divergence=bits * np.log(2), delta=delta
    )
    return [*rows, _bound("GN-4", "Catoni, the union over lambda paid", float(catoni))]


def of_half(half: Json) -> Json:
    """The bound of the best network that half of the data chose.

    Claim: GN-3.
    """
    return _bound("GN-3", "Occam, prior from half the data", half["bound"], "half")


def _bound(claim: str, name: str, value: float, column: str = "all") -> Json:
    return {"claim": claim, "name": name, "column": column, "value": float(value),
            "vacuous": not value < 1}  # fmt: skip


def _by_n(missed: Tensor, best: Coded, delta: float, seed: int) -> list[Json]:
    """The file's bound had fewer inputs been counted: the first of a random order."""
    n = len(missed)
    so_far = shuffled(missed, n, seed)[0].cumsum(0)
    rows = []
    for count in sorted({*(k for k in POINTS if k < n), n}):
        errors = int(so_far[count - 1])
        given = {"errors": errors, "n": count, "bits": best.file.bits + best.choice_bits}
        values = {
            form: float(sipp_theory.occam_bound(form, **given, delta=delta)) for form in FORMS
        }
        rows.append({"n": count, "errors": errors, **values})
    return rows
