"""compress and decompress: every bit comes back, every bit is accounted for, others are refused."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as masks

from sipp_core import Compressed, compress, decompress
from sipp_core.compression import architecture
from sipp_core.compression.compress import named_in
from sipp_core.compression.forms import raw_bytes
from sipp_core.zoo import models

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8,
          torch.bool, torch.complex64, torch.int16)  # fmt: skip


class Holder(nn.Module):
    """A module that holds given tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, value in tensors.items():
            self.register_buffer(name, value)


def assert_same(found: nn.Module, wanted: nn.Module) -> None:
    ours, theirs = found.state_dict(), wanted.state_dict()
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape, name
        assert raw_bytes(ours[name]).tobytes() == raw_bytes(value).tobytes(), name


def returned(model: nn.Module, architecture: str | None = None) -> Compressed:
    """Compress a model, see that it comes back, that the sections add up and that it is unmoved."""
    before = copy.deepcopy(model.state_dict())
    result = compress(model, architecture=architecture)
    assert_same(decompress(result.content, None if architecture else model), model)
    assert sum(bits for *_, bits in result.sections) == result.bits == 8 * len(result.content)
    assert compress(model, architecture=architecture) == result
    for name, value in model.state_dict().items():
        assert raw_bytes(value).tobytes() == raw_bytes(before[name]).tobytes()
    return result


def quantised(
    model: nn.Module, step: float = 0.0625, most: int = 3, keep: float = 1.0
) -> nn.Module:
    for parameter in model.parameters():
        value = parameter.data
        if value.ndim > 1:
            value = (value / step).round().clamp(-most, most) * step
            value[parameter.data.abs() < parameter.data.abs().quantile(1 - keep)] = 0
            parameter.data = value + 0.0  # no -0.0
    return model


