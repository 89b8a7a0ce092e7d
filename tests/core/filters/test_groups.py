"""Channels of a group: draws of them are right on average."""

from __future__ import annotations

import numpy as np

from sipp_core.filters.graph import ChannelGroup
from sipp_core.filters.groups import GroupTable, draw_sequence, drawn


def group_table(shares: np.ndarray) -> GroupTable:
    units = len(shares)
    group = ChannelGroup(units, ("a",), {"a": np.arange(units)}, {"b": np.arange(units)}, ())
    return GroupTable(group, {"b": shares}, 8, 4, 0.05, 1.0, "bernstein")


def test_draws_are_right_on_average():
    """The mean multiplier of a channel over many seeds is 1 within 5 standard errors."""
    table = group_table(np.array([0.9, 0.5, 0.0, 0.1, 0.02]))
    many = np.array([drawn(table, draw_sequence(table, s, 0), 20).multiplier for s in range(2000)])
    spread = many.std(axis=0, ddof=1) / np.sqrt(len(many))
    assert (many[:, 2] == 0).all()
    assert (np.abs(many.mean(axis=0) - 1)[[0, 1, 3, 4]] <= 5 * spread[[0, 1, 3, 4]]).all()
