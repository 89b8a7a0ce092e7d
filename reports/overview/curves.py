"""Accuracy and output error against the weights kept, per method, over a grid and seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

import sipp_core
from reports.overview.settings import Settings
from reports.overview.splits import Splits
from reports.site.methods import calibrations
from sipp_core.pruning import find_method
from sipp_core.zoo import training

Progress = Callable[[int, int, str], None]
Json = dict[str, Any]


def grid(
    model: nn.Module, splits: Splits, plan: Settings, seed: int, progress: Progress | None
) -> list[Json]:
    """Prune by every method at every keep ratio; one row each, with the runs of all seeds."""
    cells = [(method, keep) for method in plan.methods for keep in plan.keeps]
    ready = calibrations(model, splits.calibration_pairs, plan.methods, seed)
    rows = []
    for done, (method, keep) in enumerate(cells):
        if progress is not None:
            progress(done, len(cells), f"prune by {method}")
        count = plan.seeds if find_method(method).random else 1
        runs = [one(model, splits, ready[method], method, keep, seed + k) for k in range(count)]
        rows.append({"method": method, "keep": keep, "runs": runs} | summary(runs))
    return rows


def one(
    model: nn.Module,
    splits: Splits,
    ready: sipp_core.Calibration,
    method: str,
    keep: float,
    seed: int,
) -> Json:
    """Prune once; measure on the figure inputs."""
    pruned = sipp_core.prune(model, ready, method=method, keep=keep, seed=seed)
    errors, changed = sipp_core.output_errors(model, pruned.model, splits.figure_inputs)
    return {
        "seed": seed, "kept": pruned.kept,
        "accuracy": training.accuracy(pruned.model, splits.figure_inputs, splits.figure_targets),
        "error": float(errors.mean()), "error_95": float(np.quantile(errors, 0.95)),
        "changed": float(changed.mean()),
    }  # fmt: skip


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
