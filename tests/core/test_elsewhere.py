"""Everything on a device that is not the CPU: nothing is mixed, and what comes back is the same."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core import (
    Box,
    calibrate,
    certify,
    certify_around,
    certify_region,
    compress,
    decompress,
    empirical_sensitivity,
    export,
    learning_levels,
    load,
    models,
    multiply_adds,
    output_errors,
    prune,
    save,
    sparsest,
    training,
)
from sipp_core.certificates import count_errors
from sipp_core.methods import registered
from sipp_core.network.masks import unmask
from tests.core.conftest import for_method
from tests.elsewhere import There, elsewhere

X, HELD = (torch.rand(n, 12, generator=torch.Generator().manual_seed(n)) for n in (40, 200))
LABELS = (HELD.sum(1) * 7).long() % 4


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with elsewhere(monkeypatch.setattr) as device:
        yield device


def dense() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 4))


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 2, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(36, 3),
    ).eval()  # fmt: skip


def same(one: nn.Module, other: nn.Module, moved: float = 0.0) -> None:
    """Both of one state, but for a rounding of weights and a share of them chosen otherwise."""
    states = [unmask(each).state_dict() for each in (one, other)]
    assert list(states[0]) == list(states[1])
    apart = total = 0
    for a, b in zip(*(state.values() for state in states), strict=True):
        near = torch.isclose(a.cpu(), b.cpu(), rtol=1e-4, atol=1e-6)
        apart, total = apart + int((~near).sum()), total + near.numel()
    assert apart <= moved * total


def test_what_is_mixed_is_refused(there: torch.device) -> None:
    net = dense().to(there)
    weight, bias = list(net.parameters())[:2]
    assert isinstance(weight, There) and weight.device == there
    assert torch.equal(net(X.to(there)).cpu(), dense()(X))
    with pytest.raises(RuntimeError, match="same device"):
        net(X)
    with pytest.raises(RuntimeError, match="same device"):
        X.add_(bias[0:1])
    with pytest.raises(RuntimeError, match="numpy.. is not supported"):
        weight.detach().numpy()
    copied = copy.deepcopy(net)
    with torch.no_grad():
        next(copied.parameters()).zero_()
    assert weight.any() and not next(copied.parameters()).any()


# Net-Trim by cvxpy is on the CPU, and slow.
@pytest.mark.parametrize("method", [name for name in registered() if "cvxpy" not in name])
def test_every_method_gives_the_network_of_the_cpu(there: torch.device, method: str) -> None:
    size: dict[str, Any] = {"eps": 0.1} if method.startswith("nettrim") else {"keep": 0.5}
    data = for_method(method, X)
    here = prune(dense(), data, method=method, seed=1, **size)
    result = prune(dense().to(there), data, method=method, seed=1, **size)
    assert all(parameter.device == there for parameter in result.model.parameters())
    # CoreNet++ takes the best of drawn networks, and draws by numbers that round otherwise.
    same(here.model, result.model, moved=0.3 if method == "corenet++" else 0.0)


@pytest.mark.parametrize(
    "how",
    [
        {"method": "wanda", "keep": 0.5, "masks": True},
        {"method": "wanda", "pattern": "2:4", "keep": 0.5, "refit": True, "layers": ["0"]},
        {"method": "magnitude", "keep": 0.4, "scope": "global", "effective": True},
        {"method": "sipp-poisson", "eps": 0.5, "delta": 0.1},
        {"method": "sipp-rand", "eps": 0.5, "delta": 0.1, "bound": "cramer"},
        {"method": "sipp-rand", "eps": 0.5, "bound": "measured", "candidates": 2},
        {"method": "corenet", "eps": 0.5, "delta": 0.1},
    ],
)
def test_every_way_to_ask_does_too(there: torch.device, how: dict[str, Any]) -> None:
    here, result = (prune(net, X, seed=1, **how) for net in (dense(), dense().to(there)))
    same(here.model, result.model)


@pytest.mark.parametrize("method", ["sipp-det", "filters-det", "svd", "obs"])
def test_convolutions_do(there: torch.device, method: str) -> None:
    x = torch.rand(9, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    how: dict[str, Any] = {"refit": True} if method == "sipp-det" else {}
    here, result = (
        prune(net, x, method=method, keep=0.5, **how)
        for net in (convolutional(), convolutional().to(there))
    )
    same(here.model, result.model)


def test_all_statistics_are_measured_of_inputs_here_and_there(there: torch.device) -> None:
    x = torch.rand(9, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    pairs = [(x, torch.arange(9) % 3)]
    names = {"mean", "patch-mean", "support", "energy", "gradients"}
    usual = calibrate(convolutional(), pairs, statistics=names, points=20, validation_every=4)
    far = [(each.to(there), target.to(there)) for each, target in pairs]
    for given in (pairs, far):
        net = convolutional().to(there)
        stats = calibrate(net, given, statistics=names, points=20, validation_every=4)
        for one, other in zip(usual.layers, stats.layers, strict=True):
            assert other.sensitivity.device == there
            for name in ("sensitivity", "peaks", "points", "cancellation", "mean", "patch_mean",
                         "energy", "saliency", "support", "live"):  # fmt: skip
                a, b = getattr(one, name), getattr(other, name).cpu()
                torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-6)
    weight = next(dense().parameters()).detach()
    assert torch.allclose(
        empirical_sensitivity(weight.to(there), X.to(there)).cpu(), empirical_sensitivity(weight, X)
    )


def test_certificates_take_networks_and_inputs_from_anywhere(there: torch.device) -> None:
    small = prune(dense(), X, method="magnitude", keep=0.8).model
    usual = certify(dense(), small, HELD, labels=LABELS, groups=LABELS % 2)
    places: list[Callable[[Any], Any]] = [lambda given: given, lambda given: given.to(there)]
    for first in places:
        for second in places:
            found = certify(
                first(dense()), second(copy.deepcopy(small)), second(HELD), labels=second(LABELS),
                groups=LABELS % 2,
            )  # fmt: skip
            assert found.eps == pytest.approx(usual.eps, rel=1e-4)
    net, far = dense().to(there), copy.deepcopy(small).to(there)
    assert count_errors(net, HELD.to(there), LABELS.to(there)) == count_errors(
        dense(), HELD, LABELS
    )
    assert len(output_errors(net, far, HELD)[0]) == len(HELD)
    box = Box(torch.zeros(12), torch.full((12,), 0.01))
    here, found = (
        certify_region(*both, box, steps=2, attack_steps=2, outputs=[0])
        for both in ((dense(), small), (net, far))
    )
    assert found.bound == pytest.approx(here.bound, rel=1e-3)
    around = certify_around(net, far, HELD[:3].to(there), 0.01, attack_steps=2)
    assert around is not None
    sparsest(net, X, HELD, eps=0.9, delta=0.3, method="magnitude", keeps=[0.9, 0.5])


def test_files_are_written_and_read_there(there: torch.device, tmp_path: Path) -> None:
    net = dense().to(there)
    result = prune(net, X, method="sipp-det", keep=0.5)
    save(result, tmp_path / "net.safetensors")
    for template in (net, dense()):
        again = load(tmp_path / "net.safetensors", template)
        same(again.model, result.model)
        assert next(again.model.parameters()).device == next(template.parameters()).device
    content = compress(result.model)
    same(decompress(content.content, net), result.model)
    export(result.model, tmp_path / "dense.safetensors", "dense")
    export(result.model, tmp_path / "sparse.pt", "torch-sparse")
    assert multiply_adds(net, X) == multiply_adds(dense(), X)
    with learning_levels(net, levels=7):
        net(X.to(there)).sum().backward()


@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="no onnx here")
def test_an_example_for_onnx_may_lie_elsewhere(there: torch.device, tmp_path: Path) -> None:
    assert export(dense().to(there), tmp_path / "net.onnx", "onnx", example=X).bytes > 0


def test_training_leaves_the_network_there(
    there: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sipp_core import datasets

    monkeypatch.setattr(torch, "autocast", lambda *given, **named: nullcontext())
    data = datasets.load("digits")
    net = models.build("digits-mlp").to(there)
    training.train(net, data, training.Recipe(1, 256, 3e-3))
    assert all(isinstance(each, Tensor) and each.device == there for each in net.parameters())
