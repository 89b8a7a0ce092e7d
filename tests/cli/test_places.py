"""No command writes over what it reads, takes a file for another, or rounds weights unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Ended

Sipp = Callable[..., Ended]
Refused = Callable[..., str]


def test_no_command_writes_over_what_it_reads(
    refused: Refused, weights: Path, pruned: Path, tmp_path: Path
) -> None:
    data = tmp_path / "in.npy"
    np.save(data, np.random.default_rng(0).random((20, 64), dtype=np.float32))
    copies = {}
    for name, path in {"w": weights, "p": pruned}.items():
        copies[name] = tmp_path / f"{name}.safetensors"
        copies[name].write_bytes(path.read_bytes())
    w, p = copies["w"], copies["p"]
    before = {path: path.read_bytes() for path in (data, w, p)}
    base = ("prune", "--model", "digits-mlp", "--keep", 0.5, "--weights", w, "--data", data)
    assert "is the file that --weights reads" in refused(*base, "--out", w)
    assert "is the file that --data reads" in refused(*base, "--out", data)
    assert "is the file that --data reads" in refused(*base, "--save-weights", data)
    both = tmp_path / "s"
    assert "would both be written" in refused(*base, "--out", both, "--save-weights", both)
    assert "network to compress reads" in refused("compress", p, "--out", p)
    short = tmp_path / "p.sipp"
    short.write_bytes(b"x")
    assert "file to decompress reads" in refused("decompress", short, "--out", short)
    assert "--verify reads" in refused("generalize", "--verify", short, "--out", short)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_weights_of_torch_save_are_read_without_running_code(
    sipp: Sipp, refused: Refused, weights: Path, tmp_path: Path
) -> None:
    state, path = load_file(weights), tmp_path / "w.pt"
    base = ("prune", "--model", "digits-mlp", "--data", "digits", "--calibration-size", 32,
            "--keep", 0.5, "--method", "sipp-det", "--json", "--weights")  # fmt: skip
    expected = sipp(*base, weights).json
    for content in (state, {"epoch": 3, "state_dict": state}):
        torch.save(content, path)
        assert sipp(*base, path).json["original"] == expected["original"]
    torch.save({"model": torch.nn.Linear(2, 2)}, path)
    assert "holds more than tensors" in refused(*base, path)
    torch.save([1, 2], path)
    assert "holds no state_dict" in refused(*base, path)
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated" in refused(*base, path)


def test_weights_are_never_rounded_unsaid(
    sipp: Sipp, refused: Refused, weights: Path, tmp_path: Path
) -> None:
    state, path, out = load_file(weights), tmp_path / "w.safetensors", tmp_path / "o.sipp"
    base = ("prune", "--model", "digits-mlp", "--data", "digits", "--calibration-size", 32,
            "--keep", 0.5, "--method", "sipp-det", "--weights", path)  # fmt: skip
    finer = {name: value.double() + 1e-12 for name, value in state.items()}
    save_file(finer, path)
    assert "'fc1.weight' is torch.float64" in refused(*base)
    assert "torch.float64" in refused("compress", path, "--out", out, "--model", "digits-mlp")
    save_file({name: value.to(torch.complex64) for name, value in state.items()}, path)
    assert "torch.complex64" in refused(*base)
    # Not one bit is lost, so it is taken; a file that is to come back bit for bit is not.
    save_file({name: value.bfloat16() for name, value in state.items()}, path)
    assert sipp(*base).code == 0
    assert "torch.bfloat16" in refused("compress", path, "--out", out, "--model", "digits-mlp")


def test_an_output_device_is_written_to(sipp: Sipp, weights: Path) -> None:
    ended = sipp("prune", "--model", "digits-mlp", "--weights", weights, "--data", "digits",
                 "--calibration-size", 16, "--keep", 0.5, "--method", "sipp-det", "--out",
                 "/dev/null")  # fmt: skip
    assert ended.code == 0 and Path("/dev/null").is_char_device()
