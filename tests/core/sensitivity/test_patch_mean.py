"""The mean share over an image's patches, the largest of all images: by brute force, any cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate
from sipp_core.network import patches
from sipp_core.network.layers import prunable_layers
from sipp_core.network.patches import rows
from tests.core.methods.conftest import images, inputs


def by_hand(layer: nn.Module, x: Tensor, groups: int) -> np.ndarray:
    """Image by image and half by half, with all patches at once."""
    weight = layer.get_parameter("weight").detach().double().flatten(1).numpy()
    (of,) = prunable_layers(nn.Sequential(layer))
    blocks, best = np.split(weight, groups), np.zeros_like(weight)
    for image in x:
        halves = (image.clamp(min=0), (-image).clamp(min=0)) if (x < 0).any() else (image,)
        for half in halves:
            each = []
            for block, a in zip(blocks, rows(of, half[None]).double().numpy(), strict=True):
                share = np.zeros((len(a), *block.shape))
                for sign in (1, -1):
                    part = np.maximum(sign * block, 0)
                    flow = a @ part.T
                    with np.errstate(divide="ignore", invalid="ignore"):
                        share += np.where(
                            flow[:, :, None] > 0, part * a[:, None] / flow[..., None], 0
                        )
                each.append(share.mean(axis=0))
            best = np.maximum(best, np.concatenate(each))
    return best


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("tile", [patches.TILE, 300])
def test_it_is_the_mean_of_an_images_patches(
    signed: bool, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "TILE", tile)
    rng = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng))
    x = torch.randn(7, 4, 5, 5, generator=rng)
    x = x if signed else x.clamp(min=0)
    stats = calibrate(nn.Sequential(layer), x, statistics={"patch-mean"}).layers[0]
    assert stats.patches == 25 and stats.patch_mean is not None
    np.testing.assert_allclose(stats.patch_mean.numpy(), by_hand(layer, x, 2), rtol=1e-5, atol=1e-7)
    assert (stats.patch_mean <= stats.sensitivity * (1 + 1e-6)).all()


def test_a_linear_layer_has_its_maxima() -> None:
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    stats = calibrate(nn.Linear(5, 3), x, statistics={"patch-mean"}).layers[0]
    assert stats.patch_mean is not None and stats.patches == 1
    assert torch.equal(stats.patch_mean, stats.sensitivity)


def test_any_cut_of_the_stream_gives_the_same_bits() -> None:
    model, x = images(), inputs("images", 300)
    whole = calibrate(model, x, statistics={"patch-mean"})
    parts = calibrate(model, x.split(17), statistics={"patch-mean"}, batch_size=300)
    for a, b in zip(whole.layers, parts.layers, strict=True):
        assert a.patch_mean is not None and b.patch_mean is not None
        assert torch.equal(a.patch_mean, b.patch_mean)
    assert [layer.patches for layer in whole.layers] == [16, 9, 1]


def test_shares_of_tiny_and_huge_weights_keep_their_mean() -> None:
    """ES-3: scaling a neuron or a row changes no share, at the ends of float32 neither."""
    layer, x = nn.Conv1d(1, 2, 2, bias=False), torch.rand(4, 1, 6) + 0.1
    plain = calibrate(layer, x, statistics={"patch-mean"}).layers[0]
    with torch.no_grad():
        layer.weight.mul_(1e-30)
    tiny = calibrate(layer, x * 1e-8, statistics={"patch-mean"}).layers[0]
    assert plain.patch_mean is not None and tiny.patch_mean is not None
    torch.testing.assert_close(plain.patch_mean, tiny.patch_mean, rtol=1e-5, atol=0)
