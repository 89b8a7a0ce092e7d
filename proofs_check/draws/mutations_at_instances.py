"""Weakened copies of SP-5 and SP-5x, the bounds that know the shares at given inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.draws import coverage, oracles_at_instances, oracles_of_failures
from proofs_check.kinds.mutations import divided, scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_theory.draws import exact, law_of_a_draw

CRAMER, EXACT = sipp_theory.cramer_size, sipp_theory.exact_size
TILTED = law_of_a_draw.draws_log_mgf


def at_the_mean(size: Function) -> Function:
    """The size at the mean of the inputs, where the maximum over them is due."""

    def wrong(
        shares: ArrayLike, q: ArrayLike, eps: float, delta: float, limit: float = np.inf
    ) -> np.float64:
        rows = np.atleast_2d(np.asarray(shares, np.float64))
        return size(rows.mean(axis=0), q, eps, delta, limit)

    return wrong


def at_delta(times: float) -> Function:
    """The size at another delta."""
    return lambda size: (
        lambda g, q, eps, delta, limit=np.inf: size(g, q, eps, min(times * delta, 0.999), limit)
    )


def one_side_paid(size: Function) -> Function:
    """The size with ln(1/delta) in the place of ln(2/delta)."""

    def wrong(
        shares: ArrayLike, q: ArrayLike, eps: float, delta: float, limit: float = np.inf
    ) -> np.float64:
        return np.ceil(size(shares, q, eps, delta, limit) * np.log(1 / delta) / np.log(2 / delta))

    return wrong


def one_side(side: float) -> Function:
    """The law of a draw turned to one side, whichever side is given."""
    return lambda law: lambda instance, _side: law(instance, side)


def upper_tail_only(original: Function) -> Function:
    """The quantile of the tail above, without what is folded over from below."""

    def wrong(pmf: np.ndarray, overhead: float, delta: float) -> float:
        above = pmf[: (pmf.size - 1) // 2 + 1]
        beyond = np.concatenate([np.cumsum(above[::-1])[::-1][1:], [0.0]])
        good = np.flatnonzero(beyond + overhead <= delta)
        return float(good[0]) if good.size else float("inf")

    return wrong


def window_outside_is_inside(original: Function) -> Function:
    """A quantile that takes the mass farthest out for mass at the centre: folding, unpaid."""

    def wrong(pmf: np.ndarray, overhead: float, delta: float) -> float:
        folded = pmf.copy()
        # Half of the tails come back to the middle instead of counting as tails.
        width = max(1, pmf.size // 16)
        tails = folded[width:-width].copy()
        folded[width:-width] = tails / 2
        folded[0] += tails.sum() / 2
        return original(folded, overhead, delta)

    return wrong


MUTATIONS = (
    Mutation("SP-5", "cramer_eighth", "SP-5 with an eighth of its draws.", CRAMER, divided(8),
             (coverage.cramer_two_point,)),
    Mutation("SP-5", "cramer_halved", "SP-5 with half of its draws; the exact law tells.", CRAMER,
             divided(2), (oracles_of_failures.cramer_worst_case,)),
    Mutation("SP-5", "cramer_mean_over_inputs",
             "SP-5 at the mean of the inputs, not at the worst of them.", CRAMER, at_the_mean,
             (coverage.cramer_synthetic,)),
    Mutation("SP-5", "cramer_one_side_paid", "ln(1/delta) for ln(2/delta).", CRAMER, one_side_paid,
             (oracles_of_failures.two_sides_must_be_paid_for,)),
    Mutation("SP-5", "cramer_log_dropped", "SP-5 with ln(2/.999) for ln(2/delta).", CRAMER,
             at_delta(np.inf), (coverage.cramer_two_point,)),
    Mutation("SP-5", "cramer_lower_side_only", "The transform of the lower side for both.", TILTED,
             one_side(-1.0), (oracles_at_instances.cramer_size_at_50_digits,)),
    Mutation("SP-5", "cramer_upper_side_only", "The transform of the upper side for both.", TILTED,
             one_side(1.0), (oracles_at_instances.cramer_size_at_50_digits,)),
    Mutation("SP-5", "cramer_error_a_percent_off",
             "The error that SP-5 promises, less one per cent.", sipp_theory.cramer_error,
             scaled(0.99), (oracles_at_instances.cramer_error_at_50_digits,)),
    Mutation("SP-5x", "exact_eighth", "SP-5x with an eighth of its draws.", EXACT, divided(8),
             (coverage.exact_two_point,)),
    Mutation("SP-5x", "exact_halved", "SP-5x with half of its draws.", EXACT, divided(2),
             (coverage.exact_two_point,)),
    Mutation("SP-5x", "exact_twice_delta", "SP-5x at 2 delta, as if each side had delta to itself.",
             EXACT, at_delta(2.0),
             (coverage.exact_synthetic, oracles_of_failures.exact_worst_case)),
    Mutation("SP-5x", "exact_mean_over_inputs",
             "SP-5x at the mean of the inputs, not at the worst of them.", EXACT, at_the_mean,
             (coverage.exact_synthetic,)),
    Mutation("SP-5x", "exact_one_tenth_less", "SP-5x with a tenth of its draws left out.", EXACT,
             divided(1 / 0.9), (oracles_of_failures.exact_worst_case,)),
    Mutation("SP-5x", "exact_upper_tail_only", "The tail above for the tail on both sides.",
             exact.tail_quantile, upper_tail_only,
             (oracles_at_instances.exact_error_by_enumeration,)),
    Mutation("SP-5x", "exact_window_folds_the_unsafe_way",
             "Mass outside a narrow window counts half of itself as no deviation at all.",
             exact.tail_quantile, window_outside_is_inside,
             (oracles_at_instances.exact_error_by_enumeration,)),
    Mutation("SP-5x", "exact_window_and_grid_unpaid",
             "No radius for the window and the grid: both taken for nothing.",
             exact.bernstein_radius, lambda radius: lambda variance, largest, log: 0.0,
             (oracles_at_instances.exact_error_by_enumeration,)),
)  # fmt: skip
