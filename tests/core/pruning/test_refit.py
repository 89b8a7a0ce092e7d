"""AL-5: the refit against ridge regression in numpy, neuron by neuron, on the kept block."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import METHODS, prune
from sipp_core.methods import find_method
from sipp_core.network.layers import PrunableLayer, prunable_layers
from sipp_core.network.patches import rows
from sipp_core.pruning.refit import calls_in_order, refit
from sipp_core.runtime.execution import watching
from sipp_core.runtime.numbers import Float
from tests.core.conftest import for_method, network
from tests.core.methods.conftest import relu_network, seeded
from tests.core.methods.conftest import rows as inputs_of_relu_network


class Twice(nn.Module):
    """A first layer that is called twice, and modules that are not in the order of their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.unused = nn.Linear(2, 2)
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))


def mlp(bias: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 6, bias=bias), nn.ReLU(), nn.Linear(6, 5, bias=bias), nn.Tanh(),
        nn.Linear(5, 3, bias=bias),
    )  # fmt: skip


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, 2, groups=2, bias=False), nn.Tanh(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(24, 3),
    )  # fmt: skip


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (mlp, (8,)),
    "without bias": (lambda: mlp(bias=False), (8,)),
    "grouped convolution": (convolutions, (2, 6, 6)),
    "tokens": (mlp, (3, 8)),
}


def case(name: str, n: int = 60) -> tuple[nn.Module, nn.Module, dict[str, Tensor], Tensor]:
    """A network, a copy without half of its weights, masks of what is left, and inputs."""
    build, shape = CASES[name]
    dense = seeded(build()).double()
    rng = torch.Generator().manual_seed(2)
    masks = {
        layer.name: torch.rand(layer.weight.shape, generator=rng) < 0.5
        for layer in prunable_layers(dense)
    }
    first = masks[prunable_layers(dense)[0].name]
    first[0], first[1] = False, True  # a neuron without weights, and a whole one
    return dense, masked(dense, masks), masks, torch.randn(n, *shape, generator=rng).double()


def masked(dense: nn.Module, masks: dict[str, Tensor]) -> nn.Module:
    pruned = copy.deepcopy(dense)
    with torch.no_grad():
        for name, mask in masks.items():
            weight = pruned.get_submodule(name).get_parameter("weight")
            weight.mul_(mask.reshape(weight.shape))
    return pruned


def entering(model: nn.Module, layer: PrunableLayer, inputs: Tensor) -> Float:
    """Rows that enter one layer in all of its calls, (groups, n, fan_in)."""
    seen: list[Tensor] = []
    own = PrunableLayer(layer.name, model.get_submodule(layer.name), layer.groups)
    with watching(model, {layer.name: own.module}, lambda _, x: seen.append(rows(own, x).clone())):
        model(inputs.clone())
    return torch.cat(seen, dim=1).numpy()


def matrix(module: nn.Module) -> Float:
    return module.get_parameter("weight").detach().flatten(1).double().numpy().copy()


