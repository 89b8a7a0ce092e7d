"""Weights of largest sensitivity: optimal for what is promised, recentred, or by the mean."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate, prune
from sipp_core.methods import SippDet, SippRecentred
from sipp_core.pruning import planning
from tests.core.conftest import EPS, layer_table, promised

VARIANTS = {"sipp-det": SippDet, "sipp-recentred": SippRecentred}


def test_recentring_at_most_halves_towards_zero_and_never_worsens() -> None:
    table = layer_table(12, 40, 30, 3)
    plain = SippDet().by_budget([table], 200)[0]
    centred = SippRecentred().by_budget([table], 200)[0]
    np.testing.assert_allclose(centred.eps, plain.eps / (2 - plain.eps), rtol=1e-12)
    assert np.array_equal(plain.probability, centred.probability)
    np.testing.assert_allclose(centred.scale, 1 / (1 - plain.eps / 2), rtol=1e-12)


def test_det_minimises_the_sum_of_promised_errors() -> None:
    """AL-1's deterministic case against every choice of 3 of 6 weights."""
    table = layer_table(1, 6, 5, 4)
    best = float(SippDet().by_budget([table], 3)[0].eps.sum())
    result = []
    for choice in combinations(range(6), 3):
        kept = np.zeros((1, 6), dtype=bool)
        kept[0, list(choice)] = True
        result.append(float(planning.mask_plan(table, kept, table.sensitivity).eps.sum()))
    assert best == pytest.approx(min(result), rel=1e-12)


def test_dropping_one_weight_more_would_break_the_promise() -> None:
    plan = promised("sipp-det", "bernstein").plans[0]
    for sign in (0, 1):
        kept = plan.sign(sign) & (plan.probability > 0)
        dropped = plan.sign(sign) & ~kept
        for neuron in np.flatnonzero(kept.any(axis=1)):
            lost = plan.scores[neuron, dropped[neuron]].sum()
            assert lost <= EPS < lost + plan.scores[neuron, kept[neuron]].min() + 1e-9


# ---- ranked by the mean -------------------------------------------------------------------------


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
    result = np.zeros((len(rows), *weight.shape))
    for i, w in enumerate(weight):
        for sign in (1, -1):
            result[:, i] += sipp_theory.shares(w, rows, sign)
    return result.mean(axis=0)


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("method", ["sipp-det", "sipp-recentred"])
def test_the_largest_means_stay_and_the_maxima_promise(method: str, scope: str) -> None:
    model, x = network(), images()
    result = prune(model, x, method=VARIANTS[method](rank="mean"), keep=0.4, scope=scope)
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
    by_max = prune(model, x, method=VARIANTS[method](rank="max"), keep=0.4, scope=scope)
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


@pytest.mark.parametrize("method", ["sipp-det"])
def test_the_authors_rank_is_the_mean_over_patches_of_the_worst_image(method: str) -> None:
    model, x = network(), images()
    result = prune(model, x, method=method, keep=0.3)
    stats = calibrate(model, x, statistics={"patch-mean"})
    scores = np.concatenate([s.patch_mean.numpy().ravel() for s in stats.layers])  # pyright: ignore
    kept = np.concatenate([result.masks[s.name].numpy().ravel() for s in stats.layers])
    assert result.scope == "global" and scores[kept].min() >= scores[~kept].max()
    assert "AL-1" not in result.claims
    # By whatever weights are ranked, SP-6 is promised on the maxima, in guarantee mode by them.
    promise = prune(model, x, method=method, eps=0.4)
    by_max = prune(model, x, method=SippDet(rank="max"), eps=0.4)
    assert all(torch.equal(promise.masks[k], by_max.masks[k]) for k in promise.masks)
    with pytest.raises(ValueError, match=r"lacks what method 'sipp-det'.*{'patch-mean'}"):
        prune(model, calibrate(model, x), method=method, keep=0.5)


def test_means_are_those_of_brute_force() -> None:
    model, x = nn.Linear(5, 3, dtype=torch.float64), images()[:, 0, 0, :5]
    with torch.no_grad():
        model.weight.copy_(torch.randn(3, 5, generator=torch.Generator().manual_seed(3)))
    score = mean_shares(model.weight.detach().numpy(), x.numpy())
    mask = prune(model, x, method=SippDet(rank="mean"), keep=7 / 15).masks[""].numpy()
    assert np.array_equal(mask, score >= np.sort(score.ravel())[-7])


def test_what_has_fired_once_in_a_million_ranks_above_what_never_has() -> None:
    model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(model.weight)
    x = torch.tensor([[1.0, 0, 0]] * 5 + [[1.0, 1e-300, 0]], dtype=torch.float64)
    result = prune(model, x, method=SippDet(rank="mean"), keep=1.0 - 1e-9)
    assert result.masks[""].tolist() == [[True, True, False]] and result.layers[0].eps == 0


def test_a_calibration_made_beforehand_must_have_kept_the_means() -> None:
    model, x, method = network(), images(), SippDet(rank="mean")
    with pytest.raises(ValueError, match="lacks what method 'sipp-det'.*statistics={'mean'}"):
        prune(model, calibrate(model, x), method=method, keep=0.5)
    ready = prune(model, calibrate(model, x, statistics={"mean"}), method=method, keep=0.5)
    result = prune(model, x, method=method, keep=0.5)
    assert all(torch.equal(ready.masks[k], result.masks[k]) for k in result.masks)


def test_what_has_no_use_for_means_is_refused() -> None:
    with pytest.raises(ValueError, match="'mean' promises nothing, so guarantee"):
        prune(network(), images(), method=SippDet(rank="mean"), eps=0.3, delta=0.1)
    rank: Any = "median"
    with pytest.raises(
        ValueError, match="rank must be one of patch-mean, max, mean; found 'median'"
    ):
        SippDet(rank=rank)


@pytest.mark.parametrize("method", VARIANTS)
def test_the_old_spelling_builds_the_variant_and_says_how_to_write_it(method: str) -> None:
    model, x, kind = network(), images(), VARIANTS[method]
    new = prune(model, x, method=kind(rank="mean"), keep=0.5)
    with pytest.warns(
        DeprecationWarning, match=rf"write method=.*methods.{kind.__name__}\(rank='m"
    ):
        old = prune(model, x, method=method, keep=0.5, ranking="mean")
    assert old.summary() == new.summary() and old.arguments["rank"] == "mean"
    assert all(torch.equal(old.masks[k], new.masks[k]) for k in new.masks)
    with pytest.warns(DeprecationWarning, match=r"\(rank='max'\)"):
        assert prune(model, x, method=method, keep=0.5, ranking="max").arguments["rank"] == "max"


def test_the_old_spelling_is_refused_where_a_method_has_no_rank() -> None:
    model, x = network(), images()
    with pytest.raises(ValueError, match="'sipp-rand' has no parameter rank='mean'"):
        prune(model, x, method="sipp-rand", keep=0.5, ranking="mean")
    with pytest.raises(
        ValueError, match="rank must be one of patch-mean, max, mean; found 'median'"
    ):
        prune(model, x, method="sipp-det", keep=0.5, ranking="median")
    # What used to be the default says nothing of a method that has no rank.
    assert prune(model, x, method="sipp-rand", keep=0.5, ranking="max").nnz_after > 0
