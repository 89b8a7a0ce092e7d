"""Sensitivity of sensitivity: exact against loops, whatever the layer; streaming; refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sipp_core.filters import sensitivity
from sipp_core.filters.sensitivity import channel_sensitivity, measure_channels
from sipp_core.sensitivity.empirical import empirical_sensitivity

KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CONVOLVE = (F.conv1d, F.conv2d, F.conv3d)


def brute_force(weight: np.ndarray, rows: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Shares by loops over sensitivity, neurons, signs and rows."""
    result = np.zeros(owner.max() + 1)
    for row in (*np.maximum(rows, 0), *np.maximum(-rows, 0)):
        for neuron in weight:
            for part in (np.maximum(neuron, 0), np.maximum(-neuron, 0)):
                terms = part * row
                z = terms[owner >= 0].sum()
                for c in range(len(result)):
                    if z > 0:
                        result[c] = max(result[c], terms[owner == c].sum() / z)
    return result


def contributions(conv: nn.Module, x: Tensor) -> Tensor:
    """What each channel brings to each pre-activation of a convolution, by convolving it alone."""
    apply = CONVOLVE[KINDS.index(type(conv))]
    weight = conv.weight
    assert isinstance(weight, Tensor)
    settings = {name: getattr(conv, name) for name in ("stride", "padding", "dilation")}
    parts = [
        apply(x[:, c : c + 1], weight[:, c : c + 1], **settings) for c in range(weight.shape[1])
    ]
    return torch.stack(parts)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_dense_layers_against_loops(seed, signed):
    rng = np.random.default_rng(seed)
    width, out, n = rng.integers(1, 9), rng.integers(1, 4), rng.integers(1, 6)
    weight = rng.integers(-3, 4, (out, width)).astype(float) * 10.0 ** rng.integers(-9, 9)
    rows = rng.normal(size=(n, width)) * (rng.random((n, width)) < 0.7)
    rows = rows if signed else np.abs(rows)
    owner = np.r_[rng.integers(-1, 4, width - 1), rng.integers(0, 4)].astype(np.int64)
    result = channel_sensitivity(torch.from_numpy(weight), torch.from_numpy(rows), owner)
    truth = brute_force(weight, rows, owner)
    assert np.abs(result - truth).max() < 1e-12
    assert truth.sum() == 0 or result.sum() > 1 - 1e-12  # ES-2, which the sizes rest on


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_convolutions_against_one_channel_at_a_time(seed, dims):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inside, size = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    conv = KINDS[dims - 1](
        inside, int(rng.integers(1, 4)), size, stride=int(rng.integers(1, 3)),
        padding=int(rng.integers(0, 2)), dilation=int(rng.integers(1, 3)), bias=False,
    ).double()  # fmt: skip
    x = torch.randn(3, inside, *[7] * dims, dtype=torch.float64)
    truth = torch.zeros(inside, dtype=torch.float64)
    original = conv.weight.detach().clone()
    for part in (x.clamp(min=0), (-x).clamp(min=0)):
        for kept in (original.clamp(min=0), (-original).clamp(min=0)):
            conv.weight.data = kept
            each = contributions(conv, part).detach()
            shares = torch.where(each.sum(0) > 0, each / each.sum(0), 0.0)
            truth = torch.maximum(truth, shares.flatten(1).amax(dim=1))
    conv.weight.data = original
    net = nn.Sequential(conv)
    result = measure_channels(net, x, {("0", 0): (np.arange(inside), inside)})
    stats = result.statistics["0", 0]
    assert np.abs(stats.sensitivity - truth.numpy()).max() < 1e-12
    assert stats.signed and stats.rows == net(x).shape[2:].numel()


def test_one_column_a_channel_is_the_sensitivity_of_the_worst_neuron():
    torch.manual_seed(0)
    w, a = torch.randn(7, 30, dtype=torch.float64), torch.randn(20, 30, dtype=torch.float64)
    result = channel_sensitivity(w, a, np.arange(30))
    assert np.allclose(result, empirical_sensitivity(w, a).amax(dim=0).numpy(), rtol=1e-13, atol=0)


def test_pixels_behind_a_flattening_and_two_groups_in_one_layer():
    """A block of columns is one channel; columns of another group are not in its z."""
    torch.manual_seed(1)
    layer = nn.Linear(12, 5).double()
    x = torch.rand(9, 12, dtype=torch.float64)
    blocks = np.array([0, 0, 0, 1, 1, 1, -1, -1, -1, -1, -1, -1])
    other = np.array([-1] * 6 + [0, 0, 1, 1, 2, 3])
    result = measure_channels(
        nn.Sequential(layer), x, {("0", 0): (blocks, 2), ("0", 1): (other, 4)}, batch_size=4
    )
    for group, owner in enumerate((blocks, other)):
        truth = brute_force(layer.weight.detach().numpy(), x.numpy(), owner)
        assert np.abs(result.statistics["0", group].sensitivity - truth).max() < 1e-12
    assert result.inputs == 9 and len(result.digests) == 9
    assert not result.statistics["0", 0].signed and result.statistics["0", 0].rows == 1


@pytest.mark.parametrize("chunk", [1, 50])
def test_chunks_and_batches_change_nothing(monkeypatch, chunk):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 2)).double()
    x = torch.rand(7, 3, 8, 8, dtype=torch.float64)
    expected = {("2", 0): (np.arange(4), 4)}
    whole = measure_channels(net, x, expected).statistics["2", 0]
    monkeypatch.setattr(sensitivity, "CHUNK", chunk)
    monkeypatch.setattr("sipp_core.network.patches.TILE", 100)
    cut = measure_channels(net, [x[:2], x[2:]], expected, batch_size=2).statistics["2", 0]
    assert np.allclose(whole.sensitivity, cut.sensitivity, rtol=1e-12, atol=0)
    assert whole.rows == cut.rows == 25


def test_extreme_magnitudes_keep_their_shares():
    w = torch.tensor([[1e-300, 1e-300], [1e300, 2e300]], dtype=torch.float64)
    a = torch.tensor([[1e-290, 3e-290], [1e308, 1e308]], dtype=torch.float64)
    assert np.allclose(channel_sensitivity(w, a, np.arange(2)), [0.5, 6 / 7])


def test_the_model_is_left_as_it_was():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    measure_channels(net, torch.rand(5, 3), {("2", 0): (np.arange(4), 4)})
    assert net.training and not net[2]._forward_pre_hooks
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_refusals_name_the_culprit():
    w = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"owner \(2,\) do not fit"):
        channel_sensitivity(w, torch.ones(1, 3), np.arange(2))
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    expected = {("1", 0): (np.arange(2), 2)}
    with pytest.raises(ValueError, match="layer '1' received an activation that is not finite"):
        measure_channels(net, torch.tensor([[1.0, torch.inf]]), expected)
    with pytest.raises(ValueError, match="calibration is empty"):
        measure_channels(net, torch.ones(0, 2), expected)
    assert not net[1]._forward_pre_hooks
