"""Coverage of a layer: the plans that `prune` makes, against a brute-force count and mutations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from proofs_check import layer_coverage
from sipp_core import PruneResult, calibrate, prune
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.runtime.numbers import generator

Float = NDArray[np.float64]
DELTA = 0.05


@pytest.fixture(scope="module")
def net() -> nn.Module:
    model = nn.Linear(60, 4)
    with torch.no_grad():
        model.weight.normal_(generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture(scope="module")
def inputs() -> Tensor:
    return torch.rand(40, 60, generator=torch.Generator().manual_seed(1)) ** 3


def pruned(net: nn.Module, inputs: Tensor, **options: object) -> PruneResult:
    return prune(net, inputs, **options)  # type: ignore[arg-type]


def setting(net: nn.Module, inputs: Tensor, result: PruneResult) -> tuple[LayerPlan, Float, Float]:
    points = calibrate(net, inputs, points=1000).layers[0].points.numpy()
    weight = net.get_parameter("weight").detach().double().numpy()
    return result.plans[0], weight, points


@pytest.mark.parametrize(
    ("method", "bound"),
    [
        ("sipp-rand", "bernstein"),
        ("sipp-rand", "exact"),
        ("sipp-poisson", "cramer"),
        ("sipp-poisson", "exact"),
        ("sipp-hybrid", "kl"),
        ("sipp-det", "bernstein"),
    ],
)
@pytest.mark.parametrize("options", [{"keep": 0.5}, {"eps": 0.6, "delta": DELTA}])
def test_what_prune_promises_holds_for_every_sign_of_every_neuron(
    net: nn.Module, inputs: Tensor, method: str, bound: str, options: dict[str, float]
) -> None:
    result = pruned(net, inputs, method=method, bound=bound, **options)
    plan, weight, points = setting(net, inputs, result)
    # Each neuron's delta is shared by its two signs.
    found = layer_coverage(plan, weight, points, delta=DELTA / 2, trials=3000)
    assert found.refuted == ()
    assert (found.verdict[found.tested] == "consistent").all()
    if method == "sipp-det":
        assert not found.failures.any()


def test_a_promise_made_smaller_is_refuted(net: nn.Module, inputs: Tensor) -> None:
    for method in ("sipp-rand", "sipp-poisson"):
        result = pruned(net, inputs, method=method, bound="exact", keep=0.5)
        plan, weight, points = setting(net, inputs, result)
        found = layer_coverage(
            plan, weight, points, eps=0.8 * plan.eps, delta=DELTA / 2, trials=3000
        )
        assert found.refuted
        assert found.worst is not None and found.worst.verdict == "refuted"
        assert found.worst_pair in found.refuted


@pytest.mark.parametrize("method", ["sipp-rand", "sipp-poisson"])
@pytest.mark.parametrize("bound", ["bernstein", "exact"])
def test_the_count_agrees_with_the_pruners_own_draws(
    net: nn.Module, inputs: Tensor, method: str, bound: str
) -> None:
    result = pruned(net, inputs, method=method, bound=bound, keep=0.4)
    plan, weight, points = setting(net, inputs, result)
    eps, trials = 0.25, 1500
    found = layer_coverage(plan, weight, points, eps=eps, delta=DELTA, trials=trials, seed=4)
    counts = np.zeros((2, 4))
    for copy in range(trials):
        multiplier = draw(plan, generator(9, copy))
        for sign in (0, 1):
            part = np.where(plan.sign(sign), np.abs(weight), 0.0)
            for neuron in range(4):
                a = points[0, found.point[sign, neuron]]
                z, kept = part[neuron] @ a, (part[neuron] * multiplier[neuron]) @ a
                counts[sign, neuron] += abs(kept / z - 1) > eps
    difference = np.abs(counts - found.failures) / trials
    p = (counts + found.failures) / (2 * trials)
    assert (difference <= 4.5 * np.sqrt(2 * p * (1 - p) / trials) + 1e-9).all()
    assert counts.sum() > 0


def test_recentring_is_part_of_the_estimate(net: nn.Module, inputs: Tensor) -> None:
    result = pruned(net, inputs, method="sipp-det", keep=0.5)
    plan, weight, points = setting(net, inputs, result)
    doubled = dataclasses.replace(plan, scale=np.full((2, 4), 2.0))
    found = layer_coverage(doubled, weight, points, eps=0.1, delta=DELTA, trials=50)
    assert (found.failures[found.tested] == 50).all()


def test_groups_signed_rows_and_dead_pairs() -> None:
    weight = np.array([[1.0, 2.0], [3.0, 1.0]])
    no = np.zeros((2, 2), bool)
    plan = LayerPlan(
        "g", np.ones((2, 2)), weight > 0, weight != 0, np.ones((2, 2)), no * 0.0, no + 0.5, no, no,
        no + 1.0,
    )  # fmt: skip
    grouped = layer_coverage(plan, weight, np.ones((2, 3, 2)), delta=0.1, trials=10)
    # No negative weight: the negative sign never fires and is not tested.
    assert grouped.tested.tolist() == [[True, True], [False, False]]
    assert grouped.point[1].tolist() == [-1, -1] and not grouped.failures.any()
    signed = layer_coverage(plan, weight, [[1.0, -1.0]], delta=0.1, trials=10)
    assert signed.tested[0].all() and not signed.failures.any()
    dead = layer_coverage(plan, weight, np.zeros((3, 2)), delta=0.1, trials=10)
    assert dead.worst is None and dead.summary()["pairs"] == 0


def test_the_same_seed_and_any_memory_give_the_same_counts(net: nn.Module, inputs: Tensor) -> None:
    result = pruned(net, inputs, method="sipp-rand", keep=0.4)
    plan, weight, points = setting(net, inputs, result)
    one, two, other = (
        layer_coverage(plan, weight, points, eps=0.3, delta=0.1, trials=500, seed=seed, chunk=chunk)
        for seed, chunk in ((0, 1), (0, 2**21), (1, 2**21))
    )
    assert np.array_equal(one.failures, two.failures) and np.array_equal(one.point, two.point)
    assert not np.array_equal(one.failures, other.failures)


def test_bad_arguments_are_named(net: nn.Module, inputs: Tensor) -> None:
    result = pruned(net, inputs, method="sipp-rand", keep=0.4)
    plan, weight, points = setting(net, inputs, result)
    spoilt = points.copy()
    spoilt[0, 1, 2] = np.nan
    for changed, rows, options, message in (
        (weight[:2], points, {}, "weight must have the plan's shape"),
        (-weight, points, {}, r"another sign than in the plan at index \(0, 0\)"),
        (weight * np.inf, points, {}, "weight must be finite"),
        (weight, points[..., :5], {}, "activations must be"),
        (weight, points[:, :0], {}, "activations must be"),
        (weight, np.tile(points, (3, 1, 1)), {}, "cannot be divided among 3 groups"),
        (weight, spoilt, {}, "activations must be finite.*nan"),
        (weight, points, {"eps": -0.1}, "eps must be >= 0.*-0.1"),
        (weight, points, {"delta": 0.0}, r"delta must lie in \(0, 1\).*0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            layer_coverage(plan, changed, rows, **({"delta": 0.1} | options))  # type: ignore[arg-type]
