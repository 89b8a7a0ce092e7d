"""The data-dependent prior: networks found on one half of the data, bounded on the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

import sipp_theory
from reports.generalization.plans import USUAL_METHOD, Plan
from sipp_core.certificates import count_errors
from sipp_core.compression import UNPRUNED
from sipp_core.pruning import prune
from sipp_core.runtime import shuffled
from sipp_core.zoo import Dataset, retraining, training

Json = dict[str, Any]


def halves(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Split the training inputs at random; the test inputs go with both."""
    n = len(dataset.train_inputs)
    if n < 2:
        raise ValueError(f"dataset must have two training inputs at least; found {n}")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    parts = [order[: n // 2].sort().values, order[n // 2 :].sort().values]
    first, second = (
        replace(
            dataset,
            train_inputs=dataset.train_inputs[rows],
            train_targets=dataset.train_targets[rows],
        )
        for rows in parts
    )
    return first, second


def column(plan: Plan, dataset: Dataset, delta: float, seed: int, threads: int) -> Json:
    """Networks of the first half, each as likely as the others; the best of them on the second.

    The prior is uniform over K networks that were trained and pruned on the first half alone. Which
    of them is taken is chosen on the second and costs log2 K bits. Recipes and ratios were settled
    while both halves were looked at, so the rules are paid too; see `sipp_theory.search_bits`.

    Claim: GN-3. Source: Ambroladze et al. 2006 (priors from a part of the data).
    """
    first, second = halves(dataset, seed)
    rows: list[Json] = []
    for (method, keep), model in _networks(plan, first, seed, threads):
        errors = count_errors(model, second.train_inputs, second.train_targets)
        tests = count_errors(model, dataset.test_inputs, dataset.test_targets)
        rows.append({"method": method, "keep": keep, "errors": errors, "test_errors": tests})
    sizes = {"trained_on": len(first.train_inputs), "n": len(second.train_inputs)}
    return priced({**sizes, "candidates": rows}, delta)


def priced(counted: Json, delta: float) -> Json:
    """A column with its bounds, computed from what each network gets wrong.

    Results of earlier releases charged log2 K only; reading one prices it again.

    Claim: GN-3.
    """
    bits = float(sipp_theory.search_bits(len(counted["candidates"])))
    given = {"n": counted["n"], "bits": bits, "delta": delta}
    rows = [
        row | {"bound": float(sipp_theory.occam_bound("binomial", errors=row["errors"], **given))}
        for row in counted["candidates"]
    ]
    best = min(range(len(rows)), key=lambda k: (rows[k]["bound"], rows[k]["keep"]))
    return counted | {
        "bits": bits, "candidates": rows, "best": best, "bound": rows[best]["bound"]
    }  # fmt: skip


def _networks(
    plan: Plan, first: Dataset, seed: int, threads: int
) -> list[tuple[tuple[str, float], nn.Module]]:
    model = plan.subject.build(seed)
    training.train(model, first, plan.subject.recipe, seed=seed, threads=threads)
    networks: list[tuple[tuple[str, float], nn.Module]] = [((UNPRUNED, 1.0), model)]
    pairs = [shuffled(first.train_inputs, plan.schedule.inputs, seed, first.train_targets)]
    # One method is enough: what a half's column shows is the price of a prior, not of a method.
    method = next((name for name in plan.methods if name != UNPRUNED), USUAL_METHOD)
    keeps = sorted({*plan.schedule.steps, *plan.keeps} - {1.0}, reverse=True) or [0.5]
    rounds = retraining.cascade(
        model, first, keeps,
        lambda net, keep: prune(net, pairs, method=method, keep=keep, seed=seed),
        plan.schedule.again, seed=seed, threads=threads,
    )  # fmt: skip
    return networks + [((method, done.keep), done.model) for done in rounds]
