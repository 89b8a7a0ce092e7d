"""New weights in a copy of the model: multiplied ones, or ones that a method computed.

Where a method writes new weights, no draw and no mask says what became of a weight. What can still
be promised is a worst case over the calibration inputs: with D = W^ - W, the pre-activation of
neuron i and sign s moves by sum_j D_ij a_j = sum_j (D_ij/w_ij) g_j z_i^s.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.utils.prune as torch_prune
from numpy.typing import NDArray
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of, write_weight
from sipp_core.network.packed import layer_of
from sipp_core.network.structure import Change, restructure
from sipp_core.pruning import promise
from sipp_core.pruning.method import Method, Promise, Pruned
from sipp_core.pruning.report import is_vacuous, per_neuron
from sipp_core.pruning.request import Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.stored import Masks, Stored, neurons, numbers
from sipp_core.pruning.table import Table, make_tables
from sipp_core.runtime.execution import some_threads
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.empirical import working_dtype


def write_multipliers(
    model: nn.Module, names: Sequence[str], multipliers: Sequence[Stored], as_masks: bool
) -> tuple[nn.Module, Masks]:
    """Multiply the weights of layers in a deep copy; the copy, and masks of the kept weights."""
    new = copy.deepcopy(model)
    return new, multiply(new, names, multipliers, as_masks)


def multiply(
    model: nn.Module, names: Sequence[str], multipliers: Sequence[Stored], as_masks: bool
) -> Masks:
    """Multiply the weights of layers in place; masks of the kept weights."""
    masks = Masks()
    for name, multiplier in zip(names, multipliers, strict=True):
        module = layer_of(model, name)
        weight = weight_of(module)
        with some_threads(1):  # blocks are small: to wait for a thread takes longer than to do it
            for rows in neurons(multiplier.shape):
                old = weight[rows].detach().double().cpu().numpy()
                new = torch.from_numpy(old * numbers(multiplier, rows).reshape(old.shape))
                write_weight(name, weight[rows], new)
            mask = weight.detach() != 0
            masks.update({name: mask})
        if as_masks:
            with torch.no_grad():  # a weight that is no graph leaf could not be copied
                torch_prune.custom_from_mask(module, "weight", mask)
    return masks


def refuse_masks(layers: Sequence[PrunableLayer]) -> None:
    """Refuse layers that cannot carry weight_orig and weight_mask."""
    packed = [
        layer.name
        for layer in layers
        if weight_of(layer.module) is not layer.module._parameters.get("weight")
    ]
    if packed:
        raise ValueError(
            f"layer {', '.join(map(repr, packed))} keeps its weight packed or transposed, where no "
            "mask can be put; leave masks=False"
        )


@dataclass(frozen=True, eq=False)
class Rewrite:
    """New weights of one layer.

    Attributes:
        name: qualified name of the layer.
        weight: (out, fan_in) float64, what the layer multiplies by now.
        bias: (out,) float64 new bias, or None if it stays.
        factors: the weights of a low-rank layer's two parts in the order they are applied, or None.
        change: the change of structure that goes with them, or None.
        notes: what a reader should know.
    """

    name: str
    weight: Float
    bias: Float | None = None
    factors: tuple[Float, Float] | None = None
    change: Change | None = None
    notes: tuple[str, ...] = ()


def rewritten_errors(table: Table, weight: NDArray[Any]) -> Float:
    """Error promised to each pair when its weights become others.

    See `promise.changed_errors`; dropping weights is D = -W on them, and gives SP-6. A weight that
    was 0 and no longer is has no share that the calibration bounds: nothing is promised to its
    neuron, unless its input never fired.

    Shapes: weight (out, fan_in) of any float type; returns (2, out) float64.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    fires = table.statistics.input_peak.double().cpu().numpy() > 0
    group = np.repeat(np.arange(len(fires)), table.shape[0] // len(fires))
    eps = list[Float]()
    for rows in neurons(table.shape):
        (old, s), new = table.rows(rows), numbers(weight, rows)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = np.where((old != 0) & (s > 0), (new - old) / old, 0.0)
        unbounded = ((old == 0) & (new != 0) & fires[group[rows]]).any(axis=1)
        eps.append(np.where(unbounded, np.inf, promise.changed_part(table, rows, ratio)))
    return np.concatenate(eps, axis=1)


def measured_promise() -> Promise:
    """The promise of weights that were solved for: what is measured of them (SP-12)."""
    return Promise(
        ("AL-5", "SP-12"),
        "nothing is promised before weights are solved for; what is measured, |z^ - z| <= measured "
        "z~ per neuron given the layer's input, holds at each row of each calibration input, "
        "with certainty (SP-12)",
    )


class Rewriting(Method):
    """A method that computes new weights; a subclass gives `rewrites`.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """

    random = False
    certain = True

    @abstractmethod
    def rewrites(self, request: Request, calibration: Calibration) -> list[Rewrite] | nn.Module:
        """New weights, one entry a layer of the calibration, in its order, or a copy that has them.

        A copy's layers have the shapes that they had.
        """

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Write the new weights into a copy and say what they promise."""
        new = self.rewrites(request, calibration)
        if isinstance(new, nn.Module):
            return rewritten(request, calibration, new)
        return rewrite(request, calibration, new)

    def promise(self, request: Request) -> Promise:
        """What SP-6 says of any multiplier."""
        return Promise(("ES-1", "SP-9", "SP-6"), per_neuron(request, self.certain))


def rewrite(request: Request, calibration: Calibration, rewrites: Sequence[Rewrite]) -> Pruned:
    """Write new weights into a deep copy and say what they promise.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    new, masks = copy.deepcopy(request.model), Masks()
    changes = tuple(r.change for r in rewrites if r.change is not None)
    old_biases = {r.name: getattr(layer_of(new, r.name), "bias", None) for r in rewrites}
    new = restructure(new, changes)
    for r in rewrites:
        parts = _parts(new, r)
        values = [
            write_weight(r.name, weight_of(part), torch.from_numpy(value))
            for part, value in zip(parts, r.factors or (r.weight,), strict=True)
        ]
        if r.factors is None:
            masks.update({r.name: values[0] != 0})
        bias = old_biases[r.name]
        if r.bias is not None:
            write_weight(r.name, parts[-1].get_parameter("bias"), torch.from_numpy(r.bias))
        elif isinstance(bias, Tensor) and r.change is not None:
            with torch.no_grad():
                parts[-1].get_parameter("bias").copy_(bias)
    tables = make_tables(request, calibration.layers)
    reports = tuple(
        _report(t, r.name, _parts(new, r), r.bias is not None)
        for t, r in zip(tables, rewrites, strict=True)
    )
    vacuous = is_vacuous((), reports, request.guaranteed)
    notes = tuple(note for r in rewrites for note in r.notes)
    return Pruned(new, reports, masks, vacuous, structure=changes, notes=notes)


def rewritten(request: Request, calibration: Calibration, new: nn.Module) -> Pruned:
    """What weights and biases promise that were written into a copy already.

    Claim: SP-6 for any multiplier. Source: [OWN].
    """
    masks, reports = Masks(), list[LayerReport]()
    for table in make_tables(request, calibration.layers):
        name = table.statistics.name
        module = layer_of(new, name)
        masks.update({name: weight_of(module).detach() != 0})
        reports.append(_report(table, name, [module], isinstance(module.bias, Tensor)))
    return Pruned(new, tuple(reports), masks, is_vacuous((), reports, request.guaranteed))


def _parts(model: nn.Module, rewrite: Rewrite) -> list[nn.Module]:
    """The layer's module, or the two that a low-rank layer consists of."""
    module = layer_of(model, rewrite.name)
    return [module] if rewrite.factors is None else list(module.children())


def _product(first: NDArray[Any], second: NDArray[Any], groups: int) -> Float:
    """The one matrix that two thin layers amount to."""
    wide = (np.split(part.astype(np.float64), groups) for part in (first, second))
    return np.concatenate([outer @ inner for inner, outer in zip(*wide, strict=True)])


def _report(table: Table, name: str, parts: Sequence[nn.Module], with_bias: bool) -> LayerReport:
    """What the new weights, as the layer's dtype holds them, did to one layer (SP-9).

    `with_bias` says that its bias may be another.
    """
    held = [_numbers(weight_of(part)) for part in parts]
    layer, live = table.statistics.layer, (table.total > 0).any(axis=0)
    dense = held[0] if len(held) == 1 else _product(held[0], held[1], layer.groups)
    eps = rewritten_errors(table, dense).max(axis=0)
    if with_bias:
        # Its error does not shrink with the pre-activation: no relative promise covers it.
        old, new = (m.get_parameter("bias").detach().cpu() for m in (layer.module, parts[-1]))
        eps = np.where((old == new).numpy(), eps, np.inf)
    before, same, budgets = 0, np.zeros(table.shape[0], bool), np.zeros(table.total.shape, np.int64)
    for rows in neurons(table.shape):
        weight, some = table.rows(rows)[0], dense[rows]
        before, same[rows] = before + int((weight != 0).sum()), (some == weight).all(axis=1)
        budgets[:, rows] = [((some != 0) & w).sum(axis=1) for w in (weight > 0, weight < 0)]
    return LayerReport(
        name=name,
        shape=table.shape,
        nnz_before=before,
        nnz_after=sum(int(np.count_nonzero(part)) for part in held),
        eps=float(eps.max(initial=0.0)),
        eps_neuron=eps,
        budgets=budgets,
        draws=np.zeros_like(table.total),
        sensitivity_sum=table.total,
        whole=int((live & same).sum()),
        dead=int((~live).sum()),
        removed=0,
        vacuous_neurons=int((eps >= 1).sum()),
    )


def _numbers(weight: Tensor) -> NDArray[Any]:
    """A weight as a matrix, in the dtype that it is measured in."""
    flat = weight.detach().flatten(1)
    return flat.to(working_dtype(flat.dtype)).cpu().numpy()
