"""Paper-validation experiments and the report builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipp_core.runtime import lazily

if TYPE_CHECKING:
    from reports.benches.findings import BenchRun
    from reports.benches.page import write_bench
    from reports.benches.run import bench
    from reports.claims.page import write_claims
    from reports.generalization.page import write_generalization
    from reports.generalization.run import Generalization, generalize
    from reports.generalization.verifying import verify
    from reports.report import BuildResult, build
    from reports.validation import Validation, validate
    from reports.validation.page import write_validation

__all__ = [
    "BenchRun", "BuildResult", "Generalization", "Validation", "bench", "build", "generalize",
    "validate", "verify", "write_bench", "write_claims", "write_generalization",
    "write_validation",
]  # fmt: skip

# A benchmark on a machine with a GPU needs no figures, and no solver of convex programs.
__getattr__ = lazily(
    __name__,
    {
        "benches.findings": "BenchRun",
        "benches.page": "write_bench",
        "benches.run": "bench",
        "claims.page": "write_claims",
        "generalization.page": "write_generalization",
        "generalization.run": "Generalization generalize",
        "generalization.verifying": "verify",
        "report": "BuildResult build",
        "validation": "Validation validate",
        "validation.page": "write_validation",
    },
)


def __dir__() -> list[str]:
    return __all__
