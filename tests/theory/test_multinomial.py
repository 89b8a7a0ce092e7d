"""SP-1 to SP-4: closed forms at 50 digits, exact binomial coverage, mutations that must fail."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sipp_theory.chernoff import bernoulli_divergence, kl_error, kl_size
from sipp_theory.multinomial import (
    bernstein_error,
    bernstein_size,
    corenet_error,
    corenet_size,
    heuristic_error,
)

SPANS = [1.0, 1.5, 2.0, 2.0000001, 9.0, 237.5, 1e6, 1e12]
DELTAS = [1e-15, 0.05, 0.9]
EPS = [1e-6, 1e-3, 0.1, 0.5, 0.999]
# Up to here the guard of 1e-14 in the errors costs a few unit steps at most.
LARGEST_STEPPED = 2.0**49


def log_two_over(delta):
    return mp.log(2 / mp.mpf(delta))


def bernstein_terms(span, delta):
    """v and b of m eps^2 = v + 2 b eps."""
    spread = mp.mpf(span) - 1
    return 2 * spread * log_two_over(delta), max(spread, 1) * log_two_over(delta) / 3


def true_bernstein_size(span, eps, delta):
    v, b = bernstein_terms(span, delta)
    return (v + 2 * b * mp.mpf(eps)) / mp.mpf(eps) ** 2


def true_bernstein_error(span, m, delta):
    v, b = bernstein_terms(span, delta)
    return (b + mp.sqrt(b**2 + v * mp.mpf(m))) / mp.mpf(m)


def true_corenet_size(total, eps, delta, eta, eta_star):
    logs = mp.log(mp.mpf(eta) * eta_star) * mp.log(8 * mp.mpf(eta) / mp.mpf(delta))
    return 8 * mp.mpf(total) * logs / mp.mpf(eps) ** 2


def true_divergence(span, eps):
    """The smaller of kl((1 +- eps) p || p), p = 1/M; +inf where neither side is possible."""
    p, sides = 1 / mp.mpf(span), []
    for sign in (1, -1):
        a = (1 + sign * mp.mpf(eps)) * p
        if 0 <= a <= 1 and p < 1:
            first = a * mp.log(a / p) if a > 0 else mp.mpf(0)
            second = (1 - a) * mp.log((1 - a) / (1 - p)) if a < 1 else mp.mpf(0)
            sides.append(first + second)
    return min(sides, default=mp.inf)


def assert_size(size, true):
    """The ceiling of the true size; past 2**46 the guard of 1e-14 may cost a last unit or more."""
    if true < LARGEST_STEPPED:
        size = size()
        assert mp.ceil(true) <= size <= mp.ceil(true * (1 + mp.mpf("5e-14")))


def assert_error(error, true):
    assert true <= error <= true * (1 + mp.mpf("1e-12"))


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("delta", DELTAS)
def test_bernstein_at_50_digits(span, delta):
    with mp.workdps(50):
        for eps in EPS:
            assert_size(
                lambda e=eps: bernstein_size(span, e, delta), true_bernstein_size(span, eps, delta)
            )
        for m in (0.25, 1, 17, 1e5, 1e15):
            assert_error(bernstein_error(span, m, delta), true_bernstein_error(span, m, delta))


@pytest.mark.parametrize("total", SPANS)
@pytest.mark.parametrize("delta", DELTAS)
def test_corenet_at_50_digits(total, delta):
    with mp.workdps(50):
        for eps in EPS:
            assert_size(
                lambda e=eps: corenet_size(total, e, delta, 410, 784),
                true_corenet_size(total, eps, delta, 410, 784),
            )
        for m in (1, 17, 1e15):
            true = mp.sqrt(true_corenet_size(total, 1, delta, 410, 784) / mp.mpf(m))
            assert_error(corenet_error(total, m, delta, 410, 784), true)


@pytest.mark.parametrize("span", [s for s in SPANS if s > 1])
@pytest.mark.parametrize("eps", [1e-12, *EPS])
def test_divergence_does_not_cancel(span, eps):
    """Textbook kl loses every digit by eps = 1e-8; this form loses none."""
    with mp.workdps(50):
        true = true_divergence(span, eps)
        got = bernoulli_divergence(np.array(span), np.array(eps))
        assert abs(mp.mpf(float(got)) / true - 1) < 1e-13 if mp.isfinite(true) else np.isinf(got)


@pytest.mark.parametrize("span", [s for s in SPANS if s > 1])
@pytest.mark.parametrize("delta", DELTAS)
def test_kl_at_50_digits(span, delta):
    with mp.workdps(50):
        log = log_two_over(delta)
        for eps in EPS:
            assert_size(lambda e=eps: kl_size(span, e, delta), log / true_divergence(span, eps))
        for m in (1, 17, 1e5, 1e12):
            error = float(kl_error(span, m, delta))
            largest = max(span - 1, 1.0)
            assert error <= largest
            if error < largest:
                assert m * true_divergence(span, error) >= log
            assert m * true_divergence(span, error * (1 - 1e-12)) < log


@pytest.mark.parametrize("excess", [1e-5, 1e-6, 3e-7, 1e-9, 1e-12])
def test_kl_next_to_one_weight(excess):
    """1 - p with p = 1/M would lose its digits as M falls to 1."""
    with mp.workdps(50):
        span = 1 + excess
        for eps in EPS:
            true = true_divergence(span, eps)
            got = bernoulli_divergence(np.array(span), np.array(eps))
            assert abs(mp.mpf(float(got)) / true - 1) < 5e-14


def test_kl_uses_the_side_that_is_possible():
    """At M = 1.2 no estimate exceeds 1.2 z, so eps = .3 rests on the lower side alone."""
    with mp.workdps(50):
        p = 1 / mp.mpf(1.2)
        a = mp.mpf(0.7) * p
        lower = a * mp.log(a / p) + (1 - a) * mp.log((1 - a) / (1 - p))
        assert kl_size(1.2, 0.3, 0.05) == mp.ceil(log_two_over(0.05) / lower)


def test_heuristic_is_the_authors_formula_and_no_bound():
    with mp.workdps(50):
        for m in (1, 100, 1e9):
            scale = 2 * 1.5 * mp.mpf(9) * mp.log(8 * 5 * mp.mpf(100) / mp.mpf(0.05))
            ratio = scale / (3 * mp.mpf(m))
            true = (mp.sqrt(ratio**2 + 6 * ratio) + ratio) / 2
            got = heuristic_error(9.0, m, 0.05, 100, 4, 1.5)
            assert abs(mp.mpf(float(got)) / true - 1) < 1e-13
    assert heuristic_error(9.0, 0, 0.05, 100) == np.inf
    # With the same logarithm (C k 8 (patches + 1)/delta = 2/delta') it promises less than SP-3.
    m = 1e6
    share = heuristic_error(9.0, m, 0.05, 100) / bernstein_error(9.0, m, 2 * 0.05 / 1600)
    assert 0.7 < share < 0.8


def test_heuristic_of_a_dead_neuron_without_draws():
    assert heuristic_error([0.0, 0.0], [0, 5], 0.05, 100)[1] == 0
    assert not np.isnan(heuristic_error(0.0, 0, 0.05, 100))


@given(
    span=st.floats(1.0, 1e4),
    eps=st.floats(1e-3, 0.9999),
    delta=st.floats(1e-12, 0.999),
    factor=st.floats(1.0, 10.0),
)
def test_sizes_and_errors_are_exact_inverses(span, eps, delta, factor):
    pairs = [
        (
            bernstein_size(span, eps, delta, factor),
            lambda m: bernstein_error(span, m, delta, factor),
        ),
        (kl_size(span, eps, delta, factor), lambda m: kl_error(span, m, delta, factor)),
        (
            corenet_size(span, eps, delta, 410, 784),
            lambda m: corenet_error(span, m, delta, 410, 784),
        ),
    ]
    for size, error in pairs:
        assert size >= 1 and size == np.floor(size)
        assert error(size) <= eps
        assert size == 1 or error(size - 1) > eps
    assert pairs[1][0] <= pairs[0][0]


@given(
    total=st.floats(1.0, 1e4),
    eps=st.floats(1e-3, 0.999),
    delta=st.floats(1e-9, 0.9),
    eta=st.integers(2, 10**5),
    eta_star=st.integers(2, 10**5),
)
def test_corenet_wastes_a_factor_of_three(total, eps, delta, eta, eta_star):
    """Its proof needs (6 + 2 eps)/3 where it prints 8; Bernstein at C = K needs no more."""
    factor = float(np.log(eta) + np.log(eta_star))
    printed = corenet_size(total, eps, delta, eta, eta_star)
    own_log = delta / (4 * eta)  # ln(2/own) = ln(8 eta/delta)
    needed = bernstein_size(total, eps, own_log, factor)
    scale = total * factor * np.log(8 * eta / delta) / eps**2
    if total * factor >= 2:
        assert needed <= (6 + 2 * eps) / 3 * scale * (1 + 1e-12) + 1
        assert printed >= 24 / (6 + 2 * eps) * (needed - 1) * (1 - 1e-12) >= 3 * (needed - 1) * 0.99
    assert needed <= printed


def two_point_failure(m, span, eps):
    """Pr(|z^/z - 1| > eps), exactly, for the extreme law T in {0, M}, Pr(T = M) = 1/M."""
    counts = np.arange(int(m) + 1)
    bad = np.abs(counts * span / m - 1) > eps * (1 + 1e-12)
    return float(stats.binom.pmf(counts, int(m), 1 / span)[bad].sum())


@pytest.mark.parametrize("size", [bernstein_size, kl_size])
@pytest.mark.parametrize(("span", "eps"), [(2.0, 0.05), (9.0, 0.1), (50.0, 0.3)])
@pytest.mark.parametrize("delta", [1e-4, 1e-2])
def test_extreme_law_by_enumeration(size, span, eps, delta):
    """Sound and at most some twice too large on the law that the bounds are made for."""
    m = float(size(span, eps, delta))
    assert two_point_failure(m, span, eps) <= delta
    assert two_point_failure(np.ceil(m / 2), span, eps) > delta  # mutation: half the draws
    if size is bernstein_size:
        linear = 2 / 3 * max(span - 1, 1) * eps * np.log(2 / delta) / eps**2
        assert two_point_failure(np.ceil(linear), span, eps) > delta  # mutation: no variance


def test_two_sides_must_be_paid_for():
    """With ln(1/delta) the bounds are refuted by one fair coin, T in {0, 2}."""
    for delta, size, scale in (
        (0.6, kl_size, 1 / float(bernoulli_divergence(np.array(2.0), np.array(0.999)))),
        (0.9, bernstein_size, (2 + 2 / 3 * 0.999) / 0.999**2),
    ):
        assert two_point_failure(size(2.0, 0.999, delta), 2.0, 0.999) <= delta
        assert two_point_failure(np.ceil(scale * np.log(1 / delta)), 2.0, 0.999) > delta


def test_coverage_by_monte_carlo():
    """A neuron of 12 weights at its worst calibration input: sound, within three times of need."""
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(12, 0.4), 30)
    s = shares.max(axis=0)
    q, eps, delta, trials = s / s.sum(), 0.2, 0.01, 40_000
    row = shares[((shares / q - 1) ** 2 @ q).argmax()]

    def failures(m):
        estimates = rng.multinomial(int(m), q, trials) @ (row / q) / int(m)
        bad = int((np.abs(estimates - 1) > eps).sum())
        return stats.binomtest(bad, trials).proportion_ci(0.9999)

    for size in (bernstein_size(s.sum(), eps, delta), kl_size(s.sum(), eps, delta)):
        assert failures(size).high <= delta
        assert failures(size / 4).low > delta


def test_degenerate_neurons():
    for size in (bernstein_size, kl_size):
        assert size(0.0, 0.1, 0.05) == 0
        assert size([0.0, 1.0], 0.1, 0.05).shape == (2,)
    assert kl_size(1.0, 1e-9, 1e-9) == 1
    assert kl_error(1.0, 1, 0.05) == 0
    # float32 sums just under 1 are taken for 1, others are refused (ES-2).
    assert kl_size(1 - 1e-6, 0.1, 0.05) == 1
    assert corenet_error(0.0, 0, 0.05, 10, 10) == bernstein_error(0.0, 0, 0.05) == 0


def test_sizes_past_the_integers_stay_close():
    """Beyond 2**53 there is no next integer; the promise is off by no more than the guard."""
    for size, error in ((bernstein_size, bernstein_error), (kl_size, kl_error)):
        m = size(9.0, 1e-8, 0.05)
        assert m > 2**53 and error(9.0, m, 0.05) <= 1e-8 * (1 + 3e-14)


@pytest.mark.parametrize(
    ("size", "true"),
    [
        (lambda: bernstein_size(600, 1e-6, 0.05), lambda: true_bernstein_size(600, 1e-6, 0.05)),
        (
            lambda: kl_size(1000, 1e-6, 0.05),
            lambda: log_two_over(0.05) / true_divergence(1000, 1e-6),
        ),
        (
            lambda: corenet_size(89, 1e-5, 1e-12, 410, 784),
            lambda: true_corenet_size(89, 1e-5, 1e-12, 410, 784),
        ),
    ],
)
def test_sizes_between_two_to_the_51_and_53(size, true):
    with mp.workdps(50):
        assert true() <= size() <= true() * (1 + mp.mpf("1e-13"))


def test_sizes_past_the_integers_are_still_rounded_up():
    with mp.workdps(50):
        for span in (2.0, 9.0, 237.5, 1e6, 1e12):
            for delta in DELTAS:
                true = true_corenet_size(span, 1e-6, delta, 410, 784)
                assert true < 2**53 or corenet_size(span, 1e-6, delta, 410, 784) >= true


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bernstein_size(0.5, 0.1, 0.05), r"sensitivity_sum must be 0 .*found 0\.5"),
        (lambda: bernstein_size([1, -2.0], 0.1, 0.05), r"sensitivity_sum.*-2\.0 at index 1"),
        (lambda: kl_size(2.0, [[0.1], [1.0]], 0.05), r"eps.*found 1\.0 at index \(1, 0\)"),
        (lambda: kl_size(2.0, 0.1, np.nan), "delta.*found nan"),
        (lambda: kl_error(np.inf, 3, 0.1), "sensitivity_sum must be finite; found inf"),
        (lambda: kl_error(2.0, [3, -1], 0.1), r"m must be at least 0; found -1\.0 at index 1"),
        (lambda: bernstein_error(2.0, 3, 0.1, 0.5), r"coverage_factor.*1; found 0\.5"),
        (lambda: corenet_size(2.0, 0.1, 0.1, 0, 5), r"eta must be at least 1; found 0\.0"),
        (lambda: corenet_size(2.0, 0.1, 0.1, 5, np.nan), "eta_star must be finite; found nan"),
        (lambda: corenet_error(2.0, 5, 0.1, 1, 1), "eta \\* eta_star must exceed 1"),
        (lambda: heuristic_error(2.0, 5, 0.1, 0), r"neurons.*found 0\.0"),
        (lambda: heuristic_error(2.0, 5, 0.1, 1, 0), r"patches.*found 0\.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_no_number_is_a_type_error():
    with pytest.raises(TypeError, match="delta must be real numbers; found dtype <U"):
        kl_size(2.0, 0.1, "small")
    with pytest.raises(TypeError, match="eps must be real numbers; found dtype complex"):
        kl_size(2.0, 0.1j, 0.1)
