"""Weakened copies of the functions of NC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.kinds.mutations import divided, scaled
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.neurons import coverage, laws, oracles
from sipp_core.neurons import lines


def _until_distinct(original: Function) -> Function:
    """The official code's rule: draw until so many distinct neurons were met."""

    def draw(probabilities: ArrayLike, m: int, rng: np.random.Generator) -> np.ndarray:
        q = np.asarray(probabilities, np.float64)
        counts, distinct = np.zeros(q.size), min(int((q > 0).sum()), m)
        while (counts > 0).sum() < distinct:
            counts[rng.choice(q.size, p=q)] += 1
        return np.divide(counts, counts.sum() * q, out=np.zeros(q.size), where=counts > 0)

    return draw


def _uncorrected(original: Function) -> Function:
    return lambda low, high: (0 * original(low, high)[0], original(low, high)[1])


def _one_output(original: Function) -> Function:
    return lambda mass, m, delta, outputs=1: original(mass, m, delta, 1)


def _one_offset(original: Function) -> Function:
    def mass(outgoing: ArrayLike, half_width: ArrayLike) -> object:
        w = np.asarray(outgoing, np.float64)
        return original(np.abs(w).reshape(*w.shape[:2], -1).max(axis=2), half_width)

    return mass


def _rayleigh(original: Function) -> Function:
    def peak(matrix: ArrayLike, error: float = 0.0) -> float:
        m = np.asarray(matrix, np.float64)
        v = np.random.default_rng(0).normal(size=len(m))
        for _ in range(2):
            v = m @ v + np.abs(m).sum(axis=1).max() * v
            v /= max(float(np.linalg.norm(v)), 1e-300)
        return float(v @ m @ v)

    return peak


def _without_lift(original: Function) -> Function:
    def through_the_origin(low: object, high: object) -> tuple[object, ...]:
        slope, over, under = original(low, high)
        return slope, 0 * over, under

    return through_the_origin


def _of_the_first(original: Function) -> Function:
    def both_alike(act: str, span: Any, apart: bool = False) -> object:
        return original(act, replace(span, below=span.low, above=span.high), apart)

    return both_alike


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("NC-1", "range_t_over_both_signs",
             "Range t, that of one sign, where draws over both signs have 2t.",
             sipp_theory.neuron_error, scaled(0.5), (coverage.both_signs_on,)),
    Mutation("NC-1", "one_sign_halved", "Half of the error for one sign.",
             sipp_theory.one_sign_error, scaled(0.5), (coverage.one_sign,)),
    Mutation("NC-1g", "uncorrected_bias", "The next bias is not corrected by the middles.",
             sipp_theory.middle_and_half, _uncorrected, (coverage.all_at_the_top,)),
    Mutation("NC-1g", "union_dropped", "The error of one next neuron, used for all of them.",
             sipp_theory.neuron_error, _one_output, (coverage.many_next_neurons,)),
    Mutation("NC-2", "tenth", "A tenth of the printed size.", sipp_theory.mussay_size, divided(10),
             (oracles.printed_size,)),
    Mutation("NC-3", "three_halves_less_a_percent", "The error over the ball, less one per cent.",
             sipp_theory.ball_error, scaled(0.99), (oracles.errors_at_50_digits,)),
    Mutation("NC-3", "quarter", "A quarter of the error over the ball.",
             sipp_theory.ball_error, scaled(0.25), (coverage.exact_over_the_disc,)),
    Mutation("NC-3g", "a_percent_off", "The error over a region, less one per cent.",
             sipp_theory.region_error, scaled(0.99), (oracles.region_errors_at_50_digits,)),
    Mutation("NC-3g", "quarter_over_a_region", "A quarter of the error over a region.",
             sipp_theory.region_error, scaled(0.25), (coverage.exact_over_the_disc_signed,)),
    Mutation("NC-4", "until_k_distinct", "Draws go on until k distinct neurons were met.",
             sipp_theory.neuron_draw, _until_distinct,
             (oracles.a_fixed_number_of_draws_is_unbiased,)),
    Mutation("NC-5", "single_offset", "The largest offset of a channel in place of their sum.",
             sipp_theory.neuron_mass, _one_offset, (coverage.offsets_of_a_channel,)),
    Mutation("NC-6", "rayleigh_quotient",
             "A Rayleigh quotient in place of a proved bound on the largest eigenvalue.",
             sipp_theory.proven_peak, _rayleigh,
             (oracles.eigenvalues_are_proved, laws.certificate_for_any_parameters)),
    Mutation("NC-7", "tenth_less", "The composed error, less a tenth.",
             sipp_theory.network_error, scaled(0.9), (oracles.composed_by_hand,)),
    Mutation("NC-10", "line_through_the_origin", "The line above ReLU, without its constant.",
             lines.relu_lines, _without_lift,
             (oracles.exact_differences_in_the_plane, oracles.differences_attacked)),
    Mutation("NC-10", "one_range_for_both",
             "The second network's values taken to range as the first's.",
             lines.lines_of, _of_the_first,
             (oracles.exact_differences_in_the_plane, oracles.differences_attacked)),
    Mutation("NC-8", "tenth_less_sensitive", "Cone sensitivities, less a tenth.",
             sipp_theory.cone_sensitivities, scaled(0.9), (oracles.cones_by_rays,)),
    Mutation("NC-8r", "ratio_halved", "Half of mu.", sipp_theory.sign_ratio, scaled(0.5),
             (oracles.sign_ratio_by_rays,)),
    Mutation("NC-9", "shares_divided", "Peeled shares, a tenth of them.",
             sipp_theory.peeled_sensitivities,
             lambda f: lambda points: (f(points)[0] / 10, f(points)[1]),
             (oracles.peeling_against_exact_shares,)),
)  # fmt: skip
