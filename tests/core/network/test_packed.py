"""Projections that attention packs, products written by hand, and transposed layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core import calibrate, certify, load, multiply_adds, prune
from sipp_core.network.layers import prunable_layers, weight_of
from sipp_core.network.packed import is_dense, is_transposed, layer_of
from sipp_core.runtime.products import matrix_rows

E, HEADS = 8, 2


class Attention(nn.Module):
    """Self- or cross-attention and a head, by torch's module or written with plain layers."""

    def __init__(self, packed: bool, cross: bool, kdim: int = E) -> None:
        super().__init__()
        self.cross, self.packed, self.kdim = cross, packed, kdim
        if packed:
            self.attn = nn.MultiheadAttention(E, HEADS, batch_first=True, kdim=kdim, vdim=kdim)
        else:
            self.q, self.k = nn.Linear(E, E), nn.Linear(kdim, E)
            self.v, self.out = nn.Linear(kdim, E), nn.Linear(E, E)
        self.head = nn.Linear(E, 3)

    def forward(self, x: Tensor) -> Tensor:
        key = x[:, :3, : self.kdim] if self.cross else x
        if self.packed:
            y = self.attn(x, key, key, need_weights=False)[0]
        else:
            parts = [p(a) for p, a in ((self.q, x), (self.k, key), (self.v, key))]
            q, k, v = (p.unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in parts)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            y = self.out(y)
        return self.head(y.mean(dim=1))


NAMES = {"attn.q_proj": "q", "attn.k_proj": "k", "attn.v_proj": "v", "attn.out_proj": "out",
         "head": "head"}  # fmt: skip


def both(cross: bool, kdim: int = E) -> tuple[nn.Module, nn.Module]:
    """The same network twice: packed, and with plain layers."""
    torch.manual_seed(0)
    packed, plain = Attention(True, cross, kdim), Attention(False, cross, kdim)
    with torch.no_grad():
        for name, other in NAMES.items():
            layer, target = layer_of(packed, name), plain.get_submodule(other)
            layer.get_parameter("bias").copy_(torch.rand(len(weight_of(layer))) - 0.5)
            target.get_parameter("weight").copy_(weight_of(layer))
            target.get_parameter("bias").copy_(layer.get_parameter("bias"))
    return packed, plain


@pytest.mark.parametrize(("cross", "kdim"), [(False, E), (True, E), (True, 5)])
@pytest.mark.parametrize("method", ["sipp-det", "sipp-poisson", "sipp-network", "snip", "wanda"])
def test_packed_projections_are_pruned_as_plain_layers_are(
    cross: bool, kdim: int, method: str
) -> None:
    packed, plain = both(cross, kdim)
    x = torch.rand(16, 5, E, generator=torch.Generator().manual_seed(1)) - 0.4
    torch.testing.assert_close(packed(x), plain(x))
    given: Any = [(x, torch.arange(16) % 3)]
    state = copy.deepcopy(packed.state_dict())
    a = prune(packed, given, method=method, keep=0.5, seed=3)
    b = prune(plain, given, method=method, keep=0.5, seed=3)
    result = {layer.name: layer for layer in a.layers}
    assert set(result) == set(NAMES)
    for other in b.layers:
        name = next(n for n, short in NAMES.items() if short == other.name)
        if method != "sipp-poisson":  # its draws depend on the layer's place
            assert result[name].nnz_after == other.nnz_after
            assert result[name].measured == pytest.approx(other.measured, rel=1e-3, abs=1e-6)
        assert result[name].measured is not None
    assert all(torch.equal(v, state[k]) for k, v in packed.state_dict().items())
    if method in ("sipp-det", "wanda"):
        torch.testing.assert_close(a.model(x), b.model(x))
        for name in NAMES:
            mask = weight_of(layer_of(a.model, name)) != 0
            assert torch.equal(mask, a.masks[name])


def test_every_pruned_projection_is_saved_loaded_and_certified(tmp_path: Any) -> None:
    packed, _ = both(False)
    x = torch.rand(16, 5, E, generator=torch.Generator().manual_seed(1))
    result = prune(packed, x, method="sipp-poisson", eps=0.5, delta=0.1)
    result.save(tmp_path / "net")
    again = load(tmp_path / "net", Attention(True, False)).model
    for name, value in result.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    held = torch.rand(100, 5, E, generator=torch.Generator().manual_seed(2))
    assert certify(packed, again, held).n == 100
    costs = multiply_adds(packed, x[:1])
    assert costs == {"attn.q_proj": 320, "attn.k_proj": 320, "attn.v_proj": 320,
                     "attn.out_proj": 320, "head": 24}  # fmt: skip
    with pytest.raises(ValueError, match="'attn.q_proj', .* keeps its weight packed.*masks=False"):
        prune(packed, x, method="sipp-det", keep=0.5, masks=True)
    with pytest.raises(ValueError, match=r"'attn\.q_proj', .*'attn\.v_proj' is no.*low-rank"):
        prune(packed, x, method="svd", keep=0.5)


