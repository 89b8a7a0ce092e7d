"""Weakened copies of SP-8."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

import sipp_theory
from proofs_check.inclusion import coverage, laws, oracles, oracles_of_sampling
from proofs_check.kinds.mutations import scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.pruning import pivotal
from sipp_theory.draws import chernoff_hoeffding
from sipp_theory.inclusion import poisson_rate

RATE = sipp_theory.inclusion_rate
EQUAL = coverage.equal_weights
LEAST = oracles.least_rate
Bool = NDArray[np.bool_]


def _without_log(original: Function) -> Function:
    def rate(s: ArrayLike, eps: float, delta: float, **named: object) -> float:
        return original(s, eps, delta, **named) / np.log(2 / delta)

    return rate


def _delta_times(by: float, *bounds: str) -> Function:
    """Another failure probability for some of the bounds."""

    def wrong(original: Function) -> Function:
        def rate(s: ArrayLike, eps: float, delta: float, **named: object) -> float:
            worse = named.get("bound", "bernstein") in bounds
            return original(s, eps, min(0.99, by * delta) if worse else delta, **named)

        return rate

    return wrong


def _without_cover(original: Function) -> Function:
    def rate(s: ArrayLike, eps: float, delta: float, **named: object) -> float:
        return original(s, eps, delta, **named | {"coverage_factor": 1.0})

    return rate


def _without_variance(original: Function) -> Function:
    def rate(s: ArrayLike, eps: float, delta: float, coverage_factor: float = 1.0,
             **named: object) -> float:  # fmt: skip
        return 2 / 3 * coverage_factor * np.log(2 / delta) / eps

    return rate


def _mean_over_rows(original: Function) -> Function:
    def share(s: np.ndarray, p: np.ndarray, rows: np.ndarray | None, cover: float) -> float:
        total = original(s, p, None, cover)
        return total if rows is None else min(total, float(rows[:, p < 1].sum(axis=1).mean()))

    return share


def _shared_coin(original: Function) -> Function:
    """One coin for a whole row keeps the marginals and nothing else."""

    def sample(
        probability: np.ndarray, rng: np.random.Generator, first: Bool | None = None
    ) -> Bool:
        return rng.random((probability.shape[1] + 1, len(probability)))[0][:, None] < probability

    return sample


def _own_coins(original: Function) -> Function:
    def sample(
        probability: np.ndarray, rng: np.random.Generator, first: Bool | None = None
    ) -> Bool:
        return probability > rng.random((probability.shape[1] + 1, len(probability)))[1:].T

    return sample


MUTATIONS = (
    Mutation("SP-8", "rate_eighth", "An eighth of the rate.", RATE, scaled(1 / 8), (EQUAL,)),
    Mutation("SP-8", "rate_halved", "Half of the rate.", RATE, scaled(1 / 2),
             (LEAST, oracles.rates_by_enumeration, EQUAL)),
    Mutation("SP-8", "log_dropped", "The rate without ln(2/delta).", RATE, _without_log, (EQUAL,)),
    Mutation("SP-8", "variance_dropped", "The rate without its variance term.", RATE,
             _without_variance, (EQUAL, coverage.uncovered_input)),
    Mutation("SP-8", "one_side_paid", "Bernstein and Bennett with ln(1/delta): one side of two.",
             RATE, _delta_times(2, "bernstein", "kl"), (LEAST,)),
    Mutation("SP-8", "exact_at_thrice_delta", "The exact tail at thrice the failure probability.",
             RATE, _delta_times(3, "exact"), (EQUAL,)),
    Mutation("SP-8", "coverage_factor_dropped",
             "The rate at C = 1 for an input that is not covered.", RATE, _without_cover,
             (LEAST, coverage.uncovered_input)),
    Mutation("SP-8", "mean_over_rows", "G_R is the mean over the inputs, not the maximum.",
             poisson_rate._random_share, _mean_over_rows, (oracles.closed_forms,)),
    Mutation("SP-8", "exponent_doubled", "Bennett's h(t) doubled.", chernoff_hoeffding.excess,
             lambda h: lambda t: 2 * h(t), (oracles.closed_forms, LEAST)),
    Mutation("SP-8", "count_unbounded",
             "The expected count c S_sum, certain weights counted twice.",
             sipp_theory.expected_kept, lambda kept: lambda s, rate: np.float64(np.sum(s) * rate),
             (oracles.expected_count, laws.probabilities)),
    Mutation("SP-8", "shared_coin",
             "One coin for all weights: the means are kept, positively coupled.", pivotal,
             _shared_coin, (coverage.coupled,)),
    Mutation("SP-8", "own_coins",
             "Coupled inclusion draws independent coins: the count is not fixed.", pivotal,
             _own_coins, (laws.pivotal_counts, oracles_of_sampling.sampler_follows_the_law)),
)  # fmt: skip
