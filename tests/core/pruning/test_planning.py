"""Plans from numbers of weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sipp_core.pruning import planning
from tests.core.conftest import layer_table


def test_draws_leave_the_distinct_weights_asked_for() -> None:
    table = layer_table(6, 40, 30, 5)
    sizes = np.array([[5.0, 3, 8, 1, 0, 2], [4.0, 0, 2, 7, 6, 3]])
    plan = planning.draws_plan(table, table.sensitivity, np.where(table.total > 0, sizes, 0))
    for sign in (0, 1):
        q, m = plan.draw_probabilities(sign), plan.draws[sign]
        expected = (1 - (1 - q) ** m[:, None]).sum(axis=1)
        wanted = np.where(table.total[sign] > 0, sizes[sign], 0)
        assert (np.abs(expected - wanted) <= 0.5).all()
    assert (plan.eps[(sizes == 0) & (table.total > 0)] == 1).all()


@pytest.mark.parametrize("bound", ["cramer", "kl"])
def test_pairs_are_planned_alike_by_any_number_of_threads(bound: str) -> None:
    table = layer_table(30, 60, 25, 1, bound=bound)
    threads, plans = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            sizes = planning.draw_sizes(table, table.sensitivity, 0.6)
            plans.append(planning.as_plan(table, table.sensitivity, sizes))
    finally:
        torch.set_num_threads(threads)
    one, three = plans
    assert (one.draws > 0).any()
    for field in ("draws", "eps", "whole"):
        assert np.array_equal(getattr(one, field), getattr(three, field))
