"""Threads, compiled modules and settings of the surroundings change no result, or are refused."""

from __future__ import annotations

import copy
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, certify, prune
from sipp_core.runtime.isolation import isolation


def network() -> nn.Sequential:
    torch.manual_seed(0)
    middle = nn.Linear(16, 16)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), middle, nn.ReLU(), nn.Linear(16, 3))


def sensitivities(model: nn.Module, x: Tensor) -> list[Tensor]:
    return [layer.sensitivity for layer in calibrate(model, x).layers]


def test_threads_that_share_a_model_get_what_one_gets_alone() -> None:
    model = network().train()
    sets = [torch.rand(200, 8, generator=torch.Generator().manual_seed(k)) for k in range(4)]
    alone = [prune(model, x, method="sipp-det", keep=0.5) for x in sets]
    got: dict[int, Any] = {}

    def work(k: int) -> None:
        got[k] = prune(model, sets[k % 4], method="sipp-det", keep=0.5)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(12):
        one, expected = got[k], alone[k % 4]
        assert one.digests == expected.digests
        for a, b in zip(one.model.parameters(), expected.model.parameters(), strict=True):
            assert torch.equal(a, b)
    assert model.training and not any(module._forward_pre_hooks for module in model.modules())


def test_a_thread_waits_while_another_runs_a_model() -> None:
    entered = threading.Event()

    def enter() -> None:
        with isolation():
            entered.set()

    with isolation():
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.05)
    other.join()
    assert entered.is_set()


@pytest.mark.parametrize("way", ["wrapped", "in place", "a part"])
def test_a_compiled_model_is_measured_on_every_input(way: str) -> None:
    x = torch.rand(100, 8)
    model: Any = network()
    expected = sensitivities(copy.deepcopy(model), x)
    result = prune(copy.deepcopy(model), x, method="sipp-det", keep=0.5)
    if way == "wrapped":
        model = torch.compile(model, backend="eager")
    elif way == "in place":
        model.compile(backend="eager")
    else:
        model[2] = torch.compile(model[2], backend="eager")
    for size in (100, 60):  # graphs of these shapes know of no hooks
        with torch.no_grad():
            model(x[:size])
    for a, b in zip(sensitivities(model, x), expected, strict=True):
        assert torch.equal(a, b)
    again = prune(model, x, method="sipp-det", keep=0.5)
    assert again.nnz_after == result.nnz_after
    with torch.no_grad():
        assert torch.equal(again.model(x), result.model(x))
    held = torch.rand(200, 8, generator=torch.Generator().manual_seed(1))
    assert certify(model, again.model, held, eps=0.5, delta=0.1).n == 200


class Bypassing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.a.forward(100 * x)


def test_a_call_that_no_hook_sees_is_refused() -> None:
    model = Bypassing()
    with pytest.raises(ValueError, match=r"layer 'a' is called by its forward\(\)"):
        calibrate(model, torch.rand(3, 4))
    assert "forward" not in vars(model.a) and not model.a._forward_pre_hooks


def test_what_surrounds_a_call_changes_no_bit_of_it() -> None:
    model, x = network(), torch.rand(50, 8)
    expected = prune(model, x, method="sipp-poisson", keep=0.4).model.parameters()
    targets = torch.zeros(50, dtype=torch.long)
    saliency = calibrate(model, [(x, targets)], statistics={"gradients"}).layers[0].saliency
    before = torch.random.get_rng_state()
    with np.errstate(all="raise"), torch.inference_mode(), torch.device("meta"):
        pruned = prune(model, x, method="sipp-poisson", keep=0.4)
        again = calibrate(model, [(x, targets)], statistics={"gradients"}).layers[0].saliency
    assert torch.equal(torch.random.get_rng_state(), before)
    assert saliency is not None and again is not None and torch.equal(saliency, again)
    for a, b in zip(pruned.model.parameters(), expected, strict=True):
        assert torch.equal(a, b)
