"""Accuracy and output error against the weights kept, per method, over a grid and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

import sipp_core
from reports.overview.settings import Settings
from reports.overview.splits import Splits
from reports.overview.tasks import Json, Progress, told
from reports.site.methods import calibrations
from sipp_core.pruning import find_method
from sipp_core.runtime import one_thread
from sipp_core.zoo import training


def grid(
    model: nn.Module,
    splits: Splits,
    plan: Settings,
    seed: int,
    progress: Progress | None,
    jobs: int | None = None,
) -> list[Json]:
    """Prune by every method at every keep ratio; one row each, with the runs of all seeds."""
    cells = [(method, keep) for method in plan.methods for keep in plan.keeps]
    ready = calibrations(model, splits.calibration_pairs, plan.methods, seed)
    seeds = {
        method: range(seed, seed + (plan.seeds if find_method(method).random else 1))
        for method in plan.methods
    }
    figures = splits.figure_inputs, splits.figure_targets
    calls = [(model, figures, ready[m], m, keep, seeds[m]) for m, keep in cells]
    runs_of = told(_cell, calls, jobs, progress, lambda i: f"prune by {cells[i][0]}")
    return [
        {"method": method, "keep": keep, "runs": runs} | summary(runs)
        for (method, keep), runs in zip(cells, runs_of, strict=True)
    ]


def _cell(
    model: nn.Module,
    figures: tuple[Tensor, Tensor],
    ready: sipp_core.Calibration,
    method: str,
    keep: float,
    seeds: range,
) -> list[Json]:
    """Prune once a seed; measure on the figure inputs."""
    inputs, targets = figures
    runs: list[Json] = []
    with one_thread():
        for seed in seeds:
            pruned = sipp_core.prune(model, ready, method=method, keep=keep, seed=seed)
            errors, changed = sipp_core.output_errors(model, pruned.model, inputs)
            accuracy = training.accuracy(pruned.model, inputs, targets)
            runs.append(
                {
                    "seed": seed, "kept": pruned.kept, "accuracy": accuracy,
                    "error": float(errors.mean()), "error_95": float(np.quantile(errors, 0.95)),
                    "changed": float(changed.mean()),
                }
            )  # fmt: skip
    return runs


def summary(runs: Sequence[Json]) -> Json:
    """Mean, least and largest over the seeds."""
    result: Json = {"kept": float(np.mean([run["kept"] for run in runs]))}
    for name in ("accuracy", "error"):
        values = [run[name] for run in runs]
        result |= {
            name: float(np.mean(values)),
            f"{name}_low": float(min(values)),
            f"{name}_high": float(max(values)),
        }
    return result


def choose(rows: Sequence[Json], original: float, tolerance: float) -> Json:
    """Choose the sparsest network that loses at most `tolerance` accuracy on the figure inputs.

    Only first seeds count: the network to certify is one that was drawn, not the luckiest of
    several. What counts is the share left, not the budget; ties go to the smaller output
    error; if none qualifies, the most accurate one.
    """
    firsts = [{"method": r["method"], "keep": r["keep"]} | r["runs"][0] for r in rows]
    good = [r for r in firsts if r["accuracy"] >= original - tolerance]
    if good:
        return min(good, key=lambda r: (r["kept"], r["error"]))
    return max(firsts, key=lambda r: (r["accuracy"], -r["error"]))
