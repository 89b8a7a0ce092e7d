"""CT-1 to CT-7 on drawn counts: monotone, consistent with each other, indifferent to order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

RATES = st.floats(1e-3, 0.999)
# Levels from useless to strict; 1 - confidence then has no digits to lose.
CONFIDENCES = st.sampled_from([0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 1 - 1e-9])
COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
FEW = st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@law("CT-1")
def violation_bound_is_monotone(setting: Setting) -> Result:
    """CT-1 rises in violations and confidence, falls in points, and is 1 where all violate."""

    @given(COUNTS, CONFIDENCES, CONFIDENCES)
    def law(count: tuple[int, int], one: float, other: float) -> None:
        k, n = count
        bound = sipp_theory.violation_bound(k, n, one)
        assert 0 < bound <= 1 and (k < n or bound == 1)
        if k > 0:
            assert sipp_theory.violation_bound(k - 1, n, one) < bound
        assert sipp_theory.violation_bound(k, n + 1, one) < bound
        if one < other:
            assert sipp_theory.violation_bound(k, n, other) >= bound
        if one >= 0.5:
            assert bound >= k / n

    return hold(setting, law, examples=100)


@law("CT-1")
def two_sided_interval(setting: Setting) -> Result:
    """The two-sided interval contains k/n, is nested in confidence, and mirrors k and n - k."""

    @given(COUNTS, CONFIDENCES, CONFIDENCES)
    def law(count: tuple[int, int], one: float, other: float) -> None:
        k, n = count
        low, high = sipp_theory.clopper_pearson(k, n, max(one, 0.5))
        assert low <= k / n <= high
        within = sipp_theory.clopper_pearson(k, n, one)
        around = sipp_theory.clopper_pearson(k, n, max(one, other))
        assert around[0] <= within[0] and within[1] <= around[1]
        mirror_low, mirror_high = sipp_theory.clopper_pearson(n - k, n, max(one, 0.5))
        np.testing.assert_allclose([1 - mirror_high, 1 - mirror_low], [low, high], atol=1e-12)

    return hold(setting, law, examples=60)


@law("CT-1", "CT-2")
def rank_and_bound_agree(setting: Setting) -> Result:
    """CT-2's rank is the least r at which n - r violations would be certified by CT-1."""

    @given(st.integers(1, 2000), RATES, CONFIDENCES)
    def law(n: int, delta: float, confidence: float) -> None:
        rank = int(sipp_theory.tolerance_rank(n, delta, confidence))
        need = float(sipp_theory.points_needed(delta, confidence))
        assert (rank > 0) == (n >= need)
        if rank == 0:
            assert sipp_theory.violation_bound(0, n, confidence) > delta * (1 - 1e-9)
            return
        assert sipp_theory.violation_bound(n - rank, n, confidence) <= delta * (1 + 1e-9)
        if rank > 1:
            assert sipp_theory.violation_bound(n - rank + 1, n, confidence) > delta * (1 - 1e-9)

    return hold(setting, law, examples=100)


@law("CT-2")
def rank_is_monotone(setting: Setting) -> Result:
    """The rank rises with confidence, falls with delta, and one more point moves it by 0 or 1."""

    @given(st.integers(1, 2000), RATES, RATES, CONFIDENCES, CONFIDENCES)
    def law(n: int, delta: float, other: float, low: float, high: float) -> None:
        low, high = sorted((low, high))
        strict, lax = sorted((delta, other))
        rank = sipp_theory.tolerance_rank
        unmet = n + 1  # stands for the 0 of "none", which is worse than any rank
        values = [rank(n, strict, low), rank(n, strict, high), rank(n, lax, low)]
        first, surer, easier = (unmet if value == 0 else value for value in values)
        assert first <= surer and easier <= first
        if first != unmet:
            assert rank(n + 1, strict, low) - first in (0, 1)
        points = sipp_theory.points_needed
        assert points(lax, low) <= points(strict, low) <= points(strict, high)

    return hold(setting, law, examples=60)


