"""SP-12 on networks: what is measured of delivered weights, by hand and beside what is promised."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from sipp_core import METHODS, PruneResult, calibrate, load, prune
from sipp_core.methods import find_method
from sipp_core.network.layers import prunable_layers
from sipp_core.pruning import measured as measured_module
from sipp_core.pruning.measured import measured_errors, there
from sipp_core.runtime.numbers import Float
from sipp_theory import measured_error
from tests.core.conftest import for_method, promised_network
from tests.core.methods.conftest import relu_network, rows, seeded
from tests.theory.keeping.test_measured import USUAL, exactly, instances


def drop(model: nn.Module, share: float = 0.5) -> nn.Module:
    """A copy without some of its weights, others and the biases moved a little."""
    rng = torch.Generator().manual_seed(3)
    pruned = copy.deepcopy(model)
    with torch.no_grad():
        for layer in prunable_layers(pruned):
            weight, bias = layer.module.get_parameter("weight"), layer.module.bias
            weight.mul_(torch.rand(weight.shape, generator=rng) > share)
            weight.mul_(1 + 0.1 * torch.rand(weight.shape, generator=rng))
            if isinstance(bias, Tensor):
                bias.add_(0.1 * torch.randn(bias.shape, generator=rng))
    return pruned


def ratios(layer: nn.Linear, other: nn.Linear, x: Tensor) -> Float:
    """|z^ - z|/z~ by hand, in float64. Shapes: x (n, k); returns (out,)."""
    old, new = (m.weight.detach().double().numpy() for m in (layer, other))
    shift = 0.0
    if layer.bias is not None:
        shift = (other.bias.detach().double() - layer.bias.detach().double()).numpy()
    a = x.double().numpy()
    return (np.abs(a @ (new - old).T + shift) / (np.abs(a) @ np.abs(old).T)).max(axis=0)


@pytest.mark.parametrize("bias", [True, False])
def test_a_dense_network_is_measured_given_the_dense_inputs(bias: bool) -> None:
    """Signed inputs; the second layer is given what the dense first one makes of them."""
    model = seeded(nn.Sequential(nn.Linear(6, 5, bias=bias), nn.Tanh(), nn.Linear(5, 3))).double()
    pruned = drop(model)
    x = torch.randn(300, 6, generator=torch.Generator().manual_seed(0)).double()
    errors = measured_errors(model, pruned, prunable_layers(model), x.split(70))
    with torch.no_grad():
        given = {"0": x, "2": torch.tanh(model.get_submodule("0")(x))}
    assert errors.keys() == given.keys()
    for name, value in errors.items():
        expected = ratios(model[int(name)], pruned[int(name)], given[name])  # pyright: ignore
        assert (value >= expected * (1 - 1e-15)).all() and (expected > 0).all()
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_every_token_is_a_row() -> None:
    model = seeded(nn.Linear(4, 3)).double()
    pruned = drop(model)
    x = torch.randn(5, 7, 4, generator=torch.Generator().manual_seed(0)).double()
    (errors,) = measured_errors(model, pruned, prunable_layers(model), [x]).values()
    np.testing.assert_allclose(errors, ratios(model, pruned, x.reshape(35, 4)), rtol=1e-12)  # pyright: ignore


def test_every_patch_of_a_grouped_convolution_is_a_row() -> None:
    """z~ is the convolution of magnitudes, whatever groups, strides and padding do."""
    model = seeded(nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)).double()
    pruned: Any = drop(model)
    x = torch.randn(9, 4, 7, 6, generator=torch.Generator().manual_seed(0)).double()
    (errors,) = measured_errors(model, pruned, prunable_layers(model), x.split(4)).values()
    sizes: Any = copy.deepcopy(model)
    with torch.no_grad():
        sizes.weight.abs_()
        sizes.bias.zero_()
        total, moved = sizes(x.abs()), (pruned(x) - model(x)).abs()
    expected = (moved / total).amax(dim=(0, 2, 3)).numpy()
    np.testing.assert_allclose(errors, expected, rtol=1e-11)


def test_a_layer_that_is_called_twice_is_measured_in_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.tanh(self.layer(x)))

    model = seeded(Twice()).double()
    pruned: Any = drop(model)
    x = torch.tensor([[0.1, -0.1, 0.2, 0.1], [3, -9, 2, 5], [9, 4, -8, 1]]).double()
    (errors,) = measured_errors(model, pruned, prunable_layers(model), [x]).values()
    with torch.no_grad():
        both = [x, torch.tanh(model.layer(x))]  # pyright: ignore
    each = [ratios(model.layer, pruned.layer, given) for given in both]  # pyright: ignore
    np.testing.assert_allclose(errors, np.maximum(*each), rtol=1e-12)
    assert (each[0] > each[1]).any() and (each[1] > each[0]).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_are_measured_as_they_are_stored(dtype: torch.dtype) -> None:
    """A draw multiplies weights by numbers that the dtype rounds."""
    torch.manual_seed(0)
    model = nn.Linear(30, 4).to(dtype)
    x = torch.rand(50, 30, generator=torch.Generator().manual_seed(0)).to(dtype)
    result = prune(model, x, method="sipp-rand", keep=0.4, seed=1)
    (report,) = result.layers
    expected = ratios(model, result.model, x)  # pyright: ignore
    assert report.measured_neuron is not None
    np.testing.assert_allclose(report.measured_neuron, expected, rtol=1e-12)
    assert report.measured == report.measured_neuron.max() > 0
    masked = prune(model, x, method="magnitude", keep=0.4, masks=True)
    plain = prune(model, x, method="magnitude", keep=0.4)
    assert masked.layers[0].measured == plain.layers[0].measured


@pytest.mark.parametrize("mode", [{"keep": 0.6, "scope": "layer"}, {"eps": 0.3}])
def test_what_dropping_promises_is_never_below_what_is_measured(mode: dict[str, Any]) -> None:
    """SP-6, non-negative inputs, float64: the promise is of the same rows."""
    net, x = promised_network()
    result = prune(net, x, method="sipp-det", **mode)
    for report in result.layers:
        assert report.measured_neuron is not None
        assert (report.measured_neuron <= report.eps_neuron * (1 + 1e-12)).all()
        assert report.measured is not None and 0 < report.measured <= report.eps
    if "eps" in mode:
        assert all(report.eps <= 0.3 for report in result.layers)


def test_kept_whole_means_nothing_is_measured() -> None:
    result = prune(relu_network(), rows(), method="sipp-det", keep=1.0)
    assert [report.measured for report in result.layers] == [0, 0, 0]


# ---- where inputs can be run again, and where not -----------------------------------------------


class Stream:
    """Batches that can be iterated over again."""

    def __init__(self, batches: list[Tensor]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.batches)


def measured(result: PruneResult) -> list[float | None]:
    return [report.measured for report in result.layers]


@pytest.mark.parametrize(
    "made",
    [
        lambda x: list(x.split(7)), lambda x: Stream(list(x.split(11))), lambda x: [(x, x)],
        lambda x: x.numpy(), lambda x: calibrate(relu_network(), x, inputs=True),
        lambda x: torch.utils.data.DataLoader(x, batch_size=9),
    ],
)  # fmt: skip
def test_inputs_in_any_batches_are_measured_alike(made: Callable[[Tensor], Any]) -> None:
    whole = prune(relu_network(), rows(), method="sipp-poisson", keep=0.5)
    assert None not in measured(whole)
    assert measured(prune(relu_network(), made(rows()), method="sipp-poisson", keep=0.5)) == (
        measured(whole)
    )


def test_a_stream_that_is_gone_is_not_measured() -> None:
    model, x = relu_network(), rows()
    once = prune(model, iter(x.split(7)), method="sipp-det", keep=0.5)
    ready = prune(model, calibrate(model, x), method="sipp-det", keep=0.5)
    for result in (once, ready):
        assert measured(result) == [None] * 3
        assert all(report.measured_neuron is None for report in result.layers)
    usual = prune(model, x, method="sipp-det", keep=0.5)
    for a, b in zip(usual.model.parameters(), once.model.parameters(), strict=True):
        assert torch.equal(a, b)
    # The refit holds the inputs itself.
    refitted = prune(model, iter(x.split(7)), method="sipp-det", keep=0.5, refit=True)
    assert None not in measured(refitted)


class Once(Stream):
    """Batches that are gone once they were read, in a class that does not say so."""

    def __iter__(self) -> Iterator[Tensor]:
        while self.batches:
            yield self.batches.pop(0)


class Noisy(Stream):
    """Other inputs each time they are read."""

    def __iter__(self) -> Iterator[Tensor]:
        return (batch + torch.rand(batch.shape) for batch in self.batches)


class Longer(Stream):
    """One input more each time they are read."""

    def __iter__(self) -> Iterator[Tensor]:
        self.batches.append(torch.rand(1, 7))
        return iter(list(self.batches))


@pytest.mark.parametrize("stream", [Once, Noisy, Longer])
def test_other_inputs_than_those_calibrated_on_are_not_measured(stream: type[Stream]) -> None:
    """SP-12 speaks of the calibration set, and a loader may give another one the second time."""
    result = prune(relu_network(), stream(list(rows().split(7))), method="sipp-det", keep=0.5)
    assert measured(result) == [None] * 3 and result.inputs >= 40


def test_dropping_dead_weights_measures_nothing() -> None:
    """A promise of 0 is met to the last bit."""
    result = prune(relu_network(), rows(), method="sipp-det", keep=0.5)
    for report in result.layers:
        assert report.measured_neuron is not None
        assert (report.measured_neuron[report.eps_neuron == 0] == 0).all()
    assert (result.layers[2].eps_neuron == 0).any()


def test_layers_of_another_shape_are_not_measured() -> None:
    model, x = relu_network(), rows()
    assert measured(prune(model, x, method="svd", keep=0.5)) == [None] * 3
    assert not measured_errors(
        model, nn.Sequential(nn.Linear(7, 4)), prunable_layers(model)[:1], [x]
    )


@pytest.mark.parametrize("method", METHODS)
def test_it_is_saved_and_loaded_and_leaves_the_model_alone(method: str, tmp_path: Path) -> None:
    model, rule = relu_network(), find_method(method)
    before = copy.deepcopy(model.state_dict())
    mode: dict[str, Any] = {"keep": 0.5} if "keep" in rule.takes else {"eps": 0.4}
    result = prune(model, for_method(method, rows()), method=method, **mode)
    assert all(torch.equal(value, before[k]) for k, value in model.state_dict().items())
    assert all(m.training and not m._forward_pre_hooks for m in model.modules())
    again = load(result.save(tmp_path / "net"), model)
    assert measured(again) == measured(result)
    summary: Any = again.summary()
    assert [layer["measured"] for layer in summary["layers"]] == measured(result)
    # Where no layer changes its shape, every one is measured.
    assert (None in measured(result)) == bool(result.structure)


def test_processes_share_the_batches_out() -> None:
    """Two parts of the batches, joined by maxima, are the whole."""

    class Half:
        def __init__(self, rank: int) -> None:
            self.rank = rank
            self.sent: list[Tensor] = []

        def mine(self, number: int) -> bool:
            return number % 2 == self.rank

        def maximum(self, value: Tensor) -> Tensor:
            self.sent.append(value)
            return value

    model = relu_network()
    pruned, layers = drop(model), prunable_layers(model)
    batches: Iterable[Tensor] = rows().split(6)
    whole = measured_errors(model, pruned, layers, batches)
    groups: list[Any] = [Half(0), Half(1)]
    halves = [measured_errors(model, pruned, layers, batches, group) for group in groups]
    for name, value in whole.items():
        assert (value == np.maximum(halves[0][name], halves[1][name])).all()
    assert any((whole[name] > halves[0][name]).any() for name in whole)
    assert all(len(group.sent) == len(layers) for group in groups)


def test_a_norm_that_was_moved_shifts_its_layer() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3), nn.ReLU()).double()
    seeded(model).eval()
    x = torch.rand(40, 4, generator=torch.Generator().manual_seed(0)).double() + 0.5
    moved = copy.deepcopy(model)
    by = torch.tensor([0.25, 0.0, -1.0]).double()
    moved[1].running_mean -= by
    (errors,) = measured_errors(model, moved, prunable_layers(model), iter(x.split(7))).values()
    size = x @ model[0].weight.detach().abs().T
    np.testing.assert_allclose(errors, (by.abs() / size).amax(dim=0).numpy(), rtol=1e-12)
    assert not measured_errors(model, model, prunable_layers(model), [x])["0"].any()


@given(instances(USUAL))
def test_products_on_a_device_never_fall_below_the_exact_maximum(
    instance: tuple[Float, Float, Float, Float],
) -> None:
    weight, stored, rows, shift = instance
    old, new, x = (torch.from_numpy(each) for each in (weight, stored, rows))
    values = there(old, new, x, shift)
    assert values.shape == shift.shape
    for value, exact in zip(values, exactly(*instance), strict=True):
        assert (value == np.inf) == (exact is None)
        assert exact is None or exact <= Fraction(float(value))
    np.testing.assert_allclose(values, measured_error(weight, stored, rows, shift), rtol=1e-12)


def test_a_network_on_a_device_is_measured_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(9, 4, 7, 6, generator=torch.Generator().manual_seed(0))
    models: list[tuple[nn.Module, Tensor]] = [
        (relu_network(), rows()),
        (nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6)).eval(), images),
        (nn.Sequential(nn.Conv2d(4, 6, 3, bias=False)).to(torch.bfloat16), images.bfloat16()),
    ]
    for model, x in models:
        pruned, layers = drop(seeded(model)), prunable_layers(model)
        usual = measured_errors(model, pruned, layers, x.split(4))
        with monkeypatch.context() as patched:
            patched.setattr(measured_module, "multiplies", lambda device: True)
            patched.setattr(measured_module, "here", None)  # nothing here is beyond the range
            other = measured_errors(model, pruned, layers, x.split(4))
        assert usual.keys() == other.keys()
        for name, value in usual.items():
            assert value.any()
            np.testing.assert_allclose(other[name], value, rtol=1e-12)


@pytest.mark.parametrize("odd", [1e-200, 1e200])
def test_numbers_of_unusual_size_are_measured_on_the_cpu(odd: float) -> None:
    values = [[[1.0, odd]], [[1.0, 0.0]], [[1.0, 1e-300], [0.5, 2.0]]]
    old, new, x = (torch.tensor(each, dtype=torch.float64) for each in values)
    shift = np.zeros(1)
    assert there(old, new, x, shift) == measured_error(old.numpy(), new.numpy(), x.numpy(), shift)


@pytest.mark.gpu
def test_a_gpu_measures_what_the_cpu_does() -> None:
    model = relu_network()
    pruned, x = drop(model), rows()
    usual = measured_errors(model, pruned, prunable_layers(model), [x])
    model, pruned = model.cuda(), pruned.cuda()
    there_ = measured_errors(model, pruned, prunable_layers(model), [x])
    for name, value in usual.items():
        # What enters later layers rounds otherwise there.
        np.testing.assert_allclose(there_[name], value, rtol=1e-4)
