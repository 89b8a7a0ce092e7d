"""What a tensor looks like to the file: steps of a grid, entries of a table, or bytes as they are.

A `Form` says how whole numbers become values and `rebuild` does it; `code_form` writes or reads
one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sipp_core.compression.adaptive import ContextModels, chance, choose, number
from sipp_core.compression.number_formats import FORMATS, rising, shortest
from sipp_core.compression.range_coder import Coder, DamagedError, Integers, flag, one_of

Shape = tuple[int, ...]

KINDS = ("grid", "zeros", "table", "ones", "grid table", "same", "sparse", "bytes")
# Tables longer than this cost more than they save.
TABLE = 256
# Whole numbers beyond this are no steps of a grid, as floats they would not even be exact.
FARTHEST = 1 << 24
WHOLE_TYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
REAL_TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Form:
    """How whole numbers become the values of a tensor."""

    kind: str  # one of `KINDS`
    step: float = 1.0  # distance of two neighbours on a grid; above 0
    steps: tuple[int, ...] = ()  # a grid table's entries, in steps, rising
    patterns: tuple[int, ...] = ()  # a table's entries as bits of the tensor's type, in its order
    values: tuple[float, ...] = ()  # as numbers, rising; empty if only bits will do
    centre: int = 0  # what 0 stands for: steps of a grid, or the number of an entry
    source: int = 0  # of a tensor equal to an earlier one, the number of that one


def raw_bytes(tensor: Tensor) -> np.ndarray:
    """The bytes of a tensor in row-major order, (n,) uint8."""
    # A single value may have any stride and still be called contiguous; new memory has none.
    flat = torch.empty(tensor.numel(), dtype=tensor.dtype)
    return flat.copy_(tensor.detach().reshape(-1)).view(torch.uint8).numpy()


def rebuild(form: Form, levels: Integers, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The tensor that whole numbers stand for."""
    if form.kind in ("zeros", "ones"):
        return torch.full(shape, int(form.kind == "ones"), dtype=dtype)
    try:
        indices = levels + form.centre
        if form.kind == "grid table":
            indices = _taken(np.array(form.steps, dtype=np.int64), indices)
    except OverflowError as error:
        raise DamagedError("it holds a number beyond all bounds") from error
    if form.kind == "table" and form.values:
        flat = torch.from_numpy(_taken(np.array(form.values, dtype=np.float64), indices)).to(dtype)
    elif form.kind == "table":
        width = torch.empty((), dtype=dtype).element_size()
        entries = np.array(form.patterns, dtype=f"<u{width}")
        flat = torch.from_numpy(_taken(entries, indices).view(np.uint8).copy()).view(dtype)
    else:
        flat = _on_grid(indices, form.step, dtype)
    return flat.reshape(shape)


def _taken(entries: np.ndarray, index: np.ndarray) -> np.ndarray:
    if index.size and not 0 <= index.min() <= index.max() < entries.size:
        raise DamagedError("it names an entry that its table lacks")
    return entries[index]


def _on_grid(steps: np.ndarray, step: float, dtype: torch.dtype) -> Tensor:
    if steps.size and max(-int(steps.min()), int(steps.max())) > FARTHEST:
        raise DamagedError("it holds a number beyond all bounds")
    if dtype in WHOLE_TYPES:
        if step != int(step) or step > 2**31:
            raise DamagedError("its step is no whole number")
        return torch.from_numpy(steps * int(step)).to(dtype)
    with np.errstate(all="ignore"):
        return torch.from_numpy(steps.astype(np.float64) * step).to(dtype)


