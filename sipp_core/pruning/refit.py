"""Refit (AL-5): the kept weights of each neuron are solved for again, layer by layer.

With the kept set fixed, the weights and the bias of a neuron minimise mean (A^ w + b - t)^2 +
ridge sum_j d_j (w_j - w_0j)^2 over calibration rows: A^ enters the layer of the pruned network,
refitted up to there, t leaves the layer of the dense one, less what the pruned network has already
lost of a sum that the layer's output goes into; w_0 are the weights as they were, d_j the variance
of input j and a hundredth of the layer's mean variance. So weighted, the ridge shrinks the inputs'
correlations and leaves their variances. A BatchNorm right behind a layer serves as its bias.
Neurons share the layer's Gram matrix and differ in its block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of, write_weight
from sipp_core.network.packed import is_dense
from sipp_core.network.patches import masked, row_count, some_rows
from sipp_core.pruning.surroundings import Call, Surroundings, calls_in_order, look_around, watch
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.inputs import inputs_a_forward
from sipp_core.runtime.numbers import generator
from sipp_core.runtime.padding import Mask, padding_mask

__all__ = ["REFITTED", "calls_in_order", "refit"]

# Part of the layer's mean variance that every input's ridge has at least, for inputs that hardly
# vary, and what the ridge is at least, for inputs that are multiples of each other.
FLOOR = 1e-2
LEAST_RIDGE = 1e-4
# Share by which correlations are shrunk, at most.
MOST_SHRUNK = 0.99
REFITTED = (
    "kept weights and biases (behind a layer without one, the running mean of its BatchNorm) were "
    "solved for again on the calibration inputs (AL-5): nothing is promised before, and what the "
    "weights do there is measured (SP-12)"
)
# Numbers in the blocks that have one width, and in those of them that are factorised at once.
BLOCK, AT_ONCE = 2**24, 2**20
# Rows of a layer's moments that are centred at once.
FEW = 256
# Rows of a layer that are looked at, at most: so many, or so many for each of its inputs.
ROWS, ROWS_AN_INPUT = 2**13, 16
ROW_STREAM = 63
# Numbers of the dense network's outputs that are held at once.
HELD = 2**24


def refit(
    dense: nn.Module, pruned: nn.Module, layers: Sequence[PrunableLayer],
    masks: Mapping[str, Tensor], inputs: Given, *, ridge: float | None = None,
    size: int | None = None, mask: Mask = None, progress: Progress | None = None,
) -> None:  # fmt: skip
    """Refit the kept weights of all layers of `pruned` in place, in the order of the forward pass.

    Where a layer has no bias and a BatchNorm takes its output and nothing else does, the norm's
    running mean is moved as a bias would be. Where a layer's output, or that of its norm, is added
    to another tensor (a residual path), the layer makes up for what is wrong with that one. Of a
    layer with very many rows (patches, tokens) a random choice is looked at, the same in each call.

    Args:
        dense: the network before pruning.
        pruned: its pruned copy, whose weights w_0, biases and norms are written over.
        layers: the layers of `dense` to refit, as `calibrate(...).layers[k].layer`.
        masks: True where a weight is kept, in the weight's shape, by layer name.
        inputs: (n, ...) tensor or `Batch`, without labels.
        ridge: strength of the ridge, > 0; by default estimated, layer by layer: lambda/(1 - lambda)
            for the share lambda by which the correlations of n normal inputs are best shrunk,
            sum (1 - r_jk^2)^2/(n sum r_jk^2).
        size: inputs a forward pass, >= 1; by default as in `calibrate`.
        mask: which positions of the inputs count, as in `calibrate`.
        progress: callback (done, total, "refit").

    Claim: AL-5. Source: [OWN]; the shrinkage is Schaefer and Strimmer 2005's, for normal inputs.

    Example:
        >>> dense, pruned = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> _ = pruned.load_state_dict(
        ...     {"weight": torch.tensor([[1.0, 0.0]]), "bias": torch.zeros(1)}
        ... )
        >>> _ = dense.load_state_dict({"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
        >>> layer = PrunableLayer("", dense, groups=1)
        >>> inputs = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
        >>> refit(dense, pruned, [layer], {"": torch.tensor([[True, False]])}, inputs, ridge=1e-6)
        >>> pruned.weight.detach().round(decimals=4).tolist()
        [[2.0, 0.0]]
    """
    batches = inputs.split(size or inputs_a_forward(inputs))
    padding = [padding_mask(mask, batch) for batch in batches]
    around = look_around(dense, layers, inputs[:1])
    done, names = 0, list(around)
    while names:
        held = _held(dense, _next(around, names), batches, padding, len(inputs))
        for name, targets in held.items():
            if progress is not None:
                progress(done, len(around), "refit")
            own = around[name].within(pruned)
            kept = masks[name]
            _refit_layer(around[name], own, pruned, kept, batches, padding, targets, ridge)
            done += 1
        names = names[len(held) :]


def _most_rows(place: Surroundings) -> int:
    return max(ROWS, ROWS_AN_INPUT * place.layer.weight.shape[1])


def _next(around: Mapping[str, Surroundings], names: Sequence[str]) -> dict[str, Surroundings]:
    """As many of the layers left as there is room for what the dense ones gave; one at least."""
    chosen, size = dict[str, Surroundings](), 0
    for name in names:
        size += _most_rows(around[name]) * around[name].layer.weight.shape[0]
        if chosen and size > HELD:
            break
        chosen[name] = around[name]
    return chosen


@dataclass(frozen=True, eq=False)
class _Aim:
    """What the chosen rows of one call should give, (n, out) float64, and which rows they are."""

    values: Tensor
    chosen: Tensor | None


def _held(
    dense: nn.Module, places: Mapping[str, Surroundings], batches: Sequence[Given],
    padding: Sequence[Tensor | None], inputs: int,
) -> dict[str, list[_Aim]]:  # fmt: skip
    """What each layer of the dense network gives at some rows, call by call."""
    held: dict[str, list[_Aim]] = {name: [] for name in places}
    for number, batch in enumerate(batches):

        def done(
            name: str, call: Call, number: int = number, share: float = len(batch) / inputs
        ) -> None:
            place = places[name]
            call = _unpadded(place, call, padding[number])
            count = row_count(place.layer, call.given)
            most = int(np.ceil(_most_rows(place) * share / place.calls))
            chosen = None
            if count > most:
                rng = generator(0, ROW_STREAM, number, len(held[name]))
                rows = np.sort(rng.choice(count, most, replace=False))
                chosen = torch.from_numpy(rows).to(call.given.device)
            values = _outputs(place, some_rows(place.layer, call.given, chosen).double())
            if call.added is not None:
                values = values + place.unnormed(_rows(place, call.added, chosen).double())
            held[name].append(_Aim(values, chosen))

        watch(dense, places, batch, done)
    return held


def _unpadded(place: Surroundings, call: Call, padding: Tensor | None) -> Call:
    """A call without the rows that are padding."""
    added = None if call.added is None else masked(place.layer, call.added, padding)
    return Call(masked(place.layer, call.given, padding), added)


def _outputs(place: Surroundings, rows: Tensor) -> Tensor:
    """What a layer makes of rows, in float64. Shapes: (groups, n, fan_in); returns (n, out)."""
    groups, module = place.layer.groups, place.layer.module
    weight = place.layer.weight.double().unflatten(0, (groups, -1))
    values = (rows @ weight.mT).movedim(0, 1).flatten(1)
    return values + module.bias.detach().double() if isinstance(module.bias, Tensor) else values


def _rows(place: Surroundings, outputs: Tensor, chosen: Tensor | None) -> Tensor:
    """What is added to a layer's outputs, as the rows that its input has: (n, out)."""
    if is_dense(place.layer.module):
        rows = outputs.reshape(-1, outputs.shape[-1])
    else:
        batched = outputs.ndim == weight_of(place.layer.module).ndim
        outputs = outputs if batched else outputs[None]
        rows = outputs.flatten(2).transpose(1, 2).reshape(-1, outputs.shape[1])
    return (rows if chosen is None else rows[chosen]).contiguous()


def _refit_layer(
    place: Surroundings, own: Surroundings, pruned: nn.Module, mask: Tensor,
    batches: Sequence[Given], padding: Sequence[Tensor | None], aims: Sequence[_Aim],
    ridge: float | None,
) -> None:  # fmt: skip
    """Solve for one layer, whose inputs are those of the pruned network as it is now."""
    moments = _Moments(own.layer, own.takes_bias)
    waiting = iter(aims)

    def done(_: str, call: Call) -> None:
        call = _unpadded(own, call, padding[number])
        aim = next(waiting)
        values = aim.values
        if call.added is not None:
            values = values - place.unnormed(_rows(place, call.added, aim.chosen).double())
        moments.add(some_rows(own.layer, call.given, aim.chosen).double(), values)

    name = own.layer.name
    for number, batch in enumerate(batches):  # noqa: B007 (done reads the number)
        watch(pruned, {name: own}, batch, done, last=name)
    inputs = sum(len(batch) for batch in batches)
    weight, bias = moments.solve(own.layer.weight, mask.flatten(1), ridge, inputs)
    write_weight(name, weight_of(own.layer.module), weight)
    if bias is not None:
        own.shift_to(place, bias)


class _Moments:
    """Sums over rows that least squares need, float64: of a^, its products, and those with z."""

    def __init__(self, layer: PrunableLayer, intercept: bool) -> None:
        out, fan_in = layer.weight.shape
        g = layer.groups
        device = layer.weight.device
        self.layer, self.intercept = layer, intercept
        kind = {"dtype": torch.float64, "device": device}
        self.rows = 0
        self.gram = torch.zeros(g, fan_in, fan_in, **kind)
        self.cross = torch.zeros(g, fan_in, out // g, **kind)
        self.first = torch.zeros(g, fan_in, **kind)
        self.target = torch.zeros(g, out // g, **kind)

    def add(self, rows: Tensor, aim: Tensor) -> None:
        """Take in rows, and what they should give. Shapes: (groups, n, fan_in), (n, out)."""
        z = aim.unflatten(1, (self.layer.groups, -1)).movedim(1, 0)
        self.rows += rows.shape[1]
        self.gram += rows.mT @ rows
        self.cross += rows.mT @ z
        self.first += rows.sum(1)
        self.target += z.sum(1)

    def solve(
        self, old: Tensor, mask: Tensor, ridge: float | None, inputs: int
    ) -> tuple[Tensor, Tensor | None]:
        """Weights (out, fan_in) with zeros outside the mask, and biases (out,) if there are any."""
        n = max(1, self.rows)
        # In place, as each may be twice a layer: moments are solved for once.
        gram, cross = self.gram.div_(n), self.cross.div_(n)
        mean, target = self.first / n, self.target / n
        if self.intercept:
            for k in range(0, mean.shape[1], FEW):
                some = mean[:, k : k + FEW, None]
                gram[:, k : k + FEW] -= some * mean[:, None, :]
                cross[:, k : k + FEW] -= some * target[:, None, :]
        groups, fan_in = mean.shape
        weights = []
        for g in range(groups):
            rows = slice(g * cross.shape[2], (g + 1) * cross.shape[2])
            strength = _estimated(gram[g], inputs) if ridge is None else ridge
            weights.append(_solved(gram[g], cross[g].mT, old[rows], mask[rows], strength))
        weight = torch.cat(weights) if groups > 1 else weights[0]
        if not self.intercept:
            return weight, None
        shift = torch.einsum("gof,gf->go", weight.reshape(groups, -1, fan_in), mean)
        return weight, (target - shift).flatten()


def _estimated(gram: Tensor, inputs: int) -> float:
    """Ridge that shrinks correlations as much as their sampling error asks for.

    Rows of one input (patches, tokens) are no independent draws, so that inputs are counted.
    Shapes: gram (fan_in, fan_in).
    """
    variance = gram.diagonal()
    varies = variance > FLOOR**2 * variance.mean()
    scale = variance[varies].rsqrt()
    squares = (gram[varies][:, varies] * scale[:, None] * scale).square().clamp_(max=1.0)
    squares.fill_diagonal_(0.0)
    pairs = len(squares) * (len(squares) - 1)
    known = float(squares.sum())
    noise = (pairs - 2 * known + float(squares.square().sum())) / max(1, inputs)
    share = min(MOST_SHRUNK, noise / known) if known > 0 else MOST_SHRUNK
    return max(LEAST_RIDGE, share / (1 - share))


def _solved(gram: Tensor, cross: Tensor, old: Tensor, mask: Tensor, ridge: float) -> Tensor:
    """Ridge regression of each neuron on its kept inputs.

    Shapes: gram (fan_in, fan_in), cross, old (of any float type), mask (out, fan_in).
    """
    variance = gram.diagonal()
    new = torch.where(mask, old, 0.0).double()
    if not float(variance.mean()) > 0:
        return new
    pull = ridge * (variance + FLOOR * variance.mean())
    counts = mask.sum(1)
    order = torch.argsort(counts)
    order = order[counts[order] > 0]
    while len(order):
        width = int(counts[order[-1]])
        step = max(1, BLOCK // width**2)
        many, order = order[-step:], order[:-step]
        for rows in many.split(max(1, AT_ONCE // width**2)):
            # The kept columns of each row first; beyond them it is padded with an identity.
            columns = torch.argsort(~mask[rows], dim=1, stable=True)[:, :width]
            kept = torch.gather(mask[rows], 1, columns)
            block = gram[columns[:, :, None], columns[:, None, :]]
            block.masked_fill_(~(kept[:, :, None] & kept[:, None, :]), 0.0)
            block.diagonal(dim1=1, dim2=2).add_(torch.where(kept, pull[columns], 1.0))
            right = torch.gather(cross[rows] + pull * old[rows].double(), 1, columns)
            right = torch.where(kept, right, 0.0)[:, :, None]
            values = torch.cholesky_solve(right, torch.linalg.cholesky(block))[:, :, 0]
            values = torch.where(kept, values, 0.0)
            new[rows] = torch.zeros_like(new[rows]).scatter(1, columns, values)
    return new
