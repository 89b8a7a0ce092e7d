"""Laws of SP-1 to SP-5x: inverses, directions, order, limits, scaling, on adversarial instances."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.instances.strategies import share_rows
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_theory.draws import law_of_a_draw as one_draw

SPANS = st.one_of(st.just(1.0), st.floats(1.0, 3.0), st.floats(0, 12).map(lambda e: 10.0**e))
# Kept where a size stays below 2**49, so that "one draw less would not do" has a meaning.
TARGETS = st.floats(1e-3, 0.9999)
CHANCES = st.one_of(st.floats(1e-12, 0.999), st.floats(-300, -12).map(lambda e: 10.0**e))
FACTORS = st.floats(1.0, 10.0)
NETWORK = {"eta": 410, "eta_star": 784}

# Convolutions of 1e5 draws and more take too long for a law; wider targets ask for fewer.
WIDE_TARGETS = st.floats(0.25, 0.95)
WIDE_CHANCES = st.floats(1e-6, 0.6)
RELATIVE_SHARES = 1e-9

Size = Callable[[ArrayLike, ArrayLike, ArrayLike], np.ndarray]


def closed_forms() -> dict[str, tuple[Size, Size]]:
    """Size and error of each closed form, as functions of M (or S), eps or m, and delta."""
    network = tuple(NETWORK.values())
    return {
        "corenet": (
            lambda s, eps, delta: sipp_theory.corenet_size(s, eps, delta, *network),
            lambda s, m, delta: sipp_theory.corenet_error(s, m, delta, *network),
        ),
        "bernstein": (sipp_theory.bernstein_size, sipp_theory.bernstein_error),
        "kl": (sipp_theory.kl_size, sipp_theory.kl_error),
    }


def instance(g: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Shares, draw probabilities s/S and S of drawn shares; weights that hardly matter left out."""
    g = g[:, g.max(axis=0) > RELATIVE_SHARES]
    g = g / g.sum(axis=1, keepdims=True)
    s = g.max(axis=0)
    return g, s / s.sum(), float(s.sum())


@law("SP-2", "SP-3", "SP-4")
def closed_forms_are_inverse(setting: Setting) -> Result:
    """The size meets eps and one draw less does not: sizes and errors are exact inverses."""

    @given(SPANS, TARGETS, CHANCES)
    def law(span: float, eps: float, delta: float) -> None:
        for kind, (size, error) in closed_forms().items():
            m = float(size(span, eps, delta))
            assert m == np.floor(m) >= 1, (kind, m)
            if m < 2**49:
                enough, short = error(span, [m, m - 1], delta)
                assert enough <= eps < (short if m > 1 else np.inf), (kind, m)

    return hold(setting, law, examples=12)


@law("SP-2", "SP-3", "SP-4")
def closed_forms_are_monotone(setting: Setting) -> Result:
    """More range, a smaller eps or a smaller delta never ask for less; more draws never hurt."""

    @given(SPANS, TARGETS, CHANCES, FACTORS)
    def law(span: float, eps: float, delta: float, more: float) -> None:
        for kind, (size, error) in closed_forms().items():
            easier = [span, max(1.0, span / more), span, span]
            targets = [eps, eps, min(eps * more, 0.9999), eps]
            chances = [delta, delta, delta, min(delta * more, 0.999)]
            m = size(easier, targets, chances)
            # Past 2**49 sizes are rounded up by a relative 4e-14 and may tie in another order.
            assert (m <= m[0] * (1 + 1e-13)).all(), (kind, m)
            errors = error(span, [m[0], m[0] * more, m[0]], [delta, delta, chances[3]])
            assert (errors <= errors[0]).all(), (kind, errors)

    return hold(setting, law, examples=12)


@law("SP-2", "SP-3", "SP-4")
def closed_forms_are_ordered(setting: Setting) -> Result:
    """SP-4 <= SP-3 at any (M, eps, delta), and SP-3 at CoreNet's own delta <= SP-2 / 3."""

    @given(SPANS, TARGETS, CHANCES, FACTORS)
    def chernoff(total: float, eps: float, delta: float, factor: float) -> None:
        size = sipp_theory.bernstein_size(total, eps, delta, factor)
        assert sipp_theory.kl_size(total, eps, delta, factor) <= size * (1 + 1e-13)
        m = max(1.0, np.floor(float(size) / 3))
        sharper = sipp_theory.kl_error(total, m, delta, factor)
        assert sharper <= sipp_theory.bernstein_error(total, m, delta, factor) * (1 + 1e-12)

    @given(st.floats(1, 1e4), TARGETS, st.floats(1e-9, 0.9), st.integers(2, 10**5))
    def corenet(total: float, eps: float, delta: float, eta: int) -> None:
        factor = float(np.log(eta * 784.0))
        printed = float(sipp_theory.corenet_size(total, eps, delta, eta, 784))
        own = float(sipp_theory.bernstein_size(total, eps, delta / (4 * eta), factor))
        # The proof's (6 + 2 eps)/3 is 2 M; SP-3 has M - 1, so there it is a little less still.
        assert 24 / (6 + 2 * eps) * (own - 1) <= printed * (1 + 1e-12), (printed, own)
        assert 3 * (own - 1) <= printed

    return hold(setting, chernoff, corenet, examples=12)


