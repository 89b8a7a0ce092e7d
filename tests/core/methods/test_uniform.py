"""Uniform draws."""

from __future__ import annotations

import numpy as np

from sipp_core.methods import Uniform
from sipp_core.pruning.plan import LayerPlan
from tests.core.conftest import layer_table


def test_uniform_draws_do_not_look_at_the_data() -> None:
    plans = [Uniform().by_budget([layer_table(6, 40, 30, 7)], 60)[0] for _ in range(2)]
    for sign in (0, 1):
        q = plans[0].draw_probabilities(sign)
        for row in q:
            assert np.unique(row[row > 0]).size <= 1
    assert isinstance(plans[0], LayerPlan) and np.array_equal(plans[0].draws, plans[1].draws)
