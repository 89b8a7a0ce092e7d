"""`sipp bench`: one module a family, ratios within one run."""

from reports.benches.findings import BenchRun, Curve, Measured, read
from reports.benches.run import bench

__all__ = ["BenchRun", "Curve", "Measured", "bench", "read"]