def code_form(
    coder: Coder, contexts: ContextModels, form: Form, dtype: torch.dtype, known: Sequence[float],
    earlier: int, vector: bool,
) -> Form:  # fmt: skip
    """Write or read a form."""
    kind = KINDS[choose(coder, contexts, ("form", vector), KINDS.index(form.kind), len(KINDS))]
    if kind == "same":
        if not earlier:
            raise DamagedError("it names a tensor that is not there")
        return Form(kind, source=one_of(coder, form.source, earlier))
    if kind in ("zeros", "ones", "sparse", "bytes"):
        return Form(kind)
    coded = replace(form, kind=kind)
    if kind != "table":
        coded = replace(coded, step=_step(coder, contexts, form.step, known))
    if kind == "table":
        coded = _entries(coder, contexts, coded, dtype)
        usual = int(np.searchsorted(coded.values, 0)) if coded.values else 0
    elif kind == "grid table":
        coded = replace(coded, steps=_marks(coder, contexts, coded.steps))
        usual = int(np.searchsorted(coded.steps, 0))
    else:
        usual = 0
    moved = chance(coder, contexts, ("moved", kind), int(form.centre != usual))
    if not moved:
        return replace(coded, centre=usual)
    below = flag(coder, int(form.centre < usual))
    by = 1 + number(coder, contexts, ("moved by", kind), max(abs(form.centre - usual) - 1, 0))
    return replace(coded, centre=usual - by if below else usual + by)


def _step(coder: Coder, contexts: ContextModels, step: float, known: Sequence[float]) -> float:
    if known and not chance(coder, contexts, "new step", int(step != known[-1])):
        return known[-1]
    way = FORMATS[choose(coder, contexts, "format", shortest([step]), len(FORMATS))]
    (pattern,) = rising(coder, [way.pattern(step) or 0], 1, way.bits)
    step = way.number(pattern)
    if not (math.isfinite(step) and step > 0):
        raise DamagedError("its step is no number above 0")
    return step


def _entries(coder: Coder, contexts: ContextModels, form: Form, dtype: torch.dtype) -> Form:
    """A table: the numbers below 0, 0 itself and those above in one format, or bits as they are."""
    exact = chance(coder, contexts, "exact", int(not form.values))
    if exact:
        count = 1 + number(coder, contexts, "entries", max(len(form.patterns) - 1, 0))
        _refuse_long(count)
        width = 8 * torch.empty((), dtype=dtype).element_size()
        return replace(
            form, values=(), patterns=tuple(rising(coder, list(form.patterns), count, width))
        )
    if dtype not in REAL_TYPES:
        raise DamagedError("its table does not fit its type")
    sizes = [abs(value) for value in form.values if value]
    way = FORMATS[choose(coder, contexts, "table format", shortest(sizes), len(FORMATS))]
    patterns = [way.pattern(size) or 0 for size in sizes]
    below = sum(value < 0 for value in form.values)
    zero = chance(coder, contexts, "has zero", int(0 in form.values))
    parts = []
    for side in (patterns[:below][::-1], patterns[below:]):
        count = number(coder, contexts, "entries", len(side))
        _refuse_long(count)
        parts.append([way.number(p) for p in rising(coder, side, count, way.bits)])
    values = [-value for value in reversed(parts[0])] + [0.0] * zero + parts[1]
    if not values or not all(map(math.isfinite, values)):
        raise DamagedError("its table holds what is no number")
    return replace(form, patterns=(), values=tuple(values))


def _marks(coder: Coder, contexts: ContextModels, steps: tuple[int, ...]) -> tuple[int, ...]:
    """Entries of a table on a grid, by how far each is from the one before."""
    zero = chance(coder, contexts, "has zero", int(0 in steps))
    sides = []
    for side in ([-s for s in reversed(steps) if s < 0], [s for s in steps if s > 0]):
        count = number(coder, contexts, "entries", len(side))
        _refuse_long(count)
        last, marks = 0, []
        for k in range(count):
            after = side[k] if k < len(side) else 1
            last += 1 + number(coder, contexts, "mark", max(after - last - 1, 0))
            marks.append(last)
        sides.append(marks)
    return (*(-mark for mark in reversed(sides[0])), *[0] * zero, *sides[1])


def _refuse_long(count: int) -> None:
    if count > TABLE:
        raise DamagedError("its table is longer than any that is written")
