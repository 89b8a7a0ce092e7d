"""Sensitivities, sample sizes and CoreNet's network theorem, layer by layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from reports.overview.settings import Settings
from reports.overview.splits import widths
from sipp_core import Calibration, LayerStatistics, calibrate

Json = dict[str, Any]
Float = np.ndarray


def sums(layer: LayerStatistics) -> tuple[Float, Float]:
    """S_sum and number of weights with s > 0, each (2, out), positive sign first."""
    weight = layer.layer.weight.double().cpu().numpy()
    s = layer.sensitivity.double().cpu().numpy()
    parts = [np.where(mask, s, 0.0) for mask in (weight > 0, weight < 0)]
    total = np.stack([p.sum(axis=1) for p in parts])
    support = np.stack([(p > 0).sum(axis=1) for p in parts])
    # A live pair has S_sum >= 1 (ES-2); rounding may leave it a hair below.
    return np.where(total > 0, np.maximum(total, 1.0), 0.0), support


def sensitivities(stats: Calibration, plan: Settings, eta: int, eta_star: int) -> list[Json]:
    """Per layer: how S_sum is distributed, and the draws that a typical neuron needs."""
    rows = []
    for layer in stats.layers:
        total, support = sums(layer)
        flat, weights = total.ravel(), support.ravel()
        live = np.flatnonzero(flat > 0)
        # The pair in the middle is a real one, so that its weights can be named.
        middle = int(live[np.argsort(flat[live], kind="stable")[len(live) // 2]])
        typical = float(flat[middle])
        neuron = sipp_theory.Neuron(sensitivity_sum=typical, eta=eta, eta_star=eta_star)
        rows.append(
            {
                "layer": layer.name,
                "shape": [int(n) for n in layer.sensitivity.shape],
                "pairs": int(live.size),
                "pairs_dead": int(flat.size - live.size),
                "quantiles": [float(q) for q in np.quantile(flat[live], [0, 0.25, 0.5, 0.75, 1])],
                "cap": float(sipp_theory.sensitivity_sum_bound(weights[live], layer.rows).max()),
                "typical": typical,
                "typical_weights": int(weights[middle]),
                "sizes": {
                    bound.claim: float(bound.size(neuron, plan.eps, plan.delta))
                    for bound in sipp_theory.BOUNDS.values()
                    if bound.knows in ("sum", "network")
                },
                "reached": int((layer.sensitivity > 0).sum()),
                "weights": layer.sensitivity.numel(),
            }
        )
    return rows


def network(stats: Calibration, plan: Settings, eta: int, eta_star: int) -> Json:
    """Compute CoreNet's network theorem (NW-5) with every factor that it multiplies."""
    eps, delta = plan.eps, plan.delta
    means = [layer.cancellation.cpu().numpy() for layer in stats.layers]
    hats = [float(sipp_theory.delta_hat(m, eta, eta_star, delta)) for m in means]
    totals, supports = zip(*(sums(layer) for layer in stats.layers), strict=True)
    size = sipp_theory.corenet_network_size(totals, hats, eps, delta, eta, eta_star)
    blind = sipp_theory.corenet_network_size_bound(
        supports, stats.layers[0].rows, hats, eps, delta, eta, eta_star
    )
    allowance = float(sipp_theory.kappa(eta, eta_star, delta))
    depth, coverage = len(hats), float(np.log(eta) + np.log(eta_star))
    # What the sample size would be at Delta^ = S_sum = 1, from the theorem's formula.
    constant = 32 * depth**2 * coverage * float(np.log(8 * eta / delta)) / eps**2
    layers = []
    for index, layer in enumerate(stats.layers):
        total, support, draws = totals[index], supports[index], size.sizes[index]
        live = total > 0
        largest = np.unravel_index(int(np.argmax(total)), total.shape)
        layers.append(
            {
                "layer": layer.name,
                "delta_worst": float(means[index].max()),
                "delta_median": float(np.median(means[index])),
                "delta_hat": hats[index],
                "eps": float(size.errors[index]),
                "sensitivity_sum": float(total[largest]),
                "weights": int(support[largest]),
                "draws": float(draws[largest]),
                "asked": int((draws[live] >= support[live]).sum()),
                "pairs": int(live.sum()),
                # Base-10 logarithms of the factors whose product is `draws`.
                "factors": {
                    "constants": float(np.log10(constant)),
                    "own": 2 * float(np.log10(hats[index])),
                    "later": 2 * float(np.log10(hats[index + 1 :]).sum()),
                    "sensitivity": float(np.log10(total[largest])),
                },
            }
        )
    vacuous, pairs = (sum(layer[k] for layer in layers) for k in ("asked", "pairs"))
    return {
        "eps": eps, "delta": delta, "eta": eta, "eta_star": eta_star, "kappa": allowance,
        "points_asked": float(sipp_theory.calibration_size(eta, eta_star, delta)),
        "points": stats.inputs, "layers": layers, "asked": vacuous, "pairs": pairs,
        "vacuous": vacuous == pairs, "nnz_bound": size.nnz, "nnz_bound_blind": blind.nnz,
        "weights": sum(layer.sensitivity.numel() for layer in stats.layers),
    }  # fmt: skip


def tails(model: nn.Module, inputs: Tensor) -> list[Json]:
    """Tail index of Delta per neuron (NW-6): does assumption A2, on which NW-4 rests, hold?"""
    seen = calibrate(model, inputs, points=len(inputs))
    modules = dict(model.named_modules())
    rows = []
    for layer in seen.layers:
        weight = layer.layer.weight.double().cpu().numpy()
        bias = modules[layer.name].bias
        shift = bias.detach().double().cpu().numpy() if isinstance(bias, Tensor) else 0.0
        points = layer.points[0].numpy()
        ratios = sipp_theory.delta_ratio(
            points @ np.maximum(weight, 0).T, points @ np.maximum(-weight, 0).T, shift
        )
        count = max(1, len(points) // 20)
        # A neuron that is never reached has Delta = 1 throughout and no tail to estimate.
        alive = ratios.max(axis=0) > 1
        indices = [sipp_theory.hill_tail_index(column, count) for column in ratios[:, alive].T]
        rows.append(
            {
                "layer": layer.name, "neurons": len(indices), "largest_samples": count,
                "inputs": len(points), "index": float(np.median([f.index for f in indices])),
                "low": float(np.median([f.low for f in indices])),
                "high": float(np.median([f.high for f in indices])),
                "no_variance": sum(f.high < 2 for f in indices),
            }
        )  # fmt: skip
    return rows


def tail_finding(rows: list[Json]) -> Json:
    """In how many neurons a tail without variance speaks against A2."""
    neurons, heavy = (sum(row[k] for row in rows) for k in ("neurons", "no_variance"))
    return {"tails": rows, "neurons": neurons, "heavy": heavy, "doubtful": 2 * heavy > neurons}


def theory(model: nn.Module, inputs: Tensor, tail_inputs: Tensor, plan: Settings) -> Json:
    """Everything that the theorems say of the trained network, before any weight is pruned."""
    eta, eta_star = widths(model)
    with torch.no_grad():
        stats = calibrate(model, inputs)
        return {
            "layers": sensitivities(stats, plan, eta, eta_star),
            "network": network(stats, plan, eta, eta_star)
            | tail_finding(tails(model, tail_inputs)),
        }
