"""Which weights get the budget: ties and zeros."""

from __future__ import annotations

import numpy as np

from sipp_core.pruning import allocation


def test_largest_breaks_ties_by_position_and_never_takes_zeros() -> None:
    scores = [np.array([[0.5, 0.0, 0.5]]), np.array([[0.5, 0.9]])]
    assert [m.tolist() for m in allocation.largest(scores, 3)] == [
        [[True, False, True]],
        [[False, True]],
    ]
    assert sum(int(m.sum()) for m in allocation.largest(scores, 99)) == 4
    assert not any(m.any() for m in allocation.largest(scores, 0.99))
