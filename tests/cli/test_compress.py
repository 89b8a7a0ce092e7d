"""`sipp compress` and `sipp decompress`: the very network, its parts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import sipp_core
from sipp_core.network.masks import unmask
from sipp_core.zoo import models

Call = Callable[..., Any]
Refused = Callable[..., str]


@pytest.fixture
def quantised(weights: Path, tmp_path: Path) -> Path:
    """Weights of the trained network on a grid."""
    state = load_file(weights)
    path = tmp_path / "quantised.safetensors"
    save_file({k: (v * 8).round().clamp(-3, 3) / 8 + 0.0 for k, v in state.items()}, path)
    return path


def test_a_state_dict_goes_there_and_back(sipp: Call, quantised: Path, tmp_path: Path) -> None:
    file, back = tmp_path / "net.sipp", tmp_path / "back.safetensors"
    words = ("compress", quantised, "--model", "digits-mlp", "--out", file)
    ended = sipp(*words, "--json")
    assert ended.code == 0 and ended.err == ""
    output = ended.json
    assert output["bytes"] == file.stat().st_size < 20_000 and output["model"] == "digits-mlp"
    assert sum(section["bits"] for section in output["sections"]) == output["bits"]
    shown = sipp(*words)
    assert shown.code == 0 and "fc1" in shown.out and f"{output['bits']:,} bits" in shown.out
    ended = sipp("decompress", file, "--out", back, "--json")
    assert ended.code == 0 and ended.json["tensors"][0]["name"] == "fc1.weight"
    assert ended.json["tensors"][0]["distinct"] <= 7
    expected, result = load_file(quantised), load_file(back)
    assert set(expected) == set(result)
    assert all(torch.equal(expected[name], result[name]) for name in expected)
    assert "distinct values" in sipp("decompress", file, "--out", back).out


def test_a_pruned_network_is_found_its_model(sipp: Call, pruned: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.sipp"
    ended = sipp("compress", pruned, "--out", file)
    assert ended.code == 0 and "quantise" in ended.err
    assert file.stat().st_size < 4 * sum(p.numel() for p in models.build("digits-mlp").parameters())
    expected = unmask(sipp_core.load(pruned, models.build("digits-mlp")).model)
    result = sipp_core.decompress(file).state_dict()
    assert all(torch.equal(result[name], value) for name, value in expected.state_dict().items())


def test_widths_and_factories_name_models_too(
    sipp: Call, refused: Refused, quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from sipp_core import models\n\ndef net():\n    return models.dense((64, 128, 64, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    file, out = tmp_path / "net.sipp", tmp_path / "back.safetensors"
    words = ("compress", quantised, "--out", file, "--model")
    assert sipp(*words, "dense:64,128,64,10").code == 0
    assert sipp("decompress", file, "--out", out).code == 0
    assert sipp(*words, "mine:net").code == 0
    assert "give a module of the same one" in refused("decompress", file, "--out", out)
    assert sipp("decompress", file, "--out", out, "--model", "mine:net").code == 0
    expected, result = load_file(quantised), load_file(out)
    assert all(torch.equal(expected[name], result[name]) for name in expected)


def test_what_cannot_be_compressed_is_refused(
    refused: Refused, quantised: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.sipp"
    assert "name their model with --model" in refused("compress", quantised, "--out", out)
    assert "there is no network" in refused("compress", tmp_path / "none", "--out", out)
    words = ("compress", quantised, "--out", out, "--model")
    assert "does not fit" in refused(*words, "lenet-300-100")
    assert "'resnet'" in refused(*words, "resnet")
    assert "from 1 to 65535" in refused(*words, "dense:64,0,10")
    assert "is a folder" in refused("compress", quantised, "--out", tmp_path)
    (tmp_path / "bad").write_bytes(b"no tensors")
    assert "no safetensors file" in refused("compress", tmp_path / "bad", "--out", out)
    assert not out.exists()


def test_what_cannot_be_decompressed_is_refused(
    sipp: Call, refused: Refused, quantised: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "net.sipp", tmp_path / "back.safetensors"
    assert sipp("compress", quantised, "--out", file, "--model", "digits-mlp").code == 0
    words = ("decompress", file, "--out", out)
    assert "leave out model=" in refused(*words, "--model", "digits-mlp")
    content = bytearray(file.read_bytes())
    content[-5] ^= 4
    file.write_bytes(content)
    assert "has been altered" in refused(*words)
    file.write_bytes(content[:-1])
    assert "truncated" in refused(*words)
    assert "no compressed network" in refused("decompress", quantised, "--out", out)
    assert "there is no compressed network" in refused("decompress", tmp_path / "x", "--out", out)
    assert not out.exists()
