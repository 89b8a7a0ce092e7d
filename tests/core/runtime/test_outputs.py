"""What models answer beside one tensor, and padded rows that are left out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import Batch, calibrate, certify, output_errors, prune, sparsest
from sipp_core.methods import SippNetwork
from sipp_core.runtime.outputs import scores
from tests.core.runtime.conftest import NAMED, Words, words

T, OTHER = torch.rand(3, 2), torch.rand(3, 5)


@dataclasses.dataclass
class Answer:
    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden: tuple[Tensor, ...] = ()


@pytest.mark.parametrize(
    ("output", "choice", "expected"),
    [
        (T, None, T),
        ((T,), None, T),
        ((T, (OTHER, OTHER)), None, T),
        ({"loss": OTHER, "logits": T}, None, T),
        ({"out": T, "aux": OTHER}, None, T),
        (Answer(OTHER, T), None, T),
        ((OTHER, T), 1, T),
        ({"a": OTHER, "b": T}, "b", T),
        ({"a": OTHER, "b": T}, 1, T),
        ((OTHER, {"x": T}), lambda out: out[1]["x"], T),
    ],
)
def test_the_scores_are_found(output: object, choice: Any, expected: Tensor) -> None:
    assert scores(output, choice) is expected


@pytest.mark.parametrize(
    ("output", "choice", "message"),
    [
        ((T, OTHER), None, r"a tuple of 0 \(3, 2\), 1 \(3, 5\): give output="),
        ({"a": T, "b": OTHER}, None, r"a dict of 'a' \(3, 2\), 'b' \(3, 5\)"),
        (None, None, "a NoneType"),
        ({"a": T}, "b", r"output='b' names no tensor .*'a' \(3, 2\)"),
        ((T, [OTHER]), 1, "output=1 names no tensor"),
        (T, 0, "output=0 names no tensor of what the model returns: a Tensor"),
        (T, lambda out: 3, "output= must return a tensor; found int"),
    ],
)
def test_what_is_not_plain_must_be_chosen(output: object, choice: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        scores(output, choice)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.relu(self.body(x))
        return self.one(h), self.two(h)


@pytest.mark.parametrize("method", ["sipp-det", SippNetwork(rounds=1)])
def test_networks_of_two_heads_are_pruned_and_certified_by_either(method: Any) -> None:
    torch.manual_seed(0)
    model, x, held = TwoHeads(), torch.rand(20, 4), torch.rand(120, 4)
    result = prune(model, x, method=method, keep=0.5, output=1)
    for head in (0, 1):
        cert = certify(model, result.model, held, output=head)
        with torch.no_grad():
            before, after = model(held)[head], result.model(held)[head]
        expected = ((after - before).norm(dim=1) / before.norm(dim=1)).max()
        assert cert.observed_max == pytest.approx(float(expected), rel=1e-5)
    with pytest.raises(TypeError, match=r"0 \(120, 3\), 1 \(120, 2\)"):
        certify(model, result.model, held)
    found = sparsest(model, x, held, eps=1.0, delta=0.1, keeps=(1.0,), output=1)
    assert found.certificate is not None and found.certificate.violations == 0


def test_a_seq_first_model_says_where_its_inputs_stand() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x).transpose(0, 1)

    x = torch.rand(6, 2, 4)
    with pytest.raises(ValueError, match=r"answers in shape \(2, 6, 3\).*two ways.*transpose"):
        calibrate(Late(), x)
    assert calibrate(Late(), x, output=lambda y: y.transpose(0, 1)).inputs == 6


def test_scores_of_positions_are_no_classes() -> None:
    torch.manual_seed(0)
    dense = nn.Conv2d(1, 2, 1)
    other = nn.Conv2d(1, 2, 1)
    errors, changed = output_errors(dense, other, torch.rand(5, 1, 3, 3))
    assert len(errors) == 5 and changed.size == 0
    assert certify(dense, other, torch.rand(100, 1, 3, 3)).disagreement is None


class Tokens(nn.Module):
    """Scores of every position, of which padded ones are garbage."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.fc, self.head = nn.Embedding(9, 5), nn.Linear(5, 6), nn.Linear(6, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.head(torch.relu(self.fc(self.table(input_ids))))


@pytest.mark.parametrize("mask", ["attention_mask", lambda batch: batch.named["input_ids"] != 0])
def test_padding_is_neither_measured_nor_promised(mask: Any) -> None:
    torch.manual_seed(1)
    model = Tokens()
    with torch.no_grad():  # the embedding of padding outweighs all others where it is live
        model.table.weight[0] = torch.tensor([100.0, 0, 0, 0, 0])
    batch = Batch(**NAMED)
    ids, kept = batch.named["input_ids"], batch.named["attention_mask"].bool()
    alone = calibrate(model, ids[kept][:, None])  # each token that counts, as an input of its own
    masked = calibrate(model, batch, mask=mask)
    for a, b in zip(masked.layers, alone.layers, strict=True):
        torch.testing.assert_close(a.sensitivity, b.sensitivity, rtol=1e-5, atol=1e-6)
    everything = calibrate(model, batch)
    assert not torch.allclose(everything.layers[0].sensitivity, masked.layers[0].sensitivity)
    result = prune(model, batch, method="sipp-det", keep=0.5, mask=mask)
    assert "mask= leaves out" in result.holds_for
    again = prune(model, ids[kept][:, None], method="sipp-det", keep=0.5)
    assert result.layers[0].measured == pytest.approx(again.layers[0].measured, rel=1e-5)


def test_certificates_leave_padded_positions_out() -> None:
    torch.manual_seed(2)
    model, other = Tokens(), Tokens()
    ids, mask = words(60, 5, 3)
    batch = Batch(input_ids=ids, attention_mask=mask)
    errors, changed = output_errors(model, other, batch, mask="attention_mask")
    with torch.no_grad():
        kept = mask[..., None].double()
        a, b = (m(ids).double() * kept for m in (model, other))
        expected = (b - a).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)
    np.testing.assert_allclose(errors, expected.numpy(), rtol=1e-6)
    assert changed.size == 0


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ("padding", "mask='padding' names no tensor of the batch; it has 'input_ids', 'attention"),
        (lambda batch: batch.named["input_ids"] > 99, "leaves no position"),
        (lambda batch: batch.named["input_ids"], "True and False, or 1 and 0"),
        (lambda batch: torch.ones(12), r"tensor \(n, positions\).*found \(12,\)"),
        (lambda batch: 3, r"tensor \(n, positions\).*found int"),
    ],
)
def test_masks_that_are_none_are_refused(mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(Words(), NAMED, mask=mask)
    with pytest.raises(ValueError, match="'support' counts inputs"):
        calibrate(Words(), NAMED, mask=mask, statistics={"support"})


def test_a_model_of_named_inputs_goes_all_the_way() -> None:
    torch.manual_seed(0)
    model = Words()
    for method in ("sipp-det", "sipp-network", "snip"):
        calibration = Batch(**NAMED, targets=torch.arange(12) % 3)
        result = prune(model, calibration, method=method, keep=0.5)
        ids, mask = words(100, 5, 9)
        cert = certify(
            model, result.model, {"input_ids": ids, "attention_mask": mask}, allow_repeats=True
        )
        assert cert.n == 100 and cert.observed_disagreement is not None