@law("CT-2")
def quantile_is_a_rank(setting: Setting) -> Result:
    """The certified error depends on ranks alone: it commutes with order and increasing maps."""
    errors = st.lists(st.floats(0, 1e30) | st.sampled_from([0.0, 0.5, np.inf]), min_size=1)

    @given(errors, RATES, CONFIDENCES, st.data())
    def law(values: list[float], delta: float, confidence: float, data: st.DataObject) -> None:
        result = sipp_theory.error_quantile(values, delta, confidence)
        rank = int(sipp_theory.tolerance_rank(len(values), delta, confidence))
        assert result == (sorted(values)[rank - 1] if rank else np.inf)
        shuffled = data.draw(st.permutations(values))
        assert sipp_theory.error_quantile(shuffled, delta, confidence) == result
        mapped = sipp_theory.error_quantile(np.sqrt(values) + 1, delta, confidence)
        assert mapped == np.sqrt(result) + 1
        worse = np.array(values) * 2
        assert sipp_theory.error_quantile(worse, delta, confidence) >= result

    return hold(setting, law, examples=60)


@law("CT-3")
def sequence_stops_at_the_first_failure(setting: Setting) -> Result:
    """CT-3 accepts the networks before the first whose CT-1 bound exceeds delta, no others."""

    @given(st.lists(st.integers(0, 60), max_size=6), st.integers(60, 400), RATES, CONFIDENCES)
    def law(counts: list[int], n: int, delta: float, confidence: float) -> None:
        result = sipp_theory.fixed_sequence(counts, n, delta, confidence)
        bounds = sipp_theory.violation_bound(np.array(counts, int), n, confidence)
        certified = np.atleast_1d(bounds) <= delta
        near = np.abs(np.atleast_1d(bounds) / delta - 1) < 1e-9
        first = int(np.argmin([*certified, False]))
        assert result.last == first - 1 or near.any()
        assert abs(result.level - (1 - confidence)) < 1e-15
        assert len(result.p_values) == len(counts)
        stop = result.last + 2
        again = sipp_theory.fixed_sequence([*counts[:stop], 0, 0], n, delta, confidence)
        assert again.last == result.last or stop > len(counts)

    return hold(setting, law, examples=60)


@law("CT-4")
def evidence_is_monotone(setting: Setting) -> Result:
    """Evidence grows with violations (falls, for the all-clear), and mirrors k and n - k."""

    @given(FEW, st.integers(1, 63), st.sampled_from([(1.0, 1.0), (0.5, 0.5), (2.0, 0.5)]))
    def law(count: tuple[int, int], eighths: int, prior: tuple[float, float]) -> None:
        k, n = count
        delta = eighths / 64  # 1 - delta is exact
        above = sipp_theory.log_e_value(k, n, delta, "above", prior)
        below = sipp_theory.log_e_value(k, n, delta, "below", prior)
        if k < n:
            # Evidence past float64's range is -inf.
            more = sipp_theory.log_e_value(k + 1, n, delta, "above", prior)
            less = sipp_theory.log_e_value(k + 1, n, delta, "below", prior)
            assert more > above or above == -np.inf
            assert less < below or less == below == -np.inf
        mirrored = sipp_theory.log_e_value(n - k, n, 1 - delta, "below", (prior[1], prior[0]))
        np.testing.assert_allclose(mirrored, above, rtol=1e-9, atol=1e-9)
        assert sipp_theory.e_value(0, 0, delta, "above", prior) == 1

    return hold(setting, law, examples=60)


@law("CT-4")
def order_of_batches(setting: Setting) -> Result:
    """Points one by one, in any order and batches, multiply up to the same evidence."""
    points = st.lists(st.booleans(), min_size=1, max_size=60)

    @given(points, st.floats(0.01, 0.6), st.data())
    def law(hits: list[bool], delta: float, data: st.DataObject) -> None:
        shuffled = data.draw(st.permutations(hits))
        grid = delta + (1 - delta) * (np.arange(4000) + 0.5) / 4000
        mixture = np.full(grid.shape, 1 / grid.size)
        for hit in shuffled:
            mixture *= grid / delta if hit else (1 - grid) / (1 - delta)
        result = sipp_theory.e_value(sum(hits), len(hits), delta)
        np.testing.assert_allclose(result, mixture.sum(), rtol=1e-2)

    return hold(setting, law, examples=40)


