"""Laws of SP-6, SP-7, SP-9, SP-10 and SP-12 on adversarial instances."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.instances.strategies import layers, share_rows
from proofs_check.keeping.oracles_measured import complaint, exact_errors
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

ROUNDING = Fraction(1, 10**13)
# A relative rounding says nothing of numbers below 1e-290, where float64 steps are absolute.
SIZES = st.one_of(st.just(0.0), st.floats(1e-290, 1))
SMALL = st.one_of(st.just(0.0), st.floats(1e-290, 2))
ERRORS = st.one_of(st.floats(0, 3), st.just(np.inf))


@law("SP-6")
def promise_on_every_row(setting: Setting) -> Result:
    """Whatever is dropped, every row loses between 0 and G_D, or G/(2 - G) of it recentred."""

    @given(layers(neurons=1, signed_weights=False), st.integers(0, 2**6 - 1))
    def law(layer: tuple[np.ndarray, np.ndarray], pattern: int) -> None:
        weights, points = layer
        terms = [[Fraction(w) * Fraction(a) for w, a in zip(weights[0], row, strict=True)]
                 for row in points.tolist()]  # fmt: skip
        live = [row for row in terms if sum(row) > 0]
        assume(live)
        g = np.array([[float(c / sum(row)) for c in row] for row in live])
        keep = np.array([bool(pattern >> j & 1) for j in range(g.shape[1])])
        lost = float(sipp_theory.dropped_share(g, keep))
        factor = Fraction(float(sipp_theory.recentring(lost).factor))
        promised = sipp_theory.deterministic_error(lost)
        centred = sipp_theory.deterministic_error(lost, recentred=True)
        for row in live:
            kept = sum((c for c, k in zip(row, keep, strict=True) if k), Fraction(0)) / sum(row)
            assert 0 <= 1 - kept <= Fraction(float(promised)) * (1 + ROUNDING)
            assert abs(factor * kept - 1) <= Fraction(float(centred)) * (1 + ROUNDING) + ROUNDING
        assert centred <= promised <= 1
        assert lost <= sipp_theory.dropped_share_bound(g.max(axis=0), keep) * (1 + 1e-14)
        assert (lost == 0) == all(not row[j] for row in live for j in np.flatnonzero(~keep))

    return hold(setting, law, examples=100)


@law("SP-6")
def fewest_weights(setting: Setting) -> Result:
    """The number kept meets eps and one weight fewer does not; it falls with eps, grows with C."""

    @given(share_rows(), st.floats(0.01, 0.9), st.floats(1, 3), st.booleans())
    def law(g: np.ndarray, eps: float, cover: float, recentred: bool) -> None:
        s = g.max(axis=0)

        def promised(size: float) -> float:
            keep = sipp_theory.keep_most_sensitive(s, size)
            share = sipp_theory.dropped_share_bound(s, keep, cover)
            return float(sipp_theory.deterministic_error(share, recentred=recentred))

        size = float(sipp_theory.deterministic_size(s, eps, cover, recentred))
        assert promised(size) <= eps
        assert size == 0 or promised(size - 1) > eps
        assert sipp_theory.deterministic_size(s, eps, cover, recentred, shares=g) <= size
        assert sipp_theory.deterministic_size(s, eps / 2, cover, recentred) >= size
        assert sipp_theory.deterministic_size(s, eps, 2 * cover, recentred) >= size
        assert sipp_theory.deterministic_size(s, eps, cover, True) <= size

    return hold(setting, law, examples=60)


@law("SP-6")
def recentring_halves(setting: Setting) -> Result:
    """Recentring never raises the promise, at best halves it, and grows with what is dropped."""

    @given(SIZES, SIZES)
    def law(one: float, other: float) -> None:
        low, high = sorted((one, other))
        errors = [float(sipp_theory.recentring(x).error) for x in (low, high)]
        assert errors[0] <= errors[1]
        assert high / 2 * (1 - 1e-15) <= errors[1] <= high * (1 + 1e-15)
        assert 1 <= sipp_theory.recentring(high).factor <= 2

    return hold(setting, law, examples=100)


@law("SP-7")
def takes_the_smaller(setting: Setting) -> Result:
    """The hybrid promises no more than either method, and as much as the one that it names."""

    @given(st.lists(st.tuples(ERRORS, ERRORS), min_size=1, max_size=6))
    def law(pairs: list[tuple[float, float]]) -> None:
        drawn, dropped = np.array(pairs).T
        got = sipp_theory.hybrid_error(drawn, dropped)
        assert (got.error <= drawn).all() and (got.error <= dropped).all()
        assert (got.error == np.where(got.deterministic, dropped, drawn)).all()

    return hold(setting, law, examples=100)


@law("SP-9")
def joined_signs(setting: Setting) -> Result:
    """The joined error covers every pair of errors, grows in each, is eps Delta for equal ones."""

    @given(layers(neurons=1, points=1), SMALL, SMALL, st.tuples(SIZES, SIZES))
    def law(layer: tuple[np.ndarray, np.ndarray], first: float, second: float,
            place: tuple[float, float]) -> None:  # fmt: skip
        weights, points = layer
        terms = [Fraction(w) * Fraction(a) for w, a in zip(weights[0], points[0], strict=True)]
        plus = sum((t for t in terms if t > 0), Fraction(0))
        minus = -sum((t for t in terms if t < 0), Fraction(0))
        assume(plus != minus)
        ratio = float((plus + minus) / abs(plus - minus)) * (1 + 1e-15)
        joined = Fraction(float(sipp_theory.combine_signs(first, ratio, second)))
        limit = joined * abs(plus - minus) * (1 + ROUNDING)
        for a in (Fraction(first), -Fraction(first), Fraction(first) * Fraction(2 * place[0] - 1)):
            for b in (Fraction(second), -Fraction(second), Fraction(second * place[1])):
                assert abs(a * plus - b * minus) <= limit
        equal = float(sipp_theory.combine_signs(first, ratio))
        assert first * ratio <= equal <= first * ratio * (1 + 1e-14)
        worst = sipp_theory.combine_signs(max(first, second), ratio)
        assert float(joined) <= worst * (1 + 1e-14)
        assert float(joined) >= sipp_theory.combine_signs(min(first, second), ratio) * (1 - 1e-14)

    return hold(setting, law, examples=100)


@law("SP-10")
def best_of_tau_laws(setting: Setting) -> Result:
    """More candidates fail less, more draws err less; the mean bound is below the closed form."""

    @given(share_rows(), st.integers(1, 1000), st.integers(1, 50), st.floats(1.01, 5))
    def law(g: np.ndarray, m: int, tau: int, lam: float) -> None:
        s = g.max(axis=0)
        total = max(1.0, float(s.sum()))
        got = sipp_theory.best_of_tau(total, m, tau, factor=lam)
        more = sipp_theory.best_of_tau(total, 2 * m, tau + 1, factor=lam)
        assert more.mean_error <= got.mean_error and more.failure < got.failure <= 1
        bound = float(sipp_theory.mean_error_bound(g, s / s.sum(), m))
        assert bound <= got.mean_error / lam * (1 + 1e-12) + 1e-6  # a rounding's root
        assert sipp_theory.mean_error_bound(g, s / s.sum(), 2 * m) <= bound

    @given(st.floats(1e-12, 0.9), st.integers(1, 50), st.integers(1, 5000))
    def counts(delta: float, number: int, points: int) -> None:
        tau = int(sipp_theory.candidates(delta))
        assert sipp_theory.candidates(delta / 2) >= tau
        union = float(sipp_theory.selected_violation(number, delta))
        assert min(1.0, number * delta) <= union <= min(1.0, number * delta * (1 + 1e-15))
        rate = sipp_theory.dead_neuron_violation(points, delta, number)
        assert rate <= sipp_theory.dead_neuron_violation(points, delta, number + 1)
        assert rate >= sipp_theory.dead_neuron_violation(points + 1, delta, number)

    return hold(setting, law, counts, examples=50)


@law("SP-12")
def never_below_the_maximum(setting: Setting) -> Result:
    """The measured error covers the exact maximum over rows, however they are stored."""

    @given(layers(signed_activations=True), st.sampled_from([np.float32, np.float64]),
           st.lists(st.sampled_from([0.0, 1.0, 1 / 0.7, -1.0, 1 + 2.0**-50]), min_size=24,
                    max_size=24),
           st.sampled_from([0.0, 1e-3, -7.0]), st.integers(-8, 8))  # fmt: skip
    def law(layer: tuple[np.ndarray, np.ndarray], dtype: type, factors: list[float], moved: float,
            power: int) -> None:  # fmt: skip
        weights, rows = layer
        drawn = weights * np.array(factors[: weights.size]).reshape(weights.shape)
        stored, shift = drawn.astype(dtype).astype(np.float64), np.full(len(weights), moved)
        got = sipp_theory.measured_error(weights, stored, rows, shift)
        assert not complaint(got, exact_errors(weights, stored, rows, shift))
        scale = 2.0**power
        again = sipp_theory.measured_error(weights * scale, stored * scale, rows, shift * scale)
        assert np.array_equal(again, got)
        assert not sipp_theory.measured_error(weights, weights, rows).any()

    return hold(setting, law, examples=60)
