"""CoreNet+ and CoreNet++: dead neurons removed with their edges, and the best of tau candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor, nn

import sipp_theory
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.runtime.numbers import Float, generator
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.statistics import LayerStatistics

# Between two dense layers these act on each neuron by itself, so a neuron stays itself.
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus,
    nn.Hardtanh, nn.Identity, nn.Dropout, nn.AlphaDropout,
)  # fmt: skip


def _chain(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Flatten nested Sequentials to (qualified name, module); empty for any other model."""
    if not isinstance(model, nn.Sequential):
        return []
    flat: list[tuple[str, nn.Module]] = []
    for name, module in model.named_children():
        if isinstance(module, nn.Sequential):
            flat += [(f"{name}.{inner}", m) for inner, m in _chain(module)]
        else:
            flat.append((name, module))
    return flat


def dead_neurons(model: nn.Module, calibration: Calibration) -> dict[str, Tensor]:
    """Find neurons whose activation was 0 on every calibration input.

    A neuron belongs to the dense layer that feeds another dense layer through elementwise modules
    of a plain Sequential; elsewhere it cannot be told which edges leave it, and none is reported.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet+).
    """
    known = {layer.name: layer for layer in calibration.layers}
    dead: dict[str, Tensor] = {}
    before: str | None = None
    for name, module in _chain(model):
        if isinstance(module, nn.Linear):
            if before in known and name in known:
                dead[before] = known[name].input_peak[0] == 0
            before = name
        elif not isinstance(module, ELEMENTWISE):
            before = None
    return dead


def without_dead(statistics: LayerStatistics, dead: Tensor | None) -> LayerStatistics:
    """Statistics in which dead neurons ask for nothing, so the budget goes to living ones.

    Shapes: dead (out,) bool.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet+).
    """
    if dead is None or not bool(dead.any()):
        return statistics
    sensitivity = statistics.sensitivity.masked_fill(dead[:, None], 0)
    return replace(statistics, sensitivity=sensitivity)


class _HeldOut:
    """Errors of candidates on the rows of T, with what all candidates share computed once."""

    def __init__(self, plan: LayerPlan, weight: Float, points: Float) -> None:
        per_group = weight.shape[0] // points.shape[0]
        self.blocks = []
        for sign in (0, 1):
            part = np.where(plan.sign(sign), np.abs(weight), 0.0)
            for group, rows in enumerate(points):
                block = slice(group * per_group, (group + 1) * per_group)
                z = rows @ part[block].T
                # Rows with z = 0 lose nothing to pruning: their error counts 0.
                inverse = np.divide(1.0, z, out=np.zeros_like(z), where=z > 0)
                self.blocks.append((sign, block, part[block], rows, z, inverse))

    def mean_errors(self, multiplier: Float) -> Float:
        """Mean over the rows of |z^/z - 1|, (2, out)."""
        errors = np.zeros((2, multiplier.shape[0]))
        for sign, block, part, rows, z, inverse in self.blocks:
            estimate = rows @ (part * multiplier[block]).T
            errors[sign, block] = (np.abs(estimate - z) * inverse).mean(axis=0)
        return errors


def best_of(
    plan: LayerPlan, weight: Float, points: Float, delta: float, seed: int, *stream: int
) -> Float:
    """Draw tau candidates and keep, per (sign, neuron), the one of least mean error on held-out T.

    tau = ceil(ln(4/delta)/ln(10/9)). What this promises is `sipp_theory.best_of_tau`: a bound on
    the mean error over T; at a fresh input the union bound over candidates is all that is left.

    Shapes: weight (out, fan_in) float64, points (groups, n, fan_in) float64; returns (out,
    fan_in).

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet++).
    """
    tau = int(sipp_theory.candidates(delta))
    held_out = _HeldOut(plan, weight, points)
    layer, *rehearsal = stream
    best = draw(plan, generator(seed, layer, 0, *rehearsal))
    least = held_out.mean_errors(best)
    for candidate in range(1, tau):
        multiplier = draw(plan, generator(seed, layer, candidate, *rehearsal))
        errors = held_out.mean_errors(multiplier)
        wins = errors < least
        least = np.where(wins, errors, least)
        choose = np.where(plan.positive, wins[0][:, None], wins[1][:, None])
        best = np.where(choose, multiplier, best)
    return best
