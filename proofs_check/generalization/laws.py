"""GN-1 to GN-4 on drawn instances: ordered, monotone, inverse to each other, codes and margins."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_theory.generalization import OccamForm

COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
BITS = st.one_of(st.just(0.0), st.floats(0, 50), st.floats(0, 1e5))
DELTAS = st.sampled_from([1e-12, 0.01, 0.05, 0.5, 0.9, 0.999])
FORMS: tuple[OccamForm, ...] = ("binomial", "kl", "hoeffding")


@law("GN-3")
def forms_are_ordered(setting: Setting) -> Result:
    """Binomial <= kl <= Hoeffding, as computed, and none below the training error at 1/2."""

    @given(COUNTS, BITS, DELTAS)
    def law(count: tuple[int, int], bits: float, delta: float) -> None:
        k, n = count
        result = [sipp_theory.occam_bound(form, errors=k, n=n, bits=bits, delta=delta)
                 for form in FORMS]  # fmt: skip
        assert 0 < result[0] <= result[1] <= result[2] <= 1
        assert result[1] >= k / n
        assert result[0] >= k / n or delta > 0.5
        assert (result[0] == 1) or k < n

    return hold(setting, law, examples=150)


@law("GN-3")
def occam_is_monotone(setting: Setting) -> Result:
    """GN-3 rises with bits and errors, falls with points and delta."""

    @given(COUNTS, BITS, BITS, DELTAS, DELTAS, st.sampled_from(FORMS))
    def law(
        count: tuple[int, int], one: float, other: float, delta: float, lax: float, form: OccamForm
    ) -> None:
        k, n = count

        def bound(k: int, n: int, bits: float, delta: float) -> float:
            return float(sipp_theory.occam_bound(form, errors=k, n=n, bits=bits, delta=delta))

        few, many = sorted((one, other))
        base = bound(k, n, few, delta)
        # What rounding may turn round: a few units of the last place, and what stands next to 1.
        slack = 1 + 1e-11
        assert bound(k, n, many, delta) * slack >= base
        assert bound(k, n + 1, few, delta) <= base * slack
        assert bound(k, n, few, max(delta, lax)) <= bound(k, n, few, min(delta, lax)) * slack
        if k > 0:
            assert bound(k - 1, n, few, delta) <= base * slack

    return hold(setting, law, examples=60)


@law("GN-3")
def bits_and_risk_are_inverse(setting: Setting) -> Result:
    """The bits that a risk allows meet it, and a millionth more does not."""

    @given(COUNTS, st.floats(1e-4, 0.999), DELTAS, st.sampled_from(FORMS))
    def law(count: tuple[int, int], risk: float, delta: float, form: OccamForm) -> None:
        k, n = count
        given_ = {"errors": k, "n": n, "delta": delta}
        bits = float(sipp_theory.bits_allowed(form, risk=risk, **given_))
        if np.isnan(bits):
            assert sipp_theory.occam_bound(form, bits=0, **given_) > risk
            return
        assert bits >= 0
        assert sipp_theory.occam_bound(form, bits=bits, **given_) <= risk
        assert sipp_theory.occam_bound(form, bits=bits * (1 + 1e-6) + 1e-6, **given_) > risk

    return hold(setting, law, examples=80)


@law("GN-3")
def prices_are_codes(setting: Setting) -> Result:
    """Choices and counts have Kraft sums of at most 1, one after the other as well."""

    @given(st.integers(1, 200), st.integers(1, 60), st.integers(1, 60))
    def law(options: int, some: int, others: int) -> None:
        one = np.full(options, sipp_theory.choice_bits(options))
        first = sipp_theory.count_bits(np.arange(some))
        second = sipp_theory.count_bits(np.arange(others))
        for lengths in (one, first, first[:, None] + second, first + np.ones((1, some)) * one[0]):
            sipp_theory.require_prefix_code(lengths)
        assert sipp_theory.kraft_sum(np.append(one, 40.0)) > 1
        # Rules that were settled on the data leave all outcomes of one variant 2^-32 of delta.
        searched = np.full(options, sipp_theory.search_bits(options))
        assert sipp_theory.kraft_sum(searched) <= 2.0**-32
        budget = sipp_theory.BitBudget(
            (sipp_theory.Charge("a", one[0], ""), sipp_theory.Charge("b", first[-1], ""))
        )
        assert budget.total >= max(one[0], first[-1])

    return hold(setting, law, examples=60)


@law("GN-4")
def catoni_is_above_kl(setting: Setting) -> Result:
    """GN-4 is never below the kl form of GN-3; it rises with divergence and error, falls with n."""

    @given(COUNTS, BITS, st.sampled_from([1e-12, 0.01, 0.05, 0.5]), st.sampled_from([1e-4, 0.01]))
    def law(count: tuple[int, int], bits: float, delta: float, alpha: float) -> None:
        k, n = count

        def bound(k: int, n: int, bits: float) -> float:
            return float(sipp_theory.catoni_bound(
                error_rate=k / n, n=n, divergence=bits * np.log(2), delta=delta, alpha=alpha
            ))  # fmt: skip

        result = bound(k, n, bits)
        kl = sipp_theory.occam_bound("kl", errors=k, n=n, bits=bits, delta=delta)
        assert kl <= result * (1 + 1e-12) and result <= 1
        # The infimum is searched for, to about 1e-9.
        assert bound(k, n, bits + 1) >= result * (1 - 1e-8)
        assert bound(k, 2 * n, bits) <= result * (1 + 1e-8)
        if k > 0:
            assert bound(k - 1, n, bits) <= result * (1 + 1e-8)

    return hold(setting, law, examples=60)


@law("GN-1")
def compression_is_monotone(setting: Setting) -> Result:
    """GN-1 rises with parameters, levels, choices and exceptions; Hoeffding's form is its case."""

    @given(COUNTS, st.integers(0, 5000), st.integers(1, 1000), st.integers(1, 100), DELTAS)
    def law(count: tuple[int, int], q: int, r: int, choices: int, delta: float) -> None:
        k, n = count

        def bound(**changed: float) -> float:
            base = {"margin_loss": k / n, "exceptions": 0.0, "parameters": q, "levels": r, "n": n,
                    "delta": delta, "choices": choices}  # fmt: skip
            return float(sipp_theory.compression_bound(**base | changed))

        result = bound()
        assert bound(parameters=q + 1) >= result and bound(levels=r + 1) >= result
        assert bound(choices=choices + 1) > result and bound(exceptions=0.25) > result
        assert bound(n=n + 1) < result
        bits = q * np.log2(r) + np.log2(choices)
        occam = sipp_theory.occam_bound("hoeffding", errors=k, n=n, bits=bits, delta=delta)
        assert abs(min(result, 1.0) - occam) <= 1e-12

    return hold(setting, law, examples=80)


