"""Paper-validation experiments and the report builder."""

from reports.bench_page import write_bench
from reports.benches.findings import BenchRun
from reports.benches.run import bench
from reports.build import BuildResult, build
from reports.claims_page import write_claims

__all__ = ["BenchRun", "BuildResult", "bench", "build", "write_bench", "write_claims"]
