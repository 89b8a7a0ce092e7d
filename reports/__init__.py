"""Paper-validation experiments and the report builder."""

from reports.build import BuildResult, build

__all__ = ["BuildResult", "build"]
