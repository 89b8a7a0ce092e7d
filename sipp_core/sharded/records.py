"""What a block gave for every input, on disk: the next block is given it, input by input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from sipp_core.sharded.shards import fill


@dataclass(frozen=True)
class _Column:
    """One tensor of the outputs of many inputs: a row an input."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def stride(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


@dataclass
class _Kind:
    """Outputs of one structure and one set of shapes: what differs by input, and what does not."""

    key: tuple[Any, ...]
    parts: list[_Column | Any]
    rows: int = 0


class Records:
    """Outputs of one block, whatever it returns, kept on disk; memory for one batch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.kinds = folder, list[_Kind]()
        self.places: list[tuple[int, int]] = []  # of each input: kind and row
        folder.mkdir(parents=True)

    def add(self, output: Any, count: int) -> None:
        """Take in what a block gave for the next inputs, so many of them."""
        leaves, structure = pytree.tree_flatten(output)
        mine = [isinstance(leaf, Tensor) and leaf.shape[:1] == (count,) for leaf in leaves]
        key = (structure, *(
            (leaf.dtype, tuple(leaf.shape[1:]), own) if isinstance(leaf, Tensor) else None
            for leaf, own in zip(leaves, mine, strict=True)
        ))  # fmt: skip
        if not any(mine):
            raise ValueError(
                f"a block answers {count} inputs by no tensor whose first dimension counts them"
            )
        number = next((k for k, kind in enumerate(self.kinds) if kind.key == key), None)
        if number is None:
            number = len(self.kinds)
            parts = [
                _Column(self.folder / f"{number}-{k}", leaf.dtype, tuple(leaf.shape[1:]))
                if own
                else leaf
                for k, (leaf, own) in enumerate(zip(leaves, mine, strict=True))
            ]
            self.kinds.append(_Kind(key, parts))
        kind = self.kinds[number]
        for part, leaf in zip(kind.parts, leaves, strict=True):
            if isinstance(part, _Column):
                with open(part.path, "ab") as file:
                    values = leaf.detach().cpu().contiguous()
                    values.view(-1).view(torch.uint8).numpy().tofile(file)
        self.places += [(number, kind.rows + row) for row in range(count)]
        kind.rows += count

    def read(self, inputs: Sequence[int], device: torch.device) -> Any:
        """What the block gave for these inputs, in their order."""
        kinds, rows = zip(*(self.places[k] for k in inputs), strict=True)
        if len(set(kinds)) != 1:
            raise ValueError("inputs of one batch went through a block in several shapes")
        kind = self.kinds[kinds[0]]
        leaves = [
            _rows(part, rows).to(device) if isinstance(part, _Column) else part
            for part in kind.parts
        ]
        return pytree.tree_unflatten(leaves, kind.key[0])

    def remove(self) -> None:
        """Delete the files."""
        for kind in self.kinds:
            for part in kind.parts:
                if isinstance(part, _Column):
                    part.path.unlink(missing_ok=True)
        self.folder.rmdir()


def _rows(column: _Column, rows: Sequence[int]) -> Tensor:
    values = torch.empty((len(rows), *column.shape), dtype=column.dtype)
    if values.numel() == 0:
        return values
    with open(column.path, "rb", buffering=0) as file:
        first = 0
        while first < len(rows):
            last = first + 1
            while last < len(rows) and rows[last] == rows[last - 1] + 1:
                last += 1
            file.seek(rows[first] * column.stride)
            fill(file, values[first:last])
            first = last
    return values
