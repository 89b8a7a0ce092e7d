"""Margins, their losses and quantiles against plain loops."""

import numpy as np
import pytest

from sipp_theory import margin_loss, margin_quantiles, margins


def test_margins_by_a_loop():
    rng = np.random.default_rng(5)
    scores, targets = rng.normal(size=(50, 4)).round(1), rng.integers(4, size=50)
    loop = [row[y] - max(row[j] for j in range(4) if j != y)
            for row, y in zip(scores, targets, strict=True)]  # fmt: skip
    assert margins(scores, targets).tolist() == loop
    assert margin_loss(loop, 0.0) >= np.mean(scores.argmax(axis=1) != targets)
    for gamma in (0.0, 0.3, 1.0):
        assert margin_loss(loop, gamma) == np.mean([m <= gamma for m in loop])


@pytest.mark.parametrize("n", [1, 3, 7, 10, 49])
def test_quantiles_are_the_least_margins_that_do(n):
    values = np.random.default_rng(n).normal(size=n).round(1)
    shares = np.concatenate([np.arange(1, n + 1) / n, [1e-9, 0.3, 0.7]])
    for share, result in zip(shares, margin_quantiles(values, shares), strict=True):
        assert result in values
        assert (values <= result).sum() / n >= share > (values < result).sum() / n


def test_the_arguments_are_left_as_they_were():
    scores = np.arange(6.0).reshape(2, 3)
    margins(scores, [0, 1])
    assert scores.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_refusals():
    with pytest.raises(ValueError, match=r"scores must be \(n, k\) with k >= 2.*\(3, 1\)"):
        margins(np.zeros((3, 1)), [0, 0, 0])
    with pytest.raises(ValueError, match="targets must have one entry for each of the 3 rows"):
        margins(np.zeros((3, 2)), [0, 0])
    with pytest.raises(ValueError, match="targets must be below the 2 classes; found 2 at index 1"):
        margins(np.zeros((3, 2)), [0, 2, 1])
    with pytest.raises(ValueError, match="scores must be finite; found nan at index"):
        margins([[0.0, np.nan]], [0])
    with pytest.raises(ValueError, match=r"margins must be \(n,\) with n >= 1; found shape \(0,\)"):
        margin_loss([], 0.0)
    with pytest.raises(ValueError, match="gamma must be at least 0; found -1"):
        margin_loss([1.0], -1)
    with pytest.raises(ValueError, match=r"shares must lie in \(0, 1\]; found 0.0"):
        margin_quantiles([1.0], 0.0)
