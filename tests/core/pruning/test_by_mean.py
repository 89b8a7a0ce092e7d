"""Ranking by mean: the largest means stay, the promise is that of the maxima, and no mode more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate, prune


def network() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6)
    ).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


def images(count: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 2, 6, 6, generator=generator, dtype=torch.float64) ** 2


def mean_shares(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean over rows >= 0 of each weight's share, neuron by neuron and sign by sign."""
    found = np.zeros((len(rows), *weight.shape))
    for i, w in enumerate(weight):
        for sign in (1, -1):
            found[:, i] += sipp_theory.shares(w, rows, sign)
    return found.mean(axis=0)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("method", ["sipp-det", "sipp-recentred"])
def test_the_largest_means_stay_and_the_maxima_promise(method: str, scope: str) -> None:
    model, x = network(), images()
    result = prune(model, x, method=method, keep=0.4, ranking="mean", scope=scope)
    stats = calibrate(model, x, statistics={"mean"})
    scores = [layer.mean.numpy() for layer in stats.layers if layer.mean is not None]
    masks = [result.masks[layer.name].flatten(1).numpy() for layer in stats.layers]
    if scope == "global":
        flat, kept = (
            np.concatenate([s.ravel() for s in scores]),
            np.concatenate([m.ravel() for m in masks]),
        )
        assert flat[kept].min() >= flat[~kept].max()
    else:
        assert all(s[m].min() >= s[~m].max() for s, m in zip(scores, masks, strict=True))
    by_max = prune(model, x, method=method, keep=0.4, scope=scope)
    assert any(not torch.equal(by_max.masks[k], result.masks[k]) for k in result.masks)
    assert by_max.nnz_after == result.nnz_after
    # SP-6 by brute force: what a neuron loses is at most the dropped sensitivities of a sign.
    for layer, mask, report in zip(stats.layers, masks, result.layers, strict=True):
        weight, s = layer.layer.weight.numpy(), layer.sensitivity.numpy()
        lost = [np.where((sign * weight > 0) & ~mask, s, 0).sum(axis=1) for sign in (1, -1)]
        promised = np.minimum(1, np.maximum(*lost))
        if method == "sipp-recentred":
            promised = promised / (2 - promised)
        np.testing.assert_allclose(report.eps_neuron, promised, rtol=1e-9)
    assert any("ranked by their mean" in note for note in result.notes)
    assert "SP-6" in result.claims and "AL-1" not in result.claims
    assert "AL-1" in by_max.claims and not any("mean" in note for note in by_max.notes)


def test_means_are_those_of_brute_force() -> None:
    model, x = nn.Linear(5, 3, dtype=torch.float64), images()[:, 0, 0, :5]
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 5, generator=torch.Generator().manual_seed(3)))
    score = mean_shares(model.weight.detach().numpy(), x.numpy())
    mask = prune(model, x, method="sipp-det", keep=7 / 15, ranking="mean").masks[""].numpy()
    assert np.array_equal(mask, score >= np.sort(score.ravel())[-7])


def test_what_has_fired_once_in_a_million_ranks_above_what_never_has() -> None:
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(model.weight)
    x = torch.tensor([[1.0, 0, 0]] * 5 + [[1.0, 1e-300, 0]], dtype=torch.float64)
    result = prune(model, x, method="sipp-det", keep=1.0 - 1e-9, ranking="mean")
    assert result.masks[""].tolist() == [[True, True, False]] and result.layers[0].eps == 0


def test_a_calibration_made_beforehand_must_have_kept_the_means() -> None:
    model, x = network(), images()
    with pytest.raises(ValueError, match="ranking='mean' needs the mean shares.*{'mean'}"):
        prune(model, calibrate(model, x), method="sipp-det", keep=0.5, ranking="mean")
    given = prune(
        model, calibrate(model, x, statistics={"mean"}), method="sipp-det", keep=0.5, ranking="mean"
    )
    made = prune(model, x, method="sipp-det", keep=0.5, ranking="mean")
    assert all(torch.equal(given.masks[k], made.masks[k]) for k in made.masks)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"eps": 0.3, "delta": 0.1, "ranking": "mean"}, "'mean' promises nothing, so guarantee"),
        ({"keep": 0.5, "ranking": "median"}, "ranking must be one of max, mean; found 'median'"),
        (
            {"keep": 0.5, "ranking": "mean", "method": "sipp-rand"},
            "keep the largest, sipp-det, sipp-recentred; found method 'sipp-rand'",
        ),
    ],
)
def test_what_has_no_use_for_means_is_refused(asked: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"method": "sipp-det"} | asked
    with pytest.raises(ValueError, match=message):
        prune(network(), images(), **arguments)
