"""Bounds for provable pruning: numbers in, float64 numbers out, rounded the safe way; no torch."""

from sipp_theory.allocation.allocation import (
    Allocation,
    allocate,
    allocate_for_errors,
    allocate_for_total,
)
from sipp_theory.allocation.pair import bernstein_coefficients
from sipp_theory.allocation.rounding import round_allocation
from sipp_theory.certificates.certificates import (
    FixedSequence,
    clopper_pearson,
    error_quantile,
    fixed_sequence,
    points_needed,
    tolerance_rank,
    violation_bound,
)
from sipp_theory.certificates.monitoring import confidence_sequence, e_value, log_e_value
from sipp_theory.draws.bernstein import (
    bernstein_error,
    bernstein_size,
    corenet_error,
    corenet_size,
    heuristic_error,
)
from sipp_theory.draws.bound import KINDS, error, sample_size
from sipp_theory.draws.chernoff_hoeffding import kl_error, kl_size
from sipp_theory.draws.cramer import cramer_error, cramer_size
from sipp_theory.draws.distinct_weights import draws_for_distinct, expected_distinct
from sipp_theory.draws.exact import exact_error, exact_size
from sipp_theory.filters.channels import (
    channel_bernstein_error,
    channel_bernstein_size,
    channel_error,
    channel_size,
)
from sipp_theory.generalization.bit_budget import (
    BitBudget,
    Charge,
    choice_bits,
    count_bits,
    kraft_sum,
    require_prefix_code,
)
from sipp_theory.generalization.catoni import catoni_bound
from sipp_theory.generalization.compression import (
    CorenetGeneralization,
    compression_bound,
    corenet_generalization,
)
from sipp_theory.generalization.margins import margin_loss, margin_quantiles, margins
from sipp_theory.generalization.occam import bits_allowed, occam_bound
from sipp_theory.inclusion.poisson_rate import INCLUSION_BOUNDS, inclusion_error, inclusion_rate
from sipp_theory.inclusion.poisson_sampling import expected_kept, inclusion_probabilities
from sipp_theory.keeping.best_of_tau import (
    BestOfTau,
    best_of_tau,
    candidates,
    dead_neuron_violation,
    mean_error_bound,
    selected_violation,
)
from sipp_theory.keeping.deterministic import (
    Recentring,
    deterministic_error,
    deterministic_size,
    keep_most_sensitive,
    recentring,
)
from sipp_theory.keeping.dropped_share import dropped_share, dropped_share_bound
from sipp_theory.keeping.hybrid_and_signs import HybridChoice, combine_signs, hybrid_error
from sipp_theory.matrices.approximation import rank_floor, sparse_floor
from sipp_theory.matrices.sparsification import (
    ENTRY_KINDS,
    DrawMoments,
    closed_moments,
    draw_moments,
    entry_probabilities,
)
from sipp_theory.matrices.spectral import spectral_error, spectral_failure, spectral_size
from sipp_theory.nettrim.nettrim import (
    cascade_error,
    parallel_error,
    parallel_split,
    recovery_failure,
    recovery_samples,
    retrim_error,
)
from sipp_theory.network.cancellation import delta_hat, delta_ratio, kappa
from sipp_theory.network.hill import TailEstimate, hill_tail_index
from sipp_theory.network.network import compose, corenet_split, log_split
from sipp_theory.network.network_size import (
    NetworkSize,
    corenet_network_size,
    corenet_network_size_bound,
)
from sipp_theory.network.propagation import absolute_propagation, interval_propagation
from sipp_theory.sensitivity.scenario import (
    exchangeable_violation,
    scenario_points,
    scenario_support,
    scenario_violation,
    wait_and_judge_violation,
)
from sipp_theory.sensitivity.sensitivity import (
    assumption_factors,
    calibration_size,
    sensitivity,
    sensitivity_sum_bound,
    shares,
)

__all__ = [
    "ENTRY_KINDS",
    "INCLUSION_BOUNDS",
    "KINDS",
    "Allocation",
    "BestOfTau",
    "BitBudget",
    "Charge",
    "CorenetGeneralization",
    "DrawMoments",
    "FixedSequence",
    "HybridChoice",
    "NetworkSize",
    "Recentring",
    "TailEstimate",
    "absolute_propagation",
    "allocate",
    "allocate_for_errors",
    "allocate_for_total",
    "assumption_factors",
    "bernstein_coefficients",
    "bernstein_error",
    "bernstein_size",
    "best_of_tau",
    "bits_allowed",
    "calibration_size",
    "candidates",
    "cascade_error",
    "catoni_bound",
    "channel_bernstein_error",
    "channel_bernstein_size",
    "channel_error",
    "channel_size",
    "choice_bits",
    "clopper_pearson",
    "closed_moments",
    "combine_signs",
    "compose",
    "compression_bound",
    "confidence_sequence",
    "corenet_error",
    "corenet_generalization",
    "corenet_network_size",
    "corenet_network_size_bound",
    "corenet_size",
    "corenet_split",
    "count_bits",
    "cramer_error",
    "cramer_size",
    "dead_neuron_violation",
    "delta_hat",
    "delta_ratio",
    "deterministic_error",
    "deterministic_size",
    "draw_moments",
    "draws_for_distinct",
    "dropped_share",
    "dropped_share_bound",
    "e_value",
    "entry_probabilities",
    "error",
    "error_quantile",
    "exact_error",
    "exact_size",
    "exchangeable_violation",
    "expected_distinct",
    "expected_kept",
    "fixed_sequence",
    "heuristic_error",
    "hill_tail_index",
    "hybrid_error",
    "inclusion_error",
    "inclusion_probabilities",
    "inclusion_rate",
    "interval_propagation",
    "kappa",
    "keep_most_sensitive",
    "kl_error",
    "kl_size",
    "kraft_sum",
    "log_e_value",
    "log_split",
    "margin_loss",
    "margin_quantiles",
    "margins",
    "mean_error_bound",
    "occam_bound",
    "parallel_error",
    "parallel_split",
    "points_needed",
    "rank_floor",
    "recentring",
    "recovery_failure",
    "recovery_samples",
    "require_prefix_code",
    "retrim_error",
    "round_allocation",
    "sample_size",
    "scenario_points",
    "scenario_support",
    "scenario_violation",
    "selected_violation",
    "sensitivity",
    "sensitivity_sum_bound",
    "shares",
    "sparse_floor",
    "spectral_error",
    "spectral_failure",
    "spectral_size",
    "tolerance_rank",
    "violation_bound",
    "wait_and_judge_violation",
]