@law("SP-2", "SP-3", "SP-4")
def closed_forms_have_limits(setting: Setting) -> Result:
    """For small eps SP-3 and SP-4 ask for 2(M-1) L/eps^2; S = 1 and C = 1 need one draw by SP-4."""

    @given(st.floats(1.5, 1e3), st.floats(1e-12, 0.9))
    def small_error(span: float, delta: float) -> None:
        eps = 1e-5
        gauss = 2 * (span - 1) * np.log(2 / delta) / eps**2
        size = float(sipp_theory.bernstein_size(span, eps, delta))
        assert abs(size / gauss - 1) < 1e-4, (size, gauss)
        assert abs(float(sipp_theory.kl_size(span, eps, delta)) / gauss - 1) < 1e-4
        promised = float(sipp_theory.bernstein_error(span, size, delta))
        assert abs(promised / eps - 1) < 1e-9

    @given(TARGETS, CHANCES)
    def one_weight(eps: float, delta: float) -> None:
        assert sipp_theory.kl_size(1.0, eps, delta) == 1
        assert sipp_theory.kl_error(1.0, 1, delta) == 0
        linear = 2 / 3 * np.log(2 / delta) / eps
        assert linear <= float(sipp_theory.bernstein_size(1.0, eps, delta)) <= linear + 2

    @given(SPANS, TARGETS, CHANCES)
    def nothing(span: float, eps: float, delta: float) -> None:
        for kind, (size, error) in closed_forms().items():
            assert error([span, 0.0], [0, 7], delta).tolist() == [np.inf, 0.0], kind
            assert size(0.0, eps, delta) == 0, kind

    return hold(setting, small_error, one_weight, nothing, examples=6)


@law("SP-3", "SP-4")
def only_the_product_matters(setting: Setting) -> Result:
    """SP-3 and SP-4 know S and C only as their product M."""

    @given(st.floats(1, 1e6), TARGETS, CHANCES, FACTORS)
    def law(total: float, eps: float, delta: float, factor: float) -> None:
        exact, span = Fraction(total) * Fraction(factor), total * factor
        if Fraction(span) < exact:
            span = math.nextafter(span, math.inf)
        for name in ("bernstein", "kl"):
            size = getattr(sipp_theory, f"{name}_size")
            one, other = size([total, span], eps, delta, [factor, 1.0])
            assert one == other, name
            error = getattr(sipp_theory, f"{name}_error")
            one, other = error([total, span], 50, delta, [factor, 1.0])
            assert one == other, name

    return hold(setting, law, examples=8)


@law("SP-2", "SP-3", "SP-4", "SP-5", "SP-5x")
def front_doors_agree(setting: Setting) -> Result:
    """`sample_size` and `error` give what the functions of the claims give, kind by kind."""

    @given(share_rows(points=3, inputs=4), WIDE_TARGETS, WIDE_CHANCES, st.integers(0, 50))
    def law(rows: np.ndarray, eps: float, delta: float, m: int) -> None:
        g, q, total = instance(rows)
        for kind, (size, error) in closed_forms().items():
            more = NETWORK if kind == "corenet" else {}
            ask = sipp_theory.sample_size(kind, eps=eps, delta=delta, sensitivity_sum=total, **more)
            promised = sipp_theory.error(kind, m=m, delta=delta, sensitivity_sum=total, **more)
            assert ask == size(total, eps, delta) and promised == error(total, m, delta), kind
        given_rows = {"shares": g, "probabilities": q, "delta": delta}
        for kind in ("cramer", "exact"):
            size = getattr(sipp_theory, f"{kind}_size")
            error = getattr(sipp_theory, f"{kind}_error")
            ask = sipp_theory.sample_size(kind, eps=eps, **given_rows)
            promised = sipp_theory.error(kind, m=m, **given_rows)
            assert ask == size(g, q, eps, delta) and promised == error(g, q, m, delta), kind

    return hold(setting, law, examples=6)


@law("SP-1")
def one_draw_keeps_within_its_bounds(setting: Setting) -> Result:
    """A draw by s/S has mean 1, lies in [0, S] and varies by at most S - 1, at every input."""

    @given(share_rows())
    def law(g: np.ndarray) -> None:
        s = g.max(axis=0)
        q, total = s / s.sum(), float(s.sum())
        draws = g / q
        assert np.allclose(draws @ q, 1, rtol=1e-12)
        assert draws.max() <= total * (1 + 1e-12)
        variance, largest = one_draw.draw_moments(one_draw.draws_instance(g, q))
        assert np.allclose(variance, (draws - 1) ** 2 @ q, rtol=1e-9, atol=1e-12)
        assert (variance <= (total - 1) * (1 + 1e-9) + 1e-12).all()
        assert (largest <= max(total - 1, 1) * (1 + 1e-9)).all()

    return hold(setting, law)


@law("SP-1")
def distinct_weights_rise(setting: Setting) -> Result:
    """More draws leave more distinct weights, at most as many as draws; the inverse is nearest."""

    @given(share_rows(), st.integers(0, 10**6), st.integers(1, 1000), st.floats(0.05, 0.95))
    def law(g: np.ndarray, m: int, more: int, part: float) -> None:
        s = g.max(axis=0)
        q = s / s.sum()
        now, later = (float(sipp_theory.expected_distinct(q, n)) for n in (m, m + more))
        assert 0 <= now <= later * (1 + 1e-14) <= q.size * (1 + 1e-13)
        assert now <= m * (1 + 1e-12)
        target = 1 + part * (q.size - 1)
        best = float(sipp_theory.draws_for_distinct(q, target))
        if best < 2**40:
            missed = abs(float(sipp_theory.expected_distinct(q, best)) - target)
            for other in (best - 1, best + 1):
                gap = abs(float(sipp_theory.expected_distinct(q, max(other, 1.0))) - target)
                assert missed <= gap + 1e-9, (best, other)

    return hold(setting, law, examples=25)
