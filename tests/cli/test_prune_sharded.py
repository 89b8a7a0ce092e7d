"""`sipp prune-sharded`: the library's own result, and how it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

Call = Callable[..., Any]
Refused = Callable[..., str]

SOURCE = """
from torch import nn

def net():
    return nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(3)))
"""


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    (tmp_path / "blockwise.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Sequential(nn.Linear(6, 6), nn.ReLU()) for _ in range(3)))
    (tmp_path / "shards").mkdir()
    save_file(net.state_dict(), tmp_path / "shards" / "model.safetensors")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 6), np.float32))
    return (
        "prune-sharded", "--model", "blockwise:net", "--shards", tmp_path / "shards",
        "--data", tmp_path / "x.npy", "--out", tmp_path / "new",
    )  # fmt: skip


def test_a_pruned_checkpoint_and_its_report(sipp: Call, words: tuple, tmp_path: Path) -> None:
    output = sipp(*words, "--keep", "0.5", "--json")
    assert (
        output.code == 0 and output.json["nnz_after"] == 54 and output.json["blocks"] == list("012")
    )
    state = load_file(tmp_path / "new" / "model-00002-of-00003.safetensors")
    assert int((state["1.0.weight"] != 0).sum()) == 18
    shown = sipp(*words, "--keep", "0.5")
    assert shown.code == 0 and "54 of 108 weights are left" in shown.out
    assert "pruned blocks before it" in shown.out


def test_what_is_refused(refused: Refused, words: tuple) -> None:
    assert "give either keep" in refused(*words)
    assert "block by block" in refused(*words, "--keep", "0.5", "--method", "sipp-network")
    other = [*words]
    other[2] = "lenet-5"
    assert "package.module:factory" in refused(*other, "--keep", "0.5")
