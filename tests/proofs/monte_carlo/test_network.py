"""Coverage of whole networks: copies equal the pruner's own, counts equal a loop's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from proofs_check import network_coverage
from sipp_core import prune


def make_net() -> nn.Module:
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 8), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(8, 4),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=generator)
    return net


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return make_net()


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_copy_zero_is_the_model_that_prune_made(net: nn.Module, inputs: Tensor) -> None:
    result = prune(net, inputs, method="sipp-poisson", keep=0.5, seed=3)
    found = network_coverage(net, result, inputs, eps=0.5, delta=0.5, copies=1, seed=3)
    net.eval()
    with torch.no_grad():
        truth, given = net(inputs), result.model.eval()(inputs)
    error = ((given - truth).norm(dim=1) / truth.norm(dim=1)).double().numpy()
    assert found.errors == pytest.approx(error, rel=1e-4)
    assert found.per_copy[0] == pytest.approx((error > 0.5).mean())
    net.train()


@pytest.mark.parametrize("method", ["sipp-rand", "sipp-poisson", "sipp-hybrid", "corenet"])
def test_memory_and_repetition_change_nothing(net: nn.Module, inputs: Tensor, method: str) -> None:
    result = prune(net, inputs, method=method, keep=0.6)
    runs = [
        network_coverage(
            net, result, inputs, eps=0.4, delta=0.2, copies=40, seed=1, batch_bytes=size
        )
        for size in (1, 100_000, 2**28)
    ]
    for other in runs[1:]:
        assert other.errors == pytest.approx(runs[0].errors, rel=1e-5)
        assert np.array_equal(other.per_input, runs[0].per_input)
        assert other.coverage == runs[0].coverage
    assert runs[0].rate == pytest.approx(runs[0].per_copy.mean())
    assert runs[0].summary()["copies"] == 40


def test_the_model_is_left_as_it_was(net: nn.Module, inputs: Tensor) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    result = prune(net, inputs, method="sipp-rand", keep=0.5)
    network_coverage(net, result, inputs, eps=0.4, delta=0.2, copies=3)
    assert net.training and all(torch.equal(before[n], v) for n, v in net.state_dict().items())


def test_the_verdict_has_two_sides(net: nn.Module, inputs: Tensor) -> None:
    result = prune(net, inputs, method="sipp-rand", keep=0.4)
    wide = network_coverage(net, result, inputs, eps=50.0, delta=0.2, copies=200)
    narrow = network_coverage(net, result, inputs, eps=1e-3, delta=0.2, copies=200)
    few = network_coverage(net, result, inputs, eps=50.0, delta=0.01, copies=200)
    verdicts = [result.coverage.verdict for result in (wide, narrow, few)]
    assert verdicts == ["consistent", "refuted", "undecided"]
    assert narrow.rate > 0.9 and wide.rate == 0.0


def test_keeping_everything_never_fails(net: nn.Module, inputs: Tensor) -> None:
    result = prune(net, inputs, method="sipp-det", keep=1.0)
    found = network_coverage(net, result, inputs, eps=1e-4, delta=0.1, copies=5)
    assert found.rate == 0.0 and found.errors.max() < 1e-6


def test_progress_reaches_the_end(net: nn.Module, inputs: Tensor) -> None:
    result = prune(net, inputs, method="sipp-rand", keep=0.4)
    seen: list[tuple[int, int, str]] = []
    network_coverage(
        net, result, inputs, eps=0.5, delta=0.1, copies=3, batch_bytes=1,
        progress=lambda *step: seen.append(step),
    )  # fmt: skip
    assert seen == [(1, 3, "coverage"), (2, 3, "coverage"), (3, 3, "coverage")]


def test_bad_arguments_are_named(net: nn.Module, inputs: Tensor) -> None:
    result = prune(net, inputs, method="sipp-rand", keep=0.5)
    amplified = prune(net, inputs, method="corenet++", keep=0.5)
    good = {"eps": 0.1, "delta": 0.1, "copies": 2}
    nan = inputs.clone()
    nan[0, 0, 0, 0] = float("nan")
    other = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1))
    for model, what, given, change, error, message in (
        (net, result, inputs.long(), {}, TypeError, "floating-point"),
        (net, result, inputs[:0], {}, ValueError, "n >= 1"),
        (net, result, nan, {}, ValueError, "inputs must be finite"),
        (net, result, inputs, {"eps": 0.0}, ValueError, "eps must be above 0.*0.0"),
        (net, result, inputs, {"delta": 1.0}, ValueError, "delta .*1.0"),
        (net, result, inputs, {"copies": 0}, ValueError, "copies .*0"),
        (net, result, inputs, {"batch_bytes": 0}, ValueError, "batch_bytes .*0"),
        (net, amplified, inputs, {}, ValueError, r"corenet\+\+"),
        (other, result, inputs, {}, ValueError, "'0.weight' has shape"),
        (nn.Sequential(), result, inputs, {}, ValueError, "no parameter '0.weight'"),
    ):
        with pytest.raises(error, match=message):
            network_coverage(model, what, given, **(good | change))  # type: ignore[arg-type]
