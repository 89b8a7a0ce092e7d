"""Files of tensors, read from bytes that were read once: safetensors, and torch's own."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

State = dict[str, Tensor]
# What a safetensors header may take; the format's own limit.
_LONGEST_HEADER = 100_000_000
_TORCH_MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")
# Names under which training scripts put the state_dict beside other things.
_NESTED = ("state_dict", "model_state_dict", "model")


def is_torch_file(content: bytes) -> bool:
    r"""Whether bytes are a file of torch.save and no safetensors file.

    Args:
        content: the bytes of a file.

    Returns:
        True if they begin as torch's files do.

    Example:
        >>> is_torch_file(b"PK\x03\x04"), is_torch_file(b"")
        (True, False)
    """
    return content.startswith(_TORCH_MAGIC)


def metadata_of(content: bytes, where: str) -> dict[str, str]:
    """The texts in the header of a safetensors file.

    Args:
        content: the bytes of a file.
        where: what to call it in a refusal.

    Returns:
        Text by name.

    Raises:
        ValueError: no safetensors file.

    Example:
        >>> from safetensors.torch import save
        >>> metadata_of(save({"a": torch.ones(1)}, metadata={"b": "c"}), "the file")
        {'b': 'c'}
    """
    size = int.from_bytes(content[:8], "little")
    reason = "it is too short"
    if len(content) >= 8 and size <= min(len(content) - 8, _LONGEST_HEADER):
        try:
            header = json.loads(content[8 : 8 + size])
        except (ValueError, RecursionError) as error:
            reason = f"its header is no JSON: {error}"
        else:
            metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
            if isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()):
                return metadata
            reason = "its header is of another form"
    if is_torch_file(content):
        reason = "it is a file of torch.save"
    raise ValueError(f"{where} is truncated or no safetensors file ({reason})")


def read_safetensors(content: bytes, where: str) -> State:
    """Tensors of a safetensors file by name; they take what the bytes take."""
    metadata_of(content, where)
    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{where} is truncated or no safetensors file ({error})") from error


def strange(value: Tensor) -> str:
    """What keeps a tensor from being plain numbers, and what to do about it; "" where nothing does.

    Example:
        >>> strange(torch.ones(2)), strange(torch.ones(2, device="meta"))
        ('', 'a tensor on the meta device, without values')
    """
    if value.is_nested:
        return "a nested tensor; give it as torch.nested.to_padded_tensor(it, 0.0)"
    if value.layout != torch.strided:
        return f"a tensor of layout {value.layout}; give it as to_dense()"
    if value.is_quantized:
        return "a quantised tensor; give it as dequantize()"
    if value.is_meta:
        return "a tensor on the meta device, without values"
    if value.is_floating_point() and value.element_size() < 2:
        return f"a tensor of {value.dtype}, which has no arithmetic; give it as float()"
    return ""


def _tensors(held: Any) -> Iterator[Tensor]:
    """The tensors of nested containers."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, Mapping):
        for value in held.values():
            yield from _tensors(value)
    elif isinstance(held, list | tuple | set):
        for value in held:
            yield from _tensors(value)


def read_torch(content: bytes, where: str, most: int) -> Any:
    """What torch.save wrote, if it is made of tensors and plain containers; no code of it is run.

    Args:
        content: the bytes of a file.
        where: what to call it in a refusal.
        most: bytes that it may unpack to.

    Returns:
        The object, its tensors on the CPU.

    Raises:
        ValueError: no such file, or more bytes.

    Example:
        >>> file = io.BytesIO(); torch.save([torch.ones(2)], file)
        >>> read_torch(file.getvalue(), "the file", 2**20)
        [tensor([1., 1.])]
    """
    reason = ""
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                size = sum(member.file_size for member in archive.infolist())
            if size > most:
                reason = f"it unpacks to {size:,} bytes; at most {most:,} are read"
        if not reason:
            held = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            # A tensor with a stride of 0 stands for more numbers than the file has.
            plain = (t for t in _tensors(held) if not t.is_nested)
            size = sum(tensor.numel() * tensor.element_size() for tensor in plain)
            if size <= most:
                return held
            reason = f"its tensors have {size:,} bytes; at most {most:,} are read"
    except Exception as error:  # whatever comes up where a file is damaged
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{where} is truncated, no torch file, or holds more than tensors, which is not loaded "
            f"({reason})"
        ) from error
    raise ValueError(f"{where} is too large: {reason}")


def read_state(content: bytes, where: str, most: int) -> State:
    """A state_dict from a safetensors file, or from one of torch.save.

    Args:
        content: the bytes of a file.
        where: what to call it in a refusal.
        most: bytes that a file of torch.save may unpack to.

    Returns:
        Tensors by name.

    Raises:
        ValueError: a file of another kind, or one that holds something else.

    Example:
        >>> from safetensors.torch import save
        >>> read_state(save({"a": torch.ones(1)}), "the file", 2**20)
        {'a': tensor([1.])}
    """
    if not is_torch_file(content):
        return read_safetensors(content, where)
    state = read_torch(content, where, most)
    for name in _NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise ValueError(
            f"{where} is a torch file that holds no state_dict of tensors; write one with "
            "torch.save(model.state_dict(), ...)"
        )
    for name, value in state.items():
        if value.is_nested or value.is_meta:
            raise ValueError(f"{where} holds {name!r}, which is {strange(value)}")
    return {str(name): value.detach() for name, value in state.items()}


def with_versions(state: Mapping[str, Tensor], model: nn.Module) -> Any:
    """A state_dict with the versions of the module's own, which files of tensors do not hold.

    Some modules read a state_dict without a version as one of their oldest. What is no tensor stays
    what the module has.

    Args:
        state: tensors by name.
        model: the module that they are for; not changed.

    Returns:
        What `model.load_state_dict` takes.

    Example:
        >>> net = nn.BatchNorm1d(2)
        >>> with_versions(dict(net.state_dict()), net)._metadata[""]
        {'version': 2}
    """
    own = model.state_dict()
    extra = {name: value for name, value in own.items() if not isinstance(value, Tensor)}
    versioned: Any = type(own)(extra | dict(state))
    versioned._metadata = getattr(own, "_metadata", {})
    return versioned
