"""Arrays from .npy and .npz files: the named ones, read once, never without bound."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import numpy as np

from sipp_core.runtime.files import read_bytes

Array = np.ndarray[Any, Any]
# What a file of inputs may unpack to, whatever its size; less if it is small.
MOST_BYTES, ALWAYS, TIMES = 1 << 34, 1 << 30, 200


def most_unpacked(content: bytes) -> int:
    """Bytes that a file may unpack to: zeros without end come from a few bytes.

    Args:
        content: the bytes of the file.

    Returns:
        Number of bytes: 1 GiB, or 200 times the file's size up to 16 GiB.

    Example:
        >>> most_unpacked(b"PK") == 2**30
        True
    """
    return min(MOST_BYTES, max(ALWAYS, TIMES * len(content)))


class _Refused(ValueError):
    """A sound file of arrays, none of them needed."""


def read_arrays(
    path: str | PathLike[str], choose: Callable[[list[str]], Iterable[str]]
) -> dict[str, Array]:
    """Read arrays of numbers from a .npz file, or the one of a .npy file.

    Args:
        path: the file.
        choose: (names of its arrays) -> those to read; the others are not unpacked.

    Returns:
        Arrays by name; that of a .npy file under "".

    Raises:
        FileNotFoundError: there is none.
        ValueError: a damaged file, one that unpacks to more than 1 GiB and 200 times its size, or
            what `choose` refuses.

    Example:
        >>> read_arrays("no/such/file.npz", list)
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file at no/such/file.npz
    """
    content = read_bytes(path)
    try:
        if not content.startswith(b"PK"):
            return {"": _npy(content)}
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
            try:
                chosen = {name: members[name] for name in choose(list(members))}
            except (ValueError, TypeError) as error:
                raise _Refused(str(error)) from error
            size, most = sum(member.file_size for member in chosen.values()), most_unpacked(content)
            if size > most:
                raise _Refused(f"{path} unpacks to {size:,} bytes; at most {most:,} are read")
            # Read to the size that was looked at, whatever there is more.
            return {
                name: _npy(archive.open(member).read(member.file_size))
                for name, member in chosen.items()
            }
    except _Refused:
        raise
    except Exception as error:  # NumPy and zipfile raise what comes up where a file is damaged
        raise ValueError(
            f"{path} is truncated, no NumPy file, or holds Python objects, which are not loaded"
        ) from error


def _npy(content: bytes) -> Array:
    """The array of a .npy file that holds as many bytes as its header says."""
    file = io.BytesIO(content)
    major = np.lib.format.read_magic(file)[0]
    headers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if major in headers:
        shape, _, dtype = headers[major](file)
        if math.prod(shape) * dtype.itemsize > len(content):
            raise ValueError("its header asks for more than it holds")
    return np.load(io.BytesIO(content), allow_pickle=False)
