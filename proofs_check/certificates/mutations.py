"""Weakened copies of CT-1 to CT-8."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

import sipp_core
import sipp_theory
from proofs_check.certificates import (
    coverage,
    coverage_curve,
    coverage_drawn,
    laws,
    laws_drawn,
    oracles,
    oracles_curve,
    oracles_drawn,
    oracles_monitoring,
)
from proofs_check.ledger.mutation import Function, Mutation
from sipp_core.certificates import drawn_network
from sipp_theory import clopper_pearson


def _goes_on(sequence: Function) -> Function:
    """Accept the sparsest network that passes, whatever failed before it."""

    def wrong(violations: Any, n: Any, delta: Any, confidence: Any) -> Any:
        each = [sequence([k], n, delta, confidence).last for k in violations]
        passed = np.flatnonzero(np.array([*each, -1]) >= 0)
        last = int(passed[-1]) if passed.size else -1
        return replace(sequence(violations, n, delta, confidence), last=last)

    return wrong


def _one_further(sequence: Function) -> Function:
    """Accept the first network that fails as well."""

    def wrong(violations: Any, n: Any, delta: Any, confidence: Any) -> Any:
        result = sequence(violations, n, delta, confidence)
        return replace(result, last=min(result.last + 1, len(violations) - 1))

    return wrong


def _log_mass(delta: Any, side: str, prior: tuple[float, float]) -> Any:
    tail = special.betaincc if side == "above" else special.betainc
    return np.log(tail(*prior, delta))


def _normalisation_forgotten(log_e: Function) -> Function:
    def wrong(k: Any, n: Any, delta: Any, side: str = "above", prior: Any = (1.0, 1.0)) -> Any:
        return log_e(k, n, delta, side, prior) + _log_mass(delta, side, prior)

    return wrong


def _normalised_twice(log_e: Function) -> Function:
    def wrong(k: Any, n: Any, delta: Any, side: str = "above", prior: Any = (1.0, 1.0)) -> Any:
        return log_e(k, n, delta, side, prior) - _log_mass(delta, side, prior)

    return wrong


def _tails_underflow(_: Function) -> Function:
    """The truncated mass as scipy has it, which is 0 for a prior far from the rate."""

    def wrong(k: Any, n: Any, delta: Any, side: str = "above", prior: Any = (1.0, 1.0)) -> Any:
        a, b = prior
        with np.errstate(divide="ignore", invalid="ignore"):
            mixture = special.betaln(a + k, b + n - k) - special.betaln(a, b)
            mixture += _log_mass(delta, side, (a + k, b + n - k)) - _log_mass(delta, side, (a, b))
            return mixture - special.xlogy(k, delta) - special.xlog1py(n - k, -delta)

    return wrong


def _never_truncated(_: Function) -> Function:
    def wrong(k: Any, n: Any, delta: Any, side: str = "above", prior: Any = (1.0, 1.0)) -> Any:
        a, b = prior
        mixture = special.betaln(a + k, b + n - k) - special.betaln(a, b)
        ratio = mixture - special.xlogy(k, delta) - special.xlog1py(n - k, -delta)
        return np.exp(np.minimum(ratio, 700.0))

    return wrong


def _flipped(e_value: Function) -> Function:
    other = {"above": "below", "below": "above"}

    def wrong(k: Any, n: Any, delta: Any, side: str = "above", prior: Any = (1.0, 1.0)) -> Any:
        return e_value(k, n, delta, other[side], prior)

    return wrong


def _less_confident(certify: Function) -> Function:
    return lambda *given, **named: certify(*given, **named | {"confidence": 0.3})


def _pointwise(band: Function) -> Function:
    """Every boundary at the whole level: right for one rank chosen before, not for all."""

    def wrong(n: int, confidence: float) -> Any:
        result = band(n, confidence)
        shares = sipp_theory.violation_bound(n - result.ranks, n, confidence)
        return replace(result, level=1 - confidence, shares=shares)

    return wrong


def _shifted(band: Function) -> Function:
    """Every share given to the rank below."""

    def wrong(n: int, confidence: float) -> Any:
        result = band(n, confidence)
        return replace(result, shares=np.append(result.shares[1:], result.shares[-1] / 2))

    return wrong


def _one_draw_for_all(drawn: Function) -> Function:
    """Every input of a budget meets the same draw: the pairs are not independent."""
    return lambda plans, seed, *pair: drawn(plans, seed, *pair[:-1], 0)


def _norm_of_the_output(_: Function) -> Function:
    """The output as a whole, not each entry: another sentence than CoreNet's."""

    def wrong(outputs: Any, pruned: Any, eps: float) -> Any:
        before, after = (np.asarray(v, float).reshape(len(v), -1) for v in (outputs, pruned))
        return np.linalg.norm(after - before, axis=1) > eps * np.linalg.norm(before, axis=1)

    return wrong


def _budget(accept: Any) -> Function:
    """Budgets accepted by another rule of (failures, n, delta, confidence) -> last index."""

    def mutate(search: Function) -> Function:
        def wrong(failures: Any, budgets: Any, n: Any, delta: Any, confidence: Any) -> Any:
            result = search(failures, budgets, n, delta, confidence)
            last = accept(result.index, list(failures), n, delta, confidence)
            budget = float(budgets[last]) if last >= 0 else np.inf
            return replace(result, index=last, budget=budget)

        return wrong

    return mutate


