"""What every method does: the model stays, files and certificates work, a ready calibration too."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sipp_core import certify, load, prune
from tests.core.methods.conftest import relu_network, rows

ASKED: list[tuple[str, dict[str, Any]]] = [
    ("nettrim", {"eps": 0.2}), ("nettrim", {"keep": 0.5}), ("nettrim-cascade", {"eps": 0.2}),
    ("nettrim-cvxpy", {"eps": 0.2}), ("nettrim-cvxpy-cascade", {"eps": 0.2}),
    ("filters-det", {"keep": 0.5}), ("filters-rand", {"keep": 0.5}),
    ("filters-det", {"eps": 0.4, "delta": 0.1}), ("filters-rand", {"eps": 0.4, "delta": 0.1}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "asked"), ASKED)
def test_they_are_pruned_saved_and_certified_like_all_others(
    method: str, asked: dict[str, Any], tmp_path: Path
) -> None:
    model, x = relu_network(), rows()
    before = copy.deepcopy(model.state_dict())
    result = prune(model, x, method=method, seed=2, **asked)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert result.method == method and result.nnz_after < result.nnz_before
    weights = [m.weight for m in result.model.modules() if isinstance(m, nn.Linear)]
    assert [int((w != 0).sum()) for w in weights] == [r.nnz_after for r in result.layers]
    for report in result.layers:
        assert report.nnz_after == report.budgets.sum() or method.startswith("nettrim")
        assert report.eps_neuron.shape == (report.shape[0],)
    if "keep" in asked:
        assert result.kept <= asked["keep"] + 1e-9
    again = load(result.save(tmp_path / "a"), model)
    with torch.no_grad():
        assert torch.equal(again.model(x), result.model(x))
    assert again.structure == result.structure and again.vacuous == result.vacuous
    assert again.save(tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    certificate = certify(model, again.model, rows(60, seed=9), delta=0.2, confidence=0.9)
    assert np.isfinite(certificate.eps)
