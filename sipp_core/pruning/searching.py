"""Guarantee mode by SP-12: the fewest weights whose measured error is at most eps.

Each neuron has a rate of its own, found by bisection in its logarithm; at each rate the best of
some draws is looked at, as its dtype stores it. What is delivered is measured on every calibration
input: no probability enters, and nothing is said of other inputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.network.layers import weight_of, write_weight
from sipp_core.pruning.measured import measured_errors
from sipp_core.pruning.method import Promise
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.refit import refit
from sipp_core.pruning.request import Request, Within
from sipp_core.pruning.surroundings import Surroundings, look_around
from sipp_core.pruning.table import Table
from sipp_core.pruning.writing import write_multipliers
from sipp_core.runtime.inputs import batches
from sipp_core.runtime.numbers import Float, generator
from sipp_core.sensitivity.calibrate import Calibration

# Steps of a search over rates from LOWEST of the one that keeps all; then they agree to .1%.
STEPS, LOWEST = 15, 1e-7
# Where not every row was kept, neurons that miss eps at one are searched again for less.
ROUNDS, TIGHTER = 4, 0.85
CHOSEN = (
    "rates and draws were chosen by what they do on the calibration inputs (SP-12): nothing was "
    "promised before, and nothing is said of other inputs"
)
At = Callable[[Table, Float], LayerPlan]


def measured_guarantee(refitted: bool = False) -> Promise:
    """What is certain of weights that were chosen by their measured error."""
    return Promise(
        ("AL-5", "SP-12") if refitted else ("SP-12",),
        "|z^ - z| <= eps z~ at each row of each calibration input, per neuron given the layer's "
        "input, with certainty: measured on the weights as stored (SP-12); it says nothing of "
        "other inputs",
    )


def least_multipliers(
    request: Request, tables: Sequence[Table], calibration: Calibration, at: At,
    whole: Callable[[Table], Float],
) -> list[Float]:  # fmt: skip
    """Multipliers (out, fan_in) of each layer, of the least rates that measure at most eps.

    `at` plans a layer at a rate for each neuron, `whole` says which rates keep everything.

    Claim: SP-12. Source: [OWN].
    """
    assert isinstance(request.target, Within) and calibration.held_inputs is not None
    names = [layer.name for layer in calibration.layers]
    layers = [layer.layer for layer in calibration.layers]
    goals = [np.full(len(table.weight), request.target.eps) for table in tables]
    multipliers = [
        _searched(request, table, index, goal, at, whole(table))
        for index, (table, goal) in enumerate(zip(tables, goals, strict=True))
    ]
    for attempt in range(ROUNDS + 1):
        model, _ = write_multipliers(request.model, names, multipliers, False)
        stream = batches(calibration.held_inputs, None)
        errors = measured_errors(request.model, model, layers, stream, None, calibration.mask)
        missing = {i: errors[n] > request.target.eps for i, n in enumerate(names)}
        if not any(miss.any() for miss in missing.values()):
            break
        for index, miss in missing.items():
            if not miss.any():
                continue
            goals[index] = np.where(miss, TIGHTER * goals[index], goals[index])
            again = _searched(request, tables[index], index, goals[index], at, whole(tables[index]))
            if attempt == ROUNDS - 1:
                again = (tables[index].weight != 0).astype(np.float64)
            multipliers[index] = np.where(miss[:, None], again, multipliers[index])
    return multipliers


def _searched(
    request: Request, table: Table, index: int, goal: Float, at: At, whole: Float
) -> Float:
    """Search all neurons of a layer at once on the rows that were kept. Shapes: goal (out,)."""
    best = draw(at(table, whole), generator(request.seed, index, 0))
    high = np.log(np.maximum(whole, 1e-300))
    low = high + np.log(LOWEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        plan = at(table, np.exp(middle))
        least, chosen = np.full(len(goal), np.inf), best
        for candidate in range(request.candidates):
            multiplier = draw(plan, generator(request.seed, index, candidate))
            error = _errors(table, multiplier)
            chosen = np.where((error < least)[:, None], multiplier, chosen)
            least = np.minimum(error, least)
        holds = least <= goal
        best = np.where(holds[:, None], chosen, best)
        high, low = np.where(holds, middle, high), np.where(holds, low, middle)
    return best


def _errors(table: Table, multiplier: Float) -> Float:
    """Measured error of each neuron at the kept rows, of the weights as stored.

    A row that was split in two at 0 is no easier than the row itself.
    """
    dtype = table.statistics.layer.weight.dtype
    stored = torch.from_numpy(table.weight * multiplier).to(dtype).double().numpy()
    return np.concatenate([
        sipp_theory.measured_error(table.weight[part], stored[part], rows)
        for part, rows in table.groups(split=not table.statistics.complete)
    ])  # fmt: skip


def least_refitted(
    request: Request, tables: Sequence[Table], calibration: Calibration, at: At,
    whole: Callable[[Table], Float], ridge: float | None = None,
) -> nn.Module:  # fmt: skip
    """A copy whose weights, refitted, are the fewest that measure at most eps.

    At each rate what is kept of a layer is refitted on the layer's own input (AL-5), which is what
    SP-12 measures; a neuron that meets eps at none keeps all of its weights. `at` and `whole` are
    as in `least_multipliers`.

    Claim: AL-5, SP-12. Source: [OWN].
    """
    assert isinstance(request.target, Within) and calibration.held_inputs is not None
    dense, inputs, size = request.model, calibration.held_inputs, calibration.forward_size
    layers = [layer.layer for layer in calibration.layers]
    around = look_around(dense, layers, inputs[:1])
    new = copy.deepcopy(dense)
    for index, (table, layer) in enumerate(zip(tables, layers, strict=True)):
        if request.progress is not None:
            request.progress(index, len(tables), "refit to eps")
        name, old = layer.name, layer.weight.double()
        live = torch.from_numpy(table.sensitivity > 0).to(old.device)
        best = torch.where(live, old, 0.0)
        constant = _constant(around, name, dense)
        shift = None if constant is None else constant.clone()
        high = np.log(np.maximum(whole(table), 1e-300))
        low = high + np.log(LOWEST)
        for _ in range(STEPS if name in around else 0):
            middle = (low + high) / 2
            plan, least = at(table, np.exp(middle)), np.full(len(high), np.inf)
            for candidate in range(request.candidates):
                multiplier = draw(plan, generator(request.seed, index, candidate))
                tried, masks = write_multipliers(dense, [name], [multiplier], False)
                refit(dense, tried, [layer], masks, inputs, ridge=ridge, size=size,
                      mask=calibration.mask)  # fmt: skip
                stream = batches(inputs, size)
                error = measured_errors(dense, tried, [layer], stream, None, calibration.mask)
                better = error[name] <= np.minimum(request.target.eps, least)
                least = np.where(better, error[name], least)
                rows = torch.from_numpy(better).to(old.device)
                values = layer.within(tried).weight.double()
                best = torch.where(rows[:, None], values, best)
                moved = _constant(around, name, tried)
                if shift is not None and moved is not None:
                    shift = torch.where(rows, moved, shift)
            holds = np.isfinite(least)
            high, low = np.where(holds, middle, high), np.where(holds, low, middle)
        write_weight(name, weight_of(layer.within(new).module), best)
        target = _constant(around, name, new)
        if shift is not None and target is not None:
            with torch.no_grad():
                target.copy_(shift)
    return new


def _constant(
    around: Mapping[str, Surroundings], name: str, model: nn.Module
) -> Tensor | None:  # fmt: skip
    """What a refit writes a neuron's constant into, (out,); None where it has none, or no call."""
    if name not in around:
        return None
    place = around[name].within(model)
    if isinstance(place.layer.module.bias, Tensor):
        return place.layer.module.bias.detach()
    return None if place.norm is None else place.norm.running_mean
