"""Arrays in fewer bytes, exactly: zeros left out, narrow whole numbers, one number for all.

A tensor with many zeros is kept as its other values and where they stand: a bit for each place, or
columns and a count for each row (CSR), whichever is shorter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

FORMS = ("bits", "columns", "counts", "values")


def pack_bits(mask: Tensor) -> Tensor:
    """A mask as bytes of eight bits each.

    Shapes: mask (...) bool; returns (ceil(n/8),) uint8.
    """
    return torch.from_numpy(np.packbits(mask.cpu().reshape(-1).numpy()))


def unpack_bits(packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The mask that bytes hold; refuses another number of them.

    Shapes: packed (ceil(n/8),) uint8; returns `shape`, bool.
    """
    size = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != (-(-size // 8),):
        raise ValueError(f"its bits are not those of {size} places")
    bits = np.unpackbits(packed.numpy())
    if bits[size:].any():
        raise ValueError("it has bits behind its last place")
    return torch.from_numpy(bits[:size].astype(bool)).reshape(shape)


def pack(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A tensor as parts by name: itself, or its values that are not 0 and their places.

    Shapes: tensor (...).

    Example:
        >>> sorted(pack("a", torch.eye(64)))
        ['columns/a', 'counts/a', 'values/a']
    """
    value = tensor.detach().cpu().contiguous()
    whole = {f"dense/{name}": value}
    if not value.is_floating_point() or value.ndim < 2 or value.numel() < 64:
        return whole
    # -0.0 is another value than 0.
    kept = (value != 0) | torch.signbit(value)
    rows = kept.reshape(len(kept), -1)
    columns = rows.nonzero()[:, 1]
    bits, index = -(-kept.numel() // 8), _index_type(rows.shape[1])
    csr = columns.numel() * index.itemsize + len(rows) * 4
    if min(bits, csr) + columns.numel() * value.element_size() >= value.nbytes:
        return whole
    parts = {f"values/{name}": value[kept]}
    if bits <= csr:
        return parts | {f"bits/{name}": pack_bits(kept)}
    counts = rows.sum(dim=1).to(torch.int32)
    return parts | {f"columns/{name}": columns.to(index), f"counts/{name}": counts}


def _index_type(columns: int) -> torch.dtype:
    return torch.uint8 if columns <= 1 << 8 else torch.int16 if columns <= 1 << 15 else torch.int32


def unpack(name: str, parts: Mapping[str, Tensor], like: Tensor) -> Tensor | None:
    """A tensor from its parts, of the shape and dtype of another; None where it has none.

    Nothing is allocated that the other does not take too.
    """
    whole = parts.get(f"dense/{name}")
    values = parts.get(f"values/{name}")
    if whole is not None:
        return whole
    if values is None:
        return None
    if values.ndim != 1 or values.numel() > like.numel():
        raise ValueError(f"{name!r} has more values than places")
    try:
        kept = _places(name, parts, tuple(like.shape))
        if int(kept.sum()) != values.numel():
            raise ValueError("it has another number of values than of places")
    except ValueError as error:
        raise ValueError(f"{name!r} of shape {tuple(like.shape)}: {error}") from error
    dense = torch.zeros(like.shape, dtype=values.dtype)
    dense[kept] = values
    return dense


def _places(name: str, parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    if (bits := parts.get(f"bits/{name}")) is not None:
        return unpack_bits(bits, shape)
    columns, counts = parts.get(f"columns/{name}"), parts.get(f"counts/{name}")
    if columns is None or counts is None or not shape:
        raise ValueError("it has values and no places")
    width = math.prod(shape[1:])
    if columns.dtype != _index_type(width) or counts.dtype != torch.int32:
        raise ValueError("its places are of another type")
    if counts.shape != shape[:1] or (counts < 0).any() or int(counts.sum()) != columns.numel():
        raise ValueError("its places are not of so many rows")
    # A width of 256 is no number of an uint8.
    rows, columns = (
        torch.repeat_interleave(torch.arange(len(counts)), counts.long()),
        columns.long(),
    )
    place = rows * width + columns.reshape(-1)
    if place.numel() and not ((columns >= 0).all() and (columns < width).all()):
        raise ValueError("a place is outside its row")
    if not (place[1:] > place[:-1]).all():
        raise ValueError("its places are not in order")
    kept = torch.zeros(math.prod(shape), dtype=torch.bool)
    kept[place] = True
    return kept.reshape(shape)


def narrow_array(array: np.ndarray) -> np.ndarray:
    """The same numbers in fewer bytes: one for all, or whole numbers of fewer bits; exactly.

    Example:
        >>> narrow_array(np.zeros((2, 9))).shape, narrow_array(np.arange(300.0)).dtype
        ((1,), dtype('int16'))
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.size and (flat.view(np.uint8).reshape(flat.size, -1) == _bytes(flat[:1])).all():
        return flat[:1]
    if not np.isfinite(flat).all() or (np.signbit(flat) & (flat == 0)).any():
        return array
    for kind in (np.uint8, np.int16, np.int32):
        if ((flat >= np.iinfo(kind).min) & (flat <= np.iinfo(kind).max) & (flat % 1 == 0)).all():
            return array.astype(kind)
    return array


def _bytes(one: np.ndarray) -> np.ndarray:
    return one.view(np.uint8)


def widen_array(name: str, given: Tensor, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The array that `narrow_array` was given, by its shape and dtype; refuses another."""
    array = given.numpy()
    if array.dtype.kind not in "fiu" or array.shape not in (shape, (1,)):
        raise ValueError(f"{name} is no array of {shape}: found {array.dtype} {array.shape}")
    return np.broadcast_to(array.astype(dtype), shape).copy()