@law("GN-1")
def half_a_margin_on_scores(setting: Setting) -> Result:
    """Scores that move by gamma/2 at most lose no point of margin above gamma; counted by hand."""
    eighths = st.integers(-40, 40).map(lambda i: i / 8)
    rows = st.integers(2, 4).flatmap(lambda k: st.lists(
        st.tuples(st.lists(eighths, min_size=k, max_size=k), st.integers(0, k - 1)),
        min_size=1, max_size=12,
    ))  # fmt: skip

    @given(rows, st.integers(0, 16).map(lambda i: i / 8), st.data())
    def law(points: list[tuple[list[float], int]], gamma: float, data: st.DataObject) -> None:
        scores = np.array([row for row, _ in points])
        targets = [target for _, target in points]
        moves = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=scores.size,
                                   max_size=scores.size))  # fmt: skip
        moved = scores + np.reshape(moves, scores.shape) * gamma / 2
        before = sipp_theory.margins(scores, targets)
        after = sipp_theory.margins(moved, targets)
        loss = sipp_theory.margin_loss(before, gamma)
        assert sipp_theory.margin_loss(after, 0.0) <= loss
        by_hand = sum(
            row[y] <= gamma + max(v for j, v in enumerate(row) if j != y) for row, y in points
        )
        assert loss == by_hand / len(points)
        share = data.draw(st.integers(1, len(points))) / len(points)
        level = sipp_theory.margin_quantiles(before, share)
        assert (before <= level).mean() >= share > (before < level).mean()

    return hold(setting, law, examples=60)


@law("GN-2")
def corenet_is_monotone(setting: Setting) -> Result:
    """GN-2 falls with margin and points; its list is GN-1's; q is at most the weights."""
    totals = st.lists(st.floats(1, 20), min_size=1, max_size=4)

    @given(
        totals, st.floats(1, 4), st.floats(0.05, 2), st.integers(50, 10**6), st.integers(1, 10**6)
    )
    def law(sums: list[float], ratio: float, gamma: float, n: int, weights: int) -> None:
        def bound(**changed: float) -> sipp_theory.CorenetGeneralization:
            base = {"largest_output": 1.0, "gamma": gamma, "margin_loss": 0.1, "n": n,
                    "weights": weights, "biases": 7, "delta": 0.05, "failure": 0.5 / n, "eta": 9.0,
                    "eta_star": 9.0, "rounding": 0.0}  # fmt: skip
            return sipp_theory.corenet_generalization([sums], [ratio], **base | changed)

        one = bound()
        assert one.parameters == min(one.size.nnz, weights) and one.exceptions == 0
        assert bound(gamma=2 * gamma).bound <= one.bound * (1 + 1e-12)
        assert bound(n=2 * n, failure=0.5 / n).bound <= one.bound * (1 + 1e-12) + 1 / n
        assert bound(choices=3).bound > one.bound
        nats = one.value_nats + one.position_nats + one.other_nats
        assert abs(one.bound - 0.1 - np.sqrt(nats / (2 * n))) <= 1e-9
        assert one.value_nats <= (weights + 7) * np.log(2.0**32) * (1 + 1e-12)
        # Whole numbers of draws and one more for each pair are all that the factors leave out.
        penalty = one.size.nnz * nats / one.parameters / (2 * n)
        assert abs(np.log2(penalty) - one.log2_penalty) <= 2 * len(sums) / (one.size.nnz * 0.69)

    return hold(setting, law, examples=60)
