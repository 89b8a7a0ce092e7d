"""Odd models, inputs, files and threads: a refusal in words or the right answer."""

from __future__ import annotations

import copy
import os
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, certify, compress, prune


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


X = torch.rand(40, 8, generator=torch.Generator().manual_seed(1))


def test_a_network_without_values_is_refused_by_certify() -> None:
    with pytest.raises(ValueError, match=r"'0\.\w+' of the network is on the meta device"):
        certify(network(), network().to("meta"), X)


def test_a_class_or_another_thing_is_no_model() -> None:
    with pytest.raises(TypeError, match="found the class Linear: call it first"):
        prune(nn.Linear, X, method="sipp-det", keep=0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="must be an nn.Module; found Tensor"):
        compress(X)  # type: ignore[arg-type]


def test_weights_of_inference_mode_have_no_gradients_and_the_rest_works() -> None:
    with torch.inference_mode():
        model = network()
    assert prune(model, X, method="sipp-det", keep=0.5).kept == 0.5
    with pytest.raises(ValueError, match="made under torch.inference_mode"):
        prune(model, [(X, torch.arange(40) % 3)], method="snip", keep=0.5)
    again = copy.deepcopy(model)
    assert prune(again, [(X, torch.arange(40) % 3)], method="snip", keep=0.5).kept == 0.5


class Writing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mul_(2))


def test_arrays_that_may_not_be_written_to_are_copied() -> None:
    array = X.numpy().copy()
    array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert calibrate(Writing(), array).inputs == 40
    assert (array == X.numpy()).all()
    with pytest.raises(TypeError, match="batch 0 is an array of dtype object, no numbers"):
        calibrate(network(), [np.array([["a", None]], dtype=object)])


class Uncopied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def __deepcopy__(self, memo: Any) -> Uncopied:
        raise RuntimeError("there is only one")

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def test_a_model_that_will_not_be_copied_is_refused_before_it_is_measured() -> None:
    with pytest.raises(ValueError, match=r"the model cannot be copied \(there is only one\)"):
        prune(Uncopied(), X, method="sipp-det", keep=0.5)
    with pytest.raises(ValueError, match=r"'0' cannot be copied \(there is only one\)"):
        prune(nn.Sequential(Uncopied()), X, method="sipp-det", keep=0.5)


@pytest.mark.skipif(os.name == "nt", reason="links of POSIX")
def test_links_that_lead_to_themselves_stay(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="cannot write .*a: it is a link that leads to itself"):
        prune(network(), X, method="sipp-det", keep=0.5).save(tmp_path / "a")
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_symlink()) == ["a", "b"]


class Meeting(nn.Module):
    """Lets another thread call the model in the middle of a forward pass, and waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 3)
        self.others: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        if threading.current_thread() is threading.main_thread() and self.others:
            inputs, answers = self.others.pop(), list[Tensor]()
            thread = threading.Thread(target=lambda: answers.append(self(inputs)))
            thread.start()
            thread.join()
            assert len(answers) == 1
        return self.second(h)


def test_calls_from_another_thread_are_not_measured_and_not_passed_over() -> None:
    model = Meeting()
    expected = calibrate(model, X)
    model.others = [100 * torch.rand(5, 8)]
    with pytest.raises(ValueError, match="'first', 'second' was called by another thread"):
        calibrate(model, X)
    again = calibrate(model, X)
    for one, other in zip(again.layers, expected.layers, strict=True):
        assert torch.equal(one.sensitivity, other.sensitivity)
        assert one.positions == other.positions == 40