def test_torchs_transformer_takes_its_slow_way_and_finds_its_fast_way_again() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(E, HEADS, 16, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(E, 2)).eval()
    x = torch.rand(20, 5, E)
    result = prune(model, x, method="sipp-det", keep=0.5)
    assert [r.name for r in result.layers][:4] == [
        f"0.layers.0.self_attn.{part}" for part in ("q_proj", "k_proj", "v_proj", "out_proj")
    ]
    assert result.kept == pytest.approx(0.5, abs=0.01)
    assert torch.backends.mha.get_fastpath_enabled() and F.linear.__name__ == "linear"
    chosen = [layer.name for layer in prunable_layers(model, "!*.self_attn")]
    assert chosen == ["0.layers.0.linear1", "0.layers.0.linear2", "0.layers.1.linear1",
                      "0.layers.1.linear2", "1"]  # fmt: skip


class ByHand(nn.Module):
    """Swin's way: the layer's weight is taken out of it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.qkv = way, nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "positions":
            return F.linear(x, self.qkv.weight, self.qkv.bias)
        if self.way == "keywords":
            return F.linear(input=x, weight=self.qkv.weight)
        if self.way == "twice":
            return self.qkv(x) + F.linear(x.square(), self.qkv.weight)
        if self.way == "in parts":
            return F.linear(x, self.qkv.weight[:3])
        return F.linear(x, self.qkv.weight.clone())


@pytest.mark.parametrize("way", ["positions", "keywords", "twice"])
def test_products_written_by_hand_are_heard(way: str) -> None:
    model = ByHand(way)
    x = torch.rand(9, 4)
    seen = torch.cat([x, x.square()]) if way == "twice" else x
    expected = calibrate(nn.Sequential(copy.deepcopy(model.qkv)), seen).layers[0]
    result = calibrate(model, x).layers[0]
    assert torch.equal(result.sensitivity, expected.sensitivity)


def test_products_that_are_not_the_whole_matrix_are_refused() -> None:
    for way, operator in (("in parts", r"\w+"), ("copied", "clone")):
        with pytest.raises(ValueError, match=rf"'qkv' \(by {operator}\) is read.*'!qkv'"):
            calibrate(ByHand(way), torch.rand(9, 4))
        assert F.linear.__name__ == "linear"


def test_rows_are_told_by_their_memory() -> None:
    w = torch.rand(6, 4)
    assert matrix_rows(w, w) == slice(0, 6) and matrix_rows(w, w[4:]) == slice(4, 6)
    for part in (w.clone(), w[:, :2], w[:4].T, w.flatten()[2:10].view(2, 4), w[::2], w[0]):
        assert matrix_rows(w, part) is None


class Conv1D(nn.Module):
    """A dense layer whose weight is (in, out), as transformers have it."""

    __module__ = "transformers.pytorch_utils"

    def __init__(self, out: int, fan_in: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.randn(fan_in, out)),
            nn.Parameter(torch.ones(out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        flat = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return flat.view(*x.shape[:-1], -1)


@pytest.mark.parametrize("method", ["sipp-det", "sipp-network", "snip", "corenet", "magnitude"])
def test_transposed_layers_are_pruned_as_linear_ones_are(method: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Conv1D(6, 4), nn.ReLU(), Conv1D(3, 6))
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        for place in (0, 2):
            plain[place].weight.copy_(model[place].weight.T)  # type: ignore[operator, union-attr]
            plain[place].bias.copy_(model[place].bias)  # type: ignore[operator, union-attr]
    assert is_transposed(model[0]) and is_dense(model[0]) and not is_transposed(plain[0])
    pairs: Any = [(torch.rand(30, 4) - 0.3, torch.arange(30) % 3)]
    a = prune(model, pairs, method=method, keep=0.5, seed=1)
    b = prune(plain, pairs, method=method, keep=0.5, seed=1)
    assert a.nnz_before == 42 and a.nnz_after == b.nnz_after
    torch.testing.assert_close(a.model(pairs[0][0]), b.model(pairs[0][0]))
    a.save(tmp_path / "net")
    again = load(tmp_path / "net", nn.Sequential(Conv1D(6, 4), nn.ReLU(), Conv1D(3, 6)))
    assert torch.equal(again.model.get_parameter("0.weight"), a.model.get_parameter("0.weight"))


def test_a_transposed_weight_taken_as_it_stands_is_no_call_of_its_layer() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = Conv1D(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(self.up(x), self.up.weight)

    with pytest.raises(ValueError, match=r"'up' \(by mm\) is read outside"):
        calibrate(Tied(), torch.rand(9, 4))
