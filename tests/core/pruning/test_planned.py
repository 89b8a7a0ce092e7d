"""Planned methods: budgets are spent, promises are kept, and Monte Carlo or brute force says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from sipp_core import calibrate, prune
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import generator
from sipp_core.zoo import datasets
from tests.core.conftest import (
    DELTA,
    EPS,
    MASKS,
    PLANNED,
    expected_nonzeros,
    layer_table,
    layer_tables,
    promised,
    promised_network,
)
from tests.core.methods.conftest import TARGETS, dense, inputs

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


def sums(table: Table, multiplier: np.ndarray | None = None) -> np.ndarray:
    """z^s at all points, (n, 2, out); of the pruned weights where multipliers are given."""
    points = table.statistics.points[0].numpy()
    weight = np.abs(table.weight) * (1 if multiplier is None else multiplier)
    return np.stack([points @ np.where(table.sign(s), weight, 0.0).T for s in (0, 1)], axis=1)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("method", PLANNED)
def test_every_rule_spends_its_budget(method: str, fraction: float) -> None:
    group = layer_tables()
    size = np.rint(fraction * sum(t.weight.size for t in group))
    plans = PLANNED[method].by_budget(group, float(size))
    expected = sum(expected_nonzeros(plan) for plan in plans)
    pairs = sum(int((t.total > 0).sum()) for t in group)
    if method in ("sipp-det", "sipp-recentred", *MASKS):
        assert expected == size
    elif method == "sipp-poisson":
        assert expected == pytest.approx(size, rel=1e-9)
    else:
        # Draws are whole, and uniform and CoreNet give each pair at least one.
        assert abs(expected - size) <= pairs / 2
    for plan, table in zip(plans, group, strict=True):
        assert (plan.probability[~plan.nonzero] == 0).all()
        assert (plan.eps >= 0).all() and (plan.eps[table.total == 0] == 0).all()
        assert np.array_equal(plan.dead, table.total == 0)


@pytest.mark.parametrize("method", PLANNED)
def test_a_budget_for_everything_promises_an_exact_network(method: str) -> None:
    group = layer_tables()
    plans = PLANNED[method].by_budget(group, float(sum(t.weight.size for t in group)))
    if method.startswith("corenet"):
        return  # the paper's method draws whatever the budget is
    for table, plan in zip(group, plans, strict=True):
        assert (plan.eps == 0).all() and plan.whole[table.total > 0].all()
        np.testing.assert_allclose(
            sums(table, draw(plan, generator(0))), sums(table), rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("bound", ["bernstein", "exact"])
@pytest.mark.parametrize("method", ["sipp-det", "sipp-recentred", *MASKS])
def test_what_is_kept_for_certain_is_promised_at_every_point(method: str, bound: str) -> None:
    table = layer_table(12, 40, 30, 2, bound)
    for size in (10, 100, 300):
        plan = PLANNED[method].by_budget([table], size)[0]
        z, kept = sums(table), sums(table, draw(plan, generator(0)))
        assert (np.abs(kept - z) <= plan.eps * z * (1 + 1e-12)).all()
        if method != "sipp-recentred":
            assert (kept <= z * (1 + 1e-12)).all()
        if bound == "exact":  # met with equality at the worst point
            worst = np.max((z - kept) / np.where(z > 0, z, 1), axis=0)
            if method != "sipp-recentred":
                np.testing.assert_allclose(worst, plan.eps, rtol=1e-9, atol=1e-12)
        spoilt = plan.eps * 0.98
        if bound == "exact" and method != "sipp-recentred":
            assert (np.abs(kept - z) > spoilt * z * (1 + 1e-9)).any()


# ---- guarantee mode ----------------------------------------------------------------------------


def layer_inputs(net: nn.Sequential, x: Tensor) -> list[np.ndarray]:
    """What each dense layer receives."""
    result = []
    for module in net:
        if isinstance(module, nn.Linear):
            result.append(x.numpy())
        x = module(x).detach()
    return result


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
    result = promised(method, bound)
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
    result, (net, x) = promised(method, bound), promised_network()
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
    result, (net, x) = promised(method, bound), promised_network()
    inputs = layer_inputs(net, x)
    weights = [net.get_parameter(f"{k}.weight").detach().numpy() for k in (0, 2)]
    for plan, weight, rows in zip(result.plans, weights, inputs, strict=True):
        assert not failures(plan, weight, rows, EPS, 1).any()
    plan, s = result.plans[0], result.plans[0].scores
    kept = plan.probability > 0
    fewer = kept & (s > np.quantile(s[kept], 0.7))
    mutant = dataclasses.replace(plan, probability=fewer.astype(float))
    assert failures(mutant, weights[0], inputs[0], EPS, 1).any()


def test_sharper_bounds_ask_for_less() -> None:
    kept = {b: promised("sipp-rand", b).plans[0].draws.sum() for _, b in RANDOM[:4]}
    assert kept["exact"] <= kept["cramer"] <= kept["kl"] <= kept["bernstein"]
    poisson = {b: promised("sipp-poisson", b).plans[0].probability.sum() for _, b in RANDOM[:4]}
    assert (
        poisson["exact"] <= poisson["cramer"] <= poisson["kl"] * 1.003 <= poisson["bernstein"] * 2
    )
    both = promised("sipp-hybrid", "bernstein").nnz_after
    assert both <= 1.1 * min(
        promised(method, "bernstein").nnz_after for method in ("sipp-rand", "sipp-det")
    )


def test_a_coverage_factor_costs_weights() -> None:
    net, x = promised_network()
    for method in ("sipp-rand", "sipp-det", "sipp-poisson"):
        plain = promised(method, "bernstein")
        covered = prune(net, x, method=method, eps=EPS, delta=DELTA, coverage_factor=2.0)
        assert covered.nnz_after > plain.nnz_after
        assert "at most 2 times its sensitivity" in covered.holds_for


def test_neurons_kept_whole_are_flagged_and_untouched() -> None:
    net, x = promised_network()
    result = prune(net, x, method="sipp-rand", eps=EPS, delta=DELTA, bound="bernstein")
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
    net, x = promised_network()
    result = prune(net, x, method=method, eps=EPS, delta=DELTA, bound="cramer", points=points)
    assert "each calibration row kept" in result.holds_for
    assert any("uniform sample" in note and "raise points=" in note for note in result.notes)
    assert all(report.eps <= EPS for report in result.layers)
    everything = prune(net, x, method=method, eps=EPS, delta=DELTA, bound="cramer", points=100)
    assert not any("uniform sample" in note for note in everything.notes)


@pytest.mark.parametrize(
    ("method", "bound"), [("sipp-rand", "bernstein"), ("sipp-poisson", "kl"), ("sipp-det", "kl")]
)
def test_every_neuron_of_a_real_network_keeps_its_promise(
    trained_lenet: tuple[nn.Sequential, datasets.Dataset], method: str, bound: str
) -> None:
    net, data = trained_lenet
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


@pytest.mark.parametrize("method", ["magnitude", "wanda", "snip"])
def test_the_fewest_weights_in_score_order_meet_eps(method: str) -> None:
    model, x, y = dense(), inputs("dense").abs(), TARGETS["classes"]
    result = prune(model, [(x, y)], method=method, eps=0.4, delta=0.1)
    assert all(report.eps <= 0.4 for report in result.layers) and result.nnz_after < 45
    s = [layer.sensitivity.numpy() for layer in calibrate(model, x).layers]
    for plan, sensitivity in zip(result.plans, s, strict=True):
        for sign, neuron in np.argwhere(~plan.dead):
            mine = plan.sign(sign)[neuron] & (sensitivity[neuron] > 0)
            kept = mine & (plan.probability[neuron] > 0)
            lost = float(sensitivity[neuron, mine & ~kept].sum())
            assert lost <= 0.4
            scores = plan.scores[neuron]
            assert scores[kept].min() >= scores[mine & ~kept].max(initial=0.0)
            next_out = np.flatnonzero(kept)[np.argmin(scores[kept])]
            assert lost + sensitivity[neuron, next_out] > 0.4 * (1 - 1e-8)


def test_a_promise_is_for_each_patch_of_an_input_by_itself() -> None:
    """SP-13: with a live channel a patch, some of 64 patches fails nearly always, a given one not.

    The filters are copies of one another, so that each is a trial.
    """
    copies, delta = 50, 0.5
    net = nn.Conv2d(64, copies, 1, bias=False)
    nn.init.ones_(net.weight)
    image = torch.eye(64).reshape(1, 64, 8, 8)
    result = prune(net, image, method="sipp-rand", bound="kl", keep=0.985, delta=delta)
    assert result.holds_for.endswith("at each row by itself")
    eps = result.layers[0].eps
    failures = np.concatenate(
        [np.abs(draw(result.plans[0], generator(3, trial)) - 1) > eps for trial in range(20)]
    )
    each, some = failures.mean(axis=0), failures.any(axis=1).mean()
    assert each.max() <= delta and each.mean() > 0.02 and some > 0.9
    certain = prune(net, image, method="sipp-det", keep=0.985)
    assert certain.holds_for.endswith("per neuron given the layer's input")
