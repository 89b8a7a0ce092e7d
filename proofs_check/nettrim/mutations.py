"""Weakened copies of NT-1 to NT-4."""

from __future__ import annotations

import numpy as np

import sipp_theory
from proofs_check.kinds.mutations import divided, fields_scaled
from proofs_check.ledger.mutation import Mutation
from proofs_check.nettrim import coverage, oracles, symbolic
from sipp_core.nettrim import program, solution, solver

MUTATIONS = (
    Mutation("NT-1", "overshoot_forgotten",
             "A layer's error without what stands above the ceilings.", sipp_theory.retrim_error,
             lambda f: lambda eps, overshoot=0.0: f(eps, 0.0), (oracles.errors_at_50_digits,)),
    Mutation("NT-1", "a_thousandth_off",
             "A solver that says a thousandth more than the least objective.", solver.solve,
             fields_scaled(objective=1.001), (oracles.optimum_by_cvxpy,)),
    Mutation("NT-1", "multipliers_left_infeasible",
             "A dual bound from multipliers that were not made feasible.", program.lower_bound,
             lambda f: lambda p, m: float((m * p.targets).abs().sum()),
             (oracles.dual_certificate,)),
    Mutation("NT-1", "error_before_rounding",
             "The error that is reported is that of weights before their dtype rounded them.",
             solution.as_stored, lambda f: lambda program, done, weight, bias: done,
             (oracles.stored_weights_are_reported,)),
    Mutation("NT-2", "norms_forgotten", "Errors added up as if every network were link-normalised.",
             sipp_theory.parallel_error, lambda f: lambda eps, norms=1.0: f(eps, 1.0),
             (symbolic.recursion_unrolls, oracles.errors_at_50_digits)),
    Mutation("NT-3", "gamma_without_root",
             "The fourth root of gamma in the place of its square root.", sipp_theory.cascade_error,
             lambda f: lambda eps, gammas, norms=1.0: f(eps, np.sqrt(gammas), norms),
             (oracles.errors_at_50_digits,)),
    Mutation("NT-4", "a_twelfth_of_the_samples", "A twelfth of the samples.",
             sipp_theory.recovery_samples, divided(12),
             (oracles.samples_at_50_digits, coverage.gaussian_recovery)),
)  # fmt: skip
