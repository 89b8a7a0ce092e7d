"""Refit (AL-5): the kept weights of each neuron are solved for again, layer by layer.

With the kept set fixed, the weights and the bias of a neuron minimise ||A^ w + b - z||^2 +
ridge ||w - w_0||^2 over calibration rows: A^ enters the layer of the pruned network, refitted up to
there, z leaves the layer of the dense one, w_0 are the weights as they were. Neurons share the
layer's Gram matrix and differ in its block.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of, write_weight
from sipp_core.network.patches import tiles
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import Progress, model_device, watching
from sipp_core.runtime.inputs import inputs_a_forward

RIDGE = 1e-2
REFITTED = (
    "kept weights and biases were solved for again on the calibration inputs (AL-5): nothing is "
    "promised before, and what they do there is measured (SP-12)"
)
# Numbers in the blocks that are factorised at once.
BLOCK = 2**24


class _Reached(BaseException):
    """The layer that is looked at has been called; what follows need not run."""


def refit(
    dense: nn.Module, pruned: nn.Module, layers: Sequence[PrunableLayer],
    masks: Mapping[str, Tensor], inputs: Given, *, ridge: float = RIDGE,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Refit the kept weights of all layers of `pruned` in place, in the order of the forward pass.

    Args:
        dense: the network before pruning.
        pruned: its pruned copy, whose weights w_0 and biases are written over.
        layers: the layers of `dense` to refit, as `calibrate(...).layers[k].layer`.
        masks: True where a weight is kept, in the weight's shape, by layer name.
        inputs: (n, ...) tensor or `Batch`, without labels.
        ridge: strength of the ridge, > 0, in units of the Gram matrix's mean diagonal.
        progress: callback (done, total, "refit").

    Claim: AL-5. Source: [OWN].

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
    size = inputs_a_forward(inputs)
    by_name = {layer.name: layer.within(dense) for layer in layers}
    calls = calls_in_order(dense, list(by_name.values()), inputs[:1])
    for number, (name, count) in enumerate(calls.items()):
        layer = by_name[name]
        if progress is not None:
            progress(number, len(calls), "refit")
        own = layer.within(pruned)
        place = own.module
        moments = _Moments(layer, intercept=isinstance(place.bias, Tensor))
        for batch in inputs.split(size):
            theirs = _inputs_of(dense, layer, count, batch)
            ours = _inputs_of(pruned, own, count, batch)
            for a, b in zip(theirs, ours, strict=True):
                for before, after in zip(tiles(layer, a), tiles(own, b), strict=True):
                    moments.add(before.double(), after.double())
        weight, bias = moments.solve(own.weight.double(), masks[layer.name].flatten(1), ridge)
        write_weight(layer.name, weight_of(place), weight)
        if bias is not None:
            write_weight(layer.name, place.get_parameter("bias"), bias)


def calls_in_order(
    model: nn.Module, layers: Sequence[PrunableLayer], example: Given
) -> dict[str, int]:
    """How often each layer is called in a forward pass, in the order of the first calls."""
    calls: dict[str, int] = {}

    def see(name: str, _: Tensor) -> None:
        calls[name] = calls.get(name, 0) + 1

    with watching(model, {layer.name: layer.module for layer in layers}, see):
        run(model, example.to(model_device(model), copy=True))
    return calls


def _inputs_of(model: nn.Module, layer: PrunableLayer, count: int, batch: Given) -> list[Tensor]:
    """What enters one layer in its calls; the forward pass is left with the last of them."""
    given: list[Tensor] = []

    def see(_: str, value: Tensor) -> None:
        given.append(value.detach().clone())  # the model may write to it between two calls
        if len(given) == count:
            raise _Reached

    with contextlib.suppress(_Reached), watching(model, {layer.name: layer.module}, see):
        run(model, batch.to(model_device(model), copy=True))
    return given


class _Moments:
    """Sums over rows that least squares need, float64: of a^, its products, and those with z."""

    def __init__(self, layer: PrunableLayer, intercept: bool) -> None:
        out, fan_in = layer.weight.shape
        g = layer.groups
        device = layer.weight.device
        self.layer, self.intercept = layer, intercept
        self.weight = layer.weight.double().reshape(g, out // g, fan_in)
        bias = layer.module.bias
        self.bias = (
            bias.detach().double() if isinstance(bias, Tensor) else self.weight.new_zeros(out)
        ).reshape(g, 1, -1)
        kind = {"dtype": torch.float64, "device": device}
        self.rows = 0
        self.gram = torch.zeros(g, fan_in, fan_in, **kind)
        self.cross = torch.zeros(g, fan_in, out // g, **kind)
        self.first = torch.zeros(g, fan_in, **kind)
        self.target = torch.zeros(g, out // g, **kind)

    def add(self, before: Tensor, after: Tensor) -> None:
        """Take in rows of the dense and of the pruned network. Shapes: both (groups, n, fan_in)."""
        z = before @ self.weight.mT + self.bias
        self.rows += after.shape[1]
        self.gram += after.mT @ after
        self.cross += after.mT @ z
        self.first += after.sum(1)
        self.target += z.sum(1)

    def solve(self, old: Tensor, mask: Tensor, ridge: float) -> tuple[Tensor, Tensor | None]:
        """Weights (out, fan_in) with zeros outside the mask, and biases (out,) if there are any."""
        n = max(1, self.rows)
        gram, cross = self.gram / n, self.cross / n
        mean, target = self.first / n, self.target / n
        if self.intercept:
            gram = gram - mean[:, :, None] * mean[:, None, :]
            cross = cross - mean[:, :, None] * target[:, None, :]
        groups, fan_in = mean.shape
        weights = []
        for g in range(groups):
            rows = slice(g * cross.shape[2], (g + 1) * cross.shape[2])
            weights.append(_solved(gram[g], cross[g].mT, old[rows], mask[rows], ridge))
        weight = torch.cat(weights)
        if not self.intercept:
            return weight, None
        shift = torch.einsum("gof,gf->go", weight.reshape(groups, -1, fan_in), mean)
        return weight, (target - shift).flatten()


def _solved(gram: Tensor, cross: Tensor, old: Tensor, mask: Tensor, ridge: float) -> Tensor:
    """Ridge regression of each neuron on its kept inputs.

    Shapes: gram (fan_in, fan_in), cross, old, mask (out, fan_in).
    """
    scale = float(gram.diagonal().mean())
    new = torch.where(mask, old, 0.0)
    if not scale > 0:
        return new
    counts = mask.sum(1)
    order = torch.argsort(counts)
    order = order[counts[order] > 0]
    while len(order):
        width = int(counts[order[-1]])
        step = max(1, BLOCK // width**2)
        rows, order = order[-step:], order[:-step]
        # The kept columns of each row first; what is beyond them is padded with an identity.
        columns = torch.argsort(~mask[rows], dim=1, stable=True)[:, :width]
        kept = torch.gather(mask[rows], 1, columns)
        block = gram[columns[:, :, None], columns[:, None, :]]
        block = torch.where(kept[:, :, None] & kept[:, None, :], block, 0.0)
        # Two plain numbers would make a float32 tensor.
        diagonal = torch.where(kept, block.new_tensor(ridge * scale), 1.0)
        block.diagonal(dim1=1, dim2=2).add_(diagonal)
        right = torch.gather(cross[rows], 1, columns) + ridge * scale * torch.gather(
            old[rows], 1, columns
        )
        right = torch.where(kept, right, 0.0)[:, :, None]
        values = torch.cholesky_solve(right, torch.linalg.cholesky(block))[:, :, 0]
        new[rows] = torch.zeros_like(new[rows]).scatter(1, columns, torch.where(kept, values, 0.0))
    return new
