"""Inputs that the command line reads from files: batches, named arrays, token ids; --layers."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

Call = Callable[..., Any]
Refused = Callable[..., str]
X, IDS = torch.rand(30, 4), torch.randint(0, 9, (30, 5))
MASK = torch.ones(30, 5, dtype=torch.int64)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with models of one input, of two, and of token ids."""
    (tmp_path / "ours_for_inputs.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def rows(): return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))\n"
        "class Two(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.left, self.right = nn.Linear(4, 3), nn.Linear(2, 3)\n"
        "    def forward(self, x, y): return self.left(x) + self.right(y)\n"
        "class Words(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.table, self.fc = nn.Embedding(9, 3), nn.Linear(3, 2)\n"
        "    def forward(self, input_ids, attention_mask=None):\n"
        "        return self.fc(self.table(input_ids)).sum(1), input_ids * 1.0\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def save(path: Path, held: Any) -> Path:
    if path.suffix == ".pt":
        torch.save(held, path)
    else:
        np.savez(path, **{name: value.numpy() for name, value in held.items()})
    return path


def prune(model: str, path: Path, *words: object) -> tuple[object, ...]:
    base = ("prune", "--model", f"ours_for_inputs:{model}", "--data", path, "--keep", 0.5)
    return (*base, "--method", "sipp-det", "--json", *words)


@pytest.mark.parametrize(
    "held",
    [
        X,
        list(X.split(7)),
        [(part, torch.zeros(len(part))) for part in X.split(7)],
        [{"inputs": part} for part in X.split(7)],
        {"x": X, "y": torch.zeros(30)},
        {"inputs": X, "targets": torch.zeros(30)},
    ],
)
def test_a_list_of_batches_is_read_whole(sipp: Call, own: Path, held: Any) -> None:
    ended = sipp(*prune("rows", save(own / "data.pt", held)))
    assert ended.code == 0, ended.err
    assert ended.json["inputs"] == 30
    single = sipp(*prune("rows", save(own / "same.pt", X)))
    assert ended.json["layers"] == single.json["layers"]


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_named_arrays_are_what_forward_takes(sipp: Call, own: Path, suffix: str) -> None:
    path = save(own / f"two{suffix}", {"x": X, "y": torch.rand(30, 2)})
    ended = sipp(*prune("Two", path))
    assert ended.code == 0, ended.err
    assert ended.json["inputs"] == 30


def test_token_ids_are_inputs_and_an_answer_of_two_tensors_is_chosen(sipp: Call, own: Path) -> None:
    path = save(own / "ids.npz", {"input_ids": IDS, "attention_mask": MASK})
    out = own / "pruned.safetensors"
    ended = sipp(*prune("Words", path, "--output", 0, "--mask", "attention_mask", "--out", out))
    assert ended.code == 0, ended.err
    assert "mask=" in ended.json["holds_for"]
    held = save(own / "held.npz", {"input_ids": IDS.flip(1), "attention_mask": MASK})
    certify = ("certify", out, "--model", "ours_for_inputs:Words", "--data", held, "--delta", 0.3)
    ended = sipp(*certify, "--allow-repeats")
    assert ended.code == 2 and "give output=" in ended.err
    ended = sipp(*certify, "--allow-repeats", "--output", 0, "--json")
    assert ended.code == 0 and ended.json["n"] == 30
    alone = save(own / "alone.pt", IDS.to(torch.int16))
    assert sipp(*prune("Words", alone, "--output", 0)).code == 0


def test_files_that_mean_nothing_are_refused_by_name(refused: Refused, own: Path) -> None:
    message = refused(*prune("rows", save(own / "ids.pt", IDS[:, :4])))
    assert "holds torch.int64 numbers; save inputs that are no token ids as floats" in message
    message = refused(*prune("rows", save(own / "loose.pt", [list(X)])))
    assert "two ways" in message
    message = refused(*prune("rows", save(own / "more.npz", {"x": X, "weights": X})))
    assert "'weights' beside the inputs, which forward does not take" in message
    message = refused(*prune("rows", save(own / "uneven.pt", [X, X[:, :3]])))
    assert "uneven.pt batch 1 has inputs of shape (30, 3)" in message
    message = refused(*prune("Two", save(own / "one.pt", X)))
    assert "it lacks 'y'" in message


def test_layers_are_chosen_and_left_out(sipp: Call, refused: Refused, own: Path) -> None:
    path = save(own / "x.pt", X)
    one = sipp(*prune("rows", path, "--layers", "!2"))
    assert one.code == 0 and [layer["name"] for layer in one.json["layers"]] == ["0"]
    both = sipp(*prune("rows", path, "--layers", "0", "--layers", "2"))
    assert [layer["name"] for layer in both.json["layers"]] == ["0", "2"]
    assert "layers: '7' matches no layer" in refused(*prune("rows", path, "--layers", "7"))


def damaged_member(path: Path, name: str, held: dict[str, Any]) -> Path:
    """An archive whose member of that name cannot be unpacked: it would fail if anybody tried."""
    np.savez(path, **held)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo(f"{name}.npy").header_offset
    content[start : start + 4] = b"\xff" * 4
    path.write_bytes(content)
    return path


def test_arrays_that_nobody_asked_for_are_not_unpacked(
    refused: Refused, sipp: Call, own: Path
) -> None:
    held = {"inputs": X.numpy(), "more": np.zeros(10**4)}
    message = refused(*prune("rows", damaged_member(own / "x.npz", "more", held)))
    assert "'more' beside the inputs, which forward does not take" in message
    held = {"x": np.array([0.4, 0.6]), "more": np.zeros(10**4)}
    shares = damaged_member(own / "shares.npz", "more", held)
    ended = sipp("bounds", "--shares", shares, "--eps", 0.1, "--delta", 0.1, "--json")
    assert ended.code in (0, 1), ended.err


def test_zeros_without_end_are_not_unpacked(refused: Refused, own: Path) -> None:
    path = own / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", bytes(10**5))
    content = path.read_bytes()
    size = (10**5).to_bytes(4, "little")
    for claimed, words in (
        (2**31, "unpacks to 2,147,483,648 bytes; at most 1,073,741,824 are read"),
        (99, "truncated, no NumPy file"),
    ):
        path.write_bytes(content.replace(size, claimed.to_bytes(4, "little")))
        assert words in refused(*prune("rows", path))
