"""Laws of SP-11 on adversarial layers: of one sign it is SP-5's; rates and errors invert."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.instances.strategies import layers, share_rows
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

EPS, DELTA = st.floats(0.05, 0.95), st.sampled_from([1e-6, 0.05, 0.4])
RATES = st.floats(0.2, 50)
SEARCH = 1.005


@law("SP-11")
def of_one_sign(setting: Setting) -> Result:
    """Where all shares have one sign it is Cramer's bound for coins and for draws, either sign."""

    @given(share_rows(points=3, inputs=6), RATES, DELTA, st.sampled_from([1.0, -1.0]))
    def law(g: np.ndarray, rate: float, delta: float, side: float) -> None:
        s = g.max(axis=0)
        ones = np.full((1, s.size), side)
        p = np.minimum(1.0, rate * s)
        result = float(sipp_theory.tail_error(ones, g, p[None], delta)[0])
        known = float(sipp_theory.inclusion_error(s, rate, delta, shares=g, bound="cramer"))
        assert abs(result - known) <= 1e-6 * known + 1e-9
        q, m = s / s.sum(), float(np.ceil(10 * rate))
        drawn = [[m], [0.0]] if side > 0 else [[0.0], [m]]
        result = float(sipp_theory.tail_draws_error(ones, g, s[None], drawn, delta)[0])
        known = float(sipp_theory.cramer_error(g, q, m, delta))
        assert abs(result - known) <= 1e-6 * known + 1e-9

    return hold(setting, law, examples=30)


@law("SP-11")
def tails_in_order(setting: Setting) -> Result:
    """The exact tail is no larger; errors fall with p and with delta, and know no scale."""

    @given(layers(neurons=2, signed_activations=True), st.floats(0.05, 0.9), DELTA)
    def law(layer: tuple[np.ndarray, np.ndarray], p: float, delta: float) -> None:
        w, a = layer
        chance = np.full(w.shape, p)
        error = sipp_theory.tail_error(w, a, chance, delta)
        exact = sipp_theory.tail_error(w, a, chance, delta, exact=True)
        assert (exact <= error * (1 + 1e-12)).all() and (exact >= 0).all()
        more = sipp_theory.tail_error(w, a, np.sqrt(chance), delta)
        assert (more <= error * (1 + 1e-9) + 1e-12).all()
        assert (sipp_theory.tail_error(w, a, chance, delta / 2) >= error * (1 - 1e-9)).all()
        # A power of two rounds nothing.
        assert (sipp_theory.tail_error(-4 * w, a / 8, chance, delta) == error).all()
        assert (sipp_theory.tail_error(w, a, np.ones(w.shape), delta) == 0).all()

    return hold(setting, law, examples=30)


@law("SP-11")
def neuron_rates_invert(setting: Setting) -> Result:
    """At the least rate the error is at most eps, and at a little less it is not."""

    @given(layers(neurons=2, signed_activations=True), EPS, DELTA, st.booleans())
    def law(layer: tuple[np.ndarray, np.ndarray], eps: float, delta: float, exact: bool) -> None:
        w, a = layer
        size = np.abs(w) @ np.abs(a).T
        s = np.stack([
            np.max([np.abs(row * x) / z for x, z in zip(a, zs, strict=True) if z > 0] or [0 * row],
                   axis=0)
            for row, zs in zip(w, size, strict=True)
        ])  # fmt: skip
        rate = sipp_theory.tail_rate(w, a, s, eps, delta, exact=exact)
        p = np.minimum(1.0, rate[:, None] * s)
        error = sipp_theory.tail_error(w, a, p, delta, exact=exact)
        assert (error <= eps).all() and np.isfinite(rate).all()
        below = np.minimum(1.0, rate[:, None] / SEARCH * s)
        less = sipp_theory.tail_error(w, a, below, delta, exact=exact)
        assert ((less > eps) | (rate == 0)).all()
        draws = sipp_theory.tail_draws(w, a, s, eps, delta)
        assert (sipp_theory.tail_draws_error(w, a, s, draws, delta) <= eps).all()

    return hold(setting, law, examples=20)
