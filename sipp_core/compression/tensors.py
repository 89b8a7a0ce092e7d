"""Tensors of a network one after the other: the shortest form of each, written and read."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sipp_core.compression.fitting_forms import NO_LEVELS, Fitted, candidates
from sipp_core.compression.forms import KINDS, Form, code_form, raw_bytes, rebuild
from sipp_core.compression.layout import usual
from sipp_core.compression.levels import Memory, code_levels, code_positions
from sipp_core.compression.range_coder import (
    Coder,
    DamagedError,
    Integers,
    Reader,
    Recorder,
    TooLongError,
)

# Bits that a form's name takes at most: a decision for each other form, each of at most 20 bits.
NAMING = 20.0 * len(KINDS)
LEVELLED = ("grid", "table", "grid table")


@dataclass
class Past:
    """What the file holds so far."""

    memory: Memory = field(default_factory=Memory)
    steps: list[float] = field(default_factory=list)  # steps used, the last one last
    tensors: list[Tensor] = field(default_factory=list)

    def like(self, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
        """Tensors of this type and size, in their order."""
        size = math.prod(shape)
        return [t for t in self.tensors if t.dtype == dtype and t.numel() == size]


def _code(
    coder: Coder, past: Past, memory: Memory, form: Form, levels: Integers,
    shape: tuple[int, ...], dtype: torch.dtype, data: np.ndarray, part: Callable[[str], None],
) -> tuple[Form, Tensor | None]:  # fmt: skip
    """Write or read one tensor in a form; the tensor is made for a reader only."""
    part("form")
    earlier = past.like(shape, dtype)
    coded = code_form(
        coder, memory.choices, form, dtype, past.steps[-1:], len(earlier), len(shape) < 2
    )
    if coded.kind == "same":
        return coded, earlier[coded.source].reshape(shape) if coder.reading else None
    if coded.kind in ("bytes", "sparse"):
        places = _places(coder, memory, shape, data, part) if coded.kind == "sparse" else None
        flat = _raw(coder, data, places, part)
        return coded, torch.from_numpy(flat).view(dtype).reshape(shape) if coder.reading else None
    if coded.kind in LEVELLED:
        if coder.reading:
            levels = np.zeros(math.prod(shape), np.int64)
        levels = code_levels(coder, memory, levels, shape, part)
    return coded, rebuild(coded, levels, shape, dtype) if coder.reading else None


def _places(
    coder: Coder, memory: Memory, shape: tuple[int, ...], data: np.ndarray,
    part: Callable[[str], None],
) -> np.ndarray:  # fmt: skip
    """Write or read which values have a bit that is 1."""
    part("positions")
    mask = np.any(data.reshape(math.prod(shape), -1), axis=1).view(np.uint8)
    return code_positions(coder, memory, mask, usual(shape), "raw").view(np.bool_)


def _raw(
    coder: Coder, data: np.ndarray, places: np.ndarray | None, part: Callable[[str], None]
) -> np.ndarray:
    """Write or read bytes as they are, those of the given values alone or all."""
    part("bytes")
    rows = data.reshape(1, -1) if places is None else data.reshape(places.size, -1)
    used = rows if places is None else rows[places]
    even = np.zeros(used.size + used.size % 2, dtype=np.uint8)
    even[: used.size] = used.reshape(-1)
    words = coder.words(even.view("<u2").astype(np.int32)).astype("<u2").view(np.uint8)
    result = np.zeros_like(rows)
    result[slice(None) if places is None else places] = words[: used.size].reshape(used.shape)
    return result.reshape(-1)


def _raw_bits(form: Form, data: np.ndarray, tensor: Tensor) -> int:
    """Bits that a form takes for bytes alone, which are what they are."""
    if form.kind == "bytes":
        return 8 * data.size
    values = data.reshape(tensor.numel(), -1)
    return 8 * values.shape[1] * int(values.any(axis=1).sum())


def _size(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return math.prod(shape) * torch.empty((), dtype=dtype).element_size()


def write(recorder: Recorder, past: Past, name: str, tensor: Tensor) -> None:
    """Take down a tensor in its shortest form."""
    layer, _, leaf = name.rpartition(".")
    shape, dtype = tuple(tensor.shape), tensor.dtype
    data = raw_bytes(tensor)
    best, least = None, math.inf
    # Its bytes are always a form, and naming that takes no more than a few bits.
    limit = 8 * data.size + NAMING
    for form, levels in _distinct_forms(past, tensor):
        if form.kind in ("bytes", "sparse") and _raw_bits(form, data, tensor) > least:
            continue
        trial, memory = Recorder(min(least, limit)), past.memory.copy()

        def part(what: str, trial: Recorder = trial) -> None:
            trial.part(layer, f"{leaf} {what}")

        try:
            _code(trial, past, memory, form, levels, shape, dtype, data, part)
        except TooLongError:
            continue
        if (cost := trial.cost()) < least:
            best, least = (trial, memory, form), cost
    assert best is not None
    trial, memory, form = best
    recorder.extend(trial)
    past.memory = memory
    _remember(past, form, tensor)


def _distinct_forms(past: Past, tensor: Tensor) -> Fitted:
    """Forms that a tensor fits; of those with the same whole numbers the shortest alone."""
    shape, dtype = tuple(tensor.shape), tensor.dtype
    earlier = past.like(shape, dtype)
    cheapest: dict[object, tuple[float, Form, Integers]] = {}
    for form, levels in candidates(tensor, past.steps[-1:], earlier):
        trial, contexts = Recorder(), past.memory.choices.copy()
        code_form(trial, contexts, form, dtype, past.steps[-1:], len(earlier), len(shape) < 2)
        key = levels.tobytes() if form.kind in LEVELLED else form.kind
        if key not in cheapest or trial.cost() < cheapest[key][0]:
            cheapest[key] = (trial.cost(), form, levels)
    return [(form, levels) for _, form, levels in cheapest.values()]


def read(reader: Reader, past: Past, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Read a tensor."""
    nothing = np.zeros(_size(shape, dtype), dtype=np.uint8)
    form, tensor = _code(
        reader, past, past.memory, Form("zeros"), NO_LEVELS, shape, dtype, nothing, lambda _: None
    )
    if tensor is None:
        raise DamagedError("it holds a tensor of no form")
    _remember(past, form, tensor)
    return tensor


def _remember(past: Past, form: Form, tensor: Tensor) -> None:
    past.tensors.append(tensor)
    if form.kind in ("grid", "grid table"):
        past.steps.append(form.step)
