"""What was promised beside what is observed, and what guarantee mode leaves of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

import sipp_core
from reports.overview.settings import Settings, method_facts
from reports.overview.splits import Splits
from sipp_core.pruning import draw_many

Progress = Callable[[int, int, str], None]
Json = dict[str, Any]
Float = np.ndarray

COMPARED = ("sipp-rand", "sipp-det", "sipp-poisson")
# Float32 weights against float64 promises.
ROUNDING = 1e-6
CLAIM_OF_BOUND = {
    "corenet": "SP-2 CoreNet", "bernstein": "SP-3 Bernstein", "kl": "SP-4 Chernoff–Hoeffding",
    "cramer": "SP-5 Cramér", "exact": "SP-5x exact tail",
}  # fmt: skip


def compare(
    model: nn.Module, splits: Splits, plan: Settings, seed: int, progress: Progress | None
) -> Json:
    """Per neuron: the error promised on calibration inputs, and the one observed there."""
    inputs = splits.calibration_inputs
    stats = sipp_core.calibrate(model, inputs, points=len(inputs))
    methods = []
    for done, method in enumerate(COMPARED):
        if progress is not None:
            progress(done, len(COMPARED), f"promises of {method}")
        result = sipp_core.prune(
            model, inputs, method=method, keep=plan.promise_keep, delta=plan.delta, seed=seed
        )
        copies = 1 if not method_facts(method).random else plan.promise_draws
        layers = [
            _layer(layer, report, draws, not method_facts(method).random)
            for layer, report, draws in (
                (s, r, draw_many(p, seed, index, copies))
                for index, (s, r, p) in enumerate(
                    zip(stats.layers, result.layers, result.plans, strict=True)
                )
            )
        ]
        methods.append(
            {
                "method": method,
                "certain": not method_facts(method).random,
                "draws": copies,
                "layers": layers,
                "neurons": sum(len(e["promised"]) for e in layers),
                "vacuous": sum(p >= 1 for e in layers for p in e["promised"]),
                "exceeding": sum(e["exceeding"] for e in layers),
                "ratio": float(
                    np.median(
                        np.concatenate([e["promised"] for e in layers])
                        / np.maximum(np.concatenate([e["observed"] for e in layers]), 1e-12)
                    )
                ),
            }
        )
    return {
        "keep": plan.promise_keep,
        "delta": plan.delta,
        "inputs": len(inputs),
        "methods": methods,
        # Only a promise without chance can be broken by a single sample.
        "violated": any(m["exceeding"] > 0 for m in methods if m["certain"]),
    }


def _layer(
    layer: sipp_core.LayerStatistics, report: sipp_core.LayerReport, draws: Any, certain: bool
) -> Json:
    """Observed errors |z^ - z|/z~ of each neuron of one layer over calibration rows and draws."""
    weight = layer.layer.weight.double().cpu().numpy()
    rows = layer.points[0].numpy()
    z, size = rows @ weight.T, rows @ np.abs(weight).T
    errors = []
    for multiplier in draws:
        distance = np.abs(rows @ (weight * multiplier).T - z)
        errors.append(np.divide(distance, size, out=np.zeros_like(z), where=size > 0))
    seen = np.concatenate(errors)
    observed = seen.max(axis=0) if certain else np.quantile(seen, 0.95, axis=0)
    # Neurons that lose no weight promise 0 and keep it; on a log axis they have no place.
    shown = report.eps_neuron > 0
    promised, observed = report.eps_neuron[shown], observed[shown]
    return {
        "layer": layer.name,
        "promised": [float(p) for p in promised],
        "observed": [float(o) for o in observed],
        "exceeding": int((observed > promised * (1 + ROUNDING)).sum()),
    }


def guarantees(
    model: nn.Module, splits: Splits, plan: Settings, seed: int, progress: Progress | None
) -> Json:
    """Fraction of weights that each method and bound must keep to promise eps per neuron."""
    pairs = sorted(plan.guarantees, key=lambda pair: plan.methods.index(pair[0]))
    cells = [(m, b, e) for m, b in pairs for e in plan.guarantee_eps]
    rows = []
    for done, (method, bound, eps) in enumerate(cells):
        if progress is not None:
            progress(done, len(cells), f"{method} with bound {bound}")
        result = sipp_core.prune(
            model, splits.calibration_pairs, method=method, eps=eps, delta=plan.delta,
            bound=bound, seed=seed, points=plan.points if bound in INSTANCE_BOUNDS else None,
        )  # fmt: skip
        errors, _ = sipp_core.output_errors(model, result.model, splits.figure_inputs)
        rows.append(
            {
                "method": method,
                "bound": bound,
                "claim": _claim(method, bound),
                "eps": eps,
                "kept": result.kept,
                "whole": sum(layer.whole for layer in result.layers),
                "neurons": sum(layer.shape[0] - layer.dead for layer in result.layers),
                "vacuous": result.vacuous,
                "error": float(errors.mean()),
            }
        )
    return {
        "delta": plan.delta,
        "points": plan.points,
        "eps": list(plan.guarantee_eps),
        "rows": rows,
    }


def _claim(method: str, bound: str) -> str:
    if method == "corenet":
        return "NW-5 whole network"
    if not method_facts(method).random:
        return "SP-6 largest share" if bound in INSTANCE_BOUNDS else "SP-6 sum of s"
    if method == "sipp-poisson":
        return "SP-8 " + CLAIM_OF_BOUND[bound].split(" ", 1)[1]
    name = CLAIM_OF_BOUND[bound]
    return f"SP-7 {name.split(' ', 1)[1]} or SP-6" if method == "sipp-hybrid" else name
