"""Float32 means float32 while statistics are measured, whatever the surroundings allow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

REDUCED = ("tf32", "bf16")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Run a block outside autocast, and without TF32 or bfloat16 inside float32 products.

    A denominator z of 8 or 11 bits would move every share by up to 1 in 2^8 or 2^11, and a promise
    with it; the user's own forward pass may round as it likes. The settings of products are the
    whole process's, and put back after.

    Args:
        device: whose autocast to leave.

    Returns:
        A context manager.

    Claim: none (plumbing).

    Example:
        >>> with full_precision(torch.device("cpu")):
        ...     torch.is_autocast_enabled("cpu")
        False
    """
    switches = _switches()
    before = [(each, each.fp32_precision) for each in switches if each.fp32_precision in REDUCED]
    legacy = None if switches else torch.get_float32_matmul_precision()
    try:
        for switch, _ in before:
            switch.fp32_precision = "ieee"
        if legacy is not None:
            torch.set_float32_matmul_precision("highest")
        if torch.amp.is_autocast_available(device.type):
            with torch.autocast(device.type, enabled=False):
                yield
        else:
            yield
    finally:
        for switch, precision in before:
            switch.fp32_precision = precision
        if legacy is not None:
            torch.set_float32_matmul_precision(legacy)


def _switches() -> list[Any]:
    """Torch's settings of float32 products, one a library; none before torch 2.9."""
    libraries = (torch.backends.cuda.matmul, torch.backends.mkldnn)
    found = [libraries[0], getattr(libraries[1], "matmul", None)]
    return [switch for switch in found if hasattr(switch, "fp32_precision")]
