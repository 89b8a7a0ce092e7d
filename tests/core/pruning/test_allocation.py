"""Which weights get the budget: ties and zeros."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sipp_core.pruning import allocation, stored


def test_largest_breaks_ties_by_position_and_never_takes_zeros() -> None:
    scores = [np.array([[0.5, 0.0, 0.5]]), np.array([[0.5, 0.9]])]
    assert [m.tolist() for m in allocation.largest(scores, 3)] == [
        [[True, False, True]],
        [[False, True]],
    ]
    assert sum(int(m.sum()) for m in allocation.largest(scores, 99)) == 4
    assert not any(m.any() for m in allocation.largest(scores, 0.99))


@given(
    st.lists(st.lists(st.sampled_from([-0.0, 0.25, 5e-324, 1.0]) | st.floats(0, 1e308), min_size=1,
                      max_size=40), min_size=1, max_size=4),
    st.floats(0, 99), st.sampled_from([0, 3]),
)  # fmt: skip
def test_the_largest_are_those_of_a_stable_sort(
    rows: list[list[float]], budget: float, few: int
) -> None:
    scores = [np.array(row)[:, None] for row in rows]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(allocation, "FEW", few)  # else all are sorted at once
        patched.setattr(stored, "BLOCK", 4)
        masks = allocation.largest(scores, budget)
    flat = np.concatenate(rows)
    order = np.argsort(-flat, kind="stable")[: min(int(budget), int((flat > 0).sum()))]
    assert np.flatnonzero(np.concatenate([mask.ravel() for mask in masks])).tolist() == sorted(
        order
    )


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1e-300]) | st.floats(0, 1), min_size=1,
                      max_size=9), min_size=1, max_size=3),
    st.floats(0, 30),
)  # fmt: skip
def test_a_device_finds_the_same_masks(rows: list[list[float]], budget: float) -> None:
    scores = [np.array([row]) for row in rows]
    here = allocation.largest(scores, budget)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(allocation, "multiplies", lambda device: True)
        there = allocation.largest(scores, budget, torch.device("cpu"))
    assert [m.tolist() for m in there] == [m.tolist() for m in here]
