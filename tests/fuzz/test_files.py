"""Mutated files of every format: a named refusal, or what the file says; nothing else, and soon.

A small seeded slice runs always; `HYPOTHESIS_PROFILE=nightly` runs many. A saved network whose
checksum is mended is another file, and what is read of it must fit the model.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_bytes
from torch import nn

from proofs_check.ledger.evidence import Evidence
from proofs_check.ledger.registry import Setting
from proofs_check.ledger.store import Store
from reports.validation.cells import Cells
from sipp_cli import inputs
from sipp_core import certify, compress, decompress, load, prune, svm
from sipp_core.certificates import read_certificate, save_certificate
from sipp_core.pruning.header import FORMAT
from sipp_core.pruning.together import TOGETHER, take_apart
from sipp_core.runtime.provenance import checksum
from sipp_core.runtime.tensor_files import metadata_of, read_safetensors, read_state
from sipp_core.zoo import checkpoints, cifar10, datasets, idx, models, training
from sipp_core.zoo.recipes import Recipe

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
COUNT = int(os.environ.get("SIPP_FUZZ", "0")) or (8_000 if NIGHTLY else 60)
SECONDS, MEMORY = 5.0, 100 * 2**20


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3))


def mutated(content: bytes, dice: random.Random) -> bytes:
    """A file with some bytes changed, cut, doubled, dropped or put in."""
    new = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        size = len(new)
        if size == 0:
            break
        at, span = dice.randrange(size), dice.choice((1, 2, 4, 8, 32))
        way = dice.randrange(7)
        if way == 0:
            new[at] ^= 1 << dice.randrange(8)
        elif way == 1:
            new[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif way == 2:
            del new[at : at + span]
        elif way == 3:
            new[at:at] = new[at : at + span]
        elif way == 4:
            new[at:at] = dice.randbytes(span)
        elif way == 5:
            del new[at:]
        else:
            new[at : at + span] = dice.choice((b"\xff", b"\0", b"9")) * span
    return bytes(new)


def saved_network(folder: Path) -> bytes:
    x = torch.rand(20, 12, generator=torch.Generator().manual_seed(1))
    return prune(network(), x, method="sipp-rand", keep=0.5).save(folder / "n").read_bytes()


def mended(content: bytes, dice: random.Random) -> bytes:
    """A saved network with its report and its tensors changed, and the checksum of that."""
    tensors = read_safetensors(content, "it")
    if dice.random() < 0.5:
        tensors = take_apart(tensors, "it")
    text = json.loads(metadata_of(content, "it")["sipp"])["report"]
    if dice.random() < 0.6:
        text = mutated(text.encode(), dice).decode(errors="replace")
    name = dice.choice(sorted(tensors))
    way = dice.randrange(5)
    if way == 0:
        del tensors[name]
    elif way == 1:
        tensors[name] = tensors[name].flatten()[: dice.randrange(4)].clone()
    elif way == 2:
        tensors[dice.choice(("bits/", "values/", "mask/", "dense/")) + "0.weight"] = tensors[name]
    elif way == 3:
        tensors[name] = tensors[name].to(dice.choice((torch.uint8, torch.int64, torch.float64)))
    elif TOGETHER in tensors:
        inner = zlib.decompress(tensors[TOGETHER].numpy().tobytes())
        changed = zlib.compress(mutated(inner, dice))
        tensors[TOGETHER] = torch.frombuffer(bytearray(changed), dtype=torch.uint8)
    header = {"format": FORMAT, "report": text, "sha256": checksum(tensors, text)}
    shared = {key: value.clone() for key, value in tensors.items()}
    return to_bytes(shared, metadata={"sipp": json.dumps(header)})


def short_file(_: Path) -> bytes:
    return compress(models.dense([6, 5, 3], 0), architecture="dense:6,5,3").content


def mended_short(content: bytes, dice: random.Random) -> bytes:
    """A compressed network with another stream, and its check bits and length."""
    stream = mutated(content[8:], dice)[:100]
    check = zlib.crc32(stream, zlib.crc32(b"")).to_bytes(4, "big")
    return content[:3] + bytes([len(stream)]) + check + stream


def npy(_: Path) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).random((9, 12), dtype=np.float32))
    return file.getvalue()


def npz(_: Path) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, inputs=np.ones((9, 12), np.float32), targets=np.zeros(9, np.int64))
    return file.getvalue()


def pt(_: Path) -> bytes:
    file = io.BytesIO()
    torch.save(network().state_dict(), file)
    return file.getvalue()


def images(_: Path) -> bytes:
    return gzip.compress(b"\0\0\x08\x03" + np.array([5, 4, 4], ">u4").tobytes() + bytes(80))


def pictures(_: Path) -> bytes:
    from PIL import Image

    file, jpeg = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (32, 32), (10, 200, 30)).save(jpeg, "JPEG")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in ("train", "test"):
            for name in cifar10.CLASSES:
                archive.writestr(f"{part}/{name}/0001.jpg", jpeg.getvalue())
    return file.getvalue()


def certificate(folder: Path) -> bytes:
    net = network()
    certificate = certify(net, net, torch.rand(100, 12))
    return save_certificate(certificate, folder / "c").read_bytes()


def read_network(path: Path) -> Any:
    model = load(path, network())
    assert sum(p.numel() for p in model.model.parameters()) == 99 and 0 <= model.kept <= 1
    return json.dumps(model.summary())


def shared_setting() -> Setting:
    return Setting("quick", 0)


def store(folder: Path) -> bytes:
    evidence = Evidence("SP-3", "laws", "check", "something was looked at", "passed")
    Store(folder, shared_setting()).put("check", [evidence])
    (file,) = folder.rglob("check.json")
    return file.read_bytes()


def read_store(path: Path) -> Any:
    """What the store has of a check; a damaged file counts as not there, and is made again."""
    place = Store(path.parent, shared_setting()).folder
    assert place is not None
    (place / "check.json").write_bytes(path.read_bytes())
    result = Store(path.parent, shared_setting()).get("check")
    if result is None:
        raise ValueError(f"{path} counts as not there")
    return str(result)


def cells(folder: Path) -> bytes:
    kept = Cells(folder / "made.jsonl")
    for number in range(3):
        kept.get({"net": "n", "seed": number}, lambda: {"error": 0.25})
    return (folder / "made.jsonl").read_bytes()


def read_cells(path: Path) -> Any:
    """Finished cells; what a cut took from the end is made again."""
    result = Cells(path)
    result.remaining([{"net": "n", "seed": 9}])
    assert all(cell["value"] == {"error": 0.25} for cell in result.cells.values())


TINY = Recipe(epochs=1, batch_size=8, lr=0.1)


def pictures_of_two() -> datasets.Dataset:
    x = torch.rand(16, 12, generator=torch.Generator().manual_seed(0))
    return datasets.Dataset("two", x, torch.arange(16) % 3, x, torch.arange(16) % 3, 3, "made")


def checkpoint(folder: Path) -> bytes:
    path = folder / "run.pt"
    training.train(network(), pictures_of_two(), TINY, checkpoint=path)
    return path.read_bytes()


def read_checkpoint(path: Path) -> Any:
    held = checkpoints.read(path, network(), pictures_of_two(), TINY, 0).held
    assert held is not None
    return str(held["model"])


def classifier(folder: Path) -> bytes:
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [3.0, 1.0], [4.0, 2.0]])
    return svm.save_model(svm.CoresetSVC().fit(rows, [0, 0, 1, 1]), folder / "m").read_bytes()


def read_classifier(path: Path) -> Any:
    model = svm.load_model(path)
    return str((model.coef_, model.intercept_, model.certificates_))


def points(_: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, X=np.eye(4), y=np.array([0, 1, 0, 1]), other=np.zeros(9))
    return file.getvalue()


def table() -> Any:
    rng = np.random.default_rng(0)
    columns = {f"x{k}": rng.normal(size=40) for k in range(3)}
    return pytest.importorskip("pyarrow").table({**columns, "y": rng.integers(0, 2, 40)})


def csv(folder: Path) -> bytes:
    pytest.importorskip("pyarrow.csv").write_csv(table(), folder / "made.csv")
    return (folder / "made.csv").read_bytes()


def parquet(folder: Path) -> bytes:
    file = folder / "made.parquet"
    pytest.importorskip("pyarrow.parquet").write_table(table(), file, row_group_size=25)
    return file.read_bytes()


def parquet_of_one_value(folder: Path) -> bytes:
    """Dictionaries and runs: a few bytes stand for many rows."""
    file = folder / "one.parquet"
    one = pytest.importorskip("pyarrow").table(
        {"x": np.zeros(20_000), "y": np.arange(20_000) // 10_000}
    )
    pytest.importorskip("pyarrow.parquet").write_table(one, file, compression="zstd")
    return file.read_bytes()


def rows(folder: Path) -> bytes:
    np.save(folder / "labels.npy", np.arange(9) % 2)
    return npy(folder)


def read_rows(path: Path) -> Any:
    return str(svm.scan(svm.read_chunks(path, labels=path.parent / "labels.npy")))


def read_points(path: Path) -> Any:
    """What `sipp svm` does first: all of it is read once, chunk by chunk."""
    return str(svm.scan(svm.read_chunks(path)))


Make = Callable[[Path], bytes]
Change = Callable[[bytes, random.Random], bytes]
FORMATS: dict[str, tuple[str, Make, Change, Callable[[Path], Any]]] = {
    "saved network": ("n", saved_network, mutated, read_network),
    "saved network, mended": ("n", saved_network, mended, read_network),
    "sipp": ("s.sipp", short_file, mutated, decompress),
    "sipp, mended": ("s.sipp", short_file, mended_short, decompress),
    "npy": ("x.npy", npy, mutated, inputs.read),
    "npz": ("x.npz", npz, mutated, inputs.read),
    "pt": ("x.pt", pt, mutated, lambda path: read_state(path.read_bytes(), str(path), 2**20)),
    "pt of inputs": ("x.pt", pt, mutated, inputs.read),
    "idx": ("i.gz", images, mutated, lambda path: idx.read(path, 3, most=2**20)),
    "cifar zip": ("c.zip", pictures, mutated, cifar10.read),
    "certificate": ("c.json", certificate, mutated, read_certificate),
    "store": ("s.json", store, mutated, read_store),
    "cells": ("cells.jsonl", cells, mutated, read_cells),
    "checkpoint": ("c.pt", checkpoint, mutated, read_checkpoint),
    "svm model": ("svm.safetensors", classifier, mutated, read_classifier),
    "svm points": ("p.npz", points, mutated, read_points),
    "svm rows": ("r.npy", rows, mutated, read_rows),
    "svm csv": ("p.csv", csv, mutated, read_points),
    "svm parquet": ("p.parquet", parquet, mutated, read_points),
    "svm parquet, packed": ("q.parquet", parquet_of_one_value, mutated, read_points),
}
# Of these a mutated file is refused or is what it was: they carry a checksum.
SEALED = ("saved network", "store", "checkpoint", "svm model")


class Peak:
    """How far this process's memory rises during a call; 0 where the system does not tell."""

    def __init__(self) -> None:
        self.before = 0
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.known = True
        except OSError:
            self.known = False

    def start(self) -> None:
        """Begin a call."""
        if self.known:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = self._read("VmRSS")

    def grown(self) -> int:
        """Bytes above those at the start, at most at any time since."""
        return self._read("VmHWM") - self.before if self.known else 0

    @staticmethod
    def _read(field: str) -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.split(f"{field}:")[1].split()[0]) * 1024


