"""Weakened copies of MS-1 to MS-5."""

from __future__ import annotations

import sipp_theory
from proofs_check.kinds.mutations import fields_scaled
from proofs_check.ledger.mutation import Mutation
from proofs_check.matrices import coverage, laws, oracles

MUTATIONS = (
    Mutation("MS-1", "size_an_eighth", "MS-1 with an eighth of its draws.",
             sipp_theory.spectral_size, lambda f: lambda *given: f(*given) // 8,
             (coverage.identity, oracles.bound_at_50_digits)),
    Mutation("MS-1", "variance_halved", "Matrix Bernstein with sigma^2 where 2 sigma^2 stands.",
             sipp_theory.spectral_error, lambda f: lambda v, r, d, m, p: f(v / 2, r, d, m, p),
             (oracles.bound_at_50_digits,)),
    Mutation("MS-1", "dimension_forgotten",
             "The scalar bound: no factor m + n, and a third of the promised error.",
             sipp_theory.spectral_error,
             lambda f: lambda v, r, d, m, p: f(v, r, 0 * d + 2, m, p) / 3,
             (oracles.identity_by_its_exact_law,)),
    Mutation("MS-1", "failure_squared", "Twice the exponent.", sipp_theory.spectral_failure,
             lambda f: lambda *given: f(*given) ** 2, (oracles.bound_at_50_digits,)),
    Mutation("MS-2", "moments_halved", "Half of a draw's variance.", sipp_theory.draw_moments,
             fields_scaled(variance=0.5), (oracles.moments_by_enumeration,)),
    Mutation("MS-2", "range_halved", "Half of a draw's range.", sipp_theory.draw_moments,
             fields_scaled(span=0.5), (oracles.moments_by_enumeration,)),
    Mutation("MS-3", "mixture_without_l1", "The mixture without its l1 part.",
             sipp_theory.entry_probabilities,
             lambda f: lambda a, kind, *rest: f(a, "l2" if kind == "mixture" else kind, *rest),
             (oracles.probabilities_in_fractions, laws.closed_above_exact)),
    Mutation("MS-3", "closed_forms_halved", "Closed forms halved.", sipp_theory.closed_moments,
             fields_scaled(variance=0.5, span=0.5), (laws.closed_above_exact,)),
    Mutation("MS-4", "one_rank_too_many", "The singular value before the next one.",
             sipp_theory.rank_floor, lambda f: lambda matrix, rank: f(matrix, max(rank - 1, 0)),
             (oracles.singular_values_at_50_digits, laws.floors)),
    Mutation("MS-5", "one_entry_too_few", "The floor of one entry less.", sipp_theory.sparse_floor,
             lambda f: lambda matrix, kept: f(matrix, max(kept - 1, 0)),
             (laws.floors, oracles.best_sparse_by_cvxpy)),
)  # fmt: skip
