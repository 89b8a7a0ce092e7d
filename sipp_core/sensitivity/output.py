"""Network sensitivity (AL-4): how much of the network's output a weight accounts for.

With h the outputs minus their mean over classes and J_i(x) = dh/dz_i, taking away w_ij moves h by
w_ij a_j(x) J_i(x) to first order; its root mean square, relative to ||h(x)||, is one scale for all
layers. Marginals are used: what enters and what leaves a neuron are measured apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer
from sipp_core.network.packed import is_dense, layer_of
from sipp_core.network.patches import tiles
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import evaluating, model_device, watching
from sipp_core.runtime.inputs import inputs_a_forward
from sipp_core.runtime.numbers import Float, generator
from sipp_core.runtime.outputs import Output, scores
from sipp_core.runtime.products import products

# Outputs of at most so many numbers have an exact Jacobian; of others random signs take its norm.
PROBES = 16
PROBE_STREAM = 61


@dataclass(frozen=True, eq=False)
class LayerSensitivity:
    """What network sensitivity (AL-4) knows of one layer, float64 on the CPU.

    Attributes:
        outgoing: (out,) mean over inputs of sum over positions of ||J_i||^2/||h||^2.
        together: (out,) the same of the sum over positions, ||sum J_i||^2/||h||^2.
        mean: (groups, fan_in) mean of a_j over inputs and patches.
        variance: (groups, fan_in) its variance, exactly 0 of what does not vary.

    Claim: AL-4. Source: [OWN].
    """

    outgoing: Float
    together: Float
    mean: Float
    variance: Float

    def scores(self, weight: Float, refitted: bool) -> Float:
        """Score each weight; where the bias is refitted, the mean of its input costs nothing.

        Shapes: weight (out, fan_in); returns (out, fan_in).

        Claim: AL-4. Source: [OWN].
        """
        repeat = weight.shape[0] // self.mean.shape[0]
        variance = np.repeat(self.variance, repeat, axis=0)
        square = self.outgoing[:, None] * variance
        if not refitted:
            square = square + self.together[:, None] * np.repeat(self.mean, repeat, axis=0) ** 2
        return np.abs(weight) * np.sqrt(square)


def centred(outputs: Tensor) -> Tensor:
    """Outputs as (n, k), with the mean over k taken off where they are scores of classes."""
    flat = outputs.flatten(1)
    classes = outputs.ndim == 2 and flat.shape[1] > 1
    return flat - flat.mean(dim=1, keepdim=True) if classes else flat


def _probes(width: int, classes: bool, seed: int) -> Float:
    """(probes, k) vectors r with sum over r of <r, v>^2 = ||v||^2, exactly or on average."""
    if width <= PROBES:
        basis = np.eye(width)
        return basis - 1 / width if classes else basis
    signs = generator(seed, PROBE_STREAM).integers(0, 2, (PROBES, width)) * 2.0 - 1
    if classes:
        signs -= signs.mean(axis=1, keepdims=True)
    return signs / np.sqrt(PROBES)


@contextmanager
def _added(layers: Sequence[PrunableLayer], places: dict[str, list[Tensor]]) -> Iterator[None]:
    """Let every layer's output pass through a sum with a leaf of zeros, which gathers gradients."""

    def grown(name: str, out: Tensor) -> Tensor:
        leaf = torch.zeros_like(out, requires_grad=True)
        places.setdefault(name, []).append(leaf)
        return out + leaf

    def hook(name: str) -> Any:
        return lambda _, given, out: grown(name, out)

    def heard(name: str, _: Tensor, rows: slice, out: Tensor) -> Tensor:
        before, after = out[..., : rows.start], out[..., rows.stop :]
        return torch.cat([before, grown(name, out[..., rows]), after], dim=-1)

    with ExitStack() as stack:
        stack.enter_context(products({each.name: each.module for each in layers}, heard))
        for layer in layers:
            stack.callback(layer.module.register_forward_hook(hook(layer.name)).remove)
        yield


