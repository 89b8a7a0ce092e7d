"""SNIP: against differences of the loss, normalised over its scope; models left as they were."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sipp_core import calibrate, prune
from sipp_core.runtime.numbers import Float
from tests.core.methods.conftest import BUILD, TARGETS, dense, images, inputs

X, Y = inputs("dense"), TARGETS["classes"]


def snip_by_differences(model: nn.Module, name: str, x: Tensor, targets: Tensor) -> Float:
    """|dL/dc| at c = 1 of a factor c on each weight, by central differences."""
    model = copy.deepcopy(model).eval()
    loss = functional.mse_loss if targets.is_floating_point() else functional.cross_entropy
    weight, h = model.get_parameter(f"{name}.weight"), 1e-5
    result = np.zeros(weight.numel())
    with torch.no_grad():
        flat = weight.view(-1)
        for index in range(weight.numel()):
            before, sides = flat[index].item(), []
            for factor in (1 + h, 1 - h):
                flat[index] = before * factor
                sides.append(float(loss(model(x), targets)))
            flat[index] = before
            result[index] = abs(sides[0] - sides[1]) / (2 * h)
    return result.reshape(len(weight), -1)


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("kind", BUILD)
def test_snip_is_the_derivative_in_a_factor_on_each_weight(kind: str, targets: str) -> None:
    model, x, y = BUILD[kind](), inputs(kind), TARGETS[targets]
    result = calibrate(
        model, [(x[:5], y[:5]), (x[5:], y[5:])], statistics={"gradients"}, batch_size=3
    )
    for layer in result.layers:
        assert layer.saliency is not None
        expected = snip_by_differences(model, layer.name, x, y)
        np.testing.assert_allclose(layer.saliency.numpy(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_snip_ranks_the_scope_and_normalises_over_it(scope: str) -> None:
    model, x, y = dense(), inputs("dense"), TARGETS["classes"]
    result = prune(model, [(x, y)], method="snip", keep=0.4, scope=scope)
    scores = [snip_by_differences(model, name, x, y).ravel() for name in ("0", "2")]
    kept = [result.masks[name].flatten().numpy() for name in ("0", "2")]
    groups = [([s], [k]) for s, k in zip(scores, kept, strict=True)]
    if scope == "global":
        groups = [(scores, kept)]
    for ranked, masks in groups:
        flat, mask = np.concatenate(ranked), np.concatenate(masks)
        assert mask.sum() == np.rint(0.4 * mask.size) and flat[mask].min() > flat[~mask].max()
    total = sum(float(plan.scores.sum()) for plan in result.plans)
    assert total == pytest.approx(1.0 if scope == "global" else 2.0)


def test_snip_leaves_gradients_flags_modes_and_buffers_alone() -> None:
    model, x, y = images(), inputs("images"), TARGETS["classes"]
    model.train()
    model.get_submodule("1").eval()
    model.get_parameter("3.weight").requires_grad_(False)
    functional.cross_entropy(model(x), y).backward()
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    state = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    result = prune(model, [(x, y)], method="snip", keep=0.5)
    assert result.layers[1].name == "3" and result.layers[1].nnz_after > 0
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name != "3.weight")
        before = grads[name]
        assert (parameter.grad is None) == (before is None)
        assert before is None or torch.equal(before, parameter.grad)  # type: ignore[arg-type]
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_loss_of_ones_own() -> None:
    model, x, y = dense(), inputs("dense"), TARGETS["values"]
    ready = calibrate(
        model, [(x, y)], statistics={"gradients"}, loss=lambda z, t: 3 * (z - t).pow(2).mean()
    )
    plain = calibrate(model, [(x, y)], statistics={"gradients"})
    for a, b in zip(ready.layers, plain.layers, strict=True):
        assert a.saliency is not None and b.saliency is not None
        torch.testing.assert_close(a.saliency, 3 * b.saliency, rtol=1e-12, atol=0)
    assert prune(model, ready, method="snip", keep=0.5).nnz_after > 0


class Pair(nn.Module):
    """Returns no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = dense()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), x


@pytest.mark.parametrize(
    ("given", "settings", "error", "message"),
    [
        (X, {}, ValueError, "batch 0 has no targets.*found Tensor"),
        ([(X, Y), X], {}, ValueError, "batch 1 has no targets.*found Tensor"),
        ([(X, 3)], {}, ValueError, "batch 0 has no targets.*found int"),
        ([(X, Y[:4])], {}, ValueError, "batch 0 has 11 inputs and 4 targets"),
        ([(X, Y + 1)], {}, ValueError, "classes from 0 to 2.*found 3"),
        ([(X, Y - 1)], {}, ValueError, "classes from 0 to 2.*found -1"),
        ([(X, X)], {}, ValueError, r"targets of shape \(11, 6\) do not fit .*\(11, 3\)"),
        ([(X, Y[:, None])], {}, ValueError, r"classes of shape \(11, 1\) do not fit .*\(11, 3\)"),
        ([(X, Y)], {"loss": lambda z, t: z}, ValueError, r"one number.*found \(11, 3\)"),
        ([(X, Y)], {"loss": lambda z, t: 1.0}, ValueError, "one number.*found float"),
        ([(X, Y)], {"loss": lambda z, t: z.sum() * torch.inf}, ValueError,
         r"layer '0': the loss has no finite gradient in weight \(0, 0\)"),
        (3, {}, TypeError, "calibration must be a tensor, a mapping"),
    ],
)  # fmt: skip
def test_what_snip_cannot_use_is_refused_by_name(
    given: Any, settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = dense()
    with pytest.raises(error, match=message):
        calibrate(model, given, statistics={"gradients"}, **settings)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_model_without_a_tensor_of_outputs_is_refused() -> None:
    with pytest.raises(TypeError, match="it returns a tuple of 0 .*give output="):
        calibrate(Pair(), [(X, Y)], statistics={"gradients"})
