"""What a group of channels is promised: the printed size, delta of a layer, rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import sipp_theory
from proofs_check.instances.networks import TwoGroups
from sipp_core import prune_filters
from sipp_core.filters.graph import ChannelGroup, channel_graph
from sipp_core.filters.groups import GroupTable, draw_sequence, drawn


def table(events: int, delta: float, bound: str, unit: float = 0.0) -> GroupTable:
    group = channel_graph(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(1, 3)
    )
    assert isinstance(group.groups[0], ChannelGroup)
    shares = {"2": np.array([0.9, 0.5, 0.4, 0.2])}
    return GroupTable(group.groups[0], shares, events, 4, delta, 1.0, bound, unit)


@pytest.mark.parametrize("events", [8, 51_000, 200_000, 10**8])
def test_the_printed_size_covers_all_events(events: int) -> None:
    """PF-1 fails at one of N events with 2 (delta/(4 eta*))^3; that adds up to delta, or less."""
    delta, eta_star, m = 0.2, 4, 500
    eps = table(events, delta, "printed").draw_error(m)
    # The delta at which the printed error is this one: m eps^2 = (6 + 2 eps) S ln(4 eta*/delta).
    used = 4 * eta_star * math.exp(-m * eps**2 / ((6 + 2 * eps) * 2.0))
    assert events * 2 * (used / (4 * eta_star)) ** 3 <= delta * (1 + 1e-9)
    printed = float(sipp_theory.channel_error(table(1, delta, "printed").total, m, delta, eta_star))
    assert (eps == printed) == (events <= 32 * eta_star**3 / delta**2)
    size = table(events, delta, "printed").draw_size(0.3)
    assert table(events, delta, "printed").draw_error(size) <= 0.3
    assert table(events, delta, "printed").draw_error(size - 1) > 0.3


@pytest.mark.parametrize("bound", ["printed", "bernstein"])
def test_rounding_is_part_of_what_a_group_is_promised(bound: str) -> None:
    unit = 2.0**-8
    exact, held = table(8, 0.1, bound), table(8, 0.1, bound, unit)
    assert held.draw_error(900) == exact.draw_error(900) * (1 + unit) + unit
    size = held.draw_size(0.3)
    assert held.draw_error(size) <= 0.3 * (1 + 1e-12) and size > exact.draw_size(0.3)
    assert held.draw_size(unit) == math.inf


def test_a_layer_that_two_groups_feed_shares_delta_between_them() -> None:
    x = torch.rand(12, 3).double()
    result = prune_filters(TwoGroups().double(), x, method="filters-rand", eps=0.9, delta=0.1)
    assert result.channels is not None and "a group at a time" not in result.holds_for
    first, second = result.channels.groups
    assert first.draws > 0 and second.draws > 0
    for group in (first, second):
        eps = sipp_theory.channel_bernstein_error(
            group.sensitivity_sum, group.draws, 0.05, group.events
        )
        assert group.eps == eps <= 0.9


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
