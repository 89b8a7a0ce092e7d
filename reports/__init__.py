"""Paper-validation experiments and the report builder."""

from reports.build import BuildResult, build
from reports.claims_page import write_claims

__all__ = ["BuildResult", "build", "write_claims"]