def _by_frequency(_: int, failures: list[int], n: int, delta: float, __: float) -> int:
    low = np.asarray(failures) <= delta * n
    return int(np.logical_and.accumulate(low).sum()) - 1


def _whatever_passes(_: int, failures: list[int], n: int, delta: float, confidence: float) -> int:
    each = [sipp_theory.fixed_sequence([k], n, delta, confidence).last for k in failures]
    return int(max((place for place, last in enumerate(each) if last >= 0), default=-1))


def _one_budget_further(last: int, failures: list[int], *_: object) -> int:
    return min(last + 1, len(failures) - 1)


# The judge of coverage itself looks at log_e_value: copies of that one go to the oracles.
MUTATIONS = (
    Mutation("CT-1", "one_violation_forgotten",
             "CT-1 with BetaInv(1-alpha; k, n-k+1): k in the place of k + 1.",
             sipp_theory.violation_bound,
             lambda f: lambda k, n, confidence: f(np.maximum(np.asarray(k) - 1, 0), n, confidence),
             (coverage.worst_rates, oracles.bounds_at_50_digits)),
    Mutation("CT-1", "frequency", "The observed frequency k/n in the place of its upper bound.",
             sipp_theory.violation_bound, lambda f: lambda k, n, confidence: np.asarray(k) / n,
             (oracles.coverage_of_every_rate, coverage.worst_rates)),
    Mutation("CT-1", "half_forgotten", "The two-sided interval with all of alpha on each side.",
             sipp_theory.clopper_pearson,
             lambda f: lambda k, n, confidence: f(k, n, 1 - 2 * (1 - confidence)),
             (coverage.interval_at_its_worst, oracles.coverage_of_the_interval)),
    Mutation("CT-1", "certificate_of_less_confidence",
             "A certificate that says confidence 0.9 and was made at 0.3, end to end.",
             sipp_core.certify, _less_confident, (coverage.small_bound,)),
    Mutation("CT-2", "rank_one_too_small", "CT-2 with the rank r - 1.", sipp_theory.tolerance_rank,
             lambda f: lambda n, delta, confidence: np.maximum(f(n, delta, confidence) - 1, 0),
             (coverage.order_statistics, oracles.ranks_in_fractions)),
    Mutation("CT-2", "observed_quantile",
             "The observed quantile, the rank (1-delta) n, in the place of the tolerance limit.",
             sipp_theory.tolerance_rank,
             lambda f: lambda n, delta, confidence: np.ceil((1 - delta) * np.asarray(n)),
             (coverage.order_statistics, oracles.quantile_covers_exactly)),
    Mutation("CT-2", "one_point_fewer", "One point fewer than a tolerance limit needs.",
             sipp_theory.points_needed,
             lambda f: lambda delta, confidence: f(delta, confidence) - 1,
             (oracles.ranks_in_fractions, laws.rank_and_bound_agree)),
    Mutation("CT-2", "certificate_of_less_confidence_2",
             "A certificate that says confidence 0.9 and was made at 0.3, end to end.",
             sipp_core.certify, _less_confident, (coverage.small_quantile,)),
    Mutation("CT-3", "goes_on_after_a_failure",
             "The sparsest network that passes by itself, without the stop at the first failure.",
             sipp_theory.fixed_sequence, _goes_on,
             (coverage.false_networks, oracles.family_error_by_enumeration)),
    Mutation("CT-3", "one_network_further", "The first network that fails is accepted as well.",
             sipp_theory.fixed_sequence, _one_further,
             (coverage.false_networks, laws.sequence_stops_at_the_first_failure)),
    Mutation("CT-3", "level_doubled", "Each network tested at twice the level.",
             sipp_theory.fixed_sequence,
             lambda f: lambda k, n, delta, confidence: f(k, n, delta, 2 * confidence - 1),
             (oracles.family_error_by_enumeration,)),
    Mutation("CT-4", "never_truncated",
             "The whole beta mixture, which takes a rate far below delta for one above it.",
             sipp_theory.e_value, _never_truncated,
             (coverage.alarms, oracles_monitoring.alarm_over_all_paths)),
    Mutation("CT-4", "alternative_flipped",
             "Evidence for a rate below delta taken for evidence of one above it.",
             sipp_theory.e_value, _flipped,
             (coverage.alarms, oracles_monitoring.mean_over_all_outcomes)),
    Mutation("CT-4", "normalised_twice", "The mixture divided by the prior's truncated mass twice.",
             sipp_theory.log_e_value, _normalised_twice,
             (oracles_monitoring.mean_over_all_outcomes,)),
    Mutation(
        "CT-4", "normalisation_forgotten",
        "The mixture not divided by the prior's truncated mass: valid, but its mean is below 1.",
        sipp_theory.log_e_value, _normalisation_forgotten,
        (oracles_monitoring.mean_over_all_outcomes,),
    ),
    Mutation("CT-4", "tails_underflow",
             "The truncated mass of an informative prior, where float64 has none of it.",
             sipp_theory.log_e_value, _tails_underflow, (oracles_monitoring.informative_priors,)),
    Mutation("CT-4", "interval_of_a_fixed_time",
             "The Clopper-Pearson interval, valid at one time, looked at after every point.",
             sipp_theory.confidence_sequence,
             lambda _: lambda k, n, confidence, *rest, **prior: clopper_pearson(k, n, confidence),
             (coverage.sequences, oracles_monitoring.sequence_over_all_paths)),
    Mutation("CT-4", "sequence_level_doubled", "The confidence sequence at twice its level.",
             sipp_theory.confidence_sequence,
             lambda f: lambda k, n, confidence, *rest, **prior: f(k, n, 2 * confidence - 1),
             (oracles_monitoring.sequence_over_all_paths,)),
    Mutation("CT-5", "one_rank_at_a_time",
             "CT-2's level at every rank: the curve of somebody who looks and then chooses.",
             sipp_theory.simultaneous_band, _pointwise,
             (coverage_curve.curves, oracles_curve.crossing_in_fractions,
              oracles_curve.rank_by_monte_carlo)),
    Mutation("CT-5", "one_rank_further", "Each share is given to the next lower rank.",
             sipp_theory.simultaneous_band, _shifted,
             (coverage_curve.curves, oracles_curve.crossing_in_fractions)),
    Mutation("CT-5", "band_level_doubled", "The band at twice alpha.",
             sipp_theory.simultaneous_band,
             lambda f: lambda n, confidence: f(n, max(2 * confidence - 1, confidence / 2)),
             (oracles_curve.crossing_in_fractions, coverage_curve.curves)),
    Mutation("CT-5", "certificate_of_less_confidence_3",
             "A certificate that says confidence 0.9 and was made at 0.5, end to end.",
             sipp_core.certify,
             lambda f: lambda *given, **named: f(*given, **named | {"confidence": 0.5}),
             (coverage_curve.certified_curves,)),
    Mutation("CT-6", "observed_drop", "The observed drop in the place of its bound.",
             sipp_theory.accuracy_drop,
             lambda f: lambda lost, won, n, confidence: (np.asarray(lost) - won) / n,
             (coverage_curve.drops, oracles_curve.drop_by_enumeration)),
    Mutation("CT-6", "mended_not_bounded", "The observed share of mended points, not its limit.",
             sipp_theory.accuracy_drop,
             lambda f: lambda lost, won, n, confidence: (
                 clopper_pearson(lost, n, confidence)[1] - np.asarray(won) / n),
             (oracles_curve.drop_by_enumeration,)),
    Mutation("CT-6", "drop_level_doubled", "Both limits at three times their level.",
             sipp_theory.accuracy_drop,
             lambda f: lambda lost, won, n, confidence: f(lost, won, n, 1 - 3 * (1 - confidence)),
             (coverage_curve.drops, oracles_curve.drop_by_enumeration)),
    Mutation("CT-6", "observed_accuracy", "The observed accuracy in the place of its bound.",
             sipp_theory.accuracy_bound,
             lambda f: lambda correct, n, confidence: np.asarray(correct) / n,
             (coverage_curve.drops, oracles_curve.accuracy_at_every_rate)),
    Mutation("CT-7", "family_not_charged", "Every group at the confidence of the whole family.",
             sipp_theory.family_confidence, lambda f: lambda confidence, statements: confidence,
             (coverage_curve.groups, oracles_curve.family_in_fractions, laws.levels_add_up)),
    Mutation("CT-7", "one_statement_forgotten", "A family of G charged as G - 1.",
             sipp_theory.family_confidence,
             lambda f: lambda confidence, statements: f(confidence, max(statements - 1, 1)),
             (oracles_curve.family_in_fractions, laws.levels_add_up)),
    Mutation("CT-8", "one_draw_for_all", "All held-out inputs meet one draw of the network.",
             drawn_network.drawn_anew, _one_draw_for_all, (coverage_drawn.too_few_draws,)),
    Mutation("CT-8", "norm_for_entries",
             "The relative L2 error of the output in the place of every entry's.",
             sipp_theory.leaves_entrywise, _norm_of_the_output,
             (oracles_drawn.leaving_in_fractions,)),
    Mutation("CT-8", "budget_by_frequency", "A budget whose observed failures are at most delta.",
             sipp_theory.least_budget, _budget(_by_frequency),
             (oracles_drawn.family_error_of_budgets, coverage_drawn.false_budgets,
              coverage_drawn.too_few_draws)),
    Mutation("CT-8", "least_that_passes", "The least budget that passes, whatever failed before.",
             sipp_theory.least_budget, _budget(_whatever_passes),
             (oracles_drawn.family_error_of_budgets, laws_drawn.order_of_the_budgets)),
    Mutation("CT-8", "one_budget_further", "The first budget that is not proved.",
             sipp_theory.least_budget, _budget(_one_budget_further),
             (coverage_drawn.false_budgets, laws_drawn.budgets_are_monotone)),
)  # fmt: skip
