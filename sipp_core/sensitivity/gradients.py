"""Statistics of the loss's gradients: SNIP's, how the loss moves if a weight is taken away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from sipp_core.network.layers import PrunableLayer
from sipp_core.network.packed import parameter_of, part_of
from sipp_core.runtime.arguments import first_nonfinite
from sipp_core.runtime.batch import Batch
from sipp_core.runtime.execution import Progress, evaluating, forward, model_device
from sipp_core.runtime.inputs import inputs_a_forward, labelled
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.outputs import scores as plain
from sipp_core.runtime.processes import Processes
from sipp_core.sensitivity.statistics import MeasuredLayer, Statistic, register_statistic

Loss = Callable[[Tensor, Tensor], Tensor]
Pairs = Sequence[Batch]


def default_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy for integer targets (classes), mean squared error for floating ones.

    Shapes: outputs (n, classes, ...), targets (n, ...).

    Example:
        >>> default_loss(torch.zeros(3, 2), torch.tensor([0, 1, 1])).item()
        0.6931471824645996
    """
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"the model returns {type(outputs).__name__} and not a tensor of outputs; give "
            "calibrate loss=..., which takes (outputs, targets)"
        )
    if outputs.dtype in (torch.float16, torch.bfloat16):
        outputs = outputs.float()
    if targets.is_floating_point():
        if targets.shape != outputs.shape:
            raise ValueError(
                f"targets of shape {tuple(targets.shape)} do not fit outputs of shape "
                f"{tuple(outputs.shape)}; floating targets must be of the outputs' own shape"
            )
        return functional.mse_loss(outputs, targets.to(outputs.dtype))
    classes = outputs.shape[1] if outputs.ndim > 1 else 0
    if targets.shape != outputs.shape[:1] + outputs.shape[2:] or outputs.ndim < 2:
        raise ValueError(
            f"classes of shape {tuple(targets.shape)} do not fit outputs of shape "
            f"{tuple(outputs.shape)}; integer targets hold one class for each row of logits"
        )
    low, high = int(targets.amin()), int(targets.amax())
    if low < 0 or high >= classes:
        raise ValueError(
            f"targets must be classes from 0 to {classes - 1}, of which the model has outputs; "
            f"found {low if low < 0 else high}"
        )
    return functional.cross_entropy(outputs, targets.long())


@contextmanager
def differentiable(weights: Sequence[Tensor]) -> Iterator[None]:
    """Let gradients reach the weights, also frozen ones; put every flag back."""
    if any(weight.is_inference() for weight in weights):
        raise ValueError(
            "the model's weights were made under torch.inference_mode, which allows no gradients; "
            "build the model outside of it, or copy.deepcopy it there"
        )
    flags = [weight.requires_grad for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield
    finally:
        for weight, flag in zip(weights, flags, strict=True):
            weight.requires_grad_(flag)


def _value(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    value = loss(outputs, targets)
    if not isinstance(value, Tensor) or value.ndim != 0 or not value.requires_grad:
        kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"loss must return one number, a scalar tensor that depends on the weights; found "
            f"{kind}"
        )
    return value


@register_statistic
class Saliency(Statistic):
    """SNIP's |w dL/dw|, the derivative of the mean loss in a factor on the weight."""

    name = "gradients"
    attributes = ("saliency",)
    gradients = True

    def start(self, layer: MeasuredLayer) -> None:
        self.layer, self.count = layer.layer, 0
        self.total = torch.zeros_like(self.layer.weight, dtype=torch.float64)

    def add_gradient(self, gradient: Tensor, inputs: int) -> None:
        self.total += gradient.double() * inputs
        self.count += inputs

    def merge(self, group: Processes) -> None:
        pass

    def value(self) -> Tensor:
        saliency = (self.layer.weight.double() * (self.total / self.count)).abs()
        if (index := first_nonfinite(saliency)) is not None:
            raise ValueError(
                f"layer {self.layer.name!r}: the loss has no finite gradient in weight {index}; "
                "scale the inputs or give calibrate another loss="
            )
        return saliency


def add_gradients(
    model: nn.Module, statistics: Sequence[tuple[PrunableLayer, Sequence[Statistic]]],
    pairs: Pairs, size: int | None, loss: Loss | None, output: Output, progress: Progress | None,
) -> None:  # fmt: skip
    """Hand each layer's statistics the gradients of the loss, batch by batch.

    The model runs in eval mode; its parameters' .grad, flags, hooks and buffers are left as they
    were. Many processes each compute the whole of it.

    Shapes: loss (outputs, targets).
    """
    device = model_device(model)
    weights = [parameter_of(layer.module) for layer, _ in statistics]
    count, size = 0, size or inputs_a_forward(pairs[0].without_targets())
    with differentiable(weights), evaluating(model), torch.enable_grad():
        for pair in labelled(pairs, size):
            inputs, targets = pair.without_targets(), pair.targets
            assert targets is not None
            outputs = forward(model, inputs.to(device), "calibration")
            if loss is None or output is not None:
                outputs = plain(outputs, output)
            value = _value(loss or default_loss, outputs, targets.to(device))
            gradients = torch.autograd.grad(value, weights, materialize_grads=True)
            for (layer, some), gradient in zip(statistics, gradients, strict=True):
                own = part_of(layer.module, gradient).flatten(1)
                for statistic in some:
                    statistic.add_gradient(own, len(inputs))
            count += len(inputs)
            if progress is not None:
                progress(count, 0, "gradients")
