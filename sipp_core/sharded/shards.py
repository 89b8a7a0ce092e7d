"""A checkpoint in safetensors shards: tensors read one by one, and a new checkpoint beside it.

Headers are checked before anything is allocated: a tensor takes what its file holds of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from sipp_core.runtime.files import write_atomically

SUFFIX, INDEX = ".safetensors", "model.safetensors.index.json"
# What a header may take; the format's own limit.
LONGEST_HEADER = 100_000_000
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: its file, first byte, and what it is."""

    file: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


class Shards:
    """All tensors of a folder of safetensors files, or of one file, by name."""

    def __init__(self, source: str | PathLike[str]) -> None:
        self.source = Path(source)
        files = [self.source] if self.source.is_file() else sorted(self.source.glob(f"*{SUFFIX}"))
        if not files:
            raise FileNotFoundError(f"there is no {SUFFIX} file in {self.source}")
        self.places: dict[str, Place] = {}
        for file in files:
            for name, place in _header(file).items():
                if name in self.places:
                    raise ValueError(
                        f"tensor {name!r} is in {self.places[name].file.name} and in {file.name}; "
                        "keep one checkpoint in a folder"
                    )
                self.places[name] = place

    def read(self, name: str) -> Tensor:
        """One tensor, in memory of its own."""
        place = self.places[name]
        values = torch.empty(place.shape, dtype=place.dtype)
        if place.size:
            with open(place.file, "rb", buffering=0) as file:
                file.seek(place.start)
                fill(file, values)
        return values


def fill(file: Any, values: Tensor) -> None:
    """Read a contiguous tensor's bytes from where a file stands."""
    data: Any = values.view(-1).view(torch.uint8).numpy()
    view = memoryview(data)
    while len(view):
        count = file.readinto(view)
        if not count:
            raise ValueError(f"{file.name} is truncated; copy it again")
        view = view[count:]


def _header(file: Path) -> dict[str, Place]:
    """The tensors that a safetensors file says it holds, each inside the file."""
    total = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if total < 8 or length > min(total - 8, LONGEST_HEADER):
            raise ValueError(f"{file} is truncated or no safetensors file")
        try:
            entries = json.loads(stream.read(length))
            return {
                str(name): _place(file, 8 + length, total, entry)
                for name, entry in entries.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"{file} is damaged or no safetensors file ({error})") from error


def _place(file: Path, data: int, total: int, entry: Mapping[str, Any]) -> Place:
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"numbers of type {entry['dtype']!r} cannot be pruned")
    shape = tuple(entry["shape"])
    if not all(type(n) is int and n >= 0 for n in (*shape, *entry["data_offsets"])):
        raise ValueError("sizes must be whole numbers of at least 0")
    first, last = entry["data_offsets"]
    place = Place(file, data + first, DTYPES[entry["dtype"]], shape)
    if last - first != place.size or data + last > total:
        raise ValueError(f"a tensor of shape {shape} does not fit where it should lie")
    return place


class Writer:
    """A new checkpoint, file by file; its index comes last."""

    def __init__(self, folder: Path, files: int) -> None:
        self.folder, self.files, self.names = folder, files, dict[str, str]()
        self.bytes = 0

    def path(self, number: int) -> Path:
        """The file of that number, from 1."""
        return self.folder / f"model-{number:05d}-of-{self.files:05d}{SUFFIX}"

    def write(self, number: int, tensors: Mapping[str, Tensor]) -> None:
        """Write one file, whole or not at all."""
        held = {name: value.detach().contiguous() for name, value in tensors.items()}
        write_atomically(self.path(number), to_bytes(held))
        self.wrote(number, held)

    def wrote(self, number: int, tensors: Mapping[str, Tensor | Place]) -> None:
        """Note which tensors a file holds."""
        self.names |= dict.fromkeys(tensors, self.path(number).name)
        self.bytes += sum(
            value.size if isinstance(value, Place) else value.numel() * value.element_size()
            for value in tensors.values()
        )

    def finish(self) -> None:
        """Write the index, as checkpoints of several files have one."""
        index = {"metadata": {"total_size": self.bytes}, "weight_map": self.names}
        write_atomically(self.folder / INDEX, json.dumps(index, indent=1, sort_keys=True).encode())


def grouped(names: Iterable[str], sizes: Mapping[str, int], most: int) -> list[list[str]]:
    """Names in groups of at most so many bytes; a larger one stands alone.

    Example:
        >>> grouped("abc", {"a": 3, "b": 3, "c": 9}, 6)
        [['a', 'b'], ['c']]
    """
    groups: list[list[str]] = []
    held = most + 1
    for name in names:
        held += sizes[name]
        if held > most:
            groups.append([])
            held = sizes[name]
        groups[-1].append(name)
    return groups
