"""Laws of SP-8 on adversarial instances: inclusion, its four bounds, and pivotal sampling."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.instances.strategies import share_rows
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from proofs_check.monte_carlo.neuron_check import INCLUSION_OF_A_SIGN
from sipp_core.pruning import pivotal
from sipp_core.runtime import generator

EPS, DELTA = st.floats(0.02, 0.95), st.sampled_from([1e-6, 0.01, 0.05, 0.4])
RATES = st.one_of(st.floats(1e-200, 100), st.sampled_from([0.0, np.inf]))
# The searches for the instance-exact rates stop at a relative 2e-3, on the holding side.
SEARCH = 1.005
# Below, 1 - p rounds to 1 and Cramer's search gives up on the safe side: no order is claimed.
FAINT = 1e-14


def _visible(g: np.ndarray) -> np.ndarray:
    """The same shares without those that float64 cannot tell from 0 beside 1."""
    kept = np.where(g > FAINT, g, 0.0)
    kept = kept[:, kept.max(axis=0) > 0]
    return kept / kept.sum(axis=1, keepdims=True)


@law("SP-8")
def probabilities(setting: Setting) -> Result:
    """Inclusion probabilities lie in [0, 1], grow with the rate, add up to the expected count."""

    @given(share_rows(), RATES, st.floats(1, 10))
    def law(g: np.ndarray, rate: float, more: float) -> None:
        s = g.max(axis=0)
        p = sipp_theory.inclusion_probabilities(s, rate)
        assert ((p >= 0) & (p <= 1)).all()
        assert (sipp_theory.inclusion_probabilities(s, rate * more) >= p).all()
        kept = float(sipp_theory.expected_kept(s, rate))
        assert math.isclose(kept, math.fsum(p), rel_tol=1e-14)
        assert kept <= s.size and (kept <= rate * s.sum() * (1 + 1e-12) or rate == np.inf)

    return hold(setting, law, examples=80)


@law("SP-8")
def errors_in_order(setting: Setting) -> Result:
    """Exact <= cramer <= kl <= bernstein; shares only help; the error falls with rate and delta."""

    @given(share_rows(points=3, inputs=6).map(_visible), st.floats(0.2, 50), DELTA)
    def law(g: np.ndarray, rate: float, delta: float) -> None:
        s = g.max(axis=0)
        errors = []
        for bound in INCLUSION_OF_A_SIGN:
            error = float(sipp_theory.inclusion_error(s, rate, delta, shares=g, bound=bound))
            errors.append(error)
            assert error >= 0
        bernstein, bennett, cramer, exact = errors
        assert exact <= cramer * (1 + 1e-12) + 1e-300
        assert cramer <= bennett * (1 + 1e-9) + 1e-300 and bennett <= bernstein
        for bound, error in (("bernstein", bernstein), ("kl", bennett)):
            blind = sipp_theory.inclusion_error(s, rate, delta, bound=bound)
            assert error <= blind * (1 + 1e-12)
            assert sipp_theory.inclusion_error(s, 2 * rate, delta, bound=bound) <= blind
            assert sipp_theory.inclusion_error(s, rate, delta / 2, bound=bound) >= blind
            cover = sipp_theory.inclusion_error(s, rate, delta, coverage_factor=2.0, bound=bound)
            assert cover >= blind

    return hold(setting, law, examples=40)


@law("SP-8")
def rates_invert_errors(setting: Setting) -> Result:
    """Rate and error are inverses; the rate falls with eps and delta; sharper bounds ask less."""

    @given(share_rows(points=3, inputs=6).map(_visible), EPS, DELTA)
    def law(g: np.ndarray, eps: float, delta: float) -> None:
        s = g.max(axis=0)
        rates = []
        for bound in INCLUSION_OF_A_SIGN:
            shares = None if bound in ("bernstein", "kl") else g
            rate = float(sipp_theory.inclusion_rate(s, eps, delta, shares=shares, bound=bound))
            assert sipp_theory.inclusion_error(s, rate, delta, shares=shares, bound=bound) <= eps
            rates.append(rate)
        bernstein, bennett, cramer, exact = rates
        # Errors jump where a weight turns certain, so this is up to the search's tolerance.
        assert bennett <= bernstein and cramer <= bennett * SEARCH and exact <= cramer * SEARCH
        for bound, rate in (("bernstein", bernstein), ("kl", bennett)):
            error = sipp_theory.inclusion_error(s, rate * (1 - 1e-9), delta, bound=bound)
            assert error > eps or rate * s.max() < 1e-6
            assert sipp_theory.inclusion_rate(s, eps / 2, delta, bound=bound) >= rate
            assert sipp_theory.inclusion_rate(s, eps, delta / 2, bound=bound) >= rate
            # Beyond 1/min s every weight is certain, and more is never needed.
            assert rate <= 1 / s.min() * (1 + 1e-12)

    return hold(setting, law, examples=20)


@law("SP-8")
def pivotal_counts(setting: Setting) -> Result:
    """Pivotal sampling keeps what is certain, drops what has probability 0, and fixes the count."""

    @given(share_rows(points=1, inputs=12, positive_columns=False), st.floats(0, 20))
    def law(g: np.ndarray, rate: float) -> None:
        p = np.minimum(1.0, rate * g[0])
        kept = pivotal(np.tile(p, (64, 1)), generator(setting.seed, 1))
        assert kept[:, p >= 1].all() and not kept[:, p == 0].any()
        counts = kept.sum(axis=1)
        assert counts.min() >= math.floor(p.sum() * (1 - 1e-12))
        assert counts.max() <= math.ceil(p.sum() * (1 + 1e-12))

    return hold(setting, law, examples=80)
