"""Random masks: uniform over all sets of a size, other dice for every layer and seed."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import combinations

import numpy as np
import torch
from scipy import stats
from torch import nn

from sipp_core import calibrate, prune
from sipp_core.methods import RandomMask
from sipp_core.pruning.table import Table, make_table


def tiny(weight: list[list[float]]) -> Table:
    module = nn.Linear(len(weight[0]), len(weight), bias=False).double()
    with torch.no_grad():
        module.weight.copy_(torch.tensor(weight))
    layer = calibrate(module, torch.ones(1, len(weight[0])).double()).layers[0]
    return make_table(layer, delta=0.1, coverage_factor=1, bound="kl", eta=2, eta_star=3)


def test_a_random_mask_is_uniform_over_all_masks_of_nonzero_weights() -> None:
    table = tiny([[1.0, -2.0, 0.0], [3.0, 4.0, -5.0]])
    every = list(combinations([0, 1, 3, 4, 5], 2))
    seen: Counter[tuple[int, ...]] = Counter()
    for seed in range(2000):
        plan = RandomMask().by_budget([dataclasses.replace(table, seed=(seed, 4))], 2)[0]
        assert set(np.unique(plan.probability)) == {0, 1} and (plan.scale == 1).all()
        seen[tuple(np.flatnonzero(plan.probability).tolist())] += 1
    assert set(seen) == set(every)
    assert stats.chisquare([seen[mask] for mask in every]).pvalue > 1e-4


def test_random_masks_of_layers_and_seeds_differ() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20))
    x = torch.rand(8, 20)
    first, second = (prune(model, x, method="random", keep=0.5, seed=s) for s in (0, 1))
    masks = [*first.masks.values(), *second.masks.values()]
    for a, b in combinations(masks, 2):
        assert 100 < int((a == b).sum()) < 300
    assert first.vacuous and all(report.eps == 1 for report in first.layers)
    assert "SP-6" in first.claims and "with probability" not in first.holds_for
