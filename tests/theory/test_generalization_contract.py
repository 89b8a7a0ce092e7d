"""The contract that every generalization bound passes: GN-1, the three forms of GN-3, and GN-4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike

from sipp_theory import catoni_bound, compression_bound, occam_bound


@dataclass(frozen=True)
class Bound:
    """One bound as a function of errors, points, bits and delta."""

    name: str
    rate: Callable[..., ArrayLike]
    cut_off: bool = True
    counts: str = "errors"


def occam(form):
    return Bound(f"occam {form}", lambda k, n, bits, delta: occam_bound(
        form, errors=k, n=n, bits=bits, delta=delta))  # fmt: skip


def some(n):
    return np.where(np.asarray(n) > 0, n, 1)


def catoni(k, n, bits, delta):
    return catoni_bound(
        error_rate=np.asarray(k) / some(n),
        n=n, divergence=np.asarray(bits) * np.log(2), delta=delta,
    )  # fmt: skip


def compression(k, n, bits, delta):
    rate = np.asarray(k) / some(n)
    return compression_bound(
        margin_loss=rate, exceptions=0.0, parameters=bits, levels=2, n=n, delta=delta
    )


BOUNDS = [
    *(occam(form) for form in ("binomial", "kl", "hoeffding")),
    Bound("catoni", catoni, counts="error_rate"),
    Bound("compression", compression, cut_off=False, counts="margin_loss"),
]
every_bound = pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: b.name)


@every_bound
def test_degenerate_inputs(bound):
    assert 0 < bound.rate(0, 10**6, 0, 1 - 1e-9) < 1e-3
    assert bound.rate(1, 1, 0, 0.5) >= 1
    for k, n, bits, delta in ((0, 10**9, 10**6, 1e-300), (10**5, 10**9, 0, 0.5), (3, 7, 1, 0.9)):
        result = float(bound.rate(k, n, bits, delta))
        assert k / n < result < 1.5 and np.isfinite(result)


@every_bound
def test_results_are_float64(bound):
    value = bound.rate(3, 50, 7, 0.05)
    assert isinstance(value, np.float64)
    assert bound.rate(np.int32(3), 50.0, np.float32(7), 0.05) == value


@every_bound
def test_monotone_where_it_should_be(bound):
    by_bits = bound.rate(40, 2000, np.arange(0, 400), 0.05)
    by_errors = bound.rate(np.arange(0, 1500), 2000, 40, 0.05)
    by_points = bound.rate(40, np.arange(400, 4000, 7), 40, 0.05)
    by_delta = bound.rate(40, 2000, 40, np.geomspace(1e-9, 0.99, 200))
    assert (np.diff(by_bits) > 0).all() and (np.diff(by_errors) > 0).all()
    assert (np.diff(by_points) < 0).all() and (np.diff(by_delta) < 0).all()


@every_bound
def test_more_than_the_training_error(bound):
    n = 500
    k = np.arange(n + 1)
    assert (bound.rate(k, n, 3, 0.05) >= k / n).all()


@every_bound
def test_vacuous_is_said_so(bound):
    """What promises nothing shows 1 and more: no NaN, no exception."""
    for k, n, bits in ((500, 1000, 1_000_000), (1000, 1000, 0), (0, 10, 10_000)):
        value = float(bound.rate(k, n, bits, 1e-9))
        assert value == 1 if bound.cut_off else value >= 1


@every_bound
def test_broadcasting(bound):
    errors, bits = np.array([[0], [5], [70]]), np.array([0, 12, 90, 5000])
    together = bound.rate(errors, 100, bits, 0.1)
    assert together.shape == (3, 4) and together.dtype == np.float64
    apart = [[float(bound.rate(int(k), 100, int(b), 0.1)) for b in bits] for k in errors[:, 0]]
    assert together.tolist() == apart
    assert bound.rate(np.zeros(0, int), 5, 1, 0.1).shape == (0,)


@every_bound
@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, np.nan, np.inf])
def test_delta_outside_the_unit_interval_is_refused(bound, bad):
    with pytest.raises(ValueError, match=f"delta must be strictly between 0 and 1; found {bad!r}"):
        bound.rate(3, 50, 7, bad)


@every_bound
@pytest.mark.parametrize("bad", [0, 2.5, np.nan])
def test_points_must_be_whole(bound, bad):
    with pytest.raises(ValueError, match="n must be"):
        bound.rate(0, bad, 7, 0.1)


@every_bound
def test_negative_bits_and_errors_are_refused(bound):
    with pytest.raises(ValueError, match="(bits|divergence|parameters) must be at least 0; found"):
        bound.rate(3, 50, -1, 0.1)
    with pytest.raises(ValueError, match=rf"{bound.counts} must .*found -"):
        bound.rate(-1, 50, 1, 0.1)
    with pytest.raises(ValueError, match=f"{bound.counts} must .*found"):
        bound.rate(51, 50, 1, 0.1)
