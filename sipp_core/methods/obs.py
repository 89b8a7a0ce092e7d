"""Layer-wise optimal brain surgeon, by SparseGPT's sweep over columns."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import weight_of, write_weight
from sipp_core.network.patches import tiles
from sipp_core.pruning.method import Facts, Needs, register
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.surroundings import Call, Surroundings, look_around, watch
from sipp_core.pruning.writing import Rewriting
from sipp_core.runtime.arguments import positive, whole
from sipp_core.runtime.batch import Given
from sipp_core.runtime.inputs import inputs_a_forward
from sipp_core.sensitivity.calibrate import Calibration


@dataclass(frozen=True)
class OptimalBrainSurgeon(Rewriting):
    """Drop, column by column, what the rest of its neuron can make up for, and let it.

    Of each block of columns the weights of least w_ij^2/[U]_jj^2 go, where U is the upper Cholesky
    factor of the inverse of the layer's Gram matrix H plus a ridge; what a dropped weight leaves
    undone is spread over the columns behind it by U's row. Layers are done in the order of the
    forward pass, each on what the pruned ones before it give, and keep the same share.

    Attributes:
        block: columns among which weights are compared, >= 1.
        ridge: added to H's diagonal, > 0, in units of its mean.

    Claim: SP-6 for any multiplier (the promise). Source: Frantar and Alistarh 2023, arXiv
        2301.00774 (the method); Hassibi and Stork 1992.
    """

    block: int = 128
    ridge: float = 0.01

    name = "obs"
    facts = Facts(
        "Optimal brain surgeon",
        "peer",
        "Layer by layer the weights go that the others of their neuron can make up for, and those "
        "are changed so that they do (SparseGPT's sweep).",
        "arXiv 2301.00774",
    )
    takes = frozenset({"keep"})

    def __post_init__(self) -> None:
        whole("block", self.block, 1)
        positive("ridge", self.ridge)

    def needs(self, request: Request) -> Needs:
        """The inputs, which every layer is given again."""
        return Needs(inputs=True)

    def rewrites(self, request: Request, calibration: Calibration) -> nn.Module:
        """A copy with the swept weights of every layer."""
        assert isinstance(request.target, Keep) and calibration.held_inputs is not None
        inputs, keep = calibration.held_inputs, request.target.fraction
        new = copy.deepcopy(request.model)
        layers = [layer.layer for layer in calibration.layers]
        around = look_around(request.model, layers, inputs[:1]) if keep < 1 else {}
        for number, place in enumerate(around.values()):
            if request.progress is not None:
                request.progress(number, len(around), "sweep")
            own = place.within(new)
            weight = own.layer.weight.double()
            grams = _grams(new, own, inputs, calibration.forward_size)
            swept = [
                sweep(part, gram, keep, self.block, self.ridge)
                for part, gram in zip(weight.chunk(len(grams)), grams, strict=True)
            ]
            write_weight(own.layer.name, weight_of(own.layer.module), torch.cat(swept))
        return new


def _grams(model: nn.Module, place: Surroundings, inputs: Given, size: int | None) -> Tensor:
    """Gram matrices of what enters a layer, (groups, fan_in, fan_in) float64."""
    fan_in = place.layer.weight.shape[1]
    shape = place.layer.groups, fan_in, fan_in
    gram = torch.zeros(shape, dtype=torch.float64, device=place.layer.weight.device)

    def done(_: str, call: Call) -> None:
        for tile in tiles(place.layer, call.given):
            rows = tile.double()
            gram.add_(rows.mT @ rows)

    alone = Surroundings(place.layer, place.calls)
    for batch in inputs.split(size or inputs_a_forward(inputs)):
        watch(model, {place.layer.name: alone}, batch, done, last=place.layer.name)
    return gram


def sweep(weight: Tensor, gram: Tensor, keep: float, block: int, ridge: float) -> Tensor:
    """Sweep one matrix; the share `keep` of its weights is left.

    Shapes: weight (out, fan_in), gram (fan_in, fan_in), both float64; returns (out, fan_in).

    Source: Frantar and Alistarh 2023, arXiv 2301.00774.
    """
    new, fan_in = weight.clone(), weight.shape[1]
    scale = float(gram.diagonal().mean())
    raised = gram.clone()
    raised.diagonal().add_(ridge * (scale if scale > 0 else 1.0))
    inverse = torch.linalg.inv(raised)
    upper = torch.linalg.cholesky((inverse + inverse.mT) / 2, upper=True)
    budgets = np.rint(keep * len(weight) * np.minimum(np.arange(0, fan_in + block, block), fan_in))
    for number, first in enumerate(range(0, fan_in, block)):
        columns = slice(first, min(first + block, fan_in))
        size = new[:, columns].numel()
        dropped = size - int(budgets[number + 1] - budgets[number])
        saliency = (new[:, columns] / upper.diagonal()[columns]).square().flatten()
        kept = torch.ones(size, dtype=torch.bool, device=new.device)
        kept[torch.argsort(saliency, stable=True)[:dropped]] = False
        mask = kept.reshape(new[:, columns].shape)
        for column in range(columns.start, columns.stop):
            here = mask[:, column - first]
            error = torch.where(here, 0.0, new[:, column]) / upper[column, column]
            new[:, column:] -= error[:, None] * upper[column, column:]
            new[:, column] = torch.where(here, new[:, column], 0.0)
    return new


register(OptimalBrainSurgeon())
