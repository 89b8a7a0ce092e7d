"""Filters and channels (PF)."""

from __future__ import annotations

from sipp_theory.filters.channels import (
    channel_bernstein_error,
    channel_bernstein_size,
    channel_error,
    channel_size,
)

__all__ = ["channel_bernstein_error", "channel_bernstein_size", "channel_error", "channel_size"]
