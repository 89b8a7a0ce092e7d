"""Empirical sensitivities (ES), and what else calibration measures."""

from __future__ import annotations

from sipp_core.sensitivity import kernel
from sipp_core.sensitivity.calibrate import Calibration, calibrate
from sipp_core.sensitivity.empirical import empirical_sensitivity
from sipp_core.sensitivity.kernel import Accumulator
from sipp_core.sensitivity.output import LayerSensitivity, output_sensitivity
from sipp_core.sensitivity.statistics import (
    LayerStatistics,
    MeasuredLayer,
    Rows,
    Statistic,
    register_statistic,
)

__all__ = [
    "Accumulator", "Calibration", "LayerSensitivity", "LayerStatistics", "MeasuredLayer",
    "Rows", "Statistic", "calibrate", "empirical_sensitivity", "kernel", "output_sensitivity",
    "register_statistic",
]  # fmt: skip
