"""Batches of several tensors, by position and by name, and what can be read in two ways."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sipp_core import Batch, calibrate, certify, prune
from sipp_core.runtime.batch import misfit
from sipp_core.runtime.inputs import batches, held_pairs
from sipp_core.runtime.provenance import digests
from tests.core.runtime.conftest import IDS, MASK, NAMED, Words, words

X, Y = torch.rand(8, 4), torch.arange(8) % 3


class TwoInputs(nn.Module):
    """Adds what two layers make of two inputs, and scales by a setting."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 6), nn.Linear(2, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor, y: Tensor, *, scale: float = 1.0) -> Tensor:
        return self.head(torch.relu(self.left(x) + self.right(y))) * scale


class Fields(NamedTuple):
    input_ids: Tensor
    attention_mask: Tensor


SPELLINGS: dict[str, Any] = {
    "one dict": NAMED,
    "dicts": [{k: v[s : s + 5] for k, v in NAMED.items()} for s in (0, 5, 10)],
    "batch": Batch(**NAMED),
    "batches": Batch(**NAMED).split(7),
    "named tuple": [Fields(IDS, MASK)],
    "with targets": [Batch(**NAMED, targets=torch.zeros(12))],
    "pair": [(NAMED, torch.zeros(12))],
    "loader": DataLoader(
        [{k: v[i] for k, v in NAMED.items()} for i in range(12)],  # type: ignore[arg-type]
        batch_size=5,
    ),
}


@pytest.mark.parametrize("way", SPELLINGS)
def test_every_spelling_of_named_batches_is_the_same_stream(way: str) -> None:
    result = list(batches(SPELLINGS[way], 7))
    assert [len(b) for b in result] == [7, 5]
    for name, value in NAMED.items():
        parts = [b.named[name] for b in result if isinstance(b, Batch)]
        assert torch.equal(torch.cat(parts), value)
    assert all(isinstance(b, Batch) and b.targets is None for b in result)


def test_two_inputs_by_position_by_name_and_with_a_setting_prune_alike() -> None:
    torch.manual_seed(0)
    model, y = TwoInputs(), torch.rand(8, 2)
    ways = [[Batch(X, y)], {"x": X, "y": y}, Batch(x=X, y=y, scale=1.0)]
    results = [prune(model, way, method="sipp-det", keep=0.5) for way in ways]
    weights = [r.model.get_parameter("right.weight") for r in results]
    assert all(torch.equal(w, weights[0]) for w in weights)
    held = Batch(torch.rand(100, 4), torch.rand(100, 2))
    assert certify(model, results[0].model, held).n == 100


def test_what_forward_does_not_take_is_said_with_what_it_takes() -> None:
    pair = [(X, torch.rand(8, 2))]
    with pytest.raises(ValueError, match=r"lacks 'y'; name what it takes: Batch\(x=\.\.\., y="):
        calibrate(TwoInputs(), pair)
    with pytest.raises(ValueError, match=r"it lacks 'y'; it has no 'z', 'scales'; name what"):
        calibrate(TwoInputs(), {"x": X, "z": X, "scales": 2.0})
    with pytest.raises(ValueError, match="1 tensors are too many"):
        calibrate(nn.Sequential(nn.Linear(4, 2)), Batch(X, X))
    assert misfit(TwoInputs(), Batch(X, X)) is None

    with pytest.raises(TypeError, match="inside"):
        calibrate(nn.Sequential(nn.Linear(4, 4), Broken()), X)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise TypeError("inside")