def by_hand(
    dense: nn.Module, before: nn.Module, after: nn.Module, masks: dict[str, Tensor],
    inputs: Tensor, ridge: float,
) -> None:  # fmt: skip
    """Solve each neuron's normal equations on its kept block, given the layers before it."""
    for layer in prunable_layers(dense):
        module = after.get_submodule(layer.name)
        theirs, ours = (entering(model, layer, inputs) for model in (dense, after))
        old, bias = matrix(before.get_submodule(layer.name)), layer.module.bias
        for i, row in enumerate(matrix(layer.module)):
            g = i * layer.groups // len(old)
            a, kept = ours[g], masks[layer.name][i].numpy()
            z = theirs[g] @ row + (bias[i].item() if isinstance(bias, Tensor) else 0)
            middle, aim = (a.mean(axis=0), z.mean()) if isinstance(bias, Tensor) else (0 * a[0], 0)
            a, z = a - middle, z - aim
            gram = a.T @ a / len(a)
            # In units of each input's variance, and a hundredth of their mean.
            strength = ridge * (gram.diagonal() + gram.diagonal().mean() / 100)[kept]
            block = gram[np.ix_(kept, kept)] + np.diag(strength)
            right = a.T[kept] @ z / len(a) + strength * old[i, kept]
            expected = np.zeros(len(kept))
            expected[kept] = np.linalg.solve(block, right)
            new = matrix(module)[i]
            np.testing.assert_allclose(new, expected, rtol=1e-6, atol=1e-8)
            assert (new[~kept] == 0).all()
            if isinstance(bias, Tensor):
                shift = module.get_parameter("bias")[i].item()
                assert shift == pytest.approx(aim - middle @ expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("ridge", [1e-2, 1e-4, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_every_neuron_is_a_ridge_regression(name: str, ridge: float) -> None:
    dense, pruned, masks, inputs = case(name)
    before, state = copy.deepcopy(pruned), copy.deepcopy(dense.state_dict())
    given = inputs.clone()
    refit(dense, pruned, prunable_layers(dense), masks, inputs, ridge=ridge)
    by_hand(dense, before, pruned, masks, inputs, ridge)
    assert torch.equal(given, inputs)
    assert all(torch.equal(value, state[k]) for k, value in dense.state_dict().items())
    norms = {k: v for k, v in pruned.state_dict().items() if k.startswith("1.")}
    assert all(torch.equal(value, state[k]) for k, value in norms.items())
    for model in (dense, pruned):
        assert all(m.training and not m._forward_pre_hooks for m in model.modules())


def test_blocks_of_any_size_are_the_same_regressions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neurons are factorised some at a time, those with few weights apart from those with many."""
    dense, pruned, masks, inputs = case("dense")
    whole = copy.deepcopy(pruned)
    refit(dense, whole, prunable_layers(dense), masks, inputs)
    for block in (1, 100):
        monkeypatch.setattr(sys.modules[refit.__module__], "BLOCK", block)
        parts = copy.deepcopy(pruned)
        refit(dense, parts, prunable_layers(dense), masks, inputs)
        for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["dense", "without bias", "grouped convolution"])
def test_a_kept_weight_cannot_do_better(name: str) -> None:
    """The objective of the last layer to be solved for rises with any step of a kept weight."""
    dense, pruned, masks, inputs = case(name)
    before, ridge = copy.deepcopy(pruned), 1e-2
    refit(dense, pruned, prunable_layers(dense), masks, inputs, ridge=ridge)
    layer = prunable_layers(dense)[-1]
    theirs, ours = (entering(model, layer, inputs)[0] for model in (dense, pruned))
    old, bias = matrix(before.get_submodule(layer.name)), layer.module.bias
    aim = theirs @ matrix(layer.module).T
    aim = aim + (bias.detach().numpy() if isinstance(bias, Tensor) else 0)
    diagonal = ours.var(axis=0) if isinstance(bias, Tensor) else (ours**2).mean(axis=0)

    def objective(weight: Float, shift: Float) -> Float:
        error = ((ours @ weight.T + shift - aim) ** 2).mean(axis=0)
        return error + ridge * (weight - old) ** 2 @ (diagonal + diagonal.mean() / 100)

    module = pruned.get_submodule(layer.name)
    weight = matrix(module)
    shift = module.bias.detach().numpy() if isinstance(module.bias, Tensor) else np.zeros(1)
    least = objective(weight, shift)
    for step in (1e-3, -1e-3):
        for i, j in np.argwhere(masks[layer.name].numpy()):
            other = weight.copy()
            other[i, j] += step
            assert objective(other, shift)[i] > least[i]
        if isinstance(bias, Tensor):
            assert (objective(weight, shift + step) > least).all()
    # It is worth doing: the weights as they were are farther from the outputs of the dense layer.
    assert objective(old, shift).sum() > least.sum()


@pytest.mark.parametrize("name", CASES)
def test_with_everything_kept_the_dense_weights_come_back(name: str) -> None:
    """The start w_0 is another network; as the ridge goes to 0 only the dense one fits."""
    dense, _, masks, inputs = case(name, 200)
    everything = {k: torch.ones_like(mask) for k, mask in masks.items()}
    far = copy.deepcopy(dense)
    with torch.no_grad():
        for layer in prunable_layers(far):
            layer.module.get_parameter("weight").mul_(0.5)
    refit(dense, far, prunable_layers(dense), everything, inputs, ridge=1e-10)
    for a, b in zip(dense.parameters(), far.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_strong_ridge_keeps_the_weights_as_they_were() -> None:
    dense, pruned, masks, inputs = case("dense")
    before = copy.deepcopy(pruned)
    refit(dense, pruned, prunable_layers(dense), masks, inputs, ridge=1e12)
    for layer in prunable_layers(before):
        np.testing.assert_allclose(
            matrix(pruned.get_submodule(layer.name)), matrix(layer.module), 1e-9
        )


def test_inputs_that_never_vary_leave_the_weights_and_mend_the_bias() -> None:
    dense, pruned, masks, inputs = case("dense")
    before = copy.deepcopy(pruned)
    constant = inputs[:1].expand(20, 8).round()
    refit(dense, pruned, prunable_layers(dense), masks, constant)
    assert (matrix(before.get_submodule("0")) == matrix(pruned.get_submodule("0"))).all()
    with torch.no_grad():
        torch.testing.assert_close(pruned(constant), dense(constant))


def test_the_order_is_that_of_the_forward_pass() -> None:
    dense = seeded(Twice()).double()
    layers = prunable_layers(dense)
    inputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()
    assert [layer.name for layer in layers] == ["head", "unused", "layer"]
    assert list(calls_in_order(dense, layers, inputs[:1]).items()) == [("layer", 2), ("head", 1)]
    rng = torch.Generator().manual_seed(5)
    masks = {each.name: torch.rand(each.weight.shape, generator=rng) < 0.5 for each in layers}
    pruned = masked(dense, masks)
    before = copy.deepcopy(pruned)
    calls: list[tuple[int, int, str]] = []
    refit(dense, pruned, layers, masks, inputs, progress=lambda *call: calls.append(call))
    assert calls == [(0, 2, "refit"), (1, 2, "refit")]
    # The layer that no forward pass calls stays as it was.
    assert torch.equal(before.unused.weight, pruned.unused.weight)  # pyright: ignore
    # The head was solved for last, given what the refitted layer before it gives.
    last = {"head": masks["head"]}
    halfway = copy.deepcopy(pruned)
    halfway.head.load_state_dict(before.head.state_dict())  # pyright: ignore
    refit(dense, halfway, [layers[0]], last, inputs)
    assert torch.equal(halfway.head.weight, pruned.head.weight)  # pyright: ignore


class Overwriting(Twice):
    """The same, where what entered the first call is written over before the second."""

    def forward(self, x: Tensor) -> Tensor:
        first = self.layer(x)
        return self.head(torch.tanh(self.layer(x.mul_(first.tanh()))))


@pytest.mark.parametrize("kind", [Twice, Overwriting])
def test_a_layer_called_twice_is_fitted_to_all_of_its_calls(kind: type[nn.Module]) -> None:
    """The second call is given what the pruned layer's own first call led to, before the refit."""
    dense = seeded(kind()).double()
    layer = next(each for each in prunable_layers(dense) if each.name == "layer")
    inputs = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).double()
    mask = torch.rand(4, 4, generator=torch.Generator().manual_seed(5)) < 0.6
    pruned = masked(dense, {"layer": mask})
    theirs, ours = (entering(model, layer, inputs)[0] for model in (dense, pruned))
    assert theirs.shape == (100, 4) and (theirs[:50] == ours[:50]).all()
    assert (theirs[50:] != ours[50:]).any()
    old = matrix(pruned.get_submodule("layer"))
    refit(dense, pruned, [layer], {"layer": mask}, inputs, ridge=1e-2)
    bias = layer.module.get_parameter("bias").detach().numpy()
    z = theirs @ matrix(layer.module).T + bias
    a, aim = ours - ours.mean(axis=0), z - z.mean(axis=0)
    strength = 1e-2 * (a.var(axis=0) + a.var(axis=0).mean() / 100)
    for i in range(4):
        kept = mask[i].numpy()
        block = a.T[kept] @ a[:, kept] / len(a) + np.diag(strength[kept])
        right = a.T[kept] @ aim[:, i] / len(a) + (strength * old[i])[kept]
        expected = np.linalg.solve(block, right)
        np.testing.assert_allclose(matrix(pruned.get_submodule("layer"))[i, kept], expected, 1e-8)


def test_layers_that_are_left_out_stay_and_are_run() -> None:
    dense, pruned, masks, inputs = case("dense")
    before = copy.deepcopy(pruned)
    refit(dense, pruned, prunable_layers(dense, ["4"]), {"4": masks["4"]}, inputs)
    for name in ("0", "2"):
        assert torch.equal(before[int(name)].weight, pruned[int(name)].weight)  # pyright: ignore
    assert not torch.equal(before[4].weight, pruned[4].weight)  # pyright: ignore


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_weights_are_those_in_float64_as_the_dtype_holds_them(dtype: torch.dtype) -> None:
    dense = seeded(mlp()).to(dtype)
    inputs = torch.randn(60, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    layer = prunable_layers(dense)[0]
    mask = torch.rand(6, 8, generator=torch.Generator().manual_seed(2)) < 0.5
    pruned, exact = masked(dense, {"0": mask}), masked(copy.deepcopy(dense).double(), {"0": mask})
    refit(dense, pruned, [layer], {"0": mask}, inputs)
    wide = copy.deepcopy(dense).double()
    refit(wide, exact, prunable_layers(wide, ["0"]), {"0": mask}, inputs.double())
    for name in ("weight", "bias"):
        new = pruned.get_submodule("0").get_parameter(name)
        assert new.dtype == dtype
        torch.testing.assert_close(new, exact.get_submodule("0").get_parameter(name).to(dtype))


def test_a_weight_beyond_its_dtype_is_refused_by_name() -> None:
    dense = nn.Linear(2, 1, bias=False).half()
    with torch.no_grad():
        dense.weight.copy_(torch.tensor([[1.0, 60000.0]]))
    mask = torch.tensor([[True, False]])
    inputs = torch.tensor([[0.01, 1.0], [0.02, 2.0]]).half()
    with pytest.raises(ValueError, match="layer '': a new weight leaves the range of torch.float1"):
        refit(dense, masked(dense, {"": mask}), prunable_layers(dense), {"": mask}, inputs)


# ---- prune(refit=True) --------------------------------------------------------------------------

REFITTED = [name for name in METHODS if "refit" in find_method(name).takes]


def test_every_method_of_masks_takes_it() -> None:
    assert {"magnitude", "sipp-det", "sipp-poisson", "corenet++", "random", "wanda"} <= {*REFITTED}
    for name in {*METHODS} - {*REFITTED}:
        with pytest.raises(ValueError, match=f"method {name!r} does not use refit=True; it takes"):
            mode: dict[str, Any] = {"keep": 0.5}
            if "keep" not in find_method(name).takes:
                mode = {"eps": 0.4}
            prune(relu_network(), inputs_of_relu_network(), method=name, refit=True, **mode)


@pytest.mark.parametrize("method", REFITTED)
def test_pruning_with_refit_is_pruning_and_a_refit(method: str) -> None:
    model, x = relu_network(), for_method(method, inputs_of_relu_network())
    plain = prune(model, x, method=method, keep=0.4, seed=1)
    result = prune(model, x, method=method, keep=0.4, seed=1, refit=True)
    layers = prunable_layers(model)
    expected = copy.deepcopy(plain.model)
    refit(model, expected, layers, plain.masks, inputs_of_relu_network())
    for a, b in zip(result.model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(result.masks[k], mask) for k, mask in plain.masks.items())
    assert result.nnz_after == plain.nnz_after
    assert result.claims == ("AL-5", "SP-12") and "SP-12" in result.holds_for
    assert result.arguments["refit"] is True and plain.arguments["refit"] is False
    assert any("AL-5" in note for note in result.notes) and not result.plans
    # What was promised of the draw is not promised of other weights.
    assert all(layer.eps == np.inf for layer in result.layers)
    assert result.vacuous == any((layer.measured or 0) >= 1 for layer in result.layers)
    with torch.no_grad():
        z, *others = (m(inputs_of_relu_network()) for m in (model, plain.model, result.model))
    assert (others[1] - z).norm() < (others[0] - z).norm()


def test_in_guarantee_mode_the_weights_of_the_guarantee_are_kept() -> None:
    net = seeded(mlp()).double()
    x = torch.rand(30, 8, generator=torch.Generator().manual_seed(1)).double()
    plain, result = (
        prune(net, x, method="sipp-det", eps=0.6, refit=refit) for refit in (False, True)
    )
    assert all(torch.equal(result.masks[k], mask) for k, mask in plain.masks.items())
    assert 0 < result.nnz_after < result.nnz_before and result.claims == ("AL-5", "SP-12")


def test_masks_and_refit_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="refit=True writes new weights, not masks"):
        prune(relu_network(), torch.ones(2, 7), method="sipp-det", keep=0.5, masks=True, refit=True)


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_networks_with_norms_and_sums_are_refitted(name: str) -> None:
    model, x = network(name, 1)
    before = copy.deepcopy(model.state_dict())
    x = torch.cat([x, x.flip(-1), -x, x * 0.5])
    plain, result = (
        prune(model, x, method="magnitude", keep=0.5, refit=refit) for refit in (False, True)
    )
    assert all(torch.equal(value, before[k]) for k, value in model.state_dict().items())
    with torch.no_grad():
        error = [float((r.model(x) - model(x)).norm()) for r in (plain, result)]
    assert error[1] < 0.8 * error[0]