def output_sensitivity(
    model: nn.Module,
    inputs: Given,
    layers: Sequence[PrunableLayer],
    seed: int = 0,
    output: Output = None,
    size: int | None = None,
) -> dict[str, LayerSensitivity]:
    """Measure on given inputs what AL-4 needs of each layer; the model is left as found.

    Gradients are taken of h, the outputs, minus their mean over classes where the outputs are
    (n, k), k > 1. Up to 16 outputs have their exact Jacobian; of more, its norm is estimated,
    without bias, by 16 random signs. An input at which h = 0 counts as one at which J = 0.

    Args:
        model: any nn.Module with Linear or Conv layers.
        inputs: (n, ...) tensor or `Batch`, without labels.
        layers: the layers to measure, as `calibrate(...).layers[k].layer`.
        seed: of the random signs, >= 0.
        output: what counts of the model's answer, as in `calibrate`.
        size: inputs a forward pass, >= 1; by default as in `calibrate`.

    Returns:
        `LayerSensitivity` by layer name; its method `scores` gives the sensitivity of each weight.

    Claim: AL-4. Source: [OWN].

    Example:
        >>> model, inputs = nn.Linear(2, 1, bias=False), torch.tensor([[3.0, 1.0]])
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 1.0]]))
        >>> layer = PrunableLayer("", model, groups=1)
        >>> known = output_sensitivity(model, inputs, [layer])[""]
        >>> known.scores(np.ones((1, 2)), refitted=False).tolist()
        [[0.75, 0.25]]
    """
    layers = [layer.within(model) for layer in layers]
    size = size or inputs_a_forward(inputs)
    moments = input_moments(model, inputs, layers, size)
    squares = {layer.name: np.zeros((2, layer.weight.shape[0])) for layer in layers}
    device = model_device(model)
    for batch in inputs.split(size):
        places: dict[str, list[Tensor]] = {}
        with evaluating(model), torch.enable_grad(), _added(layers, places):
            outputs = scores(run(model, batch.to(device, copy=True)), output)
            h = centred(outputs.detach()).double()
            # Nothing is relative to outputs that are all 0: such an input counts for nothing.
            norm = h.norm(dim=1)
            norm = torch.where(norm > 0, norm, torch.inf)
            leaves = [leaf for layer in layers for leaf in places.get(layer.name, [])]
            names = [layer.name for layer in layers for _ in places.get(layer.name, [])]
            classes = outputs.ndim == 2 and h.shape[1] > 1
            probes = _probes(h.shape[1], classes, seed)
            for number, probe in enumerate(probes):
                direction = torch.from_numpy(probe).to(h.device)[None] / norm[:, None]
                grads = torch.autograd.grad(
                    outputs, leaves, direction.reshape(outputs.shape).to(outputs.dtype),
                    retain_graph=number + 1 < len(probes), allow_unused=True,
                )  # fmt: skip
                for name, grad in zip(names, grads, strict=True):
                    if grad is not None:
                        squares[name] += _squares(grad.double(), layer_of(model, name))
    means = {name: square / len(inputs) for name, square in squares.items()}
    return {
        name: LayerSensitivity(outgoing, together, *moments[name])
        for name, (outgoing, together) in means.items()
    }


def _squares(grad: Tensor, module: nn.Module) -> Float:
    """(2, out) sums over inputs of sum over positions of squares, and of the square of the sum."""
    rows = grad.reshape(len(grad), -1, grad.shape[-1]) if is_dense(module) else None
    rows = grad.flatten(2).transpose(1, 2) if rows is None else rows
    sums = torch.stack([rows.square().sum(dim=(0, 1)), rows.sum(dim=1).square().sum(dim=0)])
    return sums.cpu().numpy()


def input_moments(
    model: nn.Module, inputs: Given, layers: Sequence[PrunableLayer], size: int
) -> Mapping[str, tuple[Float, Float]]:
    """Mean and variance of what enters each layer, over inputs and patches, (groups, fan_in)."""
    by_name = {layer.name: layer for layer in layers}
    sums = {n: np.zeros((2, each.groups, each.weight.shape[1])) for n, each in by_name.items()}
    rows = dict.fromkeys(by_name, 0)
    # Moments about the first row: the variance of what does not vary is then exactly 0 (AL-6).
    origins: dict[str, Tensor] = {}

    def see(name: str, given: Tensor) -> None:
        for tile in tiles(by_name[name], given.detach()):
            block = tile.double()
            block = block - origins.setdefault(name, block[:, :1].clone())
            sums[name] += torch.stack([block.sum(1), block.square().sum(1)]).cpu().numpy()
            rows[name] += block.shape[1]

    device = model_device(model)
    with watching(model, {n: each.module for n, each in by_name.items()}, see):
        for batch in inputs.split(size):
            run(model, batch.to(device, copy=True))
    moments = {}
    for name, (first, second) in sums.items():
        mean = first / max(1, rows[name])
        variance = np.maximum(second / max(1, rows[name]) - mean**2, 0.0)
        origin = origins[name][:, 0].cpu().numpy() if name in origins else 0.0
        moments[name] = (origin + mean, variance)
    return moments
