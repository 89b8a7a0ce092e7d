"""Weakened copies of SP-1, SP-3 and SP-4."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.draws import coverage, laws, oracles, oracles_of_failures
from proofs_check.kinds.mutations import divided, scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.pruning import draw, draw_counts
from sipp_theory.draws import law_of_a_draw

SIZES = {
    "SP-3": sipp_theory.bernstein_size,
    "SP-4": sipp_theory.kl_size,
}


def bernstein_formula(
    *, variance: float = 2.0, linear: float = 2 / 3, sides: float = 2.0, with_log: bool = True
) -> Function:
    """SP-3's formula with other constants."""

    def wrong(original: Function) -> Function:
        def size(
            total: ArrayLike, eps: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
        ) -> np.ndarray:
            spread = np.multiply(total, coverage_factor) - 1
            log = np.log(sides / np.asarray(delta)) if with_log else 1.0
            target = np.asarray(eps)
            terms = variance * spread + linear * np.maximum(spread, 1) * target
            return np.maximum(1.0, np.ceil(terms * log / target**2))

        return size

    return wrong


def kl_formula(side: int = 0, sides: float = 2.0) -> Function:
    """SP-4's formula, with one side only (+1 or -1) or another number of sides to pay for."""

    def wrong(original: Function) -> Function:
        def size(
            total: ArrayLike, eps: ArrayLike, delta: ArrayLike, coverage_factor: ArrayLike = 1.0
        ) -> np.ndarray:
            p = 1 / np.multiply(total, coverage_factor, dtype=np.float64)
            rates = [_divergence(p, s * np.asarray(eps)) for s in (1, -1) if side in (0, s)]
            rate = np.minimum.reduce(rates)
            return np.maximum(1.0, np.ceil(np.log(sides / np.asarray(delta)) / rate))

        return size

    return wrong


def _divergence(p: np.ndarray, eps: np.ndarray) -> np.ndarray:
    a = (1 + eps) * p
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = a * np.log(1 + eps) + (1 - a) * np.log((1 - a) / (1 - p))
    return np.where(np.isfinite(rate), rate, np.inf)


MUTATIONS = (
    Mutation("SP-1", "weights_not_reweighted",
             "Drawn weights are kept as they are, not divided by m q_j.", draw,
             lambda draw: lambda plan, rng: np.sign(draw(plan, rng)),
             (oracles.draws_are_unbiased,)),
    Mutation("SP-1", "draws_out_of_step",
             "Every draw lands on the next weight, out of step with its probability.", draw_counts,
             lambda counts: lambda q, m, rng: np.roll(counts(q, m, rng), 1, axis=1),
             (oracles.draws_are_unbiased,)),
    Mutation("SP-1", "draw_variance_halved", "The variance of a draw, halved.",
             law_of_a_draw.draw_moments,
             lambda moments: lambda law: (moments(law)[0] / 2, moments(law)[1]),
             (laws.one_draw_keeps_within_its_bounds,)),
    Mutation("SP-1", "distinct_is_linear",
             "m q_j for 1 - (1 - q_j)^m, as if no weight were drawn twice.",
             sipp_theory.expected_distinct,
             lambda expected: lambda q, m: np.minimum(1.0, np.asarray(q) * m).sum(),
             (oracles.distinct_weights_by_enumeration,)),
    Mutation("SP-3", "bernstein_eighth", "SP-3 with an eighth of its draws.", SIZES["SP-3"],
             divided(8), (coverage.bernstein_two_point,)),
    Mutation("SP-3", "bernstein_halved", "SP-3 with half of its draws; the exact law tells.",
             SIZES["SP-3"], divided(2), (oracles_of_failures.bernstein_worst_case,)),
    Mutation("SP-3", "bernstein_variance_halved",
             "M - 1 for 2 (M - 1): the variance term of the authors' code.", SIZES["SP-3"],
             bernstein_formula(variance=1.0), (oracles_of_failures.bernstein_worst_case,)),
    Mutation("SP-3", "bernstein_variance_dropped", "SP-3 with its linear term alone.",
             SIZES["SP-3"], bernstein_formula(variance=0.0), (coverage.bernstein_two_point,)),
    Mutation("SP-3", "bernstein_linear_term_dropped",
             "SP-3 with its variance term alone, as the normal law has it.", SIZES["SP-3"],
             bernstein_formula(linear=0.0), (oracles_of_failures.bernstein_worst_case,)),
    Mutation("SP-3", "bernstein_linear_sign_flipped", "SP-3 with its linear term taken away.",
             SIZES["SP-3"], bernstein_formula(linear=-2 / 3),
             (oracles_of_failures.bernstein_worst_case,)),
    Mutation("SP-3", "bernstein_one_side_only", "ln(1/delta) for ln(2/delta).", SIZES["SP-3"],
             bernstein_formula(sides=1.0), (oracles_of_failures.two_sides_must_be_paid_for,)),
    Mutation("SP-3", "bernstein_log_dropped", "SP-3 without ln(2/delta).", SIZES["SP-3"],
             bernstein_formula(with_log=False), (coverage.bernstein_two_point,)),
    Mutation("SP-3", "bernstein_coverage_factor_ignored",
             "SP-3 with C = 1 whatever the caller says.", SIZES["SP-3"],
             lambda size: lambda total, eps, delta, factor=1.0: size(total, eps, delta, 1.0),
             (coverage.bernstein_beyond_calibration,)),
    Mutation("SP-3", "bernstein_error_as_heuristic",
             "The error of the authors' ranking heuristic, shown as a bound.",
             sipp_theory.bernstein_error,
             lambda error: lambda s, m, d, c=1.0: error((np.asarray(s) + 1) / 2, m, d, c),
             (oracles.bernstein_at_50_digits,)),
    Mutation("SP-3", "bernstein_coefficient_halved",
             "The linear coefficient that allocation works with, halved.",
             sipp_theory.bernstein_coefficients,
             lambda pair: lambda *given: (pair(*given)[0] / 2, pair(*given)[1]),
             (oracles.bernstein_at_50_digits,)),
    Mutation("SP-4", "chernoff_eighth", "SP-4 with an eighth of its draws.", SIZES["SP-4"],
             divided(8), (coverage.chernoff_two_point,)),
    Mutation("SP-4", "chernoff_halved", "SP-4 with half of its draws; the exact law tells.",
             SIZES["SP-4"], divided(2), (oracles_of_failures.chernoff_worst_case,)),
    Mutation("SP-4", "chernoff_lower_side_only",
             "kl((1 - eps)p || p) alone, the larger of the two for M above 2.", SIZES["SP-4"],
             kl_formula(side=-1), (oracles_of_failures.chernoff_worst_case,)),
    Mutation("SP-4", "chernoff_upper_side_only",
             "kl((1 + eps)p || p) alone, the larger of the two for M below 2.", SIZES["SP-4"],
             kl_formula(side=1), (oracles_of_failures.chernoff_worst_case,)),
    Mutation("SP-4", "chernoff_one_side_paid", "ln(1/delta) for ln(2/delta).", SIZES["SP-4"],
             kl_formula(sides=1.0), (oracles_of_failures.two_sides_must_be_paid_for,)),
    Mutation("SP-4", "chernoff_error_a_percent_off",
             "The error that SP-4 promises, less one per cent.", sipp_theory.kl_error, scaled(0.99),
             (oracles.chernoff_at_50_digits,)),
)  # fmt: skip

