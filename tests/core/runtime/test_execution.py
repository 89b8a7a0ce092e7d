"""What the surroundings allow of products must not reach the statistics, and must be left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, empirical_sensitivity
from sipp_core.runtime.arguments import first_nonfinite, refuse_nonfinite
from sipp_core.runtime.execution import full_precision, watching

MKLDNN: Any = torch.backends.mkldnn


def settings() -> list[Any]:
    return [torch.backends.cuda.matmul.fp32_precision, MKLDNN.matmul.fp32_precision]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), settings()
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cuda.matmul.fp32_precision, MKLDNN.matmul.fp32_precision = before[1]


def layer() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    return torch.randn(30, 64, generator=source), torch.rand(50, 64, generator=source)


def low(precision: str) -> Callable[[], AbstractContextManager[object]]:
    def enter() -> AbstractContextManager[object]:
        torch.set_float32_matmul_precision(precision)
        return nullcontext()

    return enter


SURROUNDINGS = {
    "high": low("high"),
    "medium": low("medium"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_sensitivities_are_those_of_full_precision(name: str) -> None:
    weight, rows = layer()
    exact = empirical_sensitivity(weight, rows)
    with SURROUNDINGS[name]():
        before = settings()
        assert torch.equal(empirical_sensitivity(weight, rows), exact)
        assert settings() == before


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_statistics_of_the_first_layer_are_too(name: str) -> None:
    # Later layers see what the model itself computed, rounded as its user wants it.
    weight, rows = layer()
    first = nn.Linear(64, 30)
    with torch.no_grad():
        first.weight.copy_(weight)
    model = nn.Sequential(first, nn.ReLU(), nn.Linear(30, 5))
    exact = calibrate(model, rows, statistics={"mean"}).layers[0]
    with SURROUNDINGS[name]():
        result = calibrate(model, rows, statistics={"mean"}).layers[0]
    for field in ("sensitivity", "mean", "live", "cancellation"):
        assert torch.equal(getattr(result, field), getattr(exact, field)), field


def test_the_models_own_products_round_as_before() -> None:
    """What the user allowed is allowed again as soon as the hook returns."""
    seen: list[Any] = []

    model = nn.Linear(64, 30)
    # After the layer's own product, and so after what calibration does before it.
    model.register_forward_hook(
        lambda *_: seen.append((settings(), torch.is_autocast_enabled("cpu")))
    )
    torch.set_float32_matmul_precision("medium")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outside = settings()
        calibrate(model, layer()[1])
    assert seen == [(outside, True)]


def test_settings_are_put_back_after_an_error() -> None:
    torch.set_float32_matmul_precision("medium")
    before = settings()
    with pytest.raises(KeyError), full_precision(torch.device("cpu")):
        assert settings() == ["ieee", "ieee"]
        raise KeyError
    assert settings() == before
    assert torch.get_float32_matmul_precision() == "medium"


def test_a_device_without_autocast_has_none_to_leave() -> None:
    with full_precision(torch.device("meta")):
        pass


# ---- watching layers ---------------------------------------------------------------------------


class Fragile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.get_buffer("calls").add_(1)
        if x.isnan().any():
            raise KeyError("nan")
        return self.last(input=self.first(x).relu())


@pytest.mark.parametrize("outputs", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_watching_sees_every_call_and_leaves_the_model_as_it_was(
    outputs: bool, fails: bool
) -> None:
    model, x = Fragile(), torch.rand(5, 3)
    model.last.eval()
    seen: list[tuple[str, tuple[int, ...]]] = []
    layers = {"a": model.first, "b": model.last}

    def see(name: str, values: torch.Tensor) -> None:
        assert not torch.is_grad_enabled() and not model.training
        seen.append((name, tuple(values.shape)))

    try:
        with watching(model, layers, see, outputs):
            model(x)
            model(x * torch.nan if fails else x)
    except KeyError:
        assert fails
    once = [("a", (5, 4)), ("b", (5, 2))] if outputs else [("a", (5, 3)), ("b", (5, 4))]
    assert seen == once * (1 if fails else 2)
    assert [m.training for m in (model, model.first, model.last)] == [True, True, False]
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert float(model.get_buffer("calls")) == 0


def test_values_that_are_not_finite_are_refused_where_they_stand() -> None:
    values = torch.ones(2, 3)
    refuse_nonfinite("weight", values)
    assert first_nonfinite(values) is None
    values[1, 2] = -torch.inf
    assert first_nonfinite(values) == (1, 2)
    with pytest.raises(ValueError, match=r"^weight is not finite: -inf at index \(1, 2\); so$"):
        refuse_nonfinite("weight", values, "; so")
