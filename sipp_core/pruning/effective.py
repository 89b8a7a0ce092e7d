"""Effective weights (AL-6): those on a live path from input to output; what is freed is spent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.packed import parameter_of, part_of
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import evaluating, model_device
from sipp_core.runtime.inputs import inputs_a_forward
from sipp_core.runtime.numbers import generator
from sipp_core.runtime.outputs import Output, scores
from sipp_core.sensitivity.gradients import differentiable

EFFECTIVE = (
    "weights that no calibration input's output depends on were removed, and the budget was spent "
    "on others (AL-6)"
)
DIRECTION_STREAM = 62


def effective_weights(
    model: nn.Module,
    layers: Sequence[PrunableLayer],
    inputs: Given,
    output: Output = None,
    size: int | None = None,
) -> dict[str, Tensor]:
    """Find the weights that some output depends on at some input, to first order.

    A weight is effective if the gradient of a random sum of all outputs at all inputs is not 0 in
    it: on a path whose every input is 0, or that ends at a neuron that is off or that nothing
    leaves, the gradient is exactly 0. The model is left as found.

    Args:
        model: any nn.Module with Linear or Conv layers.
        layers: the layers to look at, as `calibrate(...).layers[k].layer`.
        inputs: (n, ...) tensor or `Batch`, without labels.
        output: what counts of the model's answer, as in `calibrate`.
        size: inputs a forward pass, >= 1; by default as in `calibrate`.

    Returns:
        Bool masks of the weights' shapes, by layer name; weights of 0 are not effective.

    Claim: AL-6. Source: [SP] arXiv 1910.05422, the authors' code.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
        >>> _ = model[0].weight.data.fill_(1.0)
        >>> _ = model[2].weight.data.copy_(torch.tensor([[1.0, 0.0]]))
        >>> layers = [PrunableLayer(name, model.get_submodule(name), 1) for name in ("0", "2")]
        >>> effective_weights(model, layers, torch.tensor([[1.0, 0.0]]))["0"].tolist()
        [[True, False], [False, False]]
    """
    own = [layer.within(model) for layer in layers]
    weights = [weight_of(layer.module) for layer in own]
    alive = [torch.zeros_like(weight, dtype=torch.bool) for weight in weights]
    # Gradients are of parameters, of which a weight may be a view.
    parameters = [parameter_of(layer.module) for layer in own]
    random = generator(0, DIRECTION_STREAM)
    device = model_device(model)
    with differentiable(parameters), evaluating(model), torch.enable_grad():
        for batch in inputs.split(size or inputs_a_forward(inputs)):
            outputs = scores(run(model, batch.to(device, copy=True)), output)
            direction = torch.from_numpy(random.standard_normal(tuple(outputs.shape)))
            gradients = torch.autograd.grad(
                outputs, parameters, direction.to(outputs), materialize_grads=True
            )
            for layer, live, gradient in zip(own, alive, gradients, strict=True):
                live |= part_of(layer.module, gradient) != 0
    return {
        layer.name: live & (weight.detach() != 0)
        for layer, live, weight in zip(own, alive, weights, strict=True)
    }


def count(masks: Mapping[str, Tensor]) -> int:
    """Weights that masks keep."""
    return sum(int(mask.sum()) for mask in masks.values())


Attempt = TypeVar("Attempt")


def spend(attempt: Callable[[int], tuple[Attempt, int]], budget: int, most: int) -> Attempt:
    """Find by bisection the amount at which so many weights are effective, or just fewer.

    `attempt(amount)` keeps `amount` weights and says how many of them are effective; the number
    need not rise with the amount, and the best attempt that was seen is taken.

    Example:
        >>> spend(lambda amount: (amount, amount // 2), 10, 100)
        21
    """
    best, alive = attempt(budget)
    low, high = (budget, most) if alive <= budget else (0, budget)
    left = alive if alive <= budget else -1  # draws may leave more than the budget
    while left != budget and high - low > 1:
        middle = (low + high) // 2
        tried, alive = attempt(middle)
        if alive > budget:
            high = middle
            continue
        low = middle
        if alive >= left:
            best, left = tried, alive
    return best
