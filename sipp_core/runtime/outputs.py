"""What a model answers: the one tensor of scores in whatever its forward returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from sipp_core.runtime.batch import Given, run, shape_of

# A name, a position, or a function of what forward returns; None where that is plain.
Output = str | int | Callable[[Any], Tensor] | None
# Where libraries keep the scores beside losses, caches and auxiliary heads, in this order.
PLAIN = ("logits", "out", "last_hidden_state")


def _fields(output: object) -> dict[Any, Any] | None:
    """The parts of an output by name or position; None of what has no parts."""
    if isinstance(output, Mapping):
        return dict(output)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(output._fields, output, strict=True))  # type: ignore[arg-type]
    if isinstance(output, tuple | list):
        return dict(enumerate(output))
    return None


def tensors_in(output: object) -> list[Tensor]:
    """All tensors of an output, those inside its parts too; what is neither is left out.

    Example:
        >>> import torch
        >>> len(tensors_in({"logits": torch.ones(1), "states": (torch.ones(2), None)}))
        2
    """
    if isinstance(output, Tensor):
        return [output]
    return [tensor for part in (_fields(output) or {}).values() for tensor in tensors_in(part)]


def _there(output: object) -> str:
    """What an output holds, in words."""
    fields = _fields(output)
    if fields is None:
        return f"a {type(output).__name__}"
    parts = [
        f"{name!r} {tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in fields.items()
        if value is not None
    ]
    return f"a {type(output).__name__} of {', '.join(parts) or 'nothing'}"


def scores(output: object, choice: Output = None) -> Tensor:
    """Take the tensor that counts out of what a model returned.

    Plain is one tensor alone, or under one of the names of `PLAIN`; what else there is must be
    chosen.

    Example:
        >>> import torch
        >>> scores({"loss": torch.tensor(1.0), "logits": torch.ones(2, 3)}).shape
        torch.Size([2, 3])
        >>> scores((torch.ones(2), torch.zeros(2)), 1)
        tensor([0., 0.])
    """
    if callable(choice):
        chosen = choice(output)
        if not isinstance(chosen, Tensor):
            raise TypeError(f"output= must return a tensor; found {type(chosen).__name__}")
        return chosen
    fields = _fields(output)
    if choice is not None:
        known: dict[Any, Any] = fields or {}
        if isinstance(choice, int) and choice not in known:
            known = dict(enumerate(known.values()))
        if not isinstance(chosen := known.get(choice), Tensor):
            raise ValueError(
                f"output={choice!r} names no tensor of what the model returns: {_there(output)}"
            )
        return chosen
    if isinstance(output, Tensor):
        return output
    tensors = {k: v for k, v in (fields or {}).items() if isinstance(v, Tensor)}
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    for name in PLAIN:
        if name in tensors:
            return tensors[name]
    raise TypeError(
        f"the model must return one tensor, or say which counts; it returns {_there(output)}: give "
        "output= a name or a position of these, or a function that makes one tensor of it"
    )


def refuse_other_count(output: object, batch: Given, name: str, choice: Output = None) -> None:
    """Refuse a model that answers more or fewer inputs than a batch has: it was read wrongly.

    Outputs in which no tensor of scores is plain, and single numbers, tell nothing.

    Example:
        >>> import torch
        >>> refuse_other_count(torch.ones(3, 2), torch.ones(3, 8), "calibration")
    """
    try:
        answers = scores(output, choice)
    except TypeError:
        if choice is not None:
            raise
        return
    if answers.ndim == 0 or len(answers) == len(batch):
        return
    first = batch if isinstance(batch, Tensor) else batch.tensors[0]
    raise ValueError(
        f"the model answers in shape {tuple(answers.shape)} where {name} has {len(batch)} inputs "
        f"by its first dimension ({shape_of(batch)}), which can be read in two ways: as one input "
        f"without a batch dimension (write x[None], of shape {(1, *first.shape)}), or as a model "
        "whose first dimension does not count inputs (say where they stand: "
        "output=lambda y: y.transpose(0, 1))"
    )


def refuse_unbatched(model: nn.Module, batch: Given, name: str) -> None:
    """Refuse one input given without a batch dimension: a few of its rows are no inputs.

    Example:
        >>> import torch
        >>> refuse_unbatched(nn.Linear(6, 6), torch.ones(6), "calibration")
        Traceback (most recent call last):
        ...
        ValueError: calibration of shape (6,) and dtype torch.float32 is taken for 6 inputs, but \
the model does not run on 2 of them: a single input needs a batch dimension, x[None] of shape (1, 6)
    """
    few = batch[: 2 if len(batch) > 2 else 1]
    try:
        refuse_other_count(run(model, few), few, name)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        first = batch if isinstance(batch, Tensor) else batch.tensors[0]
        raise ValueError(
            f"{name} of {shape_of(batch)} is taken for {len(batch)} inputs, but the model does not "
            f"run on {len(few)} of them: a single input needs a batch dimension, x[None] of shape "
            f"{(1, *first.shape)}"
        ) from error
