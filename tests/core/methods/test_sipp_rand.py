"""Draws in proportion to sensitivity: as few as the bound allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import root_scalar

import sipp_theory
from sipp_core.methods import SippRand
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.table import Table
from tests.core.conftest import DELTA, EPS, layer_table, layer_tables, promised


@pytest.mark.parametrize("bound", ["bernstein", "kl"])
def test_draws_are_the_fewest_that_the_bound_allows(bound: str) -> None:
    result = promised("sipp-rand", bound)
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


def distinct(plan: LayerPlan, sign: int, neuron: int, draws: float) -> float:
    """Expected number of distinct weights of one pair, weight by weight."""
    q = plan.scores[neuron][plan.sign(sign)[neuron]]
    return sum(1 - (1 - chance / q.sum()) ** draws for chance in q)


@pytest.mark.parametrize("budget", [40, 60, 100, 150, 400, 600])
def test_a_budget_is_spent_by_the_draws_together(budget: int) -> None:
    total = 0.0
    for plan in SippRand().by_budget(layer_tables(), float(budget)):
        for sign in (0, 1):
            for neuron, draws in enumerate(plan.draws[sign]):
                if draws:
                    total += distinct(plan, sign, neuron, draws)
                else:
                    total += float(plan.probability[neuron][plan.sign(sign)[neuron]].sum())
    # Each pair by itself is off by up to half a weight, and small pairs all the same way.
    assert abs(total - budget) < 1


def nearest(plan: LayerPlan, sign: int, neuron: int, share: float) -> float:
    """Whole number of draws, next to the real root, whose distinct weights come nearest a share."""

    def off(draws: float) -> float:
        return distinct(plan, sign, neuron, draws) - share

    root = float(root_scalar(off, bracket=(0.0, 1e6)).root)
    return max(1.0, min(np.floor(root), np.ceil(root), key=lambda draws: abs(off(draws))))


def test_each_pair_draws_the_whole_number_nearest_its_share() -> None:
    shares: list[np.ndarray] = []

    class Recorded(SippRand):
        def sizes(self, tables: Sequence[Table], budget: float) -> list[np.ndarray]:
            shares.extend(super().sizes(tables, budget))
            return shares[-1:]

    (plan,) = Recorded().by_budget([layer_table(6, 40, 30, 5)], 60.0)
    pairs = [(int(k), int(i)) for k, i in np.argwhere(plan.draws > 0)]
    assert len(shares) > 1 and pairs
    # The last division tried was no better than the one before, which is kept.
    for k, i in pairs:
        assert nearest(plan, k, i, float(shares[-2][k, i])) == plan.draws[k, i]
