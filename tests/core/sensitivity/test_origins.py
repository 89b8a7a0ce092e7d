"""Which input a row comes from: right where it is said, refused by name where nobody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate


class Tokens(nn.Module):
    """A dense layer on tokens in some order, then the mean of them."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order, self.fc = order, nn.Linear(6, 4, dtype=torch.float64)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():  # three weights of each sign: no share is 1, so nothing ties
            signs = torch.tensor([1.0, -1.0]).repeat(4, 3)
            self.fc.weight.copy_(signs * (0.5 + torch.rand(4, 6, generator=generator)))

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "sequence first":
            return self.fc(x.transpose(0, 1)).mean(dim=0)
        if self.order == "flattened, sequence first":
            return self.fc(x.transpose(0, 1).flatten(0, 1)).unflatten(0, (x.shape[1], -1)).mean(0)
        if self.order == "reversed":
            return self.fc(x.flip(0)).flip(0).mean(dim=1)
        if self.order == "flattened":
            return self.fc(x.flatten(0, 1)).unflatten(0, (len(x), -1)).mean(dim=1)
        if self.order == "one token more":
            return self.fc(torch.cat([x.flatten(0, 1), x.new_ones(1, 6)]))[: len(x)]
        if self.order == "no batch":
            return x[:, 0, :4] * self.fc(torch.eye(6, dtype=x.dtype)[:2]).mean()
        if self.order == "routed":
            chosen = x[x[..., 0] > 0.6]
            return self.fc(chosen).sum(dim=0).expand(len(x), 4)
        return self.fc(x).mean(dim=1)


def tokens(n: int, length: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.1 + torch.rand(n, length, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("order", ["batch first", "flattened"])
@pytest.mark.parametrize(("n", "length", "batch"), [(7, 5, 4), (6, 6, 6), (5, 1, 3), (4, 3, 1)])
def test_the_inputs_that_set_maxima_are_counted_by_brute_force(
    order: str, n: int, length: int, batch: int
) -> None:
    model, x = Tokens(order), tokens(n, length)
    layer = calibrate(model, x, statistics={"support"}, batch_size=batch).layers[0]
    weight = model.fc.weight.detach().numpy()
    best = np.stack([sipp_theory.sensitivity(weight, rows.numpy()) for rows in x])
    first = np.where(best.max(axis=0) > 0, best.argmax(axis=0), -1)
    assert layer.support_total == len(set(first[first >= 0].tolist()))
    for sign, here in enumerate((weight > 0, weight < 0)):
        counts = [len(set(f[h & (f >= 0)].tolist())) for f, h in zip(first, here, strict=True)]
        assert layer.support is not None and layer.support[sign].tolist() == counts


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("sequence first", r"layer 'fc' receives rows of shape .* not in the order of the inputs"),
        ("flattened, sequence first", r"layer 'fc' receives .*\(sequence first\?\)"),
        ("one token more", r"layer 'fc' received 16 rows .* for 3 inputs: its leading dimension"),
        ("no batch", r"layer 'fc' received 2 rows \(shape \(2, 6\)\) for 3 inputs: its leading"),
        ("routed", r"layer 'fc' rece.*'support' cannot tell which input a row comes from"),
    ],
)
def test_rows_that_nobody_can_tell_the_input_of_are_refused(order: str, message: str) -> None:
    # As many tokens as inputs: no shape tells the order.
    model, x = Tokens(order), tokens(5, 5)
    before = [len(m._forward_pre_hooks) for m in model.modules()], model.training
    with pytest.raises(ValueError, match=message):
        calibrate(model, x, statistics={"support"}, batch_size=5)
    assert ([len(m._forward_pre_hooks) for m in model.modules()], model.training) == before
    # Maxima need no origin.
    assert calibrate(model, x, batch_size=5).layers[0].support is None
    with pytest.raises(ValueError, match="without 'support'"):
        calibrate(model, x, statistics={"support"}, batch_size=5)


def test_a_reversed_batch_is_refused_nowhere_as_the_middle_stays() -> None:
    """Counting is by distinct inputs, so any relabelling within a batch gives the same counts."""
    x = tokens(6, 2)
    straight = calibrate(Tokens("batch first"), x, statistics={"support"}).layers[0]
    turned = calibrate(Tokens("reversed"), x, statistics={"support"}).layers[0]
    assert turned.support_total == straight.support_total


def test_the_trial_waits_for_inputs_that_differ_and_counts_nothing() -> None:
    model = Tokens("sequence first")
    same = tokens(1, 4).expand(4, 4, 6)
    x = torch.cat([same, tokens(4, 4, seed=1)])
    with pytest.raises(ValueError, match="not in the order of the inputs"):
        calibrate(model, x, statistics={"support"}, batch_size=4)
    plain = calibrate(Tokens("batch first"), x, batch_size=4).layers[0]
    tried = calibrate(Tokens("batch first"), x, batch_size=4, statistics={"support"}).layers[0]
    assert tried.rows == plain.rows and torch.equal(tried.sensitivity, plain.sensitivity)


def test_convolutions_and_transformers_of_torch_are_told_apart() -> None:
    images: Any = torch.rand(5, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    net = nn.Sequential(nn.Conv2d(2, 3, 3, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
    assert calibrate(net, images, statistics={"support"}).layers[0].support_total is not None
    x = torch.rand(5, 4, 8, generator=torch.Generator().manual_seed(2))
    first = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert len(calibrate(first, x, statistics={"support"}, layers="!self_attn").layers) == 2

    class SequenceFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.TransformerEncoderLayer(8, 2, 16)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.transpose(0, 1)).transpose(0, 1)

    with pytest.raises(ValueError, match=r"'inner.linear1' receives rows .*sequence first"):
        calibrate(SequenceFirst(), x, statistics={"support"}, layers="!inner.self_attn")
