"""Neurons (NC): regions of inputs, bounds on a network over them, and which neurons stay."""

from __future__ import annotations

from sipp_core.neurons.regions import Ball, Box, Region

__all__ = ["Ball", "Box", "Region"]
