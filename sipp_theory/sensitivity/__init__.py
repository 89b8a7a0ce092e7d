"""Sensitivities and calibration sizes (ES)."""

from __future__ import annotations

from sipp_theory.sensitivity.scenario import (
    exchangeable_violation,
    scenario_points,
    scenario_support,
    scenario_violation,
    wait_and_judge_violation,
)
from sipp_theory.sensitivity.sensitivity import (
    CALIBRATION_RULES,
    assumption_factors,
    calibration_size,
    sensitivity,
    sensitivity_sum_bound,
    shares,
)

__all__ = [
    "CALIBRATION_RULES", "assumption_factors", "calibration_size", "exchangeable_violation",
    "scenario_points", "scenario_support", "scenario_violation", "sensitivity",
    "sensitivity_sum_bound", "shares", "wait_and_judge_violation",
]  # fmt: skip