@law("CT-4")
def sequence_contains_the_rate(setting: Setting) -> Result:
    """The confidence sequence contains k/n, lies within (0, 1) and is nested in confidence."""

    @given(COUNTS, st.lists(CONFIDENCES, min_size=2, max_size=2))
    def law(count: tuple[int, int], levels: list[float]) -> None:
        k, n = count
        inner, outer = (sipp_theory.confidence_sequence(k, n, c) for c in sorted(levels))
        assert 0 <= outer[0] <= inner[0] <= k / n <= inner[1] <= outer[1] <= 1
        assert (k > 0) or inner[0] == 0
        assert (k < n) or inner[1] == 1

    return hold(setting, law, examples=40)


@law("CT-5")
def band_lies_between(setting: Setting) -> Result:
    """The band is no sharper than one rank by itself and no looser than a union over the ranks."""

    @given(st.integers(1, 300), CONFIDENCES, RATES)
    def law(n: int, confidence: float, delta: float) -> None:
        band = sipp_theory.simultaneous_band(n, confidence)
        assert (np.diff(band.shares) < 0).all() and band.shares[-1] > 0 and band.shares[0] <= 1
        assert (band.ranks == np.arange(1, n + 1)).all()
        alone = sipp_theory.violation_bound(n - band.ranks, n, confidence)
        assert (band.shares >= alone * (1 - 1e-9)).all()
        union = sipp_theory.violation_bound(n - band.ranks, n, 1 - (1 - confidence) / n)
        assert (band.shares <= union * (1 + 1e-9) + 1e-9).all()
        rank = band.rank(delta)
        single = int(sipp_theory.tolerance_rank(n, delta, confidence))
        assert rank == 0 or 0 < single <= rank
        assert rank == 0 or band.share(rank) <= delta
        assert band.share(rank - 1 if rank else n) > delta

    return hold(setting, law, examples=40)


@law("CT-5")
def band_widens_with_confidence(setting: Setting) -> Result:
    """A higher confidence moves every share up; more points move the share of the largest down."""

    @given(st.integers(1, 200), st.lists(CONFIDENCES, min_size=2, max_size=2, unique=True))
    def law(n: int, levels: list[float]) -> None:
        low, high = (sipp_theory.simultaneous_band(n, c) for c in sorted(levels))
        assert (low.shares <= high.shares * (1 + 1e-9)).all()
        more = sipp_theory.simultaneous_band(n + 1, min(levels))
        assert more.shares[-1] < low.shares[-1] or min(levels) < 0.5

    return hold(setting, law, examples=30)


@law("CT-6")
def accuracy_is_monotone(setting: Setting) -> Result:
    """More broken inputs raise the drop, more mended ones lower it; it covers what was seen."""

    @given(COUNTS, st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.99, 1 - 1e-9]))
    def law(count: tuple[int, int], part: float, confidence: float) -> None:
        total, n = count
        broken = int(part * total)
        mended = total - broken
        drop = sipp_theory.accuracy_drop(broken, mended, n, confidence)
        assert (broken - mended) / n <= drop <= 1
        assert drop >= sipp_theory.accuracy_drop(max(broken - 1, 0), mended, n, confidence)
        assert drop >= sipp_theory.accuracy_drop(broken, mended + 1, n + 1, confidence) or n < 20
        assert sipp_theory.accuracy_drop(broken, 0, n, confidence) >= drop
        low = sipp_theory.accuracy_bound(n - total, n, confidence)
        assert 0 <= low <= (n - total) / n
        assert (low == 0) == (total == n) and low <= sipp_theory.accuracy_bound(n, n, confidence)

    return hold(setting, law, examples=80)


@law("CT-7")
def levels_add_up(setting: Setting) -> Result:
    """G levels of a family sum to no more than alpha, lose next to nothing, and fall with G."""

    @given(st.integers(1, 5000), st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99, 1 - 1e-9]))
    def law(statements: int, confidence: float) -> None:
        each = sipp_theory.family_confidence(confidence, statements)
        spent = Fraction(statements) * (1 - Fraction(each))
        alpha = 1 - Fraction(confidence)
        # A level is a multiple of 2^-53.
        assert alpha - Fraction(2 * statements, 2**53) <= spent <= alpha
        assert each <= sipp_theory.family_confidence(confidence, statements + 1)

    return hold(setting, law, examples=80)
