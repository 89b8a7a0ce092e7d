"""The hybrid as the authors' code has it: AL-3's numbers of weights, drawn or the largest."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import pytest

import sipp_theory
from sipp_core.methods import SippHybrid, SippRand
from sipp_core.pruning.table import Table
from tests.core.conftest import layer_tables, promised


def numbers(group: list[Table], budget: int) -> np.ndarray:
    """Numbers of weights of all pairs, each real one rounded up, for the most that fit."""
    rows = [(len(t.weight), t.total.ravel(), t.support.ravel()) for t in group]
    width = np.concatenate([np.full(len(total), float(out)) for out, total, _ in rows])
    total, room = (np.concatenate([row[k] for row in rows]) for k in (1, 2))

    def sizes(amount: float) -> np.ndarray:
        return np.ceil(sipp_theory.allocate_by_layer(total, room, width, float(amount)).sizes)

    amounts = np.linspace(0.01, budget, 4000)
    # The sizes grow with the amount.
    fitting = bisect_right(amounts, budget, key=lambda amount: sizes(amount).sum())
    return sizes(amounts[fitting - 1]) if fitting else np.zeros(total.size)


@pytest.mark.parametrize("budget", [60, 150, 400])
def test_a_pair_is_drawn_where_dropping_is_estimated_to_err_more(budget: int) -> None:
    group = layer_tables()
    expected = numbers(group, budget)
    plans = SippHybrid().by_budget(group, budget)
    drawn, got = 0, []
    for table, plan in zip(group, plans, strict=True):
        for sign in (0, 1):
            for neuron in range(len(table.weight)):
                mine = table.sign(sign)[neuron]
                s = np.where(mine, table.sensitivity[neuron], 0.0)
                kept = (plan.probability[neuron] > 0) & mine
                if plan.draws[sign, neuron]:
                    drawn += 1
                    got.append(np.nan)
                    continue
                m = int(kept.sum())
                got.append(m)
                if m:  # the largest of the pair, and estimated to be as good as draws
                    assert s[kept].min() >= s[~kept].max()
                    f = sipp_theory.heuristic_error(table.total[sign, neuron], m, 1e-16, 1, 1, 3.0)
                    assert 3 * s[~kept].sum() <= f * (1 + 1e-9)
    sizes = np.array(got)
    known = np.isfinite(sizes)
    # What the rounding up leaves over goes to single pairs.
    assert np.abs(sizes - expected)[known].max() <= 1
    assert (sizes != expected)[known].sum() <= max(0, budget - expected.sum())
    assert drawn < sizes.size


def test_random_and_hybrid_share_their_numbers() -> None:
    group = layer_tables()
    hybrid, rand = (m.by_budget(group, 100) for m in (SippHybrid(), SippRand()))
    for a, b in zip(hybrid, rand, strict=True):
        assert np.array_equal(a.whole, b.whole)


def test_guarantee_mode_takes_what_leaves_fewer_weights() -> None:
    counts = {
        name: promised(name, "bernstein").nnz_after
        for name in ("sipp-hybrid", "sipp-det", "sipp-rand")
    }
    assert counts["sipp-hybrid"] <= min(counts["sipp-det"], counts["sipp-rand"]) * 1.05
