"""Small work runs in one thread, large work in the user's, and the user's setting is put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from sipp_core import calibrate, empirical_sensitivity
from sipp_core.runtime.execution import FEW_ELEMENTS, some_threads, threads_for
from sipp_core.sensitivity import kernel
from sipp_core.sensitivity.statistics import STATISTICS, Rows, Statistic


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    with some_threads(3):
        yield
        assert torch.get_num_threads() == 3


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Thread counts at each fold of the kernel."""
    counts: list[int] = []
    fold = kernel.fold

    def watched(*given) -> None:
        counts.append(torch.get_num_threads())
        fold(*given)

    monkeypatch.setattr(kernel, "fold", watched)
    return counts


def test_a_small_layer_takes_one_thread(seen: list[int]) -> None:
    empirical_sensitivity(torch.randn(30, 40), torch.rand(20, 40))
    calibrate(nn.Linear(40, 30), torch.rand(20, 40))
    assert set(seen) == {1}


def test_a_large_one_takes_the_users(seen: list[int]) -> None:
    rows = FEW_ELEMENTS // 200 + 1
    empirical_sensitivity(torch.randn(2, 200), torch.rand(rows, 200))
    assert seen == [3]


def test_many_small_batches_are_folded_in_the_users(seen: list[int]) -> None:
    """Rows that waited are much work together, whatever is running while they are folded."""
    calibrate(nn.Linear(300, 2), torch.rand(4000, 300))
    assert seen == [3]


def test_the_setting_is_put_back_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="inside"), threads_for(1, torch.ones(2, 2)):
        assert torch.get_num_threads() == 1
        raise RuntimeError("inside")
    assert torch.get_num_threads() == 3


def test_one_thread_stays_one() -> None:
    with some_threads(1), threads_for(2**30, torch.ones(2, 2)):
        assert torch.get_num_threads() == 1


def test_statistics_of_a_small_layer_have_the_same_bits_in_any_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Count(Statistic):
        name = "threads"

        def start(self, layer) -> None:
            self.counts: set[int] = set()

        def add(self, rows: Rows) -> None:
            self.counts.add(torch.get_num_threads())

        def merge(self, group) -> None:
            pass

        def value(self) -> set[int]:
            return self.counts

    monkeypatch.setitem(STATISTICS, "threads", Count)
    torch.manual_seed(0)
    model, inputs = nn.Sequential(nn.Linear(200, 90)), torch.rand(500, 200)
    result = []
    for threads in (1, 2, 3):
        with some_threads(threads):
            result.append(calibrate(model, inputs, statistics={"mean", "threads"}).layers[0])
    assert [layer.values["threads"] for layer in result] == [{1}] * 3
    for layer in result[1:]:
        assert layer.mean is not None and result[0].mean is not None
        assert torch.equal(layer.mean, result[0].mean)
        assert torch.equal(layer.cancellation, result[0].cancellation)
