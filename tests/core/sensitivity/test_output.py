"""AL-4: network sensitivity against Jacobians by brute force, and a model that stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core.network.layers import prunable_layers
from sipp_core.network.patches import rows
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.output import PROBES, output_sensitivity
from tests.core.conftest import network
from tests.core.methods.conftest import seeded


class Twice(nn.Module):
    """One layer that is called twice, before and after a nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


class Values(nn.Module):
    """Outputs that are no scores of classes: an image of so many channels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def mlp(out: int = 5, bias: bool = True) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6, bias=bias), nn.Tanh(), nn.Linear(6, out, bias=bias))


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(24, 3),
    )  # fmt: skip


def tokens() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2), nn.Flatten(), nn.Linear(6, 3))


def residual() -> nn.Module:
    return network("residual", 3)[0]


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (mlp, (4,)),
    "one output": (lambda: mlp(1), (4,)),
    "grouped convolution": (grouped, (2, 6, 6)),
    "no classes": (Values, (2, 4, 4)),
    "residual": (residual, (3, 5, 5)),
    "called twice": (Twice, (4,)),
    "tokens": (tokens, (3, 4)),
}


def case(name: str, n: int = 5) -> tuple[nn.Module, Tensor]:
    build, shape = CASES[name]
    model = build() if name == "residual" else seeded(build()).double()
    rng = torch.Generator().manual_seed(4)
    return model.eval(), torch.randn(n, *shape, generator=rng, dtype=torch.float64)


def by_hand(model: nn.Module, inputs: Tensor) -> dict[str, tuple[Float, Float, Float, Float]]:
    """outgoing, together, mean and variance of each layer, one input and one output at a time."""
    layers = prunable_layers(model)
    outgoing: dict[str, list[Float]] = {layer.name: [] for layer in layers}
    together: dict[str, list[Float]] = {layer.name: [] for layer in layers}
    entering: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    for x in inputs:
        calls: list[tuple[str, Tensor]] = []

        def hook(name: str, calls: list[tuple[str, Tensor]]) -> Callable[..., Tensor]:
            def see(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
                entering[name].append(given[0].detach().clone())
                calls.append((name, out))
                # In-place layers behind must not write to what gradients are taken of.
                return out * 1

            return see

        handles = [layer.module.register_forward_hook(hook(layer.name, calls)) for layer in layers]
        outputs = model(x[None])
        for handle in handles:
            handle.remove()
        h = outputs.flatten(1)[0]
        h = h - h.mean() if outputs.ndim == 2 and len(h) > 1 else h
        jacobian = [
            torch.autograd.grad(h[k], [z for _, z in calls], retain_graph=True)
            for k in range(len(h))
        ]
        size = float(h.detach().square().sum())
        sums = {layer.name: np.zeros((2, layer.weight.shape[0])) for layer in layers}
        for k in range(len(h)):
            for (name, z), slope in zip(calls, jacobian[k], strict=True):
                linear = isinstance(model.get_submodule(name), nn.Linear)
                flat = slope.reshape(-1, z.shape[-1]) if linear else slope[0].flatten(1).T
                sums[name][0] += flat.square().sum(0).numpy() / size
                sums[name][1] += flat.sum(0).square().numpy() / size
        for name, (single, joint) in sums.items():
            outgoing[name].append(single)
            together[name].append(joint)
    answer = {}
    for layer in layers:
        patches = torch.cat([rows(layer, given) for given in entering[layer.name]], dim=1).numpy()
        answer[layer.name] = (
            np.mean(outgoing[layer.name], axis=0), np.mean(together[layer.name], axis=0),
            patches.mean(axis=1), patches.var(axis=1),
        )  # fmt: skip
    return answer


@pytest.mark.parametrize("name", CASES)
def test_jacobians_and_moments_are_those_by_brute_force(name: str) -> None:
    model, inputs = case(name)
    layers = prunable_layers(model)
    expected = by_hand(model, inputs)
    known = output_sensitivity(model, inputs, layers)
    assert known.keys() == expected.keys()
    for layer in layers:
        one = known[layer.name]
        values = one.outgoing, one.together, one.mean, one.variance
        for value, true in zip(values, expected[layer.name], strict=True):
            np.testing.assert_allclose(value, true, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["dense", "grouped convolution"])
def test_scores_are_those_of_the_claim(name: str) -> None:
    """|w_ij| sqrt(coh_i A_j^2 + inc_i V_j), and without the mean where the bias is refitted."""
    model, inputs = case(name)
    expected = by_hand(model, inputs)
    known = output_sensitivity(model, inputs, prunable_layers(model))
    for layer in prunable_layers(model):
        weight = layer.weight.numpy()
        incoming, coherent, mean, variance = expected[layer.name]
        for i, row in enumerate(weight):
            group = i * layer.groups // len(weight)
            varying = incoming[i] * variance[group]
            scores = known[layer.name].scores(weight, refitted=False)[i]
            constant = coherent[i] * mean[group] ** 2
            np.testing.assert_allclose(scores, np.abs(row) * np.sqrt(constant + varying), 1e-9)
            scores = known[layer.name].scores(weight, refitted=True)[i]
            np.testing.assert_allclose(scores, np.abs(row) * np.sqrt(varying), 1e-9, 1e-12)


def test_it_is_the_error_that_a_small_weight_makes() -> None:
    """To first order, at one row of a dense network: the error of h when w_ij goes."""
    model, inputs = case("dense", 20)
    layer = prunable_layers(model)[0]
    with torch.no_grad():
        layer.module.get_parameter("weight")[2, 1] = 1e-6

    def h() -> Tensor:
        with torch.no_grad():
            outputs = model(inputs)
        return outputs - outputs.mean(dim=1, keepdim=True)

    square = by_hand(model, inputs)[layer.name][0][2]
    before = h()
    with torch.no_grad():
        layer.module.get_parameter("weight")[2, 1] = 0
    moved = ((h() - before).square().sum(1) / before.square().sum(1)).mean().sqrt()
    slopes = [by_hand(model, x[None])[layer.name][0][2] * float(x[1]) ** 2 for x in inputs]
    assert float(moved) == pytest.approx(1e-6 * np.sqrt(np.mean(slopes)), rel=1e-4)
    # Marginals: the mean of a product is replaced by the product of means.
    scores = output_sensitivity(model, inputs, [layer])[layer.name].scores(
        np.full((6, 4), 1e-6), refitted=False
    )
    assert scores[2, 1] == pytest.approx(
        1e-6 * np.sqrt(square * float(inputs[:, 1].square().mean())), rel=1e-9
    )


@pytest.mark.parametrize("classes", [True, False])
def test_many_outputs_are_probed_without_bias(classes: bool) -> None:
    """40 outputs are more than are probed exactly: random signs, the mean of which is exact."""
    model = seeded(mlp(40)).double().eval()
    if not classes:
        model = nn.Sequential(model, nn.Unflatten(1, (4, 10)))
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)).double()
    layers = prunable_layers(model)
    assert PROBES < 40
    seeds = 400
    values = [output_sensitivity(model, inputs, layers, seed) for seed in range(seeds)]
    for name, (outgoing, together, *_) in by_hand(model, inputs).items():
        for attribute, true in (("outgoing", outgoing), ("together", together)):
            drawn = np.array([getattr(value[name], attribute) for value in values])
            # Six standard errors of the mean on each side, and each single one is an estimate.
            error = drawn.std(axis=0, ddof=1) / np.sqrt(seeds)
            assert (np.abs(drawn.mean(axis=0) - true) <= 6 * error + 1e-12 * true).all()
            assert (error < 0.05 * true).all()
            # Of outputs themselves a sign's square is exact, unless the mean is taken off.
            assert (error > 1e-6 * true).all() or not (classes or name.endswith("0"))
    again = output_sensitivity(model, inputs, layers, 7)
    assert all((again[n].outgoing == values[7][n].outgoing).all() for n in again)


def test_an_unused_layer_and_dead_neurons_score_nothing() -> None:
    model, inputs = seeded(mlp()).double().eval(), case("dense")[1]
    model.add_module("unused", nn.Linear(3, 3).double())
    model.forward = lambda x: model[2](torch.relu(model[0](x)))  # pyright: ignore
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, -1  # pyright: ignore  # never fires
        model[2].weight[:, 4] = 0  # pyright: ignore  # fires, and nobody listens
        model[0].weight[4] = 3  # pyright: ignore
    layers = prunable_layers(model)
    known = output_sensitivity(model, inputs, layers)
    scores = {layer.name: known[layer.name].scores(layer.weight.numpy(), True) for layer in layers}
    assert (scores["0"][[1, 4]] == 0).all() and (scores["0"][[0, 2, 3, 5]] > 0).any(axis=1).all()
    ones = known["2"].scores(np.ones((5, 6)), refitted=False)
    assert (ones[:, 1] == 0).all() and (ones[:, 4] > 0).all()
    assert (scores["unused"] == 0).all()


def test_an_input_without_outputs_counts_for_nothing() -> None:
    """Nothing is relative to h = 0; the mean is still over all inputs."""
    model, inputs = seeded(mlp(bias=False)).double().eval(), case("dense")[1]
    layers = prunable_layers(model)
    plain = output_sensitivity(model, inputs, layers)
    more = output_sensitivity(model, torch.cat([inputs, torch.zeros_like(inputs)]), layers)
    for name, one in plain.items():
        np.testing.assert_allclose(more[name].outgoing * 2, one.outgoing, 1e-12)
        np.testing.assert_allclose(more[name].together * 2, one.together, 1e-12)


class Shifting(nn.Module):
    """A model that writes to its input, and counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.body = grouped()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.body(x.mul_(2).sub_(1))


