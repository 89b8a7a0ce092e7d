"""Weakened copies of AL-1 and AL-2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import sipp_theory
from proofs_check.allocation import laws, oracles, symbolic
from proofs_check.kinds.mutations import divided, fields_scaled
from proofs_check.ledger.mutation import Function, Mutation
from sipp_theory.allocation import pair

BY_SOLVER = oracles.budget_by_cvxpy


def _in_proportion(allocate: Function) -> Function:
    """Sizes in proportion to the linear coefficient, within the caps: what a heuristic does."""

    def wrong(b: Any, v: Any, cap: Any, budget: Any, *rest: Any) -> Any:
        got = allocate(b, v, cap, budget, *rest)
        share = np.asarray(b, float) + 1e-9
        return replace(got, sizes=np.minimum(budget * share / share.sum(), cap))

    return wrong


MUTATIONS = (
    Mutation("AL-1", "multiplier_halved", "AL-1's multiplier halved: what one draw is said to buy.",
             sipp_theory.allocate, fields_scaled(multiplier=0.5),
             (oracles.conditions_at_50_digits,)),
    Mutation("AL-1", "square_root_forgotten",
             "The promised error without its square root, the variance term.", pair.pair_error,
             lambda error: lambda m, b, v: error(m, b, 0 * v),
             (oracles.error_at_50_digits, symbolic.error_in_y)),
    Mutation("AL-1", "variance_forgotten_in_the_cubic",
             "The cubic without its leading term: draws shared as if errors fell like 1/m.",
             pair.solve_cubic, lambda root: lambda r, b, v: root(r, b + 1e-9, 0 * v),
             (oracles.cubic_at_50_digits, BY_SOLVER)),
    Mutation("AL-1", "cubic_constant_halved",
             "The cubic's 4 V replaced by 2 V, a factor lost in the derivative.", pair.solve_cubic,
             lambda root: lambda r, b, v: root(r, b, v / 2),
             (BY_SOLVER, oracles.conditions_at_50_digits)),
    Mutation("AL-1", "caps_ignored", "Allocation without the caps.", sipp_theory.allocate,
             lambda f: lambda b, v, cap, budget, *rest: f(b, v, 1e6 + 0 * cap, budget, *rest),
             (laws.feasible,)),
    Mutation("AL-1", "importance_ignored", "Allocation with all importances equal.",
             sipp_theory.allocate, lambda f: lambda b, v, cap, budget, *_: f(b, v, cap, budget),
             (BY_SOLVER,)),
    Mutation("AL-1", "in_proportion",
             "Sizes in proportion to the sensitivity sum in place of the optimum.",
             sipp_theory.allocate, _in_proportion, (BY_SOLVER, laws.no_exchange_improves)),
    Mutation("AL-1", "remainder_lost",
             "Sizes rounded down, so that a part of the budget is not spent.",
             sipp_theory.round_allocation,
             lambda f: lambda real, cap, budget: np.minimum(np.floor(real), np.floor(cap)),
             (laws.rounding,)),
    Mutation("AL-2", "sizes_halved", "AL-2 with half of its draws.",
             sipp_theory.allocate_for_errors, divided(2), (oracles.sizes_in_fractions,)),
    Mutation("AL-2", "linear_term_dropped", "AL-2 by the variance alone.",
             sipp_theory.allocate_for_errors,
             lambda f: lambda b, v, eps: f(0 * np.asarray(b), v, eps),
             (oracles.sizes_in_fractions, laws.least_for_errors)),
    Mutation("AL-2", "target_overshot", "AL-2 for a sum of errors, missed by a tenth.",
             sipp_theory.allocate_for_total,
             lambda f: lambda b, v, w, total, *rest: f(b, v, w, 1.1 * total, *rest),
             (oracles.total_by_cvxpy, laws.duals)),
)  # fmt: skip
