"""Neurons (NC): regions of inputs, bounds on a network over them, and which neurons stay."""

from __future__ import annotations

from sipp_core.neurons import lines
from sipp_core.neurons.pairing import embedded
from sipp_core.neurons.regions import Ball, Box, Domain, Region, box_ends
from sipp_core.neurons.relaxation import REFINED, SYMBOLS, Difference

__all__ = [
    "REFINED", "SYMBOLS", "Ball", "Box", "Difference", "Domain", "Region", "box_ends", "embedded",
    "lines",
]  # fmt: skip
