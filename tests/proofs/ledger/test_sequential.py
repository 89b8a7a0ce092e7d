"""Trials that stop early: the p-value stays valid, the power is there, Holm is Holm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from scipy import stats

from proofs_check.ledger import sequential
from proofs_check.ledger.evidence import Evidence, Experiment
from proofs_check.ledger.sequential import (
    LEVEL,
    Count,
    block_sizes,
    counted,
    holm,
    planned_trials,
    run_serially,
    verdict,
)

BLANK = Evidence("SP-3", "coverage", "coverage.sp.x", "", "consistent")


def none(block: int, size: int) -> int:
    return 0


def outcomes(experiment: Experiment, rate: float) -> dict[tuple[str, float], float]:
    """Probability of every (outcome, p-value) at a true failure rate, by the exact law."""
    sizes = block_sizes(experiment)
    ends: dict[tuple[str, float], float] = {}
    alive: dict[Count, float] = {Count(): 1.0}
    for size in sizes:
        law = stats.binom.pmf(np.arange(size + 1), size, rate)
        after: dict[Count, float] = {}
        for count, chance in alive.items():
            for failures, mass in enumerate(law):
                if chance * mass < 1e-12:
                    continue
                new = counted(experiment, count, failures, size)
                if new.stopped:
                    result = verdict(BLANK, experiment, new)
                    key = (result.outcome, result.p_value)
                    ends[key] = ends.get(key, 0.0) + chance * mass
                else:
                    after[new] = after.get(new, 0.0) + chance * mass
        alive = after
    assert not alive
    return ends


@pytest.fixture(scope="module")
def coarse() -> Iterator[Experiment]:
    """A coin; what the judge says of a count is computed once for all ways to come to it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, rule in sequential.JUDGE.items():
            patch.setitem(sequential.JUDGE, name, cache(rule))
        yield Experiment("a coin", 0.2, none, block=70)


def test_the_p_value_is_valid_under_the_worst_true_rate(coarse: Experiment) -> None:
    ends = outcomes(coarse, coarse.delta)
    for level in (1e-1, 1e-2, 1e-3, 1e-4, LEVEL):
        below = sum(chance for (_, p), chance in ends.items() if p <= level)
        assert below <= level


def test_a_rate_of_twice_delta_is_refuted_nine_times_in_ten(coarse: Experiment) -> None:
    ends = outcomes(coarse, 2 * coarse.delta)
    assert sum(chance for (outcome, _), chance in ends.items() if outcome == "refuted") >= 0.9


def test_without_correction_for_looking_again_the_p_value_would_be_invalid() -> None:
    """The mutation: the binomial p-value at the first look that pleases."""
    experiment = Experiment("a coin", 0.2, none, block=30)
    alive, rejected, level = {0: 1.0}, 0.0, 0.02
    for look in range(1, len(block_sizes(experiment)) + 1):
        law = stats.binom.pmf(np.arange(31), 30, 0.2)
        after: dict[int, float] = {}
        for total, chance in alive.items():
            for failures, mass in enumerate(law):
                k = total + failures
                if stats.binom.sf(k - 1, 30 * look, 0.2) <= level:
                    rejected += chance * mass
                else:
                    after[k] = after.get(k, 0.0) + chance * mass
        alive = after
    assert rejected > 2 * level


def test_too_few_trials_decide_nothing() -> None:
    few = Experiment("a coin", 0.05, lambda block, size: 1, block=20, most=20)
    assert verdict(BLANK, few, run_serially(few)).outcome == "undecided"


def test_what_refutes_names_the_count() -> None:
    wrong = Experiment("a coin", 0.05, lambda block, size: size // 2)
    result = verdict(BLANK, wrong, run_serially(wrong))
    assert result.outcome == "refuted" and result.trials < planned_trials(wrong) + 1
    assert f"{result.failures} failures in {result.trials}" in result.counterexample
    assert result.low > 0.05


@pytest.mark.parametrize("error", [0.05, 0.3])
def test_holm_rejects_what_its_definition_does(error: float) -> None:
    values = [0.001, 0.01, 0.02, 0.04, 0.3]
    for p_values in itertools.permutations(values):
        ordered = sorted(p_values)
        failing = [k for k, p in enumerate(ordered) if p > error / (len(ordered) - k)]
        rejected = set(ordered[: failing[0]] if failing else ordered)
        assert holm(list(p_values), error) == [p in rejected for p in p_values]
