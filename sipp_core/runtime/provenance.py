"""Fingerprints: which inputs were seen, which network was pruned, whether a file is as written."""

from __future__ import annotations

import hashlib
import importlib.metadata
import weakref
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.runtime.batch import Given


def checksum(tensors: dict[str, Tensor], text: str = "") -> str:
    """SHA-256 over named tensors and a text."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        if tensors[name].is_meta:
            raise ValueError(f"{name!r} of the network is on the meta device: it has no values")
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.reshape(-1)
        if flat.numel() == 1:  # of any stride, which a view of its bytes does not take
            flat = flat.as_strided((1,), (1,))
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, to tell whether two networks are the same.

    Args:
        model: any module.

    Returns:
        64 hexadecimal digits; they depend on names, shapes, dtypes and values.

    Example:
        >>> import copy; net = nn.Linear(2, 2); fingerprint(net) == fingerprint(copy.deepcopy(net))
        True
    """
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        # A quantized layer keeps its packed weight and bias as a tuple.
        parts = value if isinstance(value, tuple | list) else [value]
        for place, part in enumerate(parts):
            if isinstance(part, Tensor):
                key = name if part is value else f"{name}/{place}"
                state |= {key: part} if not part.is_quantized else _unpacked(key, part)
    return checksum(state)


def _unpacked(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A quantized tensor as plain ones: whole numbers, scales and zero points."""
    whole = {name: tensor.int_repr()}
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        scale, zero = torch.tensor(tensor.q_scale()), torch.tensor(tensor.q_zero_point())
    else:
        scale, zero = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return whole | {f"{name}/scale": scale, f"{name}/zero": zero}


def fingerprint_of(network: object) -> str | None:
    """SHA-256 of any network: what it says of itself as `sha256`, or a module's state."""
    own = getattr(network, "sha256", None)
    if isinstance(own, str):
        return own
    return fingerprint(network) if isinstance(network, nn.Module) else None


@dataclass(frozen=True)
class Provenance:
    """Where a pruned model came from, as far as a certificate must know.

    Attributes:
        digests: fingerprints of the inputs it was calibrated on.
        seed: seed of its draws.
    """

    digests: frozenset[bytes]
    seed: int


# Entries vanish with their model; a copy of the model is a stranger.
_provenance: weakref.WeakKeyDictionary[nn.Module, Provenance] = weakref.WeakKeyDictionary()


def remember(pruned: nn.Module, provenance: Provenance) -> None:
    """Note where a pruned model came from, so that `certify` can refuse its calibration inputs."""
    _provenance[pruned] = provenance


def recall(pruned: nn.Module) -> Provenance | None:
    """Return what is known of a model's origin, None for one that `prune` did not make here."""
    return _provenance.get(pruned)


def digests(batch: Given) -> list[bytes]:
    """Fingerprint each input, to see whether held-out inputs were calibration inputs.

    Args:
        batch: (n, ...) tensor, or a `Batch` (all that the model is given counts).

    Returns:
        n fingerprints of 8 bytes; equal inputs give equal ones whatever float type carries them.

    Example:
        >>> a, b = digests(torch.tensor([[1.0], [1.0]])); a == b
        True
    """
    tensors = (batch,) if isinstance(batch, Tensor) else batch.tensors
    columns = [_rows(tensor) for tensor in tensors]
    return [
        hashlib.blake2b(b"".join(row), digest_size=8).digest() for row in zip(*columns, strict=True)
    ]


def _rows(tensor: Tensor) -> list[bytes]:
    """The numbers of each input, as bytes."""
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32) + 0.0  # -0.0 and 0.0 are one input
    flat = tensor.reshape(tensor.shape[0], -1).cpu().contiguous().numpy()
    return [row.tobytes() for row in flat]


def calibration_fingerprint(origin: Provenance | None) -> str | None:
    """SHA-256 of the calibration inputs, as a set; None where they are unknown."""
    if origin is None:
        return None
    return hashlib.sha256(b"".join(sorted(origin.digests))).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what computed a result.

    Returns:
        Package name to version, for sipp-theory, torch and numpy.

    Example:
        >>> sorted(versions())
        ['numpy', 'sipp-theory', 'torch']
    """
    return {"sipp-theory": _own_version(), "torch": str(torch.__version__), "numpy": np.__version__}


@cache
def _own_version() -> str:
    """This package's version; reading it takes a tenth of a small certificate's time."""
    try:
        return importlib.metadata.version("sipp-theory")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
