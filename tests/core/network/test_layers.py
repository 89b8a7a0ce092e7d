"""Layers: what can be pruned is found and checked, and rows times the matrix is the layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune
from torch.nn.utils import weight_norm as old_weight_norm

from sipp_core import prune
from sipp_core.network.layers import PrunableLayer, prunable_layers, weight_of, write_weight
from sipp_core.network.patches import rows


def names(model: nn.Module, layers: Any = None) -> list[str]:
    return [layer.name for layer in prunable_layers(model, layers)]


def nested() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.Sequential(nn.Conv2d(2, 4, 1, groups=2), nn.Flatten()),
        nn.Linear(4, 3),
    )


def test_linear_and_convolution_layers_are_found_in_order() -> None:
    assert names(nested()) == ["0", "2.0", "3"]
    assert [layer.groups for layer in prunable_layers(nested())] == [1, 2, 1]
    assert names(nn.Linear(2, 3)) == [""]
    assert prunable_layers(nested())[0].weight.shape == (2, 9)


def test_layers_are_chosen_by_name_pattern_or_predicate() -> None:
    assert names(nested(), ["3", "0"]) == ["0", "3"]
    assert names(nested(), "2.*") == ["2.0"]
    assert names(nested(), (p for p in ("0", "3"))) == ["0", "3"]
    assert names(nested(), lambda name, module: isinstance(module, nn.Linear)) == ["3"]


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.second(self.first(x)))


def spoilt(value: float) -> nn.Module:
    model = nested()
    with torch.no_grad():
        model.get_submodule("2.0").get_parameter("weight")[3, 0, 0, 0] = value
    return model


def masked() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4))
    torch_prune.random_unstructured(model[0], "weight", amount=0.5)
    return model


def complex_weights() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4, dtype=torch.complex64))


class Standardised(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        centred = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self._conv_forward(input, centred, self.bias)


class Doubling(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, 2 * weight, bias)


class Lora(nn.Linear):
    def __init__(self, fan_in: int, out: int) -> None:
        super().__init__(fan_in, out)
        self.down, self.up = nn.Linear(fan_in, 1, bias=False), nn.Linear(1, out, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.up(self.down(input))


class Named(nn.Linear):
    """A subclass that computes what its base does."""


def patched() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4))
    model[0].forward = lambda x: 2 * x  # type: ignore[method-assign]
    return model


def quantised() -> nn.Module:
    from torch.ao.nn.quantized.dynamic import Linear

    return nn.Sequential(Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))


def scripted() -> nn.Module:
    return nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(3, 4))), nn.Linear(4, 4))


def sparse() -> nn.Module:
    layer = nn.Linear(3, 4)
    layer.weight = nn.Parameter(layer.weight.detach().to_sparse())
    return nn.Sequential(layer)


BAD: dict[str, tuple[Callable[[], Any], Any, type[Exception], str]] = {
    "no module": (lambda: "net", None, TypeError, "model must be an nn.Module; found str"),
    "nothing to prune": (nn.ReLU, None, ValueError, "no layer to prune"),
    "nothing chosen": (nested, [], ValueError, r"no layer to prune.*layers=\[\]"),
    "a slip in a name": (nested, ["0", "fc9"], ValueError, "'fc9' matches no layer.*'2.0' .Conv2d"),
    "no such pattern": (nested, "conv*", ValueError, "'conv\\*' matches no layer of the model"),
    "tied": (Tied, None, ValueError, "layer 'first' shares its weight with 'second.weight'"),
    "nan": (lambda: spoilt(math.nan), None, ValueError, r"'2.0' .*nan at index \(3, 0\)"),
    "inf": (lambda: spoilt(math.inf), None, ValueError, r"'2.0' .*inf at index \(3, 0\)"),
    "lstm": (
        lambda: nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)),
        None,
        ValueError,
        "layer '1' is a LSTM, which is not supported.*layers=",
    ),
    "weight norm": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4))),
        None,
        ValueError,
        "layer '0' computes its weight from other tensors.*remove_parametrizations",
    ),
    "masked": (masked, None, ValueError, "layer '0' computes its weight .*prune.remove"),
    "complex": (complex_weights, None, TypeError, "layer '0' has weights of dtype.*complex64"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(3)), None, ValueError, "'0' is lazy"),
    "lazy convolution": (lambda: nn.LazyConv2d(3, 1), None, ValueError, "'' is lazy"),
    "lazy elsewhere": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyBatchNorm1d()),
        "0",
        ValueError,
        "layer '1' is lazy and not initialised; run one forward pass",
    ),
    "standardised": (
        lambda: nn.Sequential(Standardised(1, 2, 3)),
        None,
        ValueError,
        r"layer '0' is a Standardised, .*forward of its own.*layers=\['!0'\]",
    ),
    "another product": (lambda: Doubling(1, 2, 3), None, ValueError, "a Doubling, .*of its own"),
    "lora": (lambda: nn.Sequential(Lora(3, 4)), None, ValueError, "'0' is a Lora, .*LoRA"),
    "part of lora": (
        lambda: nn.Sequential(Lora(3, 4)),
        "0.up",
        ValueError,
        "layer '0' is a Lora.*layer '0.up' is part of '0'",
    ),
    "patched": (patched, None, ValueError, "layer '0' is a Linear, .*has a forward"),
    "quantised": (quantised, None, ValueError, "'0' is a Linear, .*before it is quantised"),
    "scripted": (scripted, None, ValueError, "'0.0' is a .*before torch.jit.script"),
    "sparse": (sparse, None, ValueError, "layer '0' has a weight of layout torch.sparse_coo"),
    "meta": (
        lambda: nn.Sequential(nn.Linear(3, 4, device="meta")),
        None,
        ValueError,
        "layer '0' is on the meta device",
    ),
    "old weight norm": (
        lambda: nn.Sequential(old_weight_norm(nn.Linear(3, 4))),
        None,
        ValueError,
        "layer '0' computes its weight from other tensors",
    ),
    "spectral norm": (
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4))),
        None,
        ValueError,
        "layer '0' computes its weight from other tensors",
    ),
    "orthogonal": (
        lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 4))),
        None,
        ValueError,
        "layer '0' computes its weight from other tensors",
    ),
}


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")
@pytest.mark.filterwarnings("ignore:.*quantize")
@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_pruned_is_named_before_anything_changes(case: str) -> None:
    build, layers, error, message = BAD[case]
    model = build()
    with pytest.raises(error, match=message):
        prunable_layers(model, layers)
    if (
        isinstance(model, str)
        or case in ("complex", "meta", "sparse", "quantised")
        or "lazy" in case
    ):
        return
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(error, match=message):
        prune(model, torch.ones(4, 3), method="sipp-det", keep=0.5, layers=layers)
    after = model.state_dict()
    assert all(torch.equal(before[k].nan_to_num(), after[k].nan_to_num()) for k in before)


def test_tied_or_unsupported_layers_may_be_left_out() -> None:
    assert names(Tied(), ["third"]) == ["third"]
    assert names(nn.Sequential(nn.LSTM(2, 2), nn.Linear(2, 2)), ["1"]) == ["1"]


def test_a_layer_with_a_forward_of_its_own_may_be_left_out() -> None:
    model = nn.Sequential(Lora(3, 4), Named(4, 4), nn.Linear(4, 2))
    assert names(model, "!0") == ["1", "2"]
    kept = {name: value.clone() for name, value in model[0].state_dict().items()}
    result = prune(model, torch.rand(9, 3), method="sipp-det", keep=0.5, layers="!0")
    pruned = result.model.get_submodule("0").state_dict()
    assert all(torch.equal(pruned[name], value) for name, value in kept.items())


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_a_lazy_layer_that_has_run_is_a_plain_one() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.ones(2, 5))
    assert names(model) == ["0"]


def test_a_computed_bias_is_no_obstacle() -> None:
    model = nn.Sequential(nn.Linear(3, 4))
    torch_prune.random_unstructured(model[0], "bias", amount=0.5)
    result = prune(model, torch.rand(9, 3), method="sipp-det", keep=0.5)
    kept = result.model.get_submodule("0").get_buffer("bias_mask")
    assert torch.equal(kept, model[0].get_buffer("bias_mask"))


def test_a_module_registered_twice_counts_as_tied() -> None:
    shared = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="tied: layer '0' shares its weight with '2.weight'"):
        prunable_layers(nn.Sequential(shared, nn.ReLU(), shared))


def test_weight_of_refuses_what_is_no_tensor() -> None:
    with pytest.raises(TypeError, match="ReLU.weight is no tensor"):
        module = nn.ReLU()
        module.weight = "none"  # type: ignore[assignment]
        weight_of(module)


# ---- rows --------------------------------------------------------------------------------------


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    dims = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(dims)]
    dilation = [draw(st.integers(1, 2)) for _ in range(dims)]
    stride = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    modes: list[Any] = ["zeros", "reflect", "replicate", "circular"]
    mode = draw(st.sampled_from(modes))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [draw(st.integers(r, r + 3)) for r in reach]
    # Reflection needs less padding than there are cells, circular padding no more.
    padding: Any = tuple(draw(st.integers(0, min(2, n - 1))) for n in sizes)
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if all(s == 1 for s in stride) and draw(st.booleans()):
        # "same" pads unevenly; the larger half must still fit the mode.
        small = all(t - t // 2 < n for t, n in zip(total, sizes, strict=True))
        padding = "same" if small else "valid"
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    module = kind(
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        tuple(kernel),  # type: ignore[arg-type]
        stride=stride,  # type: ignore[arg-type]
        padding=padding,
        dilation=tuple(dilation),  # type: ignore[arg-type]
        groups=groups,
        bias=False,
        padding_mode=mode,
        dtype=torch.float64,
    )
    return module, tuple(sizes)


# Torch warns of the copy that an uneven "same" padding costs.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions(), st.integers(1, 3), st.booleans(), st.integers(0, 1000))
def test_rows_times_the_matrix_is_the_convolution(
    case: tuple[nn.Module, tuple[int, ...]], n: int, batched: bool, seed: int
) -> None:
    """In integers, where every order of summation gives the same float64: exactly."""
    module, sizes = case
    generator = torch.Generator().manual_seed(seed)
    weight = weight_of(module)
    with torch.no_grad():
        weight.copy_(torch.randint(-9, 10, weight.shape, generator=generator))
    channels = weight.shape[1] * int(getattr(module, "groups", 1))
    shape = (n, channels, *sizes) if batched else (channels, *sizes)
    x = torch.randint(-9, 10, shape, generator=generator).double()
    layer = prunable_layers(module)[0]
    patches = rows(layer, x)
    blocks = layer.weight.chunk(layer.groups)
    outputs = [patch @ block.T for patch, block in zip(patches, blocks, strict=True)]
    expected = module(x).detach()
    expected = (expected if batched else expected[None]).movedim(1, -1)
    assert torch.equal(torch.cat(outputs, dim=1), expected.reshape(-1, weight.shape[0]))


def test_rows_of_a_dense_layer_are_its_tokens() -> None:
    layer = PrunableLayer("fc", nn.Linear(3, 2), 1)
    x = torch.rand(4, 5, 3)
    assert torch.equal(rows(layer, x), x.reshape(1, 20, 3))
    assert torch.equal(rows(layer, x[0, 0]), x[0, 0].reshape(1, 1, 3))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Linear(3, 2), (4, 6), r"layer 'here' got .*\(4, 6\); its last dimension must be 3"),
        (nn.Linear(3, 2), (), "layer 'here' got an input of shape"),
        (nn.Conv2d(3, 2, 1), (4, 2, 5, 5), r"'here' got .*\(4, 2, 5, 5\).*\(n, 3, ...\)"),
        (nn.Conv2d(3, 2, 1), (4, 3, 5, 5, 5), "'here' got .* with 2 more dimensions"),
        (nn.Conv1d(3, 2, 1), (3,), "'here' got an input of shape"),
    ],
)
def test_inputs_of_the_wrong_shape_are_refused(
    module: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rows(PrunableLayer("here", module, 1), torch.ones(shape))


def test_new_weights_are_written_in_the_layers_own_form_or_refused() -> None:
    place = nn.Conv1d(2, 3, 2).half().weight
    values = torch.arange(12, dtype=torch.float64)
    written = write_weight("conv", place, values)
    assert written.dtype == torch.float16 and torch.equal(written, place)
    assert torch.equal(place.detach().flatten().double(), values)
    with pytest.raises(ValueError, match="layer 'conv': a new weight leaves the range of torch.fl"):
        write_weight("conv", place, values * 1e5)
    assert torch.equal(place, written)


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_narrow_floats_are_refused_and_layers_of_nothing_are_left_alone() -> None:
    first = nn.Linear(6, 5)
    first.weight = nn.Parameter(first.weight.to(torch.float8_e4m3fn), requires_grad=False)
    narrow = nn.Sequential(first, nn.Linear(5, 2))
    with pytest.raises(TypeError, match=r"layer '0' has weights of dtype torch.float8_e4m3fn"):
        prunable_layers(narrow)
    for nothing in (nn.Linear(6, 0), nn.Linear(0, 6)):
        with pytest.raises(ValueError, match="no layer to prune: it needs .* with weights"):
            prunable_layers(nothing)


class Beside(nn.Module):
    """A layer of no outputs beside one of three."""

    def __init__(self) -> None:
        super().__init__()
        self.none, self.some, self.head = nn.Linear(6, 0), nn.Linear(6, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.none(x), self.some(x)], 1).relu())


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("method", ["sipp-det", "sipp-network", "sipp-poisson", "svd", "nettrim"])
def test_a_layer_of_no_outputs_hinders_no_method(method: str) -> None:
    result = prune(Beside(), torch.rand(9, 6), method=method, keep=0.5)
    assert [layer.name for layer in result.layers] == ["some", "head"]
