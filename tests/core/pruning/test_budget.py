"""Budget mode: rules spend what they are given, and promise what brute force confirms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sipp_core import calibrate
from sipp_core.methods import uniform
from sipp_core.pruning import budget, planning, ranking
from sipp_core.pruning.plan import LayerPlan, draw, expected_nonzeros
from sipp_core.pruning.promise import Table, make_table
from sipp_core.runtime.numbers import generator

MASKS = ("magnitude", "random", "wanda", "snip")


def make(out: int, fan_in: int, n: int, seed: int, bound: str = "bernstein") -> Table:
    """Table of a random layer; some weights are 0, one input never fires, neuron 0 has one sign."""
    rng = torch.Generator().manual_seed(seed)
    module = nn.Linear(fan_in, out, dtype=torch.float64)
    x = torch.rand(n, fan_in, generator=rng, dtype=torch.float64) ** 2
    with torch.no_grad():
        module.weight.copy_(torch.randn(out, fan_in, generator=rng))
        module.weight[:, 3] = 0
        module.weight[0].abs_()
    x[:, 1] = 0
    pairs = [(x, torch.rand(n, out, generator=rng, dtype=torch.float64))]
    stats = calibrate(module, pairs, points=10 * n, statistics={"energy", "gradients"}).layers[0]
    return make_table(
        stats, delta=0.1, coverage_factor=1.0, bound=bound, eta=out, eta_star=max(fan_in, out),
        dice=(0, seed),
    )  # fmt: skip


def tables() -> list[Table]:
    return [make(12, 40, 30, 0), make(9, 30, 30, 1)]


def sums(table: Table, multiplier: np.ndarray | None = None) -> np.ndarray:
    """z^s at all points, (n, 2, out); of the pruned weights where multipliers are given."""
    points = table.statistics.points[0].numpy()
    weight = np.abs(table.weight) * (1 if multiplier is None else multiplier)
    return np.stack([points @ np.where(table.sign(s), weight, 0.0).T for s in (0, 1)], axis=1)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("method", budget.RULES)
def test_every_rule_spends_its_budget(method: str, fraction: float) -> None:
    group = tables()
    size = np.rint(fraction * sum(t.weight.size for t in group))
    plans = budget.RULES[method](group, float(size))
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


@pytest.mark.parametrize("method", budget.RULES)
def test_a_budget_for_everything_promises_an_exact_network(method: str) -> None:
    group = tables()
    plans = budget.RULES[method](group, float(sum(t.weight.size for t in group)))
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
    table = make(12, 40, 30, 2, bound)
    for size in (10, 100, 300):
        plan = budget.RULES[method]([table], size)[0]
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


def test_recentring_at_most_halves_towards_zero_and_never_worsens() -> None:
    table = make(12, 40, 30, 3)
    plain = budget.sipp_det([table], 200)[0]
    centred = budget.sipp_recentred([table], 200)[0]
    np.testing.assert_allclose(centred.eps, plain.eps / (2 - plain.eps), rtol=1e-12)
    assert np.array_equal(plain.probability, centred.probability)
    np.testing.assert_allclose(centred.scale, 1 / (1 - plain.eps / 2), rtol=1e-12)


@pytest.mark.parametrize("size", [20, 60, 150, 400])
def test_the_hybrid_promises_no_more_error_than_its_parts(size: float) -> None:
    group = tables()
    total = {
        name: sum(float(p.eps.sum()) for p in budget.RULES[name](group, size))
        for name in ("sipp-hybrid", "sipp-det", "sipp-rand")
    }
    assert total["sipp-hybrid"] <= min(total["sipp-det"], total["sipp-rand"]) * (1 + 1e-12)


def test_det_minimises_the_sum_of_promised_errors() -> None:
    """AL-1's deterministic case against every choice of 3 of 6 weights."""
    from itertools import combinations

    table = make(1, 6, 5, 4)
    best = float(budget.sipp_det([table], 3)[0].eps.sum())
    found = []
    for choice in combinations(range(6), 3):
        kept = np.zeros((1, 6), dtype=bool)
        kept[0, list(choice)] = True
        found.append(float(planning.mask_plan(table, kept, table.sensitivity).eps.sum()))
    assert best == pytest.approx(min(found), rel=1e-12)


def test_draws_leave_the_distinct_weights_asked_for() -> None:
    table = make(6, 40, 30, 5)
    sizes = np.array([[5.0, 3, 8, 1, 0, 2], [4.0, 0, 2, 7, 6, 3]])
    plan = planning.draws_plan(table, table.sensitivity, np.where(table.total > 0, sizes, 0))
    for sign in (0, 1):
        q, m = plan.draw_probabilities(sign), plan.draws[sign]
        expected = (1 - (1 - q) ** m[:, None]).sum(axis=1)
        wanted = np.where(table.total[sign] > 0, sizes[sign], 0)
        assert (np.abs(expected - wanted) <= 0.5).all()
    assert (plan.eps[(sizes == 0) & (table.total > 0)] == 1).all()


@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-6, 1)),
    st.floats(0.01, 1),
)
def test_one_rate_meets_the_budget_exactly(s: np.ndarray, fraction: float) -> None:
    wanted = fraction * s.size
    rate = budget._common_rate(s, wanted)
    assert np.minimum(1, rate * s).sum() == pytest.approx(wanted, rel=1e-9)


def test_rates_for_sizes_fill_each_pair() -> None:
    table = make(6, 40, 30, 6)
    sizes = np.minimum(np.array([[5.5, 3, 8, 1, 0, 99], [4.0, 0, 2, 7, 6, 3]]), table.support)
    rates = planning.rates_for_sizes(table, sizes)
    for sign in (0, 1):
        s = np.where(table.sign(sign), table.sensitivity, 0)
        np.testing.assert_allclose(
            np.minimum(1, rates[sign][:, None] * s).sum(axis=1), sizes[sign], rtol=1e-9
        )


def test_largest_breaks_ties_by_position_and_never_takes_zeros() -> None:
    scores = [np.array([[0.5, 0.0, 0.5]]), np.array([[0.5, 0.9]])]
    assert [m.tolist() for m in ranking.largest(scores, 3)] == [
        [[True, False, True]],
        [[False, True]],
    ]
    assert sum(int(m.sum()) for m in ranking.largest(scores, 99)) == 4
    assert not any(m.any() for m in ranking.largest(scores, 0.99))


def test_uniform_draws_do_not_look_at_the_data() -> None:
    plans = [uniform.by_budget([make(6, 40, 30, 7)], 60)[0] for _ in range(2)]
    for sign in (0, 1):
        q = plans[0].draw_probabilities(sign)
        for row in q:
            assert np.unique(row[row > 0]).size <= 1
    assert isinstance(plans[0], LayerPlan) and np.array_equal(plans[0].draws, plans[1].draws)


def test_corenet_draws_in_proportion_to_the_sensitivity_sum() -> None:
    table = make(12, 40, 30, 8)
    plan = budget.corenet([table], 100)[0]
    live = table.total > 0
    scale = plan.draws[live] / table.total[live]
    # ceil(scale S): one common scale fits all pairs.
    assert ((plan.draws[live] - 1) / table.total[live]).max() < scale.min() * (1 + 1e-9)
    assert not plan.whole.any()
