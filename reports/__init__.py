"""Paper-validation experiments and the report builder."""

from reports.bench_page import write_bench
from reports.benches.findings import BenchRun
from reports.benches.run import bench
from reports.build import BuildResult, build
from reports.claims_page import write_claims
from reports.validation import Validation, validate
from reports.validation_page import write_validation

__all__ = [
    "BenchRun", "BuildResult", "Validation", "bench", "build", "validate", "write_bench",
    "write_claims", "write_validation",
]  # fmt: skip