SIZE = sipp_theory.corenet_size


def _printed(original: Function) -> Function:
    """The error falls as 1/sqrt(m) throughout."""
    return lambda total, m, *rest: original(total, 1e12, *rest) * np.sqrt(1e12 / np.asarray(m))


def corenet_formula(
    *, constant: float = 8.0, with_factor: bool = True, with_neurons: bool = True
) -> Function:
    """SP-2's formula with something left out."""

    def wrong(original: Function) -> Function:
        def size(
            total: ArrayLike, eps: ArrayLike, delta: ArrayLike, eta: ArrayLike, eta_star: ArrayLike
        ) -> np.ndarray:
            factor = np.log(np.multiply(eta, eta_star)) if with_factor else 1.0
            log = np.log(8 * (np.asarray(eta) if with_neurons else 1.0) / np.asarray(delta))
            scale = constant * np.asarray(total) * factor * log
            return np.maximum(1.0, np.ceil(scale / np.asarray(eps) ** 2))

        return size

    return wrong


CORENET_MUTATIONS = (
    Mutation("SP-2", "corenet_eighth", "SP-2 with an eighth of its draws.", SIZE, divided(8),
             (coverage.corenet_falls_short_by_its_factor,)),
    Mutation("SP-2", "corenet_eighth_exactly",
             "SP-2 with an eighth of its draws, seen by the exact law where no trials reach.", SIZE,
             divided(8), (oracles_of_failures.corenet_worst_case,)),
    Mutation("SP-2", "corenet_fourth",
             "SP-2 with a fourth of its draws; the exact law leaves it no more than 3.7.", SIZE,
             divided(4), (oracles_of_failures.corenet_worst_case,)),
    Mutation("SP-2", "corenet_coverage_factor_dropped",
             "SP-2 without K = ln(eta eta*), as if the calibration inputs covered all.", SIZE,
             corenet_formula(with_factor=False), (coverage.corenet_falls_short_by_its_factor,)),
    Mutation("SP-2", "corenet_neurons_dropped",
             "ln(8/delta) for ln(8 eta/delta): no union over the neurons.", SIZE,
             corenet_formula(with_neurons=False), (oracles_of_failures.corenet_worst_case,)),
    Mutation("SP-2", "corenet_constant_halved", "4 for the 8 that CoreNet prints.", SIZE,
             corenet_formula(constant=4.0), (oracles.corenet_at_50_digits,)),
    Mutation("SP-2", "corenet_error_halved", "The error that SP-2 promises, halved.",
             sipp_theory.corenet_error, scaled(0.5), (oracles.corenet_at_50_digits,)),
    Mutation("SP-2", "corenet_printed_above_one", "The printed error from 1 on, where it is none.",
             sipp_theory.corenet_error, _printed, (oracles.corenet_at_50_digits,)),
)  # fmt: skip

MUTATIONS = (*MUTATIONS, *CORENET_MUTATIONS)  # fmt: skip
