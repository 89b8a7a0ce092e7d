"""Truncated SVD: the best matrix of its rank, files, refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core import certify, load, prune
from sipp_core.methods.low_rank import rank_for
from sipp_core.network.structure import Change, TwoLayers, restructure


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5, bias=False))


def convolution() -> nn.Module:
    first = nn.Conv2d(4, 8, 3, stride=2, padding=1, padding_mode="circular", groups=2)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 6, (3, 2), dilation=2, padding="same"))


def line() -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 5, 4, padding=2, padding_mode="reflect"))


NETS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (dense, (12,)), (convolution, (4, 8, 6)), (line, (3, 9)),
    (lambda: nn.Conv3d(2, 4, 2), (2, 4, 3, 5)), (lambda: nn.Linear(6, 7), (6,)),
]  # fmt: skip


@pytest.mark.parametrize(("build", "shape"), NETS)
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.7])
def test_svd_is_the_best_matrix_of_its_rank(
    build: Callable[[], nn.Module], shape: tuple[int, ...], keep: float
) -> None:
    torch.manual_seed(0)
    model = build().double()
    inputs = torch.randn(7, *shape, dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    result = prune(model, inputs, method="svd", keep=keep)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    best = copy.deepcopy(model)
    for report in result.layers:
        layer: Any = best.get_submodule(report.name)
        groups = getattr(layer, "groups", 1)
        matrix = layer.weight.detach().flatten(1).numpy()
        blocks = np.split(matrix, groups)
        out, fan_in = blocks[0].shape
        rank = rank_for(keep, out, fan_in)
        cut = []
        for block in blocks:
            u, sigma, v = np.linalg.svd(block)
            truncated = (u[:, :rank] * sigma[:rank]) @ v[:rank]
            cut.append(truncated)
            assert np.linalg.norm(block - truncated, 2) == pytest.approx(
                sigma[rank] if rank < len(sigma) else 0, abs=1e-12
            )
        layer.weight.data = torch.from_numpy(np.concatenate(cut)).reshape(layer.weight.shape)
        assert report.nnz_after == rank * (out + fan_in) * groups
        assert report.nnz_after <= keep * matrix.size or rank == 1
    torch.testing.assert_close(result.model(inputs), best(inputs), rtol=1e-9, atol=1e-9)
    numbers_left = sum(p.numel() for n, p in result.model.named_parameters() if "weight" in n)
    assert numbers_left == result.nnz_after


@pytest.mark.parametrize(("build", "shape"), NETS)
def test_a_low_rank_network_is_saved_and_certified_like_any_other(
    build: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model, inputs = build(), torch.rand(40, *shape)
    model.train()
    result = prune(model, inputs, method="svd", keep=0.4)
    assert model.training and result.model.training
    again = load(result.save(tmp_path / "net.safetensors"), model)
    assert again.structure == result.structure and again.plans == () and again.masks == {}
    with torch.no_grad():
        assert torch.equal(again.model(inputs), result.model(inputs))
    assert result.save(tmp_path / "b").read_bytes() == again.save(tmp_path / "c").read_bytes()
    certificate = certify(model, again.model, torch.rand(50, *shape), delta=0.2, confidence=0.9)
    assert np.isfinite(certificate.eps)


def test_svd_says_so_where_one_rank_is_too_much() -> None:
    result = prune(nn.Linear(4, 4), torch.rand(3, 4), method="svd", keep=0.1)
    assert any("even rank 1 takes 8 numbers" in note for note in result.notes)
    assert result.nnz_after == 8


def test_svd_at_keep_1_is_the_network_itself() -> None:
    model, inputs = dense(), torch.rand(3, 12)
    result = prune(model, inputs, method="svd", keep=1.0)
    assert torch.equal(result.model(inputs), model(inputs))
    assert result.structure == () and not result.vacuous
    assert result.layers[0].whole == 9 and set(result.masks) == {"0", "2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"eps": 0.1, "delta": 0.1}, "'svd' does not use eps=0.1; it takes coverage_factor, keep"),
        ({"keep": 0.5, "scope": "global"}, "'svd' does not use scope='global'; it takes .*keep"),
        ({"keep": 0.5, "masks": True}, "'svd' does not use masks=True; it takes"),
        ({"keep": 0.5, "bound": "kl"}, "'svd' does not use bound='kl'; it takes"),
    ],
)
def test_what_svd_cannot_do_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prune(nn.Linear(4, 4), torch.rand(3, 4), method="svd", **arguments)


def test_rank_for_counts_the_numbers_of_both_factors() -> None:
    for out, fan_in, keep in ((300, 784, 0.1), (10, 10, 0.2), (7, 3, 0.5), (1, 5, 0.5)):
        rank = rank_for(keep, out, fan_in)
        assert rank * (out + fan_in) <= keep * out * fan_in or rank == 1
        if rank < min(out, fan_in):
            assert (rank + 1) * (out + fan_in) > keep * out * fan_in
    # 0.3 * 100 / 20 is 1.5 less than nothing in floating point: whole quotients are not lost.
    assert rank_for(0.6, 10, 10) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("0", "folded", (2,)), "a change is one of low-rank, narrow; found 'folded'"),
        (Change("7", "low-rank", (2,)), "no layer '7'"),
        (Change("1", "low-rank", (2,)), "layer '1' is a ReLU"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        restructure(dense(), [change])


def test_a_saved_low_rank_network_refuses_another_architecture(tmp_path: Path) -> None:
    path = prune(dense(), torch.rand(3, 12), method="svd", keep=0.4).save(tmp_path / "net")
    with pytest.raises(ValueError, match="does not fit the model"):
        load(path, nn.Sequential(nn.ReLU(), nn.Linear(12, 9)))


class ByHand(nn.Module):
    """Attention in small: one layer's matrix is multiplied by hand, as in torchvision's Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(x, self.qkv.weight, self.qkv.bias).relu())


def test_a_matrix_that_is_multiplied_by_hand_is_the_product_of_the_two(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = ByHand(), torch.rand(5, 12)
    result = prune(model, x, method="svd", keep=0.5)
    first, second, head = (result.model.get_submodule(k) for k in ("qkv.0", "qkv.1", "head"))
    expected = head(second(first(x)).relu())
    torch.testing.assert_close(result.model(x), expected)
    assert result.layers[0].measured is None  # the product is not what is stored
    again = load(result.save(tmp_path / "net"), ByHand()).model
    assert torch.equal(again(x), result.model(x))


def test_the_weight_of_a_low_rank_convolution_is_that_of_one_convolution() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(4, 6, 3, groups=2, padding=1), torch.rand(2, 4, 5, 5)
    new = prune(nn.Sequential(layer), x, method="svd", keep=0.5).model.get_submodule("0")
    assert isinstance(new, TwoLayers)
    one = F.conv2d(x, new.weight, new.bias, padding=1, groups=2)
    torch.testing.assert_close(new(x), one)
