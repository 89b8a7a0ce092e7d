"""2:4 and block masks: what stays, what it costs, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

import sipp_core
from sipp_core.pruning.patterns import Blocks, NofM, pattern_of


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))


def inputs() -> torch.Tensor:
    return torch.rand(64, 16, generator=torch.Generator().manual_seed(1))


scores = hnp.arrays(np.float64, (4, 8), elements=st.integers(0, 5).map(float))


@given(scores)
def test_two_of_four_is_the_best_of_all_sets(values: Any) -> None:
    (mask,) = NofM(2, 4).masks([values], values.size / 2)
    for group, kept in zip(values.reshape(-1, 4), mask.reshape(-1, 4), strict=True):
        best = max(sum(pair) for pair in itertools.combinations(group, 2))
        assert kept.sum() <= 2 and group[kept].sum() == best


@given(scores, st.integers(1, 32))
def test_blocks_are_the_best_of_all_sets(values: Any, budget: int) -> None:
    (mask,) = Blocks(2, 4).masks([values], budget)
    sums = values.reshape(2, 2, 2, 4).sum(axis=(1, 3)).ravel()
    count = max(1, budget // 8)
    assert values[mask].sum() == np.sort(sums)[::-1][:count].sum()
    whole = mask.reshape(2, 2, 2, 4) | (values.reshape(2, 2, 2, 4) == 0)
    anything = mask.reshape(2, 2, 2, 4).any(axis=(1, 3))
    assert whole.all(axis=(1, 3))[anything].all() and anything.sum() <= count


@pytest.mark.parametrize("method", ["sipp-det", "magnitude", "wanda", "random", "sipp-recentred"])
@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_no_more_than_n_of_m_stay(method: str, pattern: str) -> None:
    result = sipp_core.prune(net(), inputs(), method=method, pattern=pattern)
    n, m = map(int, pattern.split(":"))
    for layer in (0, 2):
        kept = result.model.get_parameter(f"{layer}.weight") != 0
        assert int(kept.reshape(-1, m).sum(1).max()) == n
    assert result.keep == n / m and result.arguments["pattern"] == pattern


def test_blocks_stay_or_go_as_a_whole() -> None:
    result = sipp_core.prune(net(), inputs(), method="magnitude", pattern="4x4", keep=0.5)
    for layer in (0, 2):
        kept = (result.model.get_parameter(f"{layer}.weight") != 0).double()
        blocks = kept.unflatten(0, (-1, 4)).unflatten(2, (-1, 4)).mean(dim=(1, 3))
        assert set(blocks.flatten().tolist()) <= {0.0, 1.0}
    assert result.nnz_after == result.nnz_before // 2


def test_what_a_pattern_costs_is_said_and_is_a_cost() -> None:
    free = sipp_core.prune(net(), inputs(), method="sipp-det", keep=0.5, scope="layer")
    held = sipp_core.prune(net(), inputs(), method="sipp-det", pattern="2:4", scope="layer")
    note = "".join(text for text in held.notes if text.startswith("pattern 2:4"))
    for bound, best in zip(held.layers, free.layers, strict=True):
        assert bound.nnz_after == best.nnz_after
        # As many weights of largest sensitivity lose least in all (SP-6, AL-1).
        assert bound.eps_neuron.sum() >= best.eps_neuron.sum() * (1 - 1e-12)
        assert f"{bound.name} {bound.eps:.4g} against {best.eps:.4g}" in note


def test_a_layer_of_which_nothing_is_promised_is_counted() -> None:
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(64, 8))
    # Each input is alone at some row: whatever goes is an error of 1 there.
    alone = sipp_core.prune(layer, torch.eye(64), method="magnitude", pattern="2:4")
    (note,) = (text for text in alone.notes if text.startswith("pattern 2:4"))
    assert note.endswith("in 1 of 1 layers nothing of most neurons either way")


def test_refits_and_masks_keep_a_pattern() -> None:
    result = sipp_core.prune(net(), inputs(), method="sipp-det", pattern="2:4", refit=True)
    kept = result.model.get_parameter("0.weight") != 0
    assert int(kept.reshape(-1, 4).sum(1).max()) == 2
    masked = sipp_core.prune(net(), inputs(), method="sipp-det", pattern="2:4", masks=True)
    assert int(masked.model.get_buffer("0.weight_mask").reshape(-1, 4).sum(1).max()) == 2


@pytest.mark.parametrize("text", ["4:4", "0:4", "2:4:8", "0x4", "1x1", "four", "", "2 : 4"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="pattern must be 'n:m'"):
        pattern_of(text)


def test_refusals() -> None:
    def prune(**more: Any) -> object:
        return sipp_core.prune(net(), inputs(), **{"method": "sipp-det", **more})

    with pytest.raises(ValueError, match=r"keeps 0.5 of the weights; found keep=0.3"):
        prune(pattern="2:4", keep=0.3)
    with pytest.raises(ValueError, match="is of budget mode"):
        prune(pattern="2:4", eps=0.1)
    with pytest.raises(ValueError, match="give either keep"):
        prune(pattern="4x4")
    with pytest.raises(ValueError, match="does not use pattern='2:4'"):
        prune(pattern="2:4", method="sipp-poisson")
    with pytest.raises(ValueError, match=r"'0': 16 inputs.*; layer '2': 8 inputs.*'!0', '!2'"):
        prune(pattern="1:3")
    with pytest.raises(ValueError, match="4 x 8 is no whole number of blocks 8x8"):
        prune(pattern="8x8", keep=0.5)
