"""Read IDX files, the format that MNIST and its likes are published in."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["read"]

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08


def _content(path: Path) -> bytes:
    """Bytes of a file, unpacked if they are gzip, whatever the file is called."""
    raw = path.read_bytes()
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is a truncated or damaged gzip file: {error}") from error


def read(path: str | Path, ndim: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or gzipped.

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of axes, each axis'
    length as a big-endian 32-bit integer, then the values in C order.
    """
    path = Path(path)
    data = _content(path)
    magic = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if data[:4] != magic:
        raise ValueError(
            f"{path} does not start with the magic number {magic.hex()} of an IDX file of "
            f"unsigned bytes with {ndim} axes; found {data[:4].hex() or 'an empty file'}"
        )
    header = 4 + 4 * ndim
    if len(data) < header:
        raise ValueError(f"{path} is truncated: its header takes {header} bytes of {len(data)}")
    # Python integers: a forged header must not overflow into a plausible size.
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=ndim, offset=4))
    wanted = header + math.prod(shape)
    if len(data) != wanted:
        fault = "is truncated" if len(data) < wanted else "has bytes left over"
        raise ValueError(
            f"{path} {fault}: its header {shape} asks for {wanted} bytes, it has {len(data)}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
