"""Calibration and held-out inputs: any iterable of batches, re-cut to one fixed shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sipp_core.runtime.batch import (
    Batch,
    Given,
    input_bytes,
    input_shapes,
    joined,
    kind_of,
    named_batch,
    shape_of,
)
from sipp_core.runtime.tensor_files import strange

Inputs = Iterable[Any] | Batch
# A forward pass takes MOST_INPUTS, or as many as fit into FORWARD_BYTES. Both are part of what a
# result is: the rounding of a product depends on its shape.
MOST_INPUTS, FORWARD_BYTES = 256, 2**24


def _tensor(value: object, where: str) -> object:
    """A detached tensor of what can be one; anything else as it is."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc":
            raise TypeError(f"{where} is an array of dtype {value.dtype}, no numbers")
        value = np.ascontiguousarray(value)
        # The model may write to its input.
        value = torch.from_numpy(value if value.flags.writeable else value.copy())
    if not isinstance(value, Tensor):
        return value
    if fault := strange(value):
        raise TypeError(f"{where} is {fault}")
    return value.detach()


def _first(given: object, where: str) -> Given:
    """The inputs of a batch: a tensor, or what a mapping names."""
    value = _tensor(given, where)
    if isinstance(value, Mapping):
        try:
            return named_batch({name: _tensor(each, where) for name, each in value.items()})
        except (TypeError, ValueError) as error:
            raise type(error)(f"{where}: {error}") from error
    if isinstance(value, Batch):
        return value.each(lambda each: each.detach())
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{where} must be a tensor, an (input, target) pair, a mapping of names to tensors or "
            f"a Batch; found {type(value).__name__}"
        )
    if value.ndim == 0:
        raise ValueError(f"{where} is a single number; the first dimension must count the inputs")
    return value


def _read(raw: object, where: str, targets: bool) -> tuple[Given, Tensor | None]:
    """Inputs and targets of one batch, as it came; what could be read in two ways is refused."""
    if not isinstance(raw, tuple | list) or hasattr(raw, "_fields"):
        fields = getattr(raw, "_asdict", None)  # a named tuple says what its parts are
        batch = _first(raw if fields is None else fields(), where)
        if isinstance(batch, Tensor):
            return batch, None
        return batch.without_targets(), batch.targets
    values = [_tensor(value, where) for value in raw]
    if not values:
        raise ValueError(f"{where} is an empty {type(raw).__name__}")
    if len(values) > 2:
        shapes = ", ".join(
            str(tuple(v.shape)) if isinstance(v, Tensor) else type(v).__name__ for v in values[:4]
        )
        more = ", ..." * (len(values) > 4)
        raise ValueError(
            f"{where} is a {type(raw).__name__} of {len(values)} parts ({shapes}{more}), which can "
            "be read in two ways: as inputs that were not collated (write torch.stack(batch), or "
            "read them through a DataLoader), or as several tensors of one batch (name them: "
            "Batch(ids, attention_mask=mask, targets=labels), or a dict by the names of forward)"
        )
    batch, given = _first(values[0], where), values[1] if len(values) == 2 else None
    if not isinstance(batch, Tensor) and batch.targets is not None and given is None:
        given = batch.targets
    batch = batch if isinstance(batch, Tensor) else batch.without_targets()
    if given is None:
        return batch, None
    if isinstance(given, Mapping | Batch):
        raise TypeError(
            f"{where} is a pair whose second part is a {type(given).__name__}; name what the model "
            "takes beside its first tensor: Batch(x, **others), or one dict by the names of forward"
        )
    if not isinstance(given, Tensor) or given.ndim == 0:
        return batch, None  # targets of a kind that is not used: boxes, texts
    # A tuple of two is a pair, but of whole numbers (token ids and their mask?).
    unclear = isinstance(raw, list) or not given.is_floating_point()
    if unclear and not targets and isinstance(batch, Tensor):
        _refuse_two_readings(batch, given, where)
    if len(batch) != len(given):
        raise ValueError(
            f"{where} has {len(batch)} inputs and {len(given)} targets: a pair is (inputs, "
            "targets), one target an input; a list of batches is not a batch"
        )
    return batch, given


