"""Support vector machines on a few points, with a certificate of suboptimality; no torch (SV)."""

from __future__ import annotations

from sipp_core.svm.certify import certify_svm
from sipp_core.svm.coreset import SVMCoreset
from sipp_core.svm.estimator import CoresetSVC

__all__ = ["CoresetSVC", "SVMCoreset", "certify_svm"]
