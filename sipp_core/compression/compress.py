"""A network as a short file that gives it back bit for bit, and every bit of it accounted for.

The file: two bytes that name the format, one with its version and whether a template is needed, the
length of what follows, a CRC-32, and one range-coded stream: the architecture, then each tensor.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sipp_core.compression import architecture as families
from sipp_core.compression.architecture import Architecture, code_architecture
from sipp_core.compression.range_coder import DamagedError, Reader, Recorder
from sipp_core.compression.tensors import Past, read, write
from sipp_core.network.masks import duplicate, refresh
from sipp_core.runtime.arguments import refuse_no_module, whole
from sipp_core.runtime.files import read_bytes, write_atomically
from sipp_core.runtime.tensor_files import with_versions

__all__ = ["Compressed", "compress", "decompress"]

MAGIC = b"\xa7S"
VERSION, TEMPLATE = 1, 0x80
CRC_BYTES = 4
LONGEST_LENGTH = 5
# Weights of a network that a file may ask for by itself; a few bytes are enough to ask for many.
MOST_WEIGHTS = 1 << 20
State = dict[str, Tensor]
Source = bytes | bytearray | memoryview | str | PathLike[str]
"""A file: its bytes, or where it is."""


@dataclass(frozen=True)
class Compressed:
    """A network as a file.

    Attributes:
        content: the file, byte for byte.
        sections: (layer, part, bits) in the order of the file; the bits add up to `bits`, exactly.
            A part's bits are those of its decisions' probabilities, rounded to 2**-20; "rounding"
            is what the stream takes beyond them. The layer is "" where a part is of no layer.
    """

    content: bytes
    sections: tuple[tuple[str, str, float], ...]

    @property
    def bits(self) -> int:
        """Bits of the file."""
        return 8 * len(self.content)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the file, whole or not at all; its path."""
        return write_atomically(path, self.content)


def _state(model: nn.Module) -> State:
    """Tensors of a network that a file can hold; refuses others by name."""
    refuse_no_module(model)
    state: State = {}
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{name!r} of the model is a {type(value).__name__}, no tensor; a compressed file "
                "holds tensors only"
            )
        if value.layout != torch.strided or value.is_quantized:
            raise ValueError(f"{name!r} of the model is no dense tensor; make it one first")
        if value.is_meta or is_lazy(value):
            raise ValueError(f"{name!r} of the model has no values yet; initialise the model first")
        state[name] = value.detach()
    return state


def _signature(state: State) -> list[tuple[str, tuple[int, ...], str]]:
    return [(name, tuple(value.shape), str(value.dtype)) for name, value in state.items()]


def _differs(state: State, other: State) -> str | None:
    """The first tensor in which two networks differ other than by values."""
    ours, theirs = _signature(state), _signature(other)
    for name, shape, dtype in ours:
        if name not in other:
            return f"it lacks {name!r}"
        if (name, shape, dtype) not in theirs:
            there = other[name]
            return f"{name!r} is {dtype} {shape}, not {there.dtype} {tuple(there.shape)}"
    if extra := [name for name in other if name not in state]:
        return f"it has {extra[0]!r} besides"
    return None


def _real(value: Tensor) -> Tensor:
    """A tensor on the CPU, its complex numbers as pairs."""
    value = value.detach().cpu().resolve_conj().resolve_neg()
    return torch.view_as_real(value) if value.is_complex() else value


def _length_of(count: int) -> bytes:
    """A whole number in as few bytes as it takes, seven bits in each, the lowest first."""
    low = bytearray()
    while count > 0x7F:
        low.append(0x80 | (count & 0x7F))
        count >>= 7
    return bytes([*low, count])


def _checksum(state: State | None, stream: bytes) -> bytes:
    """CRC-32 of a stream, and of the names and shapes that it is to be read with."""
    signature = "" if state is None else repr(_signature(state))
    return zlib.crc32(stream, zlib.crc32(signature.encode())).to_bytes(CRC_BYTES, "big")


