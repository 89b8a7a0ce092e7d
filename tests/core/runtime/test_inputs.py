"""Streams: every way of handing over inputs is cut to the same batches; fingerprints of inputs."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sipp_core.runtime.inputs import Inputs
from sipp_core.runtime.inputs import batches as any_batches
from sipp_core.runtime.provenance import Provenance, digests, recall, remember


def batches(inputs: Inputs, size: int | None, name: str = "calibration") -> Iterator[Tensor]:
    for batch in any_batches(inputs, size, name):
        assert isinstance(batch, Tensor)
        yield batch


def pairs(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(part, torch.zeros(len(part))) for part in x.split(3)]


def generator(x: Tensor) -> Iterator[Tensor]:
    yield from x.split(4)


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "tensor": lambda x: x,
    "array": lambda x: x.numpy(),
    "list": lambda x: list(x.split(2)),
    "pairs": pairs,
    "lists": lambda x: [list(pair) for pair in pairs(x)],
    "generator": generator,
    "loader": lambda x: DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=5),
    "empty batches between": lambda x: [x[:0], x[:3], x[3:3], x[3:], x[:0]],
}


@pytest.mark.parametrize("size", [1, 3, 4, 10, 12, 100])
@pytest.mark.parametrize("way", WAYS)
def test_all_ways_give_the_same_batches(way: str, size: int) -> None:
    x = torch.arange(24.0).reshape(12, 2)
    result = list(batches(WAYS[way](x), size))
    assert [len(b) for b in result] == [len(b) for b in x.split(size)]
    assert torch.equal(torch.cat(result), x)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=8), st.integers(1, 9))
def test_any_cut_of_the_stream_gives_full_batches_but_the_last(sizes: list[int], size: int) -> None:
    x = torch.arange(float(sum(sizes)))
    if not len(x):
        with pytest.raises(ValueError, match="calibration is empty"):
            list(batches(list(x.split(sizes)), size))
        return
    result = list(batches(list(x.split(sizes)), size))
    assert all(len(b) == size for b in result[:-1]) and 1 <= len(result[-1]) <= size
    assert torch.equal(torch.cat(result), x)


def test_batches_have_one_layout_whatever_memory_they_came_from() -> None:
    images = torch.rand(9, 3, 4, 4).to(memory_format=torch.channels_last)
    rows = torch.rand(5, 9).T
    for x in (images, rows, torch.rand(19, 5)[1:10]):
        for batch in batches(x, 4):
            assert batch.is_contiguous() and batch.storage_offset() == 0
            assert batch.data_ptr() != x.data_ptr()


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (torch.zeros(0, 2), ValueError, "calibration is empty"),
        ([], ValueError, "calibration is empty"),
        (iter(()), ValueError, "calibration is empty"),
        (3, TypeError, "calibration must be a tensor, a mapping.*int"),
        ("mnist", TypeError, "calibration must be a tensor, a mapping.*str"),
        ({"x": 1.0}, ValueError, "calibration batch 0: a batch needs at least one tensor"),
        ([torch.ones(1, 2), "two"], TypeError, "calibration batch 1 must be a tensor.*found str"),
        ([{"x": [1, 2]}], TypeError, "calibration batch 0: 'x' of a batch must be.*found list"),
        (torch.tensor(1.0), ValueError, "calibration batch 0 is a single number"),
        (
            [torch.ones(1, 2), torch.ones(1, 3)],
            ValueError,
            r"batch 1 .*\(1, 3\).*batch 0 .*\(1, 2\)",
        ),
        ([torch.ones(1, 2), torch.ones(1, 2).double()], ValueError, "batch 1 .*float64"),
        ((torch.ones(4, 2), torch.ones(4)), ValueError, r"\[\(inputs, targets\)\]"),
        ([torch.ones(4, 2), torch.ones(4)], ValueError, r"\[\(inputs, targets\)\]"),
    ],
)
def test_what_is_no_stream_is_refused(inputs: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(batches(inputs, 2))
    with pytest.raises(error, match=message.replace("calibration", "holdout")):
        list(batches(inputs if not isinstance(inputs, Iterator) else iter(()), 2, "holdout"))


def test_equal_inputs_have_equal_fingerprints_and_others_do_not() -> None:
    x = torch.rand(200, 7)
    marks = digests(x)
    assert len(set(marks)) == 200 and all(len(mark) == 8 for mark in marks)
    assert digests(x.double()) == marks
    assert digests(x.reshape(200, 7, 1)) == marks
    assert digests(x.T.contiguous().T) == marks
    assert digests(torch.zeros(1, 2)) == digests(-torch.zeros(1, 2))
    near = x.clone()
    near[3, 2] = torch.nextafter(x[3, 2], torch.tensor(2.0))
    assert [a == b for a, b in zip(digests(near), marks, strict=True)].count(False) == 1


def test_origin_is_remembered_by_model_and_forgotten_with_it() -> None:
    model = nn.Linear(1, 1)
    assert recall(model) is None
    remember(model, Provenance(frozenset([b"x"]), 3))
    assert recall(model) == Provenance(frozenset([b"x"]), 3)
    assert recall(copy.deepcopy(model)) is None
    from sipp_core.runtime import provenance

    before = len(provenance._provenance)
    del model
    gc.collect()
    assert len(provenance._provenance) <= before - 1


def test_a_forward_pass_takes_fewer_inputs_where_they_are_large() -> None:
    small, large = torch.zeros(600, 3), torch.zeros(5, 2**21)
    assert [len(b) for b in batches(small.split(7), None)] == [256, 256, 88]
    assert [len(b) for b in batches(large.split(1), None)] == [2, 2, 1]
    assert [len(b) for b in batches(torch.zeros(2, 2**23), None)] == [1, 1]
