"""CT-5 to CT-7 at their edges, and the numbers of the theory file; evidence is in the ledger."""

import numpy as np
import pytest

from sipp_theory.certificates import (
    accuracy_bound,
    accuracy_drop,
    error_quantile,
    family_confidence,
    simultaneous_band,
    tolerance_rank,
)


@pytest.mark.parametrize(("n", "alone", "together"), [(1000, 966, 974), (10_000, 9551, 9579)])
def test_ranks_of_the_theory_file(n, alone, together):
    assert tolerance_rank(n, 0.05, 0.99) == alone
    band = simultaneous_band(n, 0.99)
    assert band.rank(0.05) == together
    assert band.share(together) <= 0.05 < band.share(together - 1)
    assert band.share(0) == 1
    assert 0.01 / n <= band.level <= 0.01


def test_many_points_have_fewer_boundaries_and_hold_in_between():
    band = simultaneous_band(30_000, 0.99)
    assert len(band.ranks) < 4097 and band.ranks[0] == 1 and band.ranks[-1] == 30_000
    assert (np.diff(band.shares) < 0).all()
    between = int(band.ranks[2000]) + 1
    assert between not in band.ranks
    assert band.share(between) == band.share(between - 1)
    # No looser than every rank's own statement by a union over all of them.
    assert 28_500 < band.rank(0.05) < 28_700
    assert simultaneous_band(30_000, 0.99) is band


def test_a_band_of_one_point_is_the_tolerance_limit():
    assert simultaneous_band(1, 0.5).shares.tolist() == pytest.approx([0.5], rel=1e-9)
    assert simultaneous_band(1, 0.9).rank(0.05) == 0


def test_small_confidences_and_large_ones():
    for confidence in (1e-9, 0.5, 1 - 2**-53):
        band = simultaneous_band(25, confidence)
        assert 0 < band.shares[-1] <= 1 and np.isfinite(band.shares).all()


def test_accuracy():
    assert accuracy_drop(300, 250, 10_000, 0.99) == pytest.approx(0.0135, abs=5e-5)
    assert accuracy_drop(0, 0, 0, 0.9) == 1 and accuracy_bound(0, 0, 0.9) == 0
    assert accuracy_drop(0, 50, 50, 0.9) < 0
    assert accuracy_bound([0, 5, 10], 10, 0.9).tolist()[0] == 0
    assert accuracy_drop([[1], [2]], [0, 1], 10, 0.9).shape == (2, 2)


def test_a_family_of_one_costs_nothing():
    assert family_confidence(0.95, 1) == 0.95
    assert 1 - family_confidence(0.95, 3) <= 0.05 / 3


def test_impossible_demands_are_vacuous():
    # A share of 1e-15 cannot be shown by any number of points that there will ever be.
    assert simultaneous_band(100, 0.99).rank(1e-15) == 0
    assert error_quantile(np.zeros(100), 1e-15, 0.99) == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simultaneous_band(0, 0.9), "n"),
        (lambda: simultaneous_band(10**8, 0.9), "10\\^7"),
        (lambda: simultaneous_band(10, 1.0), "confidence"),
        (lambda: simultaneous_band(10, 0.9).rank(0.0), "delta"),
        (lambda: simultaneous_band(10, 0.9).share(11), "rank"),
        (lambda: accuracy_drop(3, 3, 5, 0.9), "exceed n"),
        (lambda: accuracy_bound(6, 5, 0.9), "exceed n"),
        (lambda: family_confidence(0.4, 2), "at least 0.5"),
        (lambda: family_confidence(0.9, 0), "statements"),
        (lambda: family_confidence(1 - 2**-53, 10), "below 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
