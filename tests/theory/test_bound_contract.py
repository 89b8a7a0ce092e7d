"""The contract that every bound on a sparsified neuron passes, whatever its scheme and kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import ArrayLike

from sipp_theory.draws.bound import error, sample_size
from sipp_theory.filters.channels import (
    channel_bernstein_error,
    channel_bernstein_size,
    channel_error,
    channel_size,
)
from sipp_theory.inclusion.poisson_rate import inclusion_error, inclusion_rate
from sipp_theory.matrices.spectral import spectral_error, spectral_size

SHARES = np.array([[0.6, 0.3, 0.1, 0.0], [0.05, 0.05, 0.1, 0.8], [0.25, 0.25, 0.25, 0.25]])
S = SHARES.max(axis=0)
TOTAL = float(S.sum())
Q = S / TOTAL
DEAD = np.zeros((2, 4))


@dataclass(frozen=True)
class Bound:
    """One bound, reduced to what the contract asks: its two directions on a live and a dead neuron.

    `error(size, delta)` and `size(eps, delta)` speak of draws, or of the inclusion rate.
    """

    name: str
    error: Callable[..., ArrayLike]
    size: Callable[..., ArrayLike]
    dead_error: Callable[..., ArrayLike]
    dead_size: Callable[..., ArrayLike]
    broadcasts: bool
    whole: bool
    factor_error: Callable[..., ArrayLike] | None = None
    factor_size: Callable[..., ArrayLike] | None = None


def closed(kind: str, takes_factor: bool, **network: int) -> Bound:
    def promise(m, delta, s=TOTAL, **factor):
        return error(kind, m=m, delta=delta, sensitivity_sum=s, **network, **factor)

    def ask(eps, delta, s=TOTAL, **factor):
        return sample_size(kind, eps=eps, delta=delta, sensitivity_sum=s, **network, **factor)

    return Bound(
        kind,
        promise,
        ask,
        lambda m, delta: promise(m, delta, 0.0),
        lambda eps, delta: ask(eps, delta, 0.0),
        broadcasts=True,
        whole=True,
        factor_error=promise if takes_factor else None,
        factor_size=ask if takes_factor else None,
    )


def channels(
    name: str, size: Callable[..., ArrayLike], promised: Callable[..., ArrayLike], many: int
) -> Bound:
    def promise(m, delta, s=TOTAL, coverage_factor=1.0):
        return promised(s, m, delta, many, coverage_factor)

    def ask(eps, delta, s=TOTAL, coverage_factor=1.0):
        return size(s, eps, delta, many, coverage_factor)

    return Bound(
        name,
        promise,
        ask,
        lambda m, delta: promise(m, delta, 0.0),
        lambda eps, delta: ask(eps, delta, 0.0),
        broadcasts=True,
        whole=True,
        factor_error=promise,
        factor_size=ask,
    )


def instance_exact(kind: str) -> Bound:
    def promise(m, delta, shares=SHARES):
        return error(kind, m=m, delta=delta, shares=shares, probabilities=Q)

    def ask(eps, delta, shares=SHARES):
        return sample_size(kind, eps=eps, delta=delta, shares=shares, probabilities=Q)

    return Bound(
        kind,
        promise,
        ask,
        lambda m, delta: promise(m, delta, DEAD),
        lambda eps, delta: ask(eps, delta, DEAD),
        broadcasts=False,
        whole=True,
    )


def inclusion(bound: str) -> Bound:
    closed_form = bound in ("bernstein", "kl")

    def promise(rate, delta, s=S, shares=None if closed_form else SHARES, **factor):
        return inclusion_error(s, rate, delta, shares=shares, bound=bound, **factor)

    def ask(eps, delta, s=S, shares=None if closed_form else SHARES, **factor):
        return inclusion_rate(s, eps, delta, shares=shares, bound=bound, **factor)

    dead = None if closed_form else DEAD
    return Bound(
        f"inclusion {bound}",
        promise,
        ask,
        lambda rate, delta: promise(rate, delta, np.zeros(4), dead),
        lambda eps, delta: ask(eps, delta, np.zeros(4), dead),
        broadcasts=False,
        whole=False,
        factor_error=promise if closed_form else None,
        factor_size=ask if closed_form else None,
    )


def spectral() -> Bound:
    def promise(m, delta, span=5.0):
        return spectral_error(2.0 * np.sign(span), span, 7, m, delta)

    def ask(eps, delta, span=5.0):
        return spectral_size(2.0 * np.sign(span), span, 7, eps, delta)

    return Bound(
        "spectral",
        promise,
        ask,
        lambda m, delta: promise(m, delta, 0.0),
        lambda eps, delta: ask(eps, delta, 0.0),
        broadcasts=True,
        whole=True,
    )


BOUNDS = [
    closed("corenet", False, eta=4, eta_star=3),
    closed("bernstein", True),
    closed("kl", True),
    channels("channels", channel_size, channel_error, 3),
    channels("channels bernstein", channel_bernstein_size, channel_bernstein_error, 24),
    instance_exact("cramer"),
    instance_exact("exact"),
    instance_exact("neuron"),
    instance_exact("neuron-exact"),
    spectral(),
    *(inclusion(b) for b in ("bernstein", "kl", "cramer", "exact", "neuron", "neuron-exact")),
]
every_bound = pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: b.name)


@every_bound
def test_degenerate_inputs(bound):
    assert bound.dead_size(0.1, 0.05) == 0
    for size in (1, 50):
        assert bound.dead_error(size, 0.05) == 0
    assert bound.error(0, 0.05) == np.inf
    for eps, delta in ((1e-3, 1e-12), (0.999, 1 - 1e-9), (0.5, 1e-300)):
        size = float(bound.size(eps, delta))
        assert np.isfinite(size) and size > 0
        assert bound.error(size, delta) <= eps


@every_bound
def test_a_dead_neuron_without_draws(bound):
    assert bound.dead_error(0, 0.05) == 0


@every_bound
def test_results_are_float64(bound):
    for value in (bound.error(20, 0.05), bound.size(0.3, 0.05), bound.dead_size(0.3, 0.05)):
        assert np.asarray(value).dtype == np.float64 and np.ndim(value) == 0
        assert isinstance(value, np.float64)
    assert bound.error(np.float32(4), 0.05) == bound.error(4, 0.05) == bound.error(4.0, 0.05)


@every_bound
def test_monotone_where_it_should_be(bound):
    # Lattice laws make the exact tail jump, so its steps are taken wide enough to clear a jump.
    sizes = [1, 4, 16, 64, 256] if bound.whole else [0.1, 0.4, 0.9]
    errors = [float(bound.error(m, 0.05)) for m in sizes]
    assert errors == sorted(errors, reverse=True)
    assert all(e > 0 for e in errors)
    size = sizes[-1]
    by_delta = [float(bound.error(size, d)) for d in (0.5, 0.1, 1e-2, 1e-4, 1e-8)]
    assert by_delta == sorted(by_delta)
    sizes = [float(bound.size(e, 0.05)) for e in (0.9, 0.5, 0.2, 0.1)]
    assert sizes == sorted(sizes)
    by_delta = [float(bound.size(0.2, d)) for d in (0.5, 0.1, 1e-2, 1e-4)]
    assert by_delta == sorted(by_delta)


@every_bound
@pytest.mark.parametrize("eps", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("delta", [1e-6, 0.05, 0.5])
def test_size_and_error_are_inverses(bound, eps, delta):
    size = float(bound.size(eps, delta))
    assert bound.error(size, delta) <= eps
    if bound.whole:
        assert size == np.floor(size) >= 1
        assert size == 1 or bound.error(size - 1, delta) > eps
    else:
        # The least rate can lie where a weight turns certain; the search resolves 2e-3.
        assert bound.error(size * 0.995, delta) > eps


@every_bound
def test_vacuous_is_said_so(bound):
    """What promises nothing shows an error of 1 and more: not clipped, no NaN, no exception."""
    for size in (1e-3, 0.5, 1) if not bound.whole else (1, 2):
        value = float(bound.error(size, 1e-9))
        assert value >= 1 and not np.isnan(value)


@every_bound
def test_a_larger_coverage_factor_is_never_free(bound):
    if bound.factor_error is None:
        with pytest.raises((TypeError, ValueError), match="coverage_factor"):
            if bound.name == "spectral":
                bound.error(3, 0.1, coverage_factor=2.0)
            elif bound.whole:
                error(bound.name, m=3, delta=0.1, coverage_factor=2.0, **needed(bound.name))
            else:
                kind = bound.name.split()[1]
                inclusion_error(S, 1.0, 0.1, shares=SHARES, bound=kind, coverage_factor=2.0)
        return
    size = 50 if bound.whole else 1.2
    errors = [float(bound.factor_error(size, 0.05, coverage_factor=c)) for c in (1, 1.5, 4)]
    sizes = [float(bound.factor_size(0.3, 0.05, coverage_factor=c)) for c in (1, 1.5, 4)]
    assert errors == sorted(errors) and errors[0] < errors[-1]
    assert sizes == sorted(sizes)


def needed(kind):
    if kind == "corenet":
        return {"sensitivity_sum": TOTAL, "eta": 4, "eta_star": 3}
    return {"shares": SHARES, "probabilities": Q}


@every_bound
def test_broadcasting(bound):
    eps, delta = np.array([[0.1], [0.4]]), np.array([0.01, 0.05, 0.5])
    if not bound.broadcasts:
        if bound.whole:
            with pytest.raises(ValueError, match="eps must be one number"):
                bound.size(eps, 0.05)
            with pytest.raises(ValueError, match="m must be one number"):
                bound.error(np.array([1, 2]), 0.05)
        else:
            with pytest.raises((TypeError, ValueError)):
                bound.size(eps, 0.05)
        return
    sizes = bound.size(eps, delta)
    assert sizes.shape == (2, 3) and sizes.dtype == np.float64
    one_by_one = [[float(bound.size(float(e), float(d))) for d in delta] for e in eps[:, 0]]
    assert sizes.tolist() == one_by_one
    errors = bound.error(sizes, delta)
    assert errors.shape == (2, 3) and (errors <= eps).all()
    mixed = bound.size(0.2, 0.05, np.array([0.0, 1.0, 5.0]))
    assert mixed.shape == (3,) and mixed[0] == 0
    assert bound.size(np.zeros(0) + 0.1, 0.05).shape == (0,)


@every_bound
@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.5, np.nan, np.inf, -np.inf])
def test_eps_and_delta_outside_the_unit_interval_are_refused(bound, bad):
    result = f"found {bad!r}"
    with pytest.raises(ValueError, match=f"eps must be strictly between 0 and 1; {result}"):
        bound.size(bad, 0.05)
    for call in (lambda: bound.size(0.1, bad), lambda: bound.error(5, bad)):
        with pytest.raises(ValueError, match=f"delta must be strictly between 0 and 1; {result}"):
            call()


@every_bound
@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_negative_and_missing_sizes_are_refused(bound, bad):
    name = "m" if bound.whole else "rate"
    with pytest.raises(ValueError, match=f"{name} must be .*found {bad!r}"):
        bound.error(bad, 0.05)


@every_bound
def test_arguments_are_left_as_they_were(bound):
    before = SHARES.copy(), S.copy(), Q.copy()
    bound.size(0.3, 0.05)
    bound.error(7, 0.05)
    for now, then in zip((SHARES, S, Q), before, strict=True):
        assert (now == then).all()
