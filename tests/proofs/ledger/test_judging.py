"""The verdict rule: limits, counts and power against scipy, and the errors of each kind."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from proofs_check import Coverage, judge, power, refuting_failures, trials_for_power
from proofs_check.ledger.judging import CONFIDENCE, POWER


@pytest.mark.parametrize("trials", [0, 1, 7, 200, 1000, 20_000])
@pytest.mark.parametrize("delta", [0.001, 0.01, 0.05, 0.3])
def test_refuting_failures_is_the_least_count_of_the_exact_test(trials: int, delta: float) -> None:
    tails = stats.binom.sf(np.arange(trials + 1) - 1, trials, delta)
    good = np.flatnonzero(tails <= 1 - CONFIDENCE)
    assert refuting_failures(trials, delta) == (good[0] if good.size else trials + 1)


@pytest.mark.parametrize("delta", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("trials", [50, 1000, 5000])
def test_refuted_is_the_same_as_a_lower_limit_above_delta(trials: int, delta: float) -> None:
    least = refuting_failures(trials, delta)
    for failures in range(max(0, least - 3), min(trials, least + 3) + 1):
        low, high, level, verdict = judge(failures, trials, delta)
        assert (verdict == "refuted") == (low > delta) == (failures >= least)
        assert low <= failures / trials <= high and level == CONFIDENCE
        exact = stats.beta.ppf(1 - CONFIDENCE, failures, trials - failures + 1) if failures else 0
        assert low == pytest.approx(exact, rel=1e-9)


def test_a_true_claim_is_refuted_at_most_one_time_in_a_thousand() -> None:
    for trials in (100, 1000, 20_000):
        least = refuting_failures(trials, 0.05)
        assert stats.binom.sf(least - 1, trials, 0.05) <= 1 - CONFIDENCE


def test_consistent_needs_the_power_to_see_twice_delta() -> None:
    n = trials_for_power(0.05)
    assert power(n, 0.05) >= POWER > power(n // 2, 0.05)
    assert judge(0, n, 0.05)[3] == "consistent"
    assert judge(0, n // 2, 0.05)[3] == "undecided"
    assert judge(n // 2, n // 2, 0.05)[3] == "refuted"
    least = refuting_failures(n, 0.05)
    assert power(n, 0.05) == pytest.approx(stats.binom.sf(least - 1, n, 0.1))


def test_looking_often_costs_confidence() -> None:
    once, often = judge(75, 1000, 0.05), judge(75, 1000, 0.05, looks=100)
    assert (once[3], often[3]) == ("refuted", "consistent")
    assert often[2] == pytest.approx(1 - 1e-5) and often[0] < once[0]


def test_a_deterministic_claim_falls_with_its_first_failure() -> None:
    assert judge(0, 10, 0.0)[3] == "consistent"
    assert judge(1, 10, 0.0)[3] == "refuted"


def test_no_trial_decides_nothing() -> None:
    assert judge(0, 0, 0.05) == (0.0, 1.0, CONFIDENCE, "undecided")


def test_a_coverage_tells_its_rate_and_p_value() -> None:
    low, high, level, verdict = judge(60, 1000, 0.05)
    result = Coverage(
        "SP-3", "draws", "fresh", 0.1, 0.05, 7.0, 1000, 60, low, high, level, verdict, 3, 0
    )
    assert result.rate == 0.06
    assert result.p_value == pytest.approx(stats.binom.sf(59, 1000, 0.05))
    assert result.summary()["rate"] == 0.06 and result.summary()["claim"] == "SP-3"


@pytest.mark.parametrize(
    ("failures", "trials", "delta", "options", "message"),
    [
        (3, 2, 0.05, {}, "failures must lie in .*found 3"),
        (-1, 2, 0.05, {}, "failures .*found -1"),
        (0, -1, 0.05, {}, "trials .*found -1"),
        (0, 2.5, 0.05, {}, "trials .*found 2.5"),
        (0, 2, 1.0, {}, "delta .*found 1.0"),
        (0, 2, float("nan"), {}, "delta .*found nan"),
        (0, 2, 0.05, {"looks": 0}, "looks .*found 0"),
        (0, 2, 0.05, {"confidence": 1.0}, "confidence .*found 1.0"),
    ],
)
def test_bad_arguments_are_named(
    failures: int, trials: int, delta: float, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        judge(failures, trials, delta, **options)  # type: ignore[arg-type]
