"""Weakened copies of ES-1 to ES-6."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

import sipp_theory
from proofs_check.kinds.mutations import divided, scaled
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.sensitivity import coverage, laws, oracles, oracles_scenario
from sipp_core.sensitivity import Accumulator, kernel

BY_HAND = oracles.case_by_hand
SENSITIVITY = sipp_theory.sensitivity
SIZE = sipp_theory.calibration_size
BEFORE = sipp_theory.scenario_violation
AFTER = sipp_theory.wait_and_judge_violation


def _numpy_mean(original: Function) -> Function:
    def mean(weights: np.ndarray, activations: np.ndarray) -> np.ndarray:
        rows = [np.maximum(activations, 0), np.maximum(-activations, 0)]
        return np.mean([original(weights, row[None]) for row in np.concatenate(rows)], axis=0)

    return mean


def _torch_mean(original: Function) -> Function:
    def update_maxima(
        acc: Accumulator, weight: Tensor, inverse: Tensor, rows: Tensor, *_: Tensor | None
    ) -> None:
        for part, r in zip((weight.clamp(min=0), (-weight).clamp(min=0)), inverse, strict=True):
            acc.maximum += (part * (r.T @ rows) / len(rows)).clamp(max=1)

    return update_maxima


def _both_signs(original: Function) -> Function:
    def shares(weights: np.ndarray, activations: np.ndarray, sign: int = 1) -> np.ndarray:
        return np.where(sign * weights > 0, original(np.abs(weights), activations), 0.0)

    return shares


def _regularised(original: Function) -> Function:
    def sensitivity(weights: np.ndarray, activations: np.ndarray) -> np.ndarray:
        largest = np.zeros(weights.shape)
        for row in np.concatenate([np.maximum(activations, 0), np.maximum(-activations, 0)]):
            for sign in (1, -1):
                terms = np.maximum(sign * weights, 0) * row
                largest = np.maximum(largest, terms / (terms.sum(axis=1, keepdims=True) + 1e-9))
        return largest

    return sensitivity


def _size(factor: bool = True, log: bool = True, share: float = 1.0) -> Function:
    """ES-4's size with a part of it left out."""

    def wrong(original: Function) -> Function:
        def size(eta: float, eta_star: float, delta: Any, rule: str = "corenet") -> np.ndarray:
            points = 3.0 if rule == "sipp" else math.log(eta * eta_star)
            logs = np.log(8 * eta * eta_star / np.asarray(delta)) if log else 1.0
            return np.maximum(1.0, np.ceil(share * (points if factor else 1.0) * logs))

        return size

    return wrong


def _without_input(original: Function) -> Function:
    # A width above the number of neurons of the whole network is the input's.
    return lambda eta, star, delta, rule="corenet": original(eta, min(eta, star), delta, rule)


SIZES = (oracles.boundary_of_the_assumption, coverage.rare_shares)
ROOTS = (oracles_scenario.a_priori_root, coverage.a_priori_at_its_worst)
JUDGED = (
    oracles_scenario.wait_and_judge_root,
    coverage.wait_and_judge_where_two_points_matter,
)
ORDERS = (oracles_scenario.all_orders, coverage.continuous_shares)

MUTATIONS = (
    Mutation("ES-1", "both_signs", "Shares of z~, both signs together, in place of z^s.",
             sipp_theory.shares, _both_signs, (BY_HAND, laws.shares)),
    Mutation("ES-3", "kernel_mean", "The kernel takes the mean of the shares, not the maximum.",
             kernel.update_maxima, _torch_mean, (BY_HAND, laws.growth)),
    Mutation("ES-2", "larger_of_the_two", "S_sum at most the larger of edges and points.",
             sipp_theory.sensitivity_sum_bound, lambda bound: np.maximum,
             (oracles.sum_bound_is_attained,)),
    Mutation("ES-2", "bound_halved", "Half of the smaller of edges and points.",
             sipp_theory.sensitivity_sum_bound, scaled(0.5), (laws.sums,)),
    Mutation("ES-3", "mean", "The mean share over the points in place of the largest.", SENSITIVITY,
             _numpy_mean, (BY_HAND, laws.growth)),
    Mutation("ES-3", "regularised", "1e-9 added to the denominator, against division by zero.",
             SENSITIVITY, _regularised, (laws.scaling,)),
    Mutation("ES-3", "last_point_forgotten", "The last point has no say.", SENSITIVITY,
             lambda s: lambda w, a: s(w, a[: max(1, len(a) - 1)]), (BY_HAND,)),
    Mutation("ES-4", "log_dropped", "|S| without its logarithm.", SIZE, _size(log=False), SIZES),
    Mutation("ES-4", "factor_dropped", "|S| without K'.", SIZE, _size(factor=False), SIZES),
    Mutation("ES-4", "points_per_edge_halved", "Half of |S|.", SIZE, _size(share=0.5), SIZES[1:]),
    Mutation("ES-4", "input_left_out", "eta* without the input's width.", SIZE, _without_input,
             SIZES),
    Mutation("ES-5", "beta_doubled", "Confidence 1 - 2 beta sold as 1 - beta.", BEFORE,
             lambda bound: lambda n, d, beta: bound(n, d, np.multiply(2, beta)), ROOTS[1:]),
    Mutation("ES-5", "one_variable_less", "d - 1 in place of d.", BEFORE,
             lambda bound: lambda n, d, beta: bound(n, np.maximum(np.subtract(d, 1), 0), beta),
             ROOTS),
    Mutation("ES-5", "expected_mass", "d/(n + 1), the expected mass, in place of the bound.",
             BEFORE, lambda bound: lambda n, d, beta: np.minimum(1.0, np.divide(d, n + 1)), ROOTS),
    Mutation("ES-5", "judged_without_confidence", "k/n in place of the bound seen afterwards.",
             AFTER, lambda bound: lambda n, k, beta: np.divide(k, n), JUDGED[1:]),
    Mutation("ES-5", "judged_one_less", "k - 1 in place of k.", AFTER,
             lambda bound: lambda n, k, beta: bound(n, np.maximum(np.subtract(k, 1), 0), beta),
             JUDGED[:1]),
    Mutation("ES-5", "union_dropped", "beta in place of beta/(n + 1): no price for looking.", AFTER,
             lambda bound: lambda n, k, beta: bound(n, k, np.minimum(0.999, beta * (n + 1))),
             JUDGED),
    Mutation("ES-5", "support_halved", "Half of the points that set a maximum.",
             sipp_theory.scenario_support, lambda count: lambda shares: count(shares) // 2,
             (oracles_scenario.support_by_counting,)),
    Mutation("ES-5", "points_halved", "Half of the points.", sipp_theory.scenario_points,
             divided(2), (oracles_scenario.points_are_least,)),
    Mutation("ES-6", "rate_halved", "1/(2|S|) in place of 1/(|S|+1).",
             sipp_theory.exchangeable_violation,
             lambda bound: lambda n: 1 / np.maximum(2.0 * np.asarray(n), 1.0), ORDERS[1:]),
    Mutation("ES-6", "one_point_more", "1/(|S|+2) in place of 1/(|S|+1).",
             sipp_theory.exchangeable_violation, lambda bound: lambda n: bound(np.add(n, 1)),
             ORDERS[:1]),
)  # fmt: skip