def test_the_peak_is_noticed() -> None:
    peak = Peak()
    if not peak.known:
        pytest.skip("no /proc to ask")
    peak.start()
    size = len(bytearray(b"x") * (2 * MEMORY))
    assert peak.grown() > MEMORY and size == 2 * MEMORY


@pytest.mark.filterwarnings("ignore")  # of libraries, about damaged files
@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_refused_by_name_or_read(name: str, tmp_path: Path) -> None:
    leaf, make, change, read = FORMATS[name]
    dice = random.Random(f"{name} {os.environ.get('SIPP_FUZZ_SEED', '0')}")
    content, path = make(tmp_path), tmp_path / leaf
    path.write_bytes(content)
    first = read(path) if name != "pt of inputs" else None
    refused, peak = 0, Peak()
    for _ in range(COUNT):
        path.write_bytes(change(content, dice))
        started = time.process_time()
        peak.start()
        try:
            result = read(path)
        except (ValueError, TypeError, FileNotFoundError) as error:
            refused += 1
            assert str(path) in str(error), error
        else:
            if name in SEALED:
                assert result == first
        assert peak.grown() < MEMORY
        if COUNT > 1000:  # where a machine may be busy no test asserts a time
            assert time.process_time() - started < SECONDS
    assert refused > COUNT / 10
