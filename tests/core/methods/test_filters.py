"""Filter pruning as a method of `prune`: one result, old spellings, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sipp_core import prune, prune_filters
from sipp_core.zoo import models


@pytest.mark.parametrize("method", ["filters-det", "filters-rand"])
def test_filters_do_what_their_own_function_does(method: str) -> None:
    model, x = models.build("lenet-5", 1), torch.rand(12, 1, 28, 28)
    mine = prune(model, x, method=method, keep=0.5, seed=4)
    theirs = prune_filters(model, x, method=method, keep=0.5, seed=4)
    for a, b in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {c.name: c.sizes for c in mine.structure} == theirs.shapes
    by_name = {report.name: report for report in theirs.layers}
    for report in mine.layers:
        own = by_name[report.name]
        assert (report.nnz_before, report.nnz_after) == (own.nnz_before, own.nnz_after)
        assert report.removed == report.shape[0] - len(own.kept_filters)
        assert report.eps == own.eps
        gone = np.setdiff1d(np.arange(report.shape[0]), own.kept_filters)
        assert (report.budgets[:, gone] == 0).all()
    assert f"{theirs.parameters_after:,}" in mine.notes[0]
