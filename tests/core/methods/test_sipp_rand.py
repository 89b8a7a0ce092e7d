"""Draws in proportion to sensitivity: as few as the bound allows."""

from __future__ import annotations

import numpy as np
import pytest

import sipp_theory
from tests.core.conftest import DELTA, EPS, promised


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
