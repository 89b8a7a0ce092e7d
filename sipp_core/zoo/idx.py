"""Read IDX files, the format that MNIST and its likes are published in."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sipp_core.runtime.files import read_bytes

__all__ = ["read"]

_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
_LONGEST_HEADER = 4 + 4 * 255
MOST = 1 << 30


def _content(path: Path, most: int) -> bytes:
    """Bytes of a file, unpacked if they are gzip, whatever the file is called; at most so many."""
    raw = read_bytes(path, "IDX file", most=most)
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            # As many as its own header asks for, and one to see that there are more.
            head = file.read(_LONGEST_HEADER)
            size = _size(head)
            if size > most:
                raise ValueError(f"{path} asks for {size:,} bytes; at most {most:,} are read")
            return head + file.read(max(0, size + 1 - len(head)))
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is a truncated or damaged gzip file: {error}") from error


def _size(data: bytes) -> int:
    """Bytes of a whole file, by its first ones."""
    ndim = data[3] if len(data) > 3 else 0
    lengths = np.frombuffer(data[4 : 4 + 4 * ndim], ">u4", count=len(data[4 : 4 + 4 * ndim]) // 4)
    # Python integers: a forged header must not overflow into a plausible size.
    return 4 + 4 * ndim + math.prod(int(n) for n in lengths)


def read(path: str | Path, ndim: int, *, most: int = MOST) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or gzipped.

    The format: two zero bytes, a type code (8 for unsigned bytes), the number of axes, each axis'
    length as a big-endian 32-bit integer, then the values in C order. A file that asks for more
    than `most` bytes is refused before they are unpacked.
    """
    path = Path(path)
    data = _content(path, most)
    magic = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if data[:4] != magic:
        raise ValueError(
            f"{path} does not start with the magic number {magic.hex()} of an IDX file of "
            f"unsigned bytes with {ndim} axes; found {data[:4].hex() or 'an empty file'}"
        )
    header = 4 + 4 * ndim
    if len(data) < header:
        raise ValueError(f"{path} is truncated: its header takes {header} bytes of {len(data)}")
    shape = tuple(int(n) for n in np.frombuffer(data, ">u4", count=ndim, offset=4))
    expected = header + math.prod(shape)
    if len(data) != expected:
        fault = "is truncated" if len(data) < expected else "has bytes left over"
        raise ValueError(
            f"{path} {fault}: its header {shape} asks for {expected} bytes, it has {len(data)}"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
