"""What was promised beside what is observed, and what guarantee mode leaves of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor, nn

import sipp_core
from reports.overview.settings import BESIDE, PROMISED, Settings
from reports.overview.splits import Splits
from reports.overview.tasks import Json, Progress, told
from sipp_core.methods import Method
from sipp_core.pruning import draw_many, find_method, measured_errors
from sipp_core.runtime import one_thread
from sipp_theory import BOUNDS, Bound

Float = np.ndarray

# Float32 weights against float64 promises.
ROUNDING = 1e-6


def compare(
    model: nn.Module,
    splits: Splits,
    plan: Settings,
    seed: int,
    progress: Progress | None,
    jobs: int | None = None,
) -> Json:
    """Per neuron: the error promised on calibration inputs, and the one observed there."""
    looks = [(_promised, name) for name in PROMISED] + [(_beside, name) for name in BESIDE]
    calls = [(look, model, splits, plan, name, seed) for look, name in looks]
    rows = told(_look, calls, jobs, progress, lambda i: f"promises of {looks[i][1]}")
    methods = rows[: len(PROMISED)]
    return {
        "keep": plan.promise_keep,
        "delta": plan.delta,
        "inputs": len(splits.calibration_inputs),
        "methods": methods,
        "beside": rows[len(PROMISED) :],
        # Only a promise without chance can be broken by a single sample.
        "violated": any(m["exceeding"] > 0 for m in methods if m["certain"]),
    }


def _look(look: Callable[..., Json], *given: Any) -> Json:
    with one_thread():
        return look(*given)


def _promised(model: nn.Module, splits: Splits, plan: Settings, name: str, seed: int) -> Json:
    """One method: what it promises of neurons, and what many draws of it do."""
    inputs = splits.calibration_inputs
    stats = sipp_core.calibrate(model, inputs, points=len(inputs))
    method = find_method(name)
    result = sipp_core.prune(
        model, inputs, method=method, keep=plan.promise_keep, delta=plan.delta, seed=seed
    )
    copies = plan.promise_draws if method.random else 1
    layers = [
        _layer(layer, report, draws, method.certain)
        for layer, report, draws in (
            (s, r, draw_many(p, seed, index, copies))
            for index, (s, r, p) in enumerate(
                zip(stats.layers, result.layers, result.plans, strict=True)
            )
        )
    ]
    return {
        "method": name,
        "certain": method.certain,
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


def _beside(model: nn.Module, splits: Splits, plan: Settings, name: str, seed: int) -> Json:
    """One network: what was promised of its neurons before the draw, and what its weights do."""
    inputs = splits.calibration_inputs
    layers = [each.layer for each in sipp_core.calibrate(model, inputs).layers]
    result = sipp_core.prune(
        model, splits.calibration_pairs, method=name, keep=plan.promise_keep, delta=plan.delta,
        seed=seed,
    )  # fmt: skip
    promised = np.concatenate([report.eps_neuron for report in result.layers])
    row: Json = {
        "method": name, "label": find_method(name).facts.label, "kept": result.kept,
        "promised": _spread(promised),
    }  # fmt: skip
    for where, given in (("measured", inputs), ("held_out", splits.figure_inputs)):
        errors = measured_errors(model, result.model, layers, [given])
        row[where] = _spread(np.concatenate(list(errors.values())))
    return row


def _spread(errors: Float) -> Json | None:
    """Median and largest of the neurons' errors; None where nothing is promised of some."""
    if not np.isfinite(errors).all():
        return None
    return {"median": float(np.median(errors)), "largest": float(errors.max())}


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
    model: nn.Module,
    splits: Splits,
    plan: Settings,
    seed: int,
    progress: Progress | None,
    jobs: int | None = None,
) -> Json:
    """Fraction of weights that each method and bound must keep to promise eps per neuron."""
    pairs = sorted(plan.guarantees, key=lambda pair: plan.methods.index(pair[0]))
    cells = [(m, b, e) for m, b in pairs for e in plan.guarantee_eps]
    given = model, splits.calibration_pairs, splits.figure_inputs, plan, seed
    calls = [(*given, *cell) for cell in cells]
    rows = told(_guarantee, calls, jobs, progress, lambda i: "{} with bound {}".format(*cells[i]))
    return {
        "delta": plan.delta, "points": plan.points, "eps": list(plan.guarantee_eps), "rows": rows,
    }  # fmt: skip


def _guarantee(
    model: nn.Module,
    calibration: Any,
    inputs: Tensor,
    plan: Settings,
    seed: int,
    name: str,
    bound: str,
    eps: float,
) -> Json:
    """What one method keeps to promise eps by one bound."""
    with one_thread():
        result = sipp_core.prune(
            model, calibration, method=name, eps=eps, delta=plan.delta, bound=bound, seed=seed,
            points=plan.points if BOUNDS[bound].knows in ("shares", "neuron") else None,
        )  # fmt: skip
        errors, _ = sipp_core.output_errors(model, result.model, inputs)
    return {
        "method": name, "bound": bound,
        "claim": _claim(result.claims, find_method(name), BOUNDS[bound]), "eps": eps,
        "kept": result.kept, "whole": sum(layer.whole for layer in result.layers),
        "neurons": sum(layer.shape[0] - layer.dead for layer in result.layers),
        "vacuous": result.vacuous, "error": float(errors.mean()),
    }  # fmt: skip


def _claim(claims: tuple[str, ...], method: Method, bound: Bound) -> str:
    """Which claim promises the error of a neuron, or of the network."""
    if "NW-5" in claims:
        return "NW-5 whole network"
    if method.certain:
        return "SP-6 largest share" if bound.knows == "shares" else "SP-6 sum of s"
    if "SP-8" in claims and bound.knows != "neuron":
        return f"SP-8 {bound.title}"
    return f"SP-7 {bound.title} or SP-6" if "SP-7" in claims else f"{bound.claim} {bound.title}"
