"""What no copy can hold is refused before the inputs are read, all of it and by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, prune


def unread() -> Iterator[Tensor]:
    raise AssertionError("an input was read")
    yield torch.ones(1)


def test_what_cannot_be_copied_is_named_before_calibration() -> None:
    net: Any = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    net.lock = threading.Lock()
    net[0].cache = net[0].weight * 2
    net[2].register_buffer("table", torch.eye(3).to_sparse())
    net[2].register_buffer("shape", torch.empty(2, device="meta"))
    with pytest.raises(ValueError, match="what a copy cannot hold") as refused:
        prune(net, unread(), method="magnitude", keep=0.5)
    for name in ("'lock'", "'0.cache'", "'2.table' is of layout sparse_coo", "'2.shape' is on the"):
        assert name in str(refused.value)


def test_a_number_in_a_buffer_of_any_stride_is_no_obstacle() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    net.register_buffer("one", torch.ones(4)[::2][:1])
    assert prune(net, torch.rand(5, 4), method="magnitude", keep=0.5).nnz_after == 6


def test_a_bias_that_is_no_number_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with torch.no_grad():
        net[1].get_parameter("bias")[1] = torch.nan
    with pytest.raises(ValueError, match="layer '1' has a bias that is not finite: nan at"):
        prune(net, torch.rand(5, 4), method="magnitude", keep=0.5)


@pytest.mark.parametrize("error", [KeyError("speed"), IndexError("9"), AssertionError("no")])
def test_what_a_model_raises_is_said_with_its_inputs(error: Exception) -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            raise error

    with pytest.raises(ValueError, match="the model cannot run on calibration of shape") as raised:
        calibrate(Failing(), torch.rand(2, 4))
    assert raised.value.__cause__ is error