IMAGES = torch.rand(10, 3, 8, 8)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([list(IMAGES)], r"list of 10 parts .* two ways.*torch\.stack\(batch\).*Batch\(ids, att"),
        ([list(IMAGES[:2])], r"two tensors of one shape \(3, 8, 8\).*two ways.*Batch\(inputs, "),
        ([(IDS, MASK)], r"two ways: as \(inputs, targets\).*or as two inputs of the model"),
        ([(IDS, MASK, Y)], r"tuple of 3 parts .*name them: Batch\(ids, attention_mask=mask"),
        ((X, X + 1), r"tuple of two tensors.*write \[\(inputs, targets\)\].*or \[batch, batch\]"),
        ((X, Y), r"tuple of two tensors.*write \[\(inputs, targets\)\]"),
        ([(X, X[:4])], "8 inputs and 4 targets: a pair is"),
        ([(X, {"mask": Y})], r"second part is a dict; name what the model takes"),
        (TensorDataset(X, Y), "a Dataset of single inputs; read it through .*DataLoader"),
        ([()], "an empty tuple"),
        ([Batch(a=X), X], r"batch 1 has inputs of shape \(8, 4\).*batch 0 has tensors Batch\("),
        ([{"x": X}, {"y": X}], r"batch 1 has .*Batch\('y' \(8, 4\)\); batch 0 has"),
        ([X.to_sparse()], "batch 0 is a tensor of layout torch.sparse_coo; give it as to_dense"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(inputs: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        list(batches(inputs, None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "at least one tensor"),
        ({"a": X, "b": Y[:3]}, r"count its inputs; found 'a' \(8, 4\), 'b' \(3,\)"),
        ({"a": X, "b": torch.tensor(1.0)}, r"found 'a' \(8, 4\), 'b' \(\)"),
        ({"a": X, "targets": Y[:3]}, r"targets \(3,\)"),
        ({"a": X, "b": [1]}, "'b' of a batch must be a tensor, a number, a text or None"),
    ],
)
def test_a_batch_counts_its_inputs(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Batch(**arguments)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Linear(6, 6), torch.rand(6)),
        (nn.Linear(6, 4), torch.rand(6)),
        (nn.Conv2d(3, 3, 3), torch.rand(3, 8, 8)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.rand(3, 8, 8)),
        (nn.Sequential(nn.Conv1d(2, 5, 3), nn.Flatten(-2), nn.Linear(30, 2)), torch.rand(2, 8)),
    ],
)
def test_one_input_without_a_batch_dimension_is_refused(model: nn.Module, inputs: Tensor) -> None:
    with pytest.raises(ValueError, match=r"x\[None\]"):
        prune(model, inputs, method="magnitude", keep=0.5)
    with pytest.raises(ValueError, match=r"x\[None\]"):
        certify(model, model, inputs)
    assert calibrate(model, inputs[None]).inputs == 1


def test_token_ids_padded_batch_by_batch_are_one_stream_however_it_is_cut() -> None:
    short, long = words(6, 4)[0], words(5, 7, 1)[0]
    model = Words()
    cuts = [[short, long], [short[:2], short[2:], long[:1], long[1:]]]
    result = [calibrate(model, cut, forward_size=4) for cut in cuts]
    assert result[0].inputs == 11
    for a, b in zip(result[0].layers, result[1].layers, strict=True):
        assert torch.equal(a.sensitivity, b.sensitivity)
    with pytest.raises(ValueError, match="several shapes.*pad them to one length"):
        calibrate(model, cuts[0], inputs=True)


def test_labels_and_targets_reach_the_loss_and_nothing_else() -> None:
    pairs = held_pairs([{"inputs": X, "targets": Y}])
    targets = pairs[0].targets
    assert torch.equal(pairs[0].arrays[0], X) and targets is not None and torch.equal(targets, Y)
    net = nn.Sequential(nn.Linear(4, 3))
    spelt = [[(X, Y)], Batch(X, targets=Y), {"inputs": X, "targets": Y}]
    result = [calibrate(net, way, statistics={"gradients"}).layers[0].saliency for way in spelt]
    assert result[0] is not None
    assert all(f is not None and torch.equal(f, result[0]) for f in result)
    # Targets that look like inputs are targets where a method looks at them.
    auto = nn.Sequential(nn.Linear(4, 4))
    assert calibrate(auto, [(X, X)], statistics={"gradients"}).inputs == 8


def test_every_tensor_of_an_input_counts_for_its_fingerprint() -> None:
    other = MASK.clone()
    other[3, 0] = 1 - other[3, 0]
    marks = digests(Batch(**NAMED)), digests(Batch(input_ids=IDS, attention_mask=other))
    assert [a == b for a, b in zip(*marks, strict=True)].count(False) == 1
    assert digests(Batch(X)) == digests(X)
