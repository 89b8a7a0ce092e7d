"""Many short tensors in one: the entry that each has in a file's header is longer than they are."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from sipp_core.runtime.tensor_files import read_safetensors

# The one tensor's name; bytes of a short tensor; bytes that the one tensor may unpack to.
TOGETHER, SHORT, MOST = "together", 1 << 12, 1 << 21
# Of a short tensor's header entry, about, beside its name.
_ENTRY = 128


def put_together(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, the short ones as one: a safetensors file of them in zlib's form.

    Shapes: the one tensor (bytes,) uint8.

    Example:
        >>> sorted(put_together({"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(9999)}))
        ['c', 'together']
    """
    short, size = dict[str, Tensor](), 0
    for name, value in sorted(tensors.items(), key=lambda item: (item[1].nbytes, item[0])):
        size += value.nbytes + len(name.encode()) + _ENTRY
        if value.nbytes > SHORT or size > MOST:
            break
        short[name] = value
    content = to_bytes(short)
    if len(short) < 2 or len(content) > MOST:
        return tensors
    packed = np.frombuffer(zlib.compress(content, 9), dtype=np.uint8)
    rest = {name: value for name, value in tensors.items() if name not in short}
    return rest | {TOGETHER: torch.from_numpy(packed.copy())}


def take_apart(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The tensors that `put_together` was given; ValueError where the one tensor is no such.

    Example:
        >>> sorted(take_apart(put_together({"a": torch.ones(2), "b": torch.ones(3)}), "the file"))
        ['a', 'b']
    """
    packed = tensors.get(TOGETHER)
    if packed is None:
        return tensors
    if packed.dtype != torch.uint8:
        raise ValueError(f"{where} is damaged: {TOGETHER!r} is {packed.dtype}; save it again")
    reader = zlib.decompressobj()
    try:
        content = reader.decompress(packed.numpy().tobytes(), MOST + 1)
    except zlib.error as error:
        raise ValueError(f"{where} is damaged: {TOGETHER!r} has {error}; save it again") from error
    if not reader.eof or reader.unused_data or len(content) > MOST:
        raise ValueError(
            f"{where} is damaged: {TOGETHER!r} is cut off, or unpacks to more than {MOST:,} bytes; "
            "save it again"
        )
    short = read_safetensors(content, f"{TOGETHER!r} of {where}")
    if twice := sorted({TOGETHER, *tensors} & set(short)):
        raise ValueError(f"{where} is damaged: it has {twice[0]!r} twice; save it again")
    return {name: value for name, value in tensors.items() if name != TOGETHER} | short
