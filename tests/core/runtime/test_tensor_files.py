"""A state_dict from a file carries the versions that its module's own has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sipp_core import compress, decompress, load, prune
from sipp_core.runtime.tensor_files import with_versions


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
