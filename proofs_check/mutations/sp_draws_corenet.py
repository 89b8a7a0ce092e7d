"""Weakened copies of SP-2, CoreNet's sample size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from proofs_check.mutation import Function, Mutation
from proofs_check.mutations.sp_draws import divided

SIZE = "sipp_theory:corenet_size"


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


MUTATIONS = (
    Mutation(
        "SP-2",
        "corenet_eighth",
        "SP-2 with an eighth of its draws.",
        SIZE,
        divided(8),
        ("coverage.sp_draws.corenet_falls_short_by_its_factor",),
    ),
    Mutation(
        "SP-2",
        "corenet_eighth_exactly",
        "SP-2 with an eighth of its draws, seen by the exact law where no trials reach.",
        SIZE,
        divided(8),
        ("oracles.sp_draws_failures.corenet_worst_case",),
    ),
    Mutation(
        "SP-2",
        "corenet_fourth",
        "SP-2 with a fourth of its draws; the exact law leaves it no more than 3.7.",
        SIZE,
        divided(4),
        ("oracles.sp_draws_failures.corenet_worst_case",),
    ),
    Mutation(
        "SP-2",
        "corenet_coverage_factor_dropped",
        "SP-2 without K = ln(eta eta*), as if the calibration inputs covered all.",
        SIZE,
        corenet_formula(with_factor=False),
        ("coverage.sp_draws.corenet_falls_short_by_its_factor",),
    ),
    Mutation(
        "SP-2",
        "corenet_neurons_dropped",
        "ln(8/delta) for ln(8 eta/delta): no union over the neurons.",
        SIZE,
        corenet_formula(with_neurons=False),
        ("oracles.sp_draws_failures.corenet_worst_case",),
    ),
    Mutation(
        "SP-2",
        "corenet_constant_halved",
        "4 for the 8 that CoreNet prints.",
        SIZE,
        corenet_formula(constant=4.0),
        ("oracles.sp_draws.corenet_at_50_digits",),
    ),
    Mutation(
        "SP-2",
        "corenet_error_halved",
        "The error that SP-2 promises, halved.",
        "sipp_theory:corenet_error",
        lambda error: lambda *given, **named: error(*given, **named) / 2,
        ("oracles.sp_draws.corenet_at_50_digits",),
    ),
)
