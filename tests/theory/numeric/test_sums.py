"""Sums in compiled loops are numpy's, to the last bit."""

from __future__ import annotations

import numpy as np

from sipp_theory.numeric.sums import DEPTH, add_up


def test_any_number_of_terms_adds_up_as_numpy_adds_them():
    rng = np.random.default_rng(0)
    places, sums = np.empty((3, DEPTH), np.intp), np.empty(DEPTH)
    for count in [*range(1200), *rng.integers(1200, 40_000, 60), 2**20 + 77]:
        terms = rng.random(count) * 10.0 ** rng.integers(-9, 4, count)
        assert add_up(np.append(terms, 1e9), count, places, sums) == terms.sum()
