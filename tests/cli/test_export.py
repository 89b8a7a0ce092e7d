"""`sipp export`: the form asked for, its size beside the others, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Call = Callable[..., Any]
Refused = Callable[..., str]


def test_forms_and_sizes(sipp: Call, pruned: Path, tmp_path: Path) -> None:
    output = sipp("export", pruned, "--format", "dense", "--out", tmp_path / "d", "--json")
    assert output.code == 0 and output.json["bytes"] == (tmp_path / "d").stat().st_size
    dense = load_file(tmp_path / "d")
    shown = sipp("export", pruned, "--format", "torch-sparse", "--out", tmp_path / "s")
    assert shown.code == 0 and f"{output.json['dense_bytes']:,}" in shown.out
    sparse = torch.load(tmp_path / "s")
    assert all(torch.equal(sparse[name].to_dense(), value) for name, value in dense.items())


def test_onnx_of_a_built_in_model(sipp: Call, pruned: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    out = tmp_path / "net.onnx"
    ended = sipp("export", pruned, "--format", "onnx", "--out", out, "--json")
    assert ended.code == 0 and ended.json["bytes"] == out.stat().st_size


def test_refusals(refused: Refused, pruned: Path, tmp_path: Path) -> None:
    assert "form must be one of" in refused(
        "export", pruned, "--format", "coreml", "--out", tmp_path / "x"
    )
    assert "reads" in refused("export", pruned, "--format", "dense", "--out", pruned)
