"""Support vector machines (SV): solver, sensitivities, coresets and certificates."""

from __future__ import annotations

from sipp_theory.svm.bounds import (
    baykal_sensitivities,
    cluster_sensitivities,
    dual_sensitivities,
)
from sipp_theory.svm.certificate import SvmCertificate, group_means, jensen_certificate
from sipp_theory.svm.dimension import dimension_sensitivities, lewis_weights
from sipp_theory.svm.exact import exact_sensitivity
from sipp_theory.svm.kernel import kernel_dual
from sipp_theory.svm.problem import svm_dual, svm_objective
from sipp_theory.svm.sampling import (
    ControlVariate,
    UniformScores,
    control_variate,
    control_variate_error,
    coreset_suboptimality,
    merged_error,
    query_coreset_size,
    stream_objective,
    thinned_variance,
    uniform_coreset_size,
    uniform_error,
    uniform_scores,
)
from sipp_theory.svm.solver import SvmSolution, solve_svm

__all__ = [
    "ControlVariate", "SvmCertificate", "SvmSolution", "UniformScores", "baykal_sensitivities",
    "cluster_sensitivities", "control_variate", "control_variate_error", "coreset_suboptimality",
    "dimension_sensitivities", "dual_sensitivities", "exact_sensitivity", "group_means",
    "jensen_certificate", "kernel_dual", "lewis_weights", "merged_error", "query_coreset_size",
    "solve_svm", "stream_objective", "svm_dual", "svm_objective", "thinned_variance",
    "uniform_coreset_size", "uniform_error", "uniform_scores",
]  # fmt: skip
