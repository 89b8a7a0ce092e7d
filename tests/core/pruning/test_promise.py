"""SP-6 in `promise`: rounded by the function that the ledger checks, never below the exact sum."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from sipp_core.pruning import promise
from tests.core.conftest import layer_table


@pytest.mark.parametrize("bound", ["bernstein", "exact"])
def test_what_is_dropped_is_promised_at_least_its_exact_sum(bound: str) -> None:
    plainly_below = 0
    for seed in range(12):
        table = layer_table(12, 40, 30, seed, bound)
        kept = np.random.default_rng(seed).random(table.weight.shape) < 0.6
        eps = promise.dropped_errors(table, kept)
        for sign, neuron in np.argwhere(table.total > 0):
            lost = table.sign(sign)[neuron] & ~kept[neuron]
            if bound == "exact":
                columns = np.arange(40)[table.sign(sign)[neuron]]
                shares = table.shares(sign, neuron, columns)[:, ~kept[neuron, columns]]
            else:
                shares = table.sensitivity[neuron, lost][None]
            exact = min(Fraction(1), max(sum(map(Fraction, row), Fraction(0)) for row in shares))
            assert exact <= Fraction(float(eps[sign, neuron])) <= exact * (1 + Fraction(1, 10**12))
            plainly_below += Fraction(float(shares.sum(axis=1).max())) < exact
    # A sum in float64 alone would promise less than the truth in some of these pairs.
    assert plainly_below > 0


def test_nothing_dropped_is_exact_and_everything_dropped_is_one() -> None:
    table = layer_table(12, 40, 30, 0)
    none, everything = (np.full(table.weight.shape, kept) for kept in (True, False))
    assert (promise.dropped_errors(table, none) == 0).all()
    assert np.array_equal(promise.dropped_errors(table, everything), table.total > 0)
