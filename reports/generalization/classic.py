"""The bounds as printed: compression by a list of parameters (GN-1), CoreNet's corollary (GN-2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor, nn

import sipp_core
import sipp_theory
from reports.generalization.plans import ROUNDED
from reports.overview.bounds import sums
from reports.overview.splits import calibration_count, widths
from sipp_core.certificates import exact_scores
from sipp_core.compression import learning_levels
from sipp_core.runtime import shuffled
from sipp_core.zoo import Dataset

Json = dict[str, Any]
Float = np.ndarray
# Values of a rounded weight and bias; fine enough that rounding costs no accuracy.
LEVELS = 255
# Margins are tried at these quantiles of the distribution.
SHARES = np.linspace(0.01, 0.5, 50)
# CoreNet's theorem asks for a batch; no more inputs than this are looked at.
MOST_INPUTS = 2000
# A float32 step of two bits behind the leading one: 4 mantissas, fewer than 512 exponents.
STEPS = 2048
# Of the rules above, whose constants were settled while these data were looked at.
VARIANTS = 2.0**sipp_theory.RULES_BITS
# Inputs that pruning is calibrated on.
CALIBRATION = 400


def margin_facts(scores: Float, targets: Tensor) -> Json:
    """How the margins of a network are distributed.

    Shapes: scores (n, classes), targets (n,).

    Claim: GN-1.
    """
    margins = sipp_theory.margins(scores, targets.cpu().numpy())
    shares = np.linspace(0.01, 1.0, 100)
    return {
        "shares": shares.tolist(),
        "quantiles": sipp_theory.margin_quantiles(margins, shares).tolist(),
        "error": float(sipp_theory.margin_loss(margins, 0.0)),
        "largest_output": float(np.linalg.norm(scores, axis=1).max()),
    }


def _tried(margins: Float) -> Float:
    """Values of gamma to try: quantiles of the margins, above 0."""
    gammas = np.unique(sipp_theory.margin_quantiles(margins, SHARES))
    return gammas[gammas > 0]


def compression(
    model: nn.Module, scores: Float, dataset: Dataset, keeps: Sequence[float], delta: float,
    seed: int,
) -> list[Json]:  # fmt: skip
    """GN-1 of the trained network, pruned and rounded, not trained again.

    Claim: GN-1. Source: [AR] arXiv 1802.05296, Theorem 2.1.
    """
    margins = sipp_theory.margins(scores, dataset.train_targets.numpy())
    gammas, rows = _tried(margins), []
    for keep in keeps:
        small = _rounded(model, dataset, keep, seed)
        off = np.abs(exact_scores(small, dataset.train_inputs).numpy() - scores).max(axis=1)
        tensors = list(small.parameters())
        places = sum(p.numel() for p in tensors)
        losses = sipp_theory.margin_loss(margins, gammas)
        exceptions = (off[:, None] > gammas / 2).mean(axis=0)
        best = int(np.argmin(losses + exceptions)) if len(gammas) else 0
        given = {
            "margin_loss": float(losses[best]) if len(gammas) else 1.0,
            "exceptions": float(exceptions[best]) if len(gammas) else 1.0,
            "parameters": sum(int(p.count_nonzero()) for p in tensors),
            # A parameter is a place and a value there; both were chosen on the data.
            "levels": places * (LEVELS - 1),
            "n": len(scores),
            "delta": delta,
            # A list for each number of parameters, each tensor's step, and each variant of the
            # rules. What keep decides is that number, so it costs nothing more.
            "choices": (places + 1) * float(STEPS ** len(tensors)) * VARIANTS,
        }
        bound = float(sipp_theory.compression_bound(**given))
        gamma = float(gammas[best]) if len(gammas) else 0.0
        rows.append({"keep": keep, "gamma": gamma, "bound": bound, **given})
    return rows


def _rounded(model: nn.Module, dataset: Dataset, keep: float, seed: int) -> nn.Module:
    inputs, _ = shuffled(dataset.train_inputs, CALIBRATION, seed)
    small = sipp_core.prune(model, inputs, method=ROUNDED, keep=keep, seed=seed).model
    with learning_levels(small, levels=LEVELS, bias_levels=LEVELS, rate=0.0):
        pass
    return small


def corenet(model: nn.Module, scores: Float, dataset: Dataset, delta: float, seed: int) -> Json:
    """GN-2 of the trained network, every factor shown.

    Claim: GN-2. Source: [CN] arXiv 1804.05345, corollary 5.
    """
    layers = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
    if other := [type(m).__name__ for m in layers if not isinstance(m, nn.Linear)]:
        why = f"CoreNet's network theorem is of fully connected layers; {other[0]} is none"
        return {"refused": why}
    eta, eta_star = widths(model)
    count = min(calibration_count(model, delta), MOST_INPUTS, len(dataset.train_inputs))
    stats = sipp_core.calibrate(model, shuffled(dataset.train_inputs, count, seed)[0])
    margins = sipp_theory.margins(scores, dataset.train_targets.numpy())
    n = len(scores)
    hats = [
        float(sipp_theory.delta_hat(layer.cancellation.cpu().numpy(), eta, eta_star, delta))
        for layer in stats.layers
    ]
    totals = [sums(layer)[0] for layer in stats.layers]
    weights = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    tried = [
        sipp_theory.corenet_generalization(
            totals, hats, largest_output=float(np.linalg.norm(scores, axis=1).max()),
            gamma=float(gamma), margin_loss=float(sipp_theory.margin_loss(margins, gamma)), n=n,
            weights=weights, biases=sum(p.numel() for p in model.parameters()) - weights,
            delta=delta, failure=0.5 / n, eta=eta, eta_star=eta_star, choices=VARIANTS,
        )
        for gamma in _tried(margins)
    ]  # fmt: skip
    if not tried:
        return {"refused": "no margin is above 0: the network errs on half of the points"}
    best = min(tried, key=lambda one: (one.bound, one.log2_penalty))
    facts = {k: v for k, v in asdict(best).items() if k not in ("size", "log2_factors")}
    return facts | {
        "asked": float(best.size.nnz),
        "log2_factors": [list(item) for item in best.log2_factors],
        "log2_penalty": best.log2_penalty,
        "largest_factor": best.largest_factor,
        "delta_hats": hats,
        "calibration": count,
    }