def _refuse_two_readings(inputs: Tensor, targets: Tensor, where: str) -> None:
    """Refuse two tensors that are alike: the second may be an input as well as a target."""
    if inputs.shape != targets.shape or inputs.dtype != targets.dtype:
        return
    raise ValueError(
        f"{where} is two tensors of one shape {tuple(inputs.shape)} and dtype {inputs.dtype}, "
        "which can be read in two ways: as (inputs, targets) (write Batch(inputs, "
        "targets=targets)), or as two inputs of the model (write Batch(first, second), "
        "Batch(ids, attention_mask=mask) or a dict by the names of forward); inputs that were not "
        "collated are torch.stack(batch)"
    )


def inputs_a_forward(batch: Given) -> int:
    """Choose how many inputs run in one forward pass, from the size of an input alone.

    Shapes: batch (n, ...).

    Example:
        >>> inputs_a_forward(torch.ones(1, 784)), inputs_a_forward(torch.ones(1, 3, 224, 224))
        (256, 27)
    """
    return max(1, min(MOST_INPUTS, FORWARD_BYTES // max(1, input_bytes(batch))))


def _stream(inputs: Inputs, name: str) -> Iterable[Any]:
    """The batches as they came; one of them alone counts as a stream of one."""
    if isinstance(inputs, Tensor | np.ndarray | Mapping | Batch):
        return [inputs]
    if isinstance(inputs, Dataset) and not isinstance(inputs, Iterable):
        raise TypeError(
            f"{name} is a Dataset of single inputs; read it through torch.utils.data.DataLoader"
        )
    if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes | nn.Module):
        raise TypeError(
            f"{name} must be a tensor, a mapping of names to tensors, or an iterable of batches; "
            f"found {type(inputs)}"
        )
    if isinstance(inputs, tuple) and len(inputs) == 2:
        first, second = (_tensor(value, name) for value in inputs)
        if (
            isinstance(first, Tensor)
            and isinstance(second, Tensor)
            and (first.shape[:1] == second.shape[:1])
        ):
            raise ValueError(
                f"{name} is a tuple of two tensors ({tuple(first.shape)}, {tuple(second.shape)}), "
                "which can be read in two ways: write [(inputs, targets)] for inputs with their "
                "targets, or [batch, batch] for two batches of inputs"
            )
    return inputs


def pieces(inputs: Inputs, name: str, targets: bool = False) -> Iterator[Given]:
    """Read a stream batch by batch, as it was cut; with targets, a `Batch` that holds them."""
    first: Given | None = None
    for number, raw in enumerate(_stream(inputs, name)):
        where = f"{name} batch {number}"
        batch, given = _read(raw, where, targets)
        if targets:
            batch = _with_targets(batch, given, where, raw)
        if first is None:
            first = batch
        elif kind_of(batch) != kind_of(first):
            raise ValueError(
                f"{where} has inputs of {shape_of(batch)}; batch 0 has {shape_of(first)}. (A pair "
                "(inputs, targets) of whole arrays must be passed as [(inputs, targets)].)"
            )
        yield batch


def _with_targets(batch: Given, targets: Tensor | None, where: str, raw: object) -> Batch:
    """Inputs and targets as one batch; the labels that a model takes too are its targets."""
    if targets is None and isinstance(batch, Batch):
        targets = batch.named.get("labels")
    if targets is None:
        second = raw[1] if isinstance(raw, tuple | list) and len(raw) > 1 else raw
        raise ValueError(
            f"{where} has no targets, which gradients of a loss need: found "
            f"{type(second).__name__}; give them as (inputs, targets) pairs of tensors, a whole "
            "set as [(inputs, targets)], or as Batch(..., targets=...)"
        )
    if isinstance(batch, Tensor):
        return Batch(batch, targets=targets)
    named: dict[str, Any] = {**batch.named, **batch.settings}
    return Batch(*batch.arrays, targets=targets, **named)


def batches(inputs: Inputs, size: int | None, name: str = "calibration") -> Iterator[Given]:
    """Cut a stream of inputs into batches of one fixed size, however it came.

    Rounding in a forward pass can depend on the batch it runs in, so the same inputs must always
    run in the same batches: only the last one may be smaller, and the last before inputs of another
    shape (token ids padded batch by batch).
    """
    return _cut(pieces(inputs, name), size, name)


def labelled(
    inputs: Sequence[Batch], size: int | None, name: str = "calibration"
) -> Iterator[Batch]:
    """Cut batches with their targets as `batches` cuts those without."""
    return (batch for batch in _cut(inputs, size, name) if isinstance(batch, Batch))


def held_pairs(inputs: Inputs, name: str = "calibration") -> list[Batch]:
    """Hold a stream of (input, target) pairs, which can then be read twice.

    Example:
        >>> len(held_pairs([(torch.ones(3, 2), torch.zeros(3))]))
        1
    """
    return [batch for batch in pieces(inputs, name, targets=True) if isinstance(batch, Batch)]


def _cut(parts: Iterable[Given], size: int | None, name: str) -> Iterator[Given]:
    waiting: list[Given] = []
    held, seen = 0, 0
    for batch in parts:
        if not len(batch):
            continue
        size = size or inputs_a_forward(batch)
        if waiting and input_shapes(batch) != input_shapes(waiting[0]):
            yield _fresh(joined(waiting))
            waiting, held = [], 0
        waiting.append(batch)
        held += len(batch)
        seen += len(batch)
        if held >= size:
            together = joined(waiting)
            full = held - held % size
            yield from (_fresh(part) for part in together[:full].split(size))
            waiting, held = ([together[full:]] if held > full else []), held - full
    if held:
        yield _fresh(joined(waiting))
    elif seen == 0:
        raise ValueError(f"{name} is empty: at least one input is needed")


def _fresh(batch: Given) -> Given:
    """Copy to memory of one layout: the rounding of a product depends on strides and alignment."""
    if isinstance(batch, Tensor):
        return batch.clone(memory_format=torch.contiguous_format)
    return batch.each(lambda value: value.clone(memory_format=torch.contiguous_format))


def whole_stream(parts: Sequence[Given], name: str = "calibration") -> Given:
    """All inputs of a stream as one batch; refused where their shapes differ."""
    for part in parts:
        if input_shapes(part) != input_shapes(parts[0]):
            raise ValueError(
                f"{name} has inputs of several shapes ({shape_of(parts[0])}, {shape_of(part)}), "
                "and here all of them are held together: pad them to one length"
            )
    return joined(parts)


def read_whole(inputs: Inputs, name: str) -> Given:
    """All inputs of a stream as one batch, with their targets where every batch has them.

    Args:
        inputs: as `prune` takes them.
        name: of the inputs, for the message.

    Returns:
        (n, ...) tensor, or a `Batch` where forward takes several tensors or there are targets.

    Raises:
        TypeError: batches that are no tensors.
        ValueError: no inputs, batches that differ, or what can be read in two ways.

    Example:
        >>> read_whole([torch.ones(2, 1), torch.ones(3, 1)], "inputs").shape
        torch.Size([5, 1])
    """
    both = [_read(raw, f"{name} batch {k}", False) for k, raw in enumerate(_stream(inputs, name))]
    if not both:
        raise ValueError(f"{name} is empty: at least one input is needed")
    if all(targets is not None for _, targets in both):
        return whole_stream([_with_targets(b, t, name, b) for b, t in both], name)
    for number, (batch, _) in enumerate(both):
        if kind_of(batch) != kind_of(both[0][0]):
            raise ValueError(
                f"{name} batch {number} has inputs of {shape_of(batch)}; batch 0 has "
                f"{shape_of(both[0][0])}"
            )
    return whole_stream([batch for batch, _ in both], name)


def shuffled(
    inputs: Tensor, count: int, seed: int, targets: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Draw inputs at random: published files are sorted by origin, so their head is no sample.

    Args:
        inputs: (n, ...).
        count: how many, at most; all of them if there are fewer.
        seed: of the draw.
        targets: (n,) classes that go with them.

    Returns:
        The drawn inputs and their targets (numbers from 0 if none were given).

    Example:
        >>> shuffled(torch.arange(5.0), 2, seed=0)[0].shape
        torch.Size([2])
    """
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))[:count]
    return inputs[order], (torch.arange(len(inputs)) if targets is None else targets)[order]