def test_the_model_and_the_inputs_stay_as_they_were() -> None:
    model = seeded(Shifting()).double().train()
    model.body[0].eval()  # pyright: ignore
    for name in ("body.3.weight", "body.7.bias"):
        model.get_parameter(name).requires_grad_(False)
    head = model.get_parameter("body.7.weight")
    head.grad = torch.ones_like(head)
    inputs = torch.randn(6, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    given, state = inputs.clone(), copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    torch.manual_seed(5)
    dice = torch.get_rng_state()
    first = output_sensitivity(model, inputs, prunable_layers(model))
    assert torch.equal(torch.get_rng_state(), dice)
    assert torch.equal(inputs, given)
    assert all(torch.equal(value, state[k]) for k, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    frozen = {n for n, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"body.3.weight", "body.7.bias"}
    grads = {n for n, parameter in model.named_parameters() if parameter.grad is not None}
    assert grads == {"body.7.weight"} and torch.equal(head.grad, torch.ones_like(head))
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    # Frozen weights are measured like others, and evaluation mode is what is measured.
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    second = output_sensitivity(model.eval(), inputs, prunable_layers(model))
    for name, one in first.items():
        assert (one.outgoing == second[name].outgoing).all() and (one.outgoing > 0).any()
        assert (one.variance == second[name].variance).all()


def test_a_refused_call_removes_its_hooks() -> None:
    model = seeded(mlp()).double().train()
    with pytest.raises(ValueError, match="its last dimension must be 4"):
        output_sensitivity(model, torch.ones(2, 3).double(), prunable_layers(model))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert all(module.training for module in model.modules())


def test_many_inputs_are_the_mean_of_parts() -> None:
    """Forward passes of 256: the last one is smaller."""
    model, inputs = case("dense", 300)
    layers = prunable_layers(model)
    whole = output_sensitivity(model, inputs, layers)
    parts = [output_sensitivity(model, part, layers) for part in inputs.split(100)]
    for name, one in whole.items():
        mean = np.mean([part[name].outgoing for part in parts], axis=0)
        np.testing.assert_allclose(one.outgoing, mean, 1e-12)
