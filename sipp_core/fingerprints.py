"""Fingerprints: which inputs were seen, which network was pruned, whether a file is as written."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def checksum(tensors: dict[str, Tensor], text: str = "") -> str:
    """SHA-256 over named tensors and a text.

    Args:
        tensors: by name; names, dtypes, shapes and bytes count, devices do not.
        text: what else is to be covered.

    Returns:
        64 hexadecimal digits.

    Claim: none (plumbing).

    Example:
        >>> len(checksum({"a": torch.ones(2)}))
        64
    """
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's parameters and buffers, to tell whether two networks are the same.

    Args:
        model: any module.

    Returns:
        64 hexadecimal digits; they depend on names, shapes, dtypes and values.

    Claim: none (plumbing).

    Example:
        >>> import copy; net = nn.Linear(2, 2); fingerprint(net) == fingerprint(copy.deepcopy(net))
        True
    """
    state = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    return checksum(state)
