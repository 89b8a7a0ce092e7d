"""Tensors from files and callers: versions of a state_dict, and what is no plain numbers."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate, certify, compress, decompress, load, prune
from sipp_core.runtime.tensor_files import read_state, read_torch, with_versions


class Versioned(nn.Linear):
    """As torchvision's mnasnet0_5, which takes a state_dict without a version for a wrong one."""

    _version = 2

    def _load_from_state_dict(self, *given: Any, **named: Any) -> None:
        version = given[2].get("version")
        if version not in (1, 2):
            raise ValueError(f"version should be 1 or 2 instead of {version}")
        super()._load_from_state_dict(*given, **named)


class Counting(nn.Linear):
    """A layer with a state that is no tensor."""

    calls = 0

    def get_extra_state(self) -> Any:
        return {"calls": self.calls}

    def set_extra_state(self, state: Any) -> None:
        self.calls = state["calls"]


def test_versions_are_kept_by_every_reader(tmp_path: Path) -> None:
    net = nn.Sequential(Versioned(6, 4), nn.ReLU(), nn.Linear(4, 2))
    net.load_state_dict(with_versions(dict(net.state_dict()), net))
    result = prune(net, torch.rand(20, 6), method="magnitude", keep=0.5)
    again = load(result.save(tmp_path / "net"), net)
    assert torch.equal(again.model[0].weight, result.model[0].weight)  # type: ignore[index]
    back = decompress(compress(net).content, net)
    assert torch.equal(back[0].weight, net[0].weight)  # type: ignore[index]


STRANGE: dict[str, tuple[Callable[[], Tensor], str]] = {
    "meta": (lambda: torch.empty(3, 2, device="meta"), "on the meta device"),
    "float8": (lambda: torch.ones(3, 2).to(torch.float8_e4m3fn), "no arithmetic"),
    "sparse": (lambda: torch.ones(3, 2).to_sparse(), "of layout torch.sparse_coo"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(1, 2)]), "a nested tensor"),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", STRANGE)
def test_tensors_that_are_no_plain_numbers_are_refused_as_inputs(name: str) -> None:
    make, words = STRANGE[name]
    net = nn.Linear(2, 1)
    with pytest.raises(TypeError, match=f"batch 0 is .*{words}"):
        calibrate(net, make())
    with pytest.raises(TypeError, match=f"batch 0 is .*{words}"):
        certify(net, net, [make()])


def written(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_numbers_that_a_file_only_claims_to_hold_are_refused() -> None:
    for held in (torch.zeros(1).expand(10**9, 10**3), [{"a": torch.zeros(1, 2).expand(10**9, 2)}]):
        with pytest.raises(ValueError, match=r"it is too large: its tensors have [\d,]+ bytes"):
            read_torch(written(held), "it", 2**30)
    with pytest.raises(ValueError, match="it holds 'a', which is a tensor on the meta device"):
        read_state(written({"a": torch.empty(3, device="meta")}), "it", 2**20)
