"""Weakened copies of SV-0 to SV-12."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import sipp_theory
from proofs_check.kinds.mutations import divided, fields_scaled, scaled
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.svm import coverage, laws, oracles
from sipp_core.svm import CoresetSVC, certify_kernel, certify_svm


def _unbalanced(original: Function) -> Function:
    """The dual value of multipliers that are not balanced between the classes."""

    def wrong(alpha: Any, X: Any, y: Any, C: float, u: Any = None) -> float:
        a = np.clip(alpha, 0, C * (np.ones(len(y)) if u is None else np.asarray(u)))
        v = np.asarray(X).T @ (a * np.asarray(y))
        return float(max(0.0, a.sum() - v @ v / 2))

    return wrong


def _across_classes(original: Function) -> Function:
    """A certificate whose groups hold points of both classes, under the label of most weight."""

    def wrong(w: Any, b: float, X: Any, y: Any, C: float, u: Any = None, singles: int = 0,
              groups: Any = None) -> Any:  # fmt: skip
        right = original(w, b, X, y, C, u, singles, groups)
        weight = np.ones(len(y)) if u is None else np.asarray(u)
        # Neighbours in the data, whatever their class.
        names = np.arange(len(y)) // 2
        total = np.bincount(names, weight)
        live = total > 0
        sums = np.stack([np.bincount(names, weight * column) for column in np.asarray(X).T])
        labels = np.where(np.bincount(names, weight * y) >= 0, 1.0, -1.0)[live]
        if len(set(labels)) < 2:
            return right
        means = (sums[:, live] / total[live]).T
        return replace(right, dual=sipp_theory.solve_svm(means, labels, C, total[live]).dual)

    return wrong


def _lost_weight(original: Function) -> Function:
    """A dual bound from groups half again as heavy as their points."""

    def wrong(w: Any, b: float, X: Any, y: Any, C: float, *rest: Any) -> Any:
        heavy = original(w, b, X, y, 1.5 * C, *rest)
        return replace(original(w, b, X, y, C, *rest), dual=heavy.dual)

    return wrong


def _overclaiming(original: Function) -> Function:
    """An estimator that claims a dual bound above what it found."""

    class Overclaiming(original):  # type: ignore[misc, valid-type]
        def fit(self, *given: Any) -> Any:
            super().fit(*given)
            self.certificates_ = tuple(
                replace(one, dual=one.dual * 1.001, eps=one.eps / 2) for one in self.certificates_
            )
            return self

    return Overclaiming


def _without_class(original: Function) -> Function:
    """SV-1 without u_i/U_c."""

    def wrong(X: Any, y: Any, C: float, u: Any = None, *rest: Any, **named: Any) -> Any:
        scores = original(X, y, C, u, *rest, **named)
        weight = np.ones(len(scores)) if u is None else np.asarray(u)
        total = np.where(np.asarray(y) > 0, weight[np.asarray(y) > 0].sum(),
                         weight[np.asarray(y) < 0].sum())  # fmt: skip
        return np.maximum(scores - weight / total, 0)

    return wrong


MUTATIONS = (
    Mutation("SV-0", "unbalanced_dual", "Multipliers that are not balanced between the classes.",
             sipp_theory.svm_dual, _unbalanced, (laws.duals_below_primals,)),
    Mutation("SV-1", "clusters_halved", "Half of the bound.", sipp_theory.cluster_sensitivities,
             scaled(0.5), (oracles.clusters_above_exact,)),
    Mutation("SV-1", "without_the_class", "u_i/U_c left out.", sipp_theory.cluster_sensitivities,
             _without_class, (oracles.clusters_above_exact, laws.no_hyperplane_exceeds_a_bound)),
    Mutation("SV-2", "printed_halved", "Half of the printed bound.",
             sipp_theory.baykal_sensitivities, scaled(0.5), (oracles.printed_above_exact,)),
    Mutation("SV-3", "size_an_eighth", "An eighth of the draws.", sipp_theory.query_coreset_size,
             divided(8), (coverage.one_query,)),
    Mutation("SV-3", "log_dropped", "The uniform size without its ln(1/delta).",
             sipp_theory.uniform_coreset_size,
             lambda f: lambda s, d, e, p, c: f(s, d, e, 1 - 1e-9, c),
             (oracles.sizes_and_errors_at_50_digits,)),
    Mutation("SV-4", "variance_halved", "Half of a thinned sum's variance.",
             sipp_theory.thinned_variance, scaled(0.5), (oracles.variance_by_enumeration,)),
    Mutation("SV-4", "spread_forgotten", "A stream's bound without the groups' spread.",
             sipp_theory.stream_objective,
             lambda f: lambda *given: f(*given[:-1], 0 * np.asarray(given[-1])),
             (laws.streams_and_merges,)),
    Mutation("SV-5", "exact_halved", "Half of the exact sensitivity.",
             sipp_theory.exact_sensitivity,
             lambda f: lambda *given: tuple(s / 2 for s in f(*given)), (oracles.exact_by_cvxpy,)),
    Mutation("SV-6", "duals_halved", "Half of the dual bound.", sipp_theory.dual_sensitivities,
             scaled(0.5), (oracles.duals_above_exact,)),
    Mutation("SV-7", "dimension_halved", "Half of the dimension bound.",
             sipp_theory.dimension_sensitivities, scaled(0.5), (oracles.dimension_above_exact,)),
    Mutation("SV-8", "error_halved", "Half of the error everywhere.", sipp_theory.uniform_error,
             scaled(0.5), (oracles.sizes_and_errors_at_50_digits,)),
    Mutation("SV-9", "error_a_tenth", "A tenth of the error nearby.",
             sipp_theory.control_variate_error, scaled(0.1),
             (coverage.nearby, oracles.sizes_and_errors_at_50_digits)),
    Mutation("SV-9", "band_halved", "A band of half the radius.", sipp_theory.control_variate,
             lambda f: lambda w, b, X, y, C, radius, *rest: f(w, b, X, y, C, radius / 2, *rest),
             (laws.control_variates_are_exact,)),
    Mutation("SV-9", "a_lost_point", "The linear part without a tenth of its weight.",
             sipp_theory.control_variate, fields_scaled(constant=0.9, linear=0.9),
             (laws.control_variates_are_exact,)),
    Mutation("SV-0", "objective_without_half", "||w||^2/4 where ||w||^2/2 stands.",
             sipp_theory.svm_objective,
             lambda f: lambda w, *rest: f(w, *rest) - float(np.asarray(w) @ np.asarray(w)) / 4,
             (oracles.values_in_fractions,)),
    Mutation("SV-10", "group_across_classes", "Groups that hold points of both classes.",
             sipp_theory.jensen_certificate, _across_classes,
             (oracles.certificates_above_the_truth, laws.no_partition_lies)),
    Mutation("SV-10", "a_lost_weight", "Groups half again as heavy as their points.",
             sipp_theory.jensen_certificate, _lost_weight,
             (oracles.certificates_above_the_truth, laws.no_partition_lies)),
    Mutation("SV-10", "eps_halved", "Half of the certified eps.", sipp_theory.jensen_certificate,
             fields_scaled(eps=0.5), (oracles.certificates_above_the_truth,)),
    Mutation("SV-10", "certify_halved", "Half of the eps that certify_svm certifies.", certify_svm,
             fields_scaled(eps=0.5), (oracles.random_instances_certified_above_the_truth,)),
    Mutation("SV-11", "boasting", "A dual bound above what was found.", CoresetSVC, _overclaiming,
             (oracles.the_estimator_keeps_its_word,)),
    Mutation("SV-12", "kernel_certify_halved", "Half of the eps that certify_kernel certifies.",
             certify_kernel,
             lambda f: lambda *given, **named: tuple(
                 replace(one, eps=one.eps / 2) for one in f(*given, **named)
             ),
             (oracles.kernel_machines_certified_above_the_truth,)),
    Mutation("SV-12", "kernel_certify_above", "A dual value of the kernel half again as large.",
             certify_kernel,
             lambda f: lambda *given, **named: tuple(
                 replace(one, dual=1.5 * one.dual) for one in f(*given, **named)
             ),
             (oracles.kernel_machines_certified_above_the_truth,)),
    Mutation("SV-12", "twice", "Twice a kernel's dual value.", sipp_theory.kernel_dual,
             scaled(2.0), (oracles.kernel_optimum_by_cvxpy, laws.kernel_of_points)),
)  # fmt: skip
