"""Which forms a tensor fits, bit for bit: steps and tables are found from its values alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sipp_core.compression.forms import (
    FARTHEST,
    REAL_TYPES,
    TABLE,
    WHOLE_TYPES,
    Form,
    raw_bytes,
    rebuild,
)
from sipp_core.compression.range_coder import DamagedError, Integers

Fitted = list[tuple[Form, Integers]]
NO_LEVELS = np.zeros(0, np.int64)

# A grid of more distinct values than this is not looked for.
DISTINCT = 1 << 14
# Rounding to these from float64 is one correct rounding everywhere; others must be met exactly.
ROUNDED_TYPES = (torch.float32, torch.float64)


def _patterns(tensor: Tensor) -> np.ndarray:
    """Bits of each value as an unsigned number, little endian."""
    size = tensor.element_size()
    return raw_bytes(tensor).view(f"<u{size}") if size <= 8 else np.zeros(0, np.uint8)


def _numbers(tensor: Tensor) -> np.ndarray:
    """Values, exactly: int64 of whole types, float64 of others."""
    flat = tensor.detach().cpu().reshape(-1)
    return flat.to(torch.int64 if tensor.dtype in WHOLE_TYPES else torch.float64).numpy()


def _gcd(values: np.ndarray) -> float | None:
    """Greatest number that all of some numbers above 0 are whole multiples of, if it is a float."""
    shares, exponents = np.frexp(values)
    lowest = int(exponents.min()) - 53
    divisor = 0
    for share, exponent in zip(shares.tolist(), exponents.tolist(), strict=True):
        divisor = math.gcd(divisor, int(share * 2**53) << (exponent - 53 - lowest))
    return math.ldexp(divisor, lowest) if divisor < 1 << 53 else None


def _grids(values: np.ndarray, known: Sequence[float]) -> list[float]:
    """Steps that may fit: the greatest common one, known ones, the least magnitude."""
    sizes = np.unique(np.abs(values[values != 0].astype(np.float64)))
    if not sizes.size or sizes.size > DISTINCT or not np.isfinite(sizes).all():
        return []
    steps = [*known, _gcd(sizes), float(sizes[0])]
    return list(dict.fromkeys(s for s in steps if s and sizes[-1] <= FARTHEST * s))


def _gridded(tensor: Tensor, values: np.ndarray, known: Sequence[float]) -> Fitted:
    fitted: Fitted = []
    for step in _grids(values, known):
        steps = np.rint(values / step).astype(np.int64)
        if tensor.dtype not in ROUNDED_TYPES and not np.array_equal(steps * step, values):
            continue
        form = Form("grid", step)
        if not _same(tensor, form, steps):
            continue
        present, counts = np.unique(steps, return_counts=True)
        for centre in dict.fromkeys((0, int(present[counts.argmax()]))):
            fitted.append((replace(form, centre=centre), steps - centre))
        if present.size <= TABLE and present[-1] - present[0] >= present.size:
            index = np.searchsorted(present, steps)
            centre = int(np.searchsorted(present, 0))
            table = Form("grid table", step, steps=tuple(present.tolist()), centre=centre)
            fitted.append((table, index - centre))
    return fitted


def _tabled(tensor: Tensor, values: np.ndarray) -> Fitted:
    patterns, index = np.unique(_patterns(tensor), return_inverse=True)
    if not patterns.size or patterns.size > TABLE:
        return []
    if tensor.dtype in REAL_TYPES:
        # A zero with a sign is written by its bits; adding 0 takes the sign, and it shows below.
        entries, places = np.unique(values + 0.0, return_inverse=True)
        centre = int(np.searchsorted(entries, 0))
        form = Form("table", values=tuple(entries.tolist()), centre=centre)
        if np.isfinite(entries).all() and _same(tensor, form, places - centre):
            return [(form, places - centre)]
    counts = np.bincount(index)
    centre = int(counts.argmax())
    form = Form("table", patterns=tuple(patterns.tolist()), centre=centre)
    return [(form, index - centre)]


def _same(tensor: Tensor, form: Form, levels: Integers) -> bool:
    try:
        rebuilt = rebuild(form, levels, tuple(tensor.shape), tensor.dtype)
    except DamagedError:
        return False
    return np.array_equal(raw_bytes(rebuilt), raw_bytes(tensor))


def candidates(tensor: Tensor, known: Sequence[float], earlier: Sequence[Tensor]) -> Fitted:
    """Every form that a tensor fits bit for bit, with the whole numbers that it then is."""
    for kind in ("zeros", "ones"):
        if _same(tensor, Form(kind), NO_LEVELS):
            return [(Form(kind), NO_LEVELS)]
    fitted: Fitted = [(Form("bytes"), NO_LEVELS)]
    bits = _patterns(tensor)
    if bits.size and not bits.all():
        fitted.insert(0, (Form("sparse"), NO_LEVELS))
    for k, other in enumerate(earlier):
        if np.array_equal(raw_bytes(other), raw_bytes(tensor)):
            fitted.insert(0, (Form("same", source=k), NO_LEVELS))
            break
    if tensor.dtype in WHOLE_TYPES or tensor.dtype in REAL_TYPES:
        values = _numbers(tensor)
        fitted = [*_gridded(tensor, values, known), *_tabled(tensor, values), *fitted]
    elif tensor.element_size() <= 8:
        fitted = [*_tabled(tensor, np.zeros(0)), *fitted]
    return fitted
