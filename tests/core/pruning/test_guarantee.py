"""Guarantee mode: fewest weights, and Monte Carlo says that what is promised is kept."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import sipp_theory
from sipp_core import PruneResult, prune
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.runtime.numbers import generator
from sipp_core.zoo import datasets, models, training

EPS, DELTA = 0.5, 0.1
RANDOM = [
    *(("sipp-rand", bound) for bound in ("bernstein", "kl", "cramer", "exact")),
    *(("sipp-hybrid", bound) for bound in ("bernstein", "kl", "cramer", "exact")),
    *(("sipp-poisson", bound) for bound in ("bernstein", "kl", "cramer", "exact")),
    ("uniform", "cramer"),
]
CERTAIN = [
    (method, bound)
    for method in ("sipp-det", "sipp-recentred", "magnitude")
    for bound in ("bernstein", "exact")
]


def build() -> tuple[nn.Sequential, Tensor]:
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 6), nn.Sigmoid(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.1)
        net.get_parameter("0.weight")[2].abs_()
        net.get_parameter("0.weight")[3] = 0
    return net, torch.rand(30, 300, generator=rng).double() ** 2 + 0.02


@cache
def pruned(method: str, bound: str) -> PruneResult:
    net, x = build()
    return prune(net, x, method=method, bound=bound, eps=EPS, delta=DELTA)


def layer_inputs(net: nn.Sequential, x: Tensor) -> list[np.ndarray]:
    """What each dense layer receives."""
    found = []
    for module in net:
        if isinstance(module, nn.Linear):
            found.append(x.numpy())
        x = module(x).detach()
    return found


def copies(plan: LayerPlan, number: int) -> LayerPlan:
    """The same layer many times over: one draw of it is many independent draws of the layer."""
    pairs = ("draws", "eps", "dead", "whole", "scale")
    weights = ("scores", "positive", "nonzero", "probability")
    return dataclasses.replace(
        plan,
        **{name: np.tile(getattr(plan, name), (1, number)) for name in pairs},
        **{name: np.tile(getattr(plan, name), (number, 1)) for name in weights},
    )


def failures(
    plan: LayerPlan, weight: np.ndarray, rows: np.ndarray, eps: float, draws: int
) -> np.ndarray:
    """How often |z^ - z| > eps z~, (points, neurons)."""
    z, size = rows @ weight.T, np.abs(rows) @ np.abs(weight).T
    count = np.zeros(z.shape, dtype=int)
    at_once = max(1, min(draws, 1_000_000 // weight.size))
    for start in range(0, draws, at_once):
        number = min(at_once, draws - start)
        drawn = draw(copies(plan, number), generator(123, 0, start))
        for multiplier in drawn.reshape(number, *weight.shape):
            count += np.abs(rows @ (weight * multiplier).T - z) > eps * size * (1 + 1e-9)
    return count


def too_many(count: np.ndarray, draws: int, delta: float) -> np.ndarray:
    """Failures beyond a binomial margin at level 1e-3 over all points and neurons together."""
    return count > stats.binom.isf(1e-3 / count.size, draws, delta)


@pytest.mark.parametrize(("method", "bound"), [*RANDOM, *CERTAIN, ("sipp-rand", "corenet")])
def test_every_neuron_is_promised_eps(method: str, bound: str) -> None:
    result = pruned(method, bound)
    assert (result.eps, result.delta, result.keep, result.bound) == (EPS, DELTA, None, bound)
    for report in result.layers:
        assert report.eps <= EPS and (report.eps_neuron <= EPS).all()
        assert report.eps_neuron.shape == (report.shape[0],)
        assert report.vacuous_neurons == 0
    assert result.layers[0].dead == 1  # the row of zeros
    assert result.vacuous == (bound == "corenet")
    assert (result.nnz_after < result.nnz_before) == (bound != "corenet")


@pytest.mark.parametrize(("method", "bound"), RANDOM)
def test_the_promise_is_kept_in_the_promised_share_of_draws_and_a_mutant_is_caught(
    method: str, bound: str
) -> None:
    result, (net, x) = pruned(method, bound), build()
    draws = 400
    inputs = layer_inputs(net, x)
    weights = [net.get_parameter(f"{k}.weight").detach().numpy() for k in (0, 2)]
    for plan, weight, rows in zip(result.plans, weights, inputs, strict=True):
        count = failures(plan, weight, rows, EPS, draws)
        assert not too_many(count, draws, DELTA).any()
    plan = result.plans[0]
    weaker = dataclasses.replace(
        plan,
        draws=np.ceil(plan.draws / 12),
        probability=np.where(plan.probability < 1, plan.probability / 12, 1.0),
    )
    if not (weaker.draws < plan.draws).any() and not (weaker.probability != plan.probability).any():
        pytest.fail("nothing in the plan is left to chance: the instance tests nothing")
    assert too_many(failures(weaker, weights[0], inputs[0], EPS, draws), draws, DELTA).any()


@pytest.mark.parametrize(("method", "bound"), CERTAIN)
def test_deterministic_promises_always_hold_and_a_mutant_is_caught(method: str, bound: str) -> None:
    result, (net, x) = pruned(method, bound), build()
    inputs = layer_inputs(net, x)
    weights = [net.get_parameter(f"{k}.weight").detach().numpy() for k in (0, 2)]
    for plan, weight, rows in zip(result.plans, weights, inputs, strict=True):
        assert not failures(plan, weight, rows, EPS, 1).any()
    plan, s = result.plans[0], result.plans[0].scores
    kept = plan.probability > 0
    fewer = kept & (s > np.quantile(s[kept], 0.7))
    mutant = dataclasses.replace(plan, probability=fewer.astype(float))
    assert failures(mutant, weights[0], inputs[0], EPS, 1).any()


@pytest.mark.parametrize("bound", ["bernstein", "kl"])
def test_draws_are_the_fewest_that_the_bound_allows(bound: str) -> None:
    result = pruned("sipp-rand", bound)
    for report, plan in zip(result.layers, result.plans, strict=True):
        for sign, neuron in np.argwhere(plan.draws > 0):
            both = (report.sensitivity_sum[:, neuron] > 0).sum()
            setting = {
                "sensitivity_sum": report.sensitivity_sum[sign, neuron],
                "delta": DELTA / both,
            }
            m = plan.draws[sign, neuron]
            assert sipp_theory.sample_size(bound, eps=EPS, **setting) == m
            assert sipp_theory.error(bound, m=m, **setting) <= EPS
            if m > 1:
                assert sipp_theory.error(bound, m=m - 1, **setting) > EPS


def test_dropping_one_weight_more_would_break_the_promise() -> None:
    plan = pruned("sipp-det", "bernstein").plans[0]
    for sign in (0, 1):
        kept = plan.sign(sign) & (plan.probability > 0)
        dropped = plan.sign(sign) & ~kept
        for neuron in np.flatnonzero(kept.any(axis=1)):
            lost = plan.scores[neuron, dropped[neuron]].sum()
            assert lost <= EPS < lost + plan.scores[neuron, kept[neuron]].min() + 1e-9


def test_a_lower_inclusion_rate_would_break_the_promise() -> None:
    plan = pruned("sipp-poisson", "bernstein").plans[0]
    for sign in (0, 1):
        for neuron in np.flatnonzero(~plan.whole[sign] & ~plan.dead[sign]):
            s = plan.scores[neuron, plan.sign(sign)[neuron]]
            p = plan.probability[neuron, plan.sign(sign)[neuron]]
            rate = float((p / s)[p < 1].max())
            delta = DELTA / (1 if plan.dead[:, neuron].any() else 2)
            assert sipp_theory.inclusion_error(s, rate, delta) <= EPS * (1 + 1e-9)
            assert sipp_theory.inclusion_error(s, rate * 0.999, delta) > EPS


def test_sharper_bounds_ask_for_less() -> None:
    kept = {b: pruned("sipp-rand", b).plans[0].draws.sum() for _, b in RANDOM[:4]}
    assert kept["exact"] <= kept["cramer"] <= kept["kl"] <= kept["bernstein"]
    poisson = {b: pruned("sipp-poisson", b).plans[0].probability.sum() for _, b in RANDOM[:4]}
    assert (
        poisson["exact"] <= poisson["cramer"] <= poisson["kl"] * 1.003 <= poisson["bernstein"] * 2
    )
    both = pruned("sipp-hybrid", "bernstein").nnz_after
    assert both <= 1.1 * min(
        pruned(method, "bernstein").nnz_after for method in ("sipp-rand", "sipp-det")
    )


def test_a_coverage_factor_costs_weights() -> None:
    net, x = build()
    for method in ("sipp-rand", "sipp-det", "sipp-poisson"):
        plain = pruned(method, "bernstein")
        covered = prune(net, x, method=method, eps=EPS, delta=DELTA, coverage_factor=2.0)
        assert covered.nnz_after > plain.nnz_after
        assert "at most 2 times its sensitivity" in covered.holds_for


def test_neurons_kept_whole_are_flagged_and_untouched() -> None:
    net, x = build()
    result = prune(net, x, method="sipp-rand", eps=EPS, delta=DELTA)
    small = result.layers[1]
    whole = result.plans[1].whole.all(axis=0)
    assert 0 < small.whole == int(whole.sum())
    new, old = result.model.get_parameter("2.weight"), net.get_parameter("2.weight")
    assert torch.equal(new[torch.from_numpy(whole)], old[torch.from_numpy(whole)])
    assert any(
        "kept whole" in note and f"'2': '{small.whole} of 4'" in note for note in result.notes
    )
    tight = prune(net, x, method="sipp-rand", eps=0.001, delta=DELTA)
    assert tight.vacuous and tight.layers[0].whole == 5 and tight.layers[0].eps == 0
    live = result.plans[0].nonzero
    assert torch.equal(tight.model.get_parameter("0.weight"), net.get_parameter("0.weight"))
    assert tight.nnz_after == int(live.sum()) + 24


@pytest.mark.parametrize("points", [1, 3])
@pytest.mark.parametrize("method", ["sipp-rand", "sipp-det", "sipp-poisson", "sipp-hybrid"])
def test_a_sample_of_rows_is_said_to_be_one(method: str, points: int) -> None:
    net, x = build()
    result = prune(net, x, method=method, eps=EPS, delta=DELTA, bound="cramer", points=points)
    assert "each calibration row kept" in result.holds_for
    assert any("uniform sample" in note and "raise points=" in note for note in result.notes)
    assert all(report.eps <= EPS for report in result.layers)
    everything = prune(net, x, method=method, eps=EPS, delta=DELTA, bound="cramer", points=100)
    assert not any("uniform sample" in note for note in everything.notes)


@pytest.fixture(scope="module")
def lenet(mnist_dir: Path) -> tuple[nn.Module, datasets.Dataset]:
    data = datasets.load("mnist", data_dir=mnist_dir)
    model = models.build("lenet-300-100", seed=0)
    training.train(model, data, training.Recipe(2, 128, 2e-3))
    return model, data


@pytest.mark.parametrize(
    ("method", "bound"), [("sipp-rand", "bernstein"), ("sipp-poisson", "kl"), ("sipp-det", "kl")]
)
def test_every_neuron_of_a_real_network_keeps_its_promise(
    lenet: tuple[nn.Sequential, datasets.Dataset], method: str, bound: str
) -> None:
    net, data = lenet
    x = data.train_inputs[:150]
    result = prune(net, x, method=method, bound=bound, eps=EPS, delta=DELTA)
    assert all(report.eps <= EPS for report in result.layers)
    draws = 60
    inputs = layer_inputs(net, x)
    assert result.nnz_after < result.nnz_before
    for plan, rows in zip(result.plans, inputs, strict=True):
        weight = net.get_parameter(f"{plan.name}.weight").detach().double().numpy()
        count = failures(plan, weight, rows.astype(np.float64), EPS, draws)
        assert not too_many(count, 1 if method == "sipp-det" else draws, DELTA).any()


def test_poisson_beats_multinomial_on_a_real_network(
    lenet: tuple[nn.Sequential, datasets.Dataset],
) -> None:
    """Issue: at 10% and 20% of LeNet-300-100 kept, a smaller mean output error."""
    net, data = lenet
    fresh = data.test_inputs[:2000]
    with torch.no_grad():
        truth = net(fresh)

        def error(method: str, keep: float, seed: int) -> tuple[float, int]:
            result = prune(net, data.train_inputs[:256], method=method, keep=keep, seed=seed)
            distance = (result.model(fresh) - truth).norm(dim=1) / truth.norm(dim=1)
            return float(distance.mean()), result.nnz_after

        for keep in (0.1, 0.2):
            runs = {m: [error(m, keep, s) for s in range(4)] for m in ("sipp-rand", "sipp-poisson")}
            means = {m: np.mean([e for e, _ in found]) for m, found in runs.items()}
            kept = {m: np.mean([n for _, n in found]) for m, found in runs.items()}
            assert kept["sipp-poisson"] == pytest.approx(kept["sipp-rand"], rel=0.02)
            assert means["sipp-poisson"] < means["sipp-rand"]