@st.composite
def tensors(draw: Any) -> Tensor:
    shape = draw(st.lists(st.integers(0, 5), max_size=4))
    dtype = draw(st.sampled_from(DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    kind = draw(st.sampled_from(["noise", "grid", "table", "sparse", "constant"]))
    if kind == "noise":
        raw = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
        if dtype == torch.bool:
            return raw[..., 0] > 127
        return raw[..., : torch.empty((), dtype=dtype).element_size()].clone().view(dtype)[..., 0]
    steps = torch.randint(-4, 5, shape, generator=generator)
    if kind == "table":
        steps = torch.randn(9, generator=generator, dtype=torch.float64)[steps + 4]
    if kind == "sparse":
        steps = steps * (torch.rand(shape, generator=generator) < 0.2)
    if kind == "constant":
        steps = torch.full(shape, draw(st.sampled_from([0.0, -0.0, 1.0, math.inf, math.nan, 3e-5])))
    if dtype in (torch.int64, torch.uint8, torch.bool, torch.int16):
        steps = steps.nan_to_num(posinf=9).abs()
    return (steps * draw(st.sampled_from([1, 0.5, 0.1, 1e-3, 3e4]))).to(dtype)


@given(st.lists(tensors(), max_size=5))
def test_every_tensor_comes_back_bit_for_bit(values: list[Tensor]) -> None:
    returned(Holder({f"t{k}": value for k, value in enumerate(values)}))


@given(tensors())
def test_a_tensor_seen_before_costs_next_to_nothing(value: Tensor) -> None:
    one, two = (returned(Holder({f"t{k}": value.clone() for k in range(n)})) for n in (1, 2))
    assert two.bits <= one.bits + 24


@pytest.mark.parametrize(
    "name", ["digits-mlp", "lenet-5", "dense:30,20,10", "compact:28,4", "oriented:28,4,8,6"]
)
def test_a_file_that_names_its_architecture_needs_no_template(name: str) -> None:
    model = quantised(architecture.named(name).build(), keep=0.2)
    result = returned(model, name)
    new = decompress(result.content)
    assert not new.training and next(new.parameters()).requires_grad
    # The name takes a few bits, and no template's checksum is lost by it.
    assert 0 < sum(bits for _, part, bits in result.sections if part == "architecture") < 60


def test_a_small_network_is_near_the_entropy_of_its_levels() -> None:
    model = quantised(models.dense((64, 13, 10)), step=0.125)
    levels = torch.cat([p.flatten() for p in model.parameters() if p.ndim > 1])
    share = levels.unique(return_counts=True)[1].double() / levels.numel()
    entropy = float(-(share * share.log2()).sum()) * levels.numel()
    assert levels.numel() == 962
    assert returned(model, "dense:64,13,10").bits < 1.08 * entropy + 150


def test_sparse_layers_take_little_more_than_their_enumeration() -> None:
    torch.manual_seed(1)
    weight = (torch.rand(100, 100) < 0.03).float()
    result = returned(Holder({"weight": weight}))
    free = math.log2(math.comb(weight.numel(), int(weight.sum())))
    positions = sum(bits for _, part, bits in result.sections if part.endswith("positions"))
    assert free < positions < free + 16


def test_pruned_weights_of_any_value_take_their_positions_and_their_bytes() -> None:
    torch.manual_seed(3)
    weight = torch.randn(60, 50) * (torch.rand(60, 50) < 0.1)
    result = returned(Holder({"weight": weight + 0.0}))
    kept = int((weight != 0).sum())
    free = math.log2(math.comb(weight.numel(), kept)) + 32 * kept
    assert free < result.bits < free + 120
    assert [part for _, part, _ in result.sections][3:5] == ["weight positions", "weight bytes"]


def test_images_in_the_rows_are_seen() -> None:
    torch.manual_seed(2)
    smooth = nn.functional.avg_pool2d(torch.randn(40, 1, 12, 12), 3, 1).flatten(1)
    level = (smooth * 3).round().clamp(-2, 2) + 0.0
    shuffled = level[:, torch.randperm(level.shape[1])]
    assert returned(Holder({"w": level})).bits < 0.85 * returned(Holder({"w": shuffled})).bits


def test_the_order_of_parameters_is_that_of_the_architecture() -> None:
    model = quantised(models.dense((6, 4, 3)))
    layer = model.get_submodule("fc1")
    weight = layer.get_parameter("weight")
    del layer.weight
    layer.register_parameter("weight", weight)
    assert next(iter(model.state_dict())) == "fc1.bias"
    result = compress(model, architecture="dense:6,4,3")
    assert torch.equal(decompress(result.content).get_parameter("fc1.weight"), weight)


def test_the_template_is_not_moved_and_its_masks_are_fresh() -> None:
    model = masks.l1_unstructured(nn.Linear(6, 4), "weight", amount=0.5)
    other = masks.random_unstructured(nn.Linear(6, 4), "weight", amount=0.25)
    content = compress(model).content
    other(torch.ones(1, 6)).sum().backward()  # its masked weight now carries a graph
    before = other.weight.clone()
    new = decompress(content, other)
    assert_same(new, model)
    fresh = new.get_buffer("weight_mask") * new.get_parameter("weight_orig")
    assert torch.equal(vars(new)["weight"], fresh) and not torch.equal(fresh, other.weight)
    assert torch.equal(other.weight, before) and other.weight.grad_fn is not None


def test_tied_parameters_stay_tied() -> None:
    first = nn.Linear(5, 5)
    model = nn.Sequential(first, first)
    new = decompress(returned(model).content, model)
    assert new.get_submodule("0") is new.get_submodule("1")


def test_it_is_saved_and_read_from_a_path(tmp_path: Path) -> None:
    model = quantised(models.dense((5, 3)))
    path = compress(model, architecture="dense:5,3").save(tmp_path / "a" / "net.sipp")
    assert_same(decompress(path), model)
    assert_same(decompress(str(path)), model)
    with pytest.raises(FileNotFoundError, match="no compressed network"):
        decompress(tmp_path / "other")


@pytest.mark.parametrize(
    ("architecture", "culprit"),
    [
        ("resnet", "must be one of lenet"),
        ("lenet-5:3", "takes 0 to 0 parameters; found 1"),
        ("dense:64", "takes 2 to 15 parameters; found 1"),
        ("dense:64,x", "whole numbers"),
        ("dense:64,0", "from 1 to 65535; found 0"),
        ("dense:60000,60000", "more than"),
        ("dense:64,11", r"'fc1.weight' is torch.float32 \(10, 64\), not torch.float32 \(11, 64\)"),
        ("dense:64,10,10", "it has 'fc2.weight' besides"),
        ("lenet-5", "it lacks 'fc1.weight'|'fc1.weight' is"),
    ],
)
def test_architectures_that_do_not_fit_are_refused(architecture: str, culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        compress(models.dense((64, 10)), architecture=architecture)


def test_models_that_no_file_holds_are_refused_by_name() -> None:
    class Stranger(nn.Linear):
        def get_extra_state(self) -> object:
            return {"more": 1}

    with pytest.raises(ValueError, match="'0._extra_state' of the model is a dict"):
        compress(nn.Sequential(Stranger(2, 2)))
    with pytest.raises(ValueError, match="'t' of the model is no dense tensor"):
        compress(Holder({"t": torch.eye(3).to_sparse()}))
    with pytest.raises(ValueError, match="'weight' of the model has no values"):
        compress(nn.Linear(2, 2, device="meta"))
    with pytest.raises(ValueError, match="'weight' of the model has no values"):
        compress(nn.LazyLinear(2))


def test_templates_that_are_missing_foreign_or_needless_are_refused() -> None:
    model = quantised(nn.Sequential(nn.Linear(4, 3)))
    content = compress(model).content
    with pytest.raises(ValueError, match="names no architecture; give a module"):
        decompress(content)
    for other in (nn.Sequential(nn.Linear(3, 4)), nn.Linear(4, 3), model.double()):
        with pytest.raises(ValueError, match="the model is of another architecture"):
            decompress(content, other)
    named = compress(models.dense((4, 3)), architecture="dense:4,3").content
    with pytest.raises(ValueError, match="leave out model="):
        decompress(named, models.dense((4, 3)))


@settings(max_examples=15)
@given(st.sampled_from([torch.float32, torch.float16, torch.bfloat16]), st.integers(1, 9),
       st.floats(0.001, 10))  # fmt: skip
def test_steps_of_any_size_are_found(dtype: torch.dtype, most: int, step: float) -> None:
    """A grid of rounded multiples is a grid where its step is among the values."""
    torch.manual_seed(most)
    levels = torch.randint(-most, most + 1, (30, 20))
    levels[0, 0] = 1
    exact = returned(Holder({"w": levels.to(torch.float32)})).bits
    step = float(torch.tensor(step).to(dtype))
    result = returned(Holder({"w": (levels * torch.tensor(step, dtype=dtype)).to(dtype)})).bits
    assert result <= exact + (48 if dtype == torch.float32 else 8 * 16 * most)


def test_the_architecture_is_named_without_reading_weights(tmp_path: Path) -> None:
    result = compress(models.dense([4, 3], 0), architecture="dense:4,3")
    path = result.save(tmp_path / "a.sipp")
    assert str(named_in(path)) == str(named_in(result.content)) == "dense:4,3"
    assert named_in(compress(nn.Linear(4, 3)).content) is None
    with pytest.raises(ValueError, match="has been altered"):
        named_in(result.content[:-1] + bytes([result.content[-1] ^ 1]))
    with pytest.raises(ValueError, match="is no compressed network"):
        named_in(b"x")
    with pytest.raises(FileNotFoundError, match="there is no compressed network"):
        named_in(tmp_path / "none")
