"""Arrays of one entry for each weight in the fewest bytes that lose none, and descriptors of them.

A network keeps its plans, and while it is planned the plans of all layers are in memory: an entry
is a bit, a float32 where float64 says no more, or computed from others where it is looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sipp_core.runtime.numbers import Bool, Float

# Entries of an array that is kept as it is: to unpack bits would take longer than it saves.
SMALL = 1 << 14
# Weights whose numbers are worked on at once, each some float64.
BLOCK = 1 << 16


def neurons(shape: tuple[int, ...], size: int | None = None) -> list[slice]:
    """Neurons of a matrix (out, fan_in) in blocks of about `size` weights, BLOCK unless given.

    One block at least.
    """
    step = max(1, (size or BLOCK) // max(1, shape[1]))
    return [slice(first, first + step) for first in range(0, max(1, shape[0]), step)]


class Computed(ABC):
    """An array that is computed whenever it is looked at; a part of its rows by itself."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of the array."""

    @abstractmethod
    def array(self) -> NDArray[Any]:
        """The whole array."""

    @abstractmethod
    def __getitem__(self, rows: slice) -> Computed:
        """Some of its rows."""

    def owned(self) -> Stored:
        """The same, of nothing that somebody else may write to."""
        return self


class Bits(Computed):
    """Flags, eight to a byte. Shapes: (out, fan_in) bool."""

    def __init__(self, packed: NDArray[np.uint8], width: int) -> None:
        self.packed, self.width = packed, width

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, fan_in)."""
        return len(self.packed), self.width

    def array(self) -> Bool:
        """The flags."""
        return np.unpackbits(self.packed, axis=1, count=self.width).view(np.bool_)

    def __getitem__(self, rows: slice) -> Bits:
        return Bits(self.packed[rows], self.width)


class Sizes(Computed):
    """Sizes of numbers, each neuron's times the factors of its group: |v_ij| f_j, in float64.

    Shapes: values (out, fan_in) of any float type; factors (groups, fan_in) float64, and (out,)
    the group of each neuron, or None for 1 throughout.
    """

    def __init__(
        self, values: NDArray[Any], factors: Float | None = None,
        group: NDArray[np.intp] | None = None,
    ) -> None:  # fmt: skip
        self.values, self.factors, self.group = values, factors, group

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, fan_in)."""
        return self.values.shape

    def array(self) -> Float:
        """The products."""
        sizes = np.abs(self.values.astype(np.float64))
        return sizes if self.factors is None else sizes * self.factors[self.group]

    def __getitem__(self, rows: slice) -> Sizes:
        group = None if self.group is None else self.group[rows]
        return Sizes(self.values[rows], self.factors, group)

    def owned(self) -> Stored:
        """The same of a copy of the numbers, as those may be a network's own."""
        own = np.abs(self.values)
        return own if self.factors is None else Sizes(own, self.factors, self.group)


class Divided(Computed):
    """Numbers in float64, each divided by the same one. Shapes: values (out, fan_in)."""

    def __init__(self, values: Stored, by: float) -> None:
        self.values, self.by = values, by

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, fan_in)."""
        return self.values.shape

    def array(self) -> Float:
        """The quotients."""
        return numbers(self.values) / self.by

    def __getitem__(self, rows: slice) -> Divided:
        return Divided(self.values[rows], self.by)


Stored = NDArray[Any] | Computed


def stored_flags(flags: Bool) -> Stored:
    """Flags as bits, or as they are where they are few."""
    if flags.size <= SMALL or flags.ndim != 2:
        return flags
    return Bits(np.packbits(flags, axis=1), flags.shape[1])


def flags_by_rows(shape: tuple[int, int], of: Callable[[slice], Bool]) -> Stored:
    """Flags of a matrix, made of some rows at a time."""
    blocks = neurons(shape)
    if len(blocks) == 1:
        return stored_flags(of(blocks[0]))
    packed = np.empty((shape[0], -(-shape[1] // 8)), np.uint8)
    for rows in blocks:
        packed[rows] = np.packbits(of(rows), axis=1)
    return Bits(packed, shape[1])


def stored_numbers(values: NDArray[Any]) -> Stored:
    """Numbers as bits, float32 or as they are. Narrower ones than float64 are taken as they are."""
    if values.dtype == np.bool_:
        return stored_flags(values)
    if values.dtype != np.float64:
        return values
    if values.ndim != 2:
        return _narrow(values, [slice(None)])
    blocks = neurons(values.shape)
    if all(np.array_equal(values[rows].astype(np.bool_), values[rows]) for rows in blocks):
        return flags_by_rows(values.shape, lambda rows: values[rows].astype(np.bool_))
    return _narrow(values, blocks)


def _narrow(values: Float, blocks: list[slice]) -> NDArray[Any]:
    """Numbers as float32, or as they are where that would lose something."""
    narrow = np.empty(values.shape, np.float32)
    for rows in blocks:
        with np.errstate(over="ignore"):
            narrow[rows] = values[rows]
        if not np.array_equal(narrow[rows], values[rows]):
            return values
    return narrow


def whole(stored: Stored) -> NDArray[Any]:
    """What is stored, as an array."""
    return stored.array() if isinstance(stored, Computed) else stored


def numbers(stored: Stored, rows: slice = slice(None)) -> Float:
    """What is stored of some rows, in float64."""
    return whole(stored[rows]).astype(np.float64, copy=False)


class NumberEach:
    """A field of a float64 number for each weight."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.kept = f"_{name}"

    def __get__(self, plan: object, owner: type | None = None) -> Float:
        return numbers(vars(plan)[self.kept])

    def __set__(self, plan: object, value: Stored) -> None:
        kept = value if isinstance(value, Computed) else stored_numbers(value)
        vars(plan)[self.kept] = kept


class FlagEach:
    """A field of a bool for each weight."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.kept = f"_{name}"

    def __get__(self, plan: object, owner: type | None = None) -> Bool:
        return whole(vars(plan)[self.kept])

    def __set__(self, plan: object, value: Stored) -> None:
        vars(plan)[self.kept] = value if isinstance(value, Computed) else stored_flags(value)


class Masks(Mapping[str, Tensor]):
    """Masks of weights by layer name, kept as bits: each access makes a tensor of its own."""

    def __init__(self, masks: Mapping[str, Tensor] | None = None) -> None:
        self._kept: dict[str, tuple[Stored, torch.Size, torch.device]] = {}
        self.update(masks or {})

    def update(self, masks: Mapping[str, Tensor]) -> None:
        """Take in others, or others of the same names."""
        for name, mask in masks.items():
            flags = stored_flags(mask.flatten(1).cpu().numpy())
            self._kept[name] = flags, mask.shape, mask.device

    def __getitem__(self, name: str) -> Tensor:
        flags, shape, device = self._kept[name]
        return torch.from_numpy(whole(flags).reshape(shape).copy()).to(device)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return repr(dict(self))