def _content_of(source: Source) -> tuple[str, bytes]:
    """What to call a source, and its bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "the content", bytes(source)
    return str(source), read_bytes(source, "compressed network")


def _opened(where: str, content: bytes) -> tuple[bool, bytes, bytes]:
    """Whether a file needs a template, its checksum and its stream."""
    if not content.startswith(MAGIC):
        raise ValueError(f"{where} is no compressed network; give a file that `compress` wrote")
    if len(content) < len(MAGIC) + 2 + CRC_BYTES:
        raise ValueError(f"{where} is truncated; compress the network again")
    mark = content[len(MAGIC)]
    if mark & ~TEMPLATE != VERSION:
        raise ValueError(
            f"{where} is of format version {mark & ~TEMPLATE}, this sipp reads {VERSION}; take the "
            "sipp that wrote it"
        )
    size, place = 0, len(MAGIC) + 1
    for k, byte in enumerate(content[place : place + LONGEST_LENGTH]):
        size |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            place += k + 1
            break
    end = place + CRC_BYTES + size
    if _length_of(size) != content[len(MAGIC) + 1 : place] or len(content) != end:
        raise ValueError(
            f"{where} is truncated or too long: {len(content)} bytes; compress the network again"
        )
    return bool(mark & TEMPLATE), content[place : place + CRC_BYTES], content[place + CRC_BYTES :]


def compress(model: nn.Module, *, architecture: str | None = None) -> Compressed:
    """Write a network as a short file that `decompress` turns back into it, bit for bit.

    Every tensor of the state_dict comes back with its type, shape and bits. The file is short where
    a tensor holds few distinct values, steps of a grid or entries of a codebook, and many zeros:
    those are found, no argument names them. A step that is a power of two takes 5 bits, one of four
    significant bits 8; -0.0 is another value than 0 and makes a grid a table. The model is not
    changed.

    Args:
        model: any module whose state_dict holds dense tensors only.
        architecture: a family that the file is to name, so that it is read without a template: a
            name of `sipp_core.models.NAMES`, or one with parameters, "dense:784,32,10",
            "compact:28,8,12" or "oriented:28,4,8,10". None: the reader must be given a module of
            the same architecture.

    Returns:
        The file and what each part of it takes.

    Raises:
        ValueError: an unknown architecture, one that the model is not of, or a state_dict with
            something other than dense tensors.

    Example:
        >>> net = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 10))
        >>> for p in net.parameters(): _ = p.data.mul_(8).round_().div_(8)
        >>> packed = compress(net)
        >>> packed.bits == 8 * len(packed.content) == sum(bits for *_, bits in packed.sections)
        True
        >>> torch.equal(decompress(packed.content, net)[0].weight, net[0].weight)
        True
    """
    state = _state(model)
    recorder = Recorder()
    if architecture is not None:
        named = families.named(architecture)
        built = _state(named.build())
        if wrong := _differs(state, built):
            raise ValueError(f"the model is no {named} as it is built: {wrong}")
        state = {name: state[name] for name in built}
        recorder.part("", "architecture")
        code_architecture(recorder, named)
    past = Past()
    for name, value in state.items():
        if value.numel():
            write(recorder, past, name, _real(value))
    stream = recorder.content()
    mark = VERSION | (TEMPLATE if architecture is None else 0)
    check = _checksum(state if architecture is None else None, stream)
    header = MAGIC + bytes([mark]) + _length_of(len(stream))
    content = header + check + stream
    sections = [("", "header", 8.0 * len(header)), ("", "checksum", 8.0 * len(check))]
    sections += recorder.parts()
    rest = 8 * len(content) - sum(bits for *_, bits in sections)
    return Compressed(content, (*sections, ("", "rounding", rest)))


def decompress(
    source: Source, model: nn.Module | None = None, *, max_weights: int | None = None
) -> nn.Module:
    """Turn a file that `compress` wrote back into the network, bit for bit.

    Args:
        source: the file's bytes, or its path.
        model: a module of the same architecture, where the file names none; not changed (a deep
            copy receives the values).
        max_weights: largest number of weights of an architecture with parameters, such as
            dense:..., that a file may name, >= 1; None for 2**20, or what a template has.

    Returns:
        The network: a copy of the template, or a new module on the CPU in evaluation mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged, truncated or foreign file, a template that is missing or of another
            architecture, one that the file has no need of, or more weights than are allowed.

    Example:
        >>> decompress(b"something else")
        Traceback (most recent call last):
        ...
        ValueError: the content is no compressed network; give a file that `compress` wrote
    """
    where, content = _content_of(source)
    template, check, stream = _opened(where, content)
    if max_weights is not None:
        whole("max_weights", max_weights, 1)
        if model is not None:
            raise ValueError("the template says how many weights there are; leave out max_weights=")
    if template and model is None:
        raise ValueError(f"{where} names no architecture; give a module of the same one as model=")
    if not template and model is not None:
        raise ValueError(f"{where} names its architecture; leave out model=")
    state = None if model is None else _state(model)
    if _checksum(state, stream) != check:
        other = " or the model is of another architecture" if template else ""
        raise ValueError(f"{where} has been altered{other}: its checksum differs; compress again")
    try:
        return _read(stream, model, MOST_WEIGHTS if max_weights is None else max_weights, where)
    except DamagedError as error:
        raise ValueError(f"{where} is damaged: {error}; compress the network again") from error


def named_in(source: Source, *, where: str | None = None) -> Architecture | None:
    """The architecture that a file names, without reading the weights.

    Args:
        source: the file's bytes, or its path.
        where: what to call the bytes in a refusal; the path, or "the content", if not given.

    Returns:
        The architecture, or None where the file needs a template.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged, truncated or foreign file.

    Example:
        >>> from sipp_core.zoo import models
        >>> str(named_in(compress(models.dense([3, 2], 0), architecture="dense:3,2").content))
        'dense:3,2'
    """
    name, content = _content_of(source)
    where = where or name
    template, check, stream = _opened(where, content)
    if template:
        return None
    if _checksum(None, stream) != check:
        raise ValueError(f"{where} has been altered: its checksum differs; compress again")
    try:
        return code_architecture(Reader(stream), Architecture("lenet-5"))
    except DamagedError as error:
        raise ValueError(f"{where} is damaged: {error}; compress the network again") from error


def _read(stream: bytes, model: nn.Module | None, most: int, where: str) -> nn.Module:
    reader = Reader(stream)
    if model is None:
        named = code_architecture(reader, Architecture("lenet-5"))
        if (weights := named.weights) is not None and weights > most:
            raise ValueError(
                f"{where} asks for {named} with {weights:,} weights; at most {most:,} are read, "
                "unless max_weights= allows more"
            )
        try:
            new = named.build().eval()
        except ValueError as error:
            raise DamagedError(f"it names {named}, and {error}") from error
    else:
        new = duplicate(model)
    past, state = Past(), {}
    for name, old in _state(new).items():
        pairs = old.is_complex()
        shape = (*old.shape, 2) if pairs else tuple(old.shape)
        dtype = torch.empty((), dtype=old.dtype).real.dtype
        if old.numel():
            value = read(reader, past, shape, dtype)
            state[name] = torch.view_as_complex(value) if pairs else value
        else:
            state[name] = old
    new.load_state_dict(with_versions(state, new))
    refresh(new)
    return new
