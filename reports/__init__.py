"""Paper-validation experiments and the report builder."""

from reports.benches.findings import BenchRun
from reports.benches.page import write_bench
from reports.benches.run import bench
from reports.build import BuildResult, build
from reports.claims.page import write_claims
from reports.generalization.page import write_generalization
from reports.generalization.run import Generalization, generalize
from reports.generalization.verifying import verify
from reports.validation import Validation, validate
from reports.validation.page import write_validation

__all__ = [
    "BenchRun", "BuildResult", "Generalization", "Validation", "bench", "build", "generalize",
    "validate", "verify", "write_bench", "write_claims", "write_generalization",
    "write_validation",
]  # fmt: skip
