"""One batch: the arguments of a model's forward for n inputs at once, and their targets if any."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core.runtime.isolation import as_the_user_has_it

# What a keyword may hold beside tensors: the same for every input.
Setting = bool | int | float | str | None
BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Batch:
    """Inputs of a model whose forward takes more than one tensor, or takes them by name.

    Every tensor's first dimension counts the inputs; what is no tensor is the same for all. A plain
    tensor is a batch of a model that takes one, and needs no `Batch`.

    Args:
        *arrays: tensors (n, ...), what forward takes by position.
        targets: tensor (n, ...) of what the model should answer, for methods that look at it
            (snip); never given to the model.
        **named: tensors (n, ...), or settings (bool, number, text, None), by the names that forward
            has for them.

    Raises:
        TypeError: something else than a tensor or a setting.
        ValueError: no tensor, a tensor without dimensions, or tensors that count different inputs.

    Example:
        >>> batch = Batch(torch.zeros(3, 2), mask=torch.ones(3, 2), targets=torch.zeros(3))
        >>> len(batch), list(batch.named)
        (3, ['mask'])
    """

    def __init__(self, *arrays: Tensor, targets: Tensor | None = None, **named: Any) -> None:
        self.arrays = arrays
        self.named: dict[str, Tensor] = {k: v for k, v in named.items() if isinstance(v, Tensor)}
        self.settings: dict[str, Setting] = {k: v for k, v in named.items() if k not in self.named}
        self.targets = targets
        tensors = dict(self._labelled())
        for name, value in tensors.items():
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"{name} of a batch must be a tensor (n, ...); found {type(value).__name__}"
                )
        for name, value in self.settings.items():
            if not isinstance(value, Setting):
                raise TypeError(
                    f"{name!r} of a batch must be a tensor, a number, a text or None; found "
                    f"{type(value).__name__}"
                )
        if not arrays and not self.named:
            raise ValueError("a batch needs at least one tensor of inputs")
        counts = {name: len(value) if value.ndim else 0 for name, value in tensors.items()}
        if len(set(counts.values())) != 1 or not all(value.ndim for value in tensors.values()):
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())
            raise ValueError(
                f"the first dimension of a batch's tensors must count its inputs; found {shapes}"
            )

    def _labelled(self) -> Iterator[tuple[str, Tensor]]:
        yield from ((f"tensor {k}", value) for k, value in enumerate(self.arrays))
        yield from ((repr(name), value) for name, value in self.named.items())
        if self.targets is not None:
            yield "targets", self.targets

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the model is given: by position, then by name."""
        return (*self.arrays, *self.named.values())

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a change to every tensor.

        Args:
            change: (tensor) -> tensor, of as many inputs for each.

        Returns:
            A new batch.

        Example:
            >>> Batch(torch.ones(2, 1)).each(lambda t: t * 3).arrays[0].tolist()
            [[3.0], [3.0]]
        """
        arrays = [change(value) for value in self.arrays]
        named: dict[str, Any] = {name: change(value) for name, value in self.named.items()}
        targets = None if self.targets is None else change(self.targets)
        return Batch(*arrays, targets=targets, **(named | self.settings))

    def without_targets(self) -> Batch | Tensor:
        """What the model is given; one tensor by position is just that tensor."""
        if len(self.arrays) == 1 and not self.named and not self.settings:
            return self.arrays[0]
        named: dict[str, Any] = {**self.named, **self.settings}
        return Batch(*self.arrays, **named)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, rows: Any) -> Batch:
        return self.each(lambda value: value[rows])

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in self._labelled())
        return f"Batch({shapes})"

    def clone(self) -> Batch:
        """Copy every tensor."""
        return self.each(torch.clone)

    def to(self, device: torch.device, copy: bool = False) -> Batch:
        """Every tensor on a device."""
        return self.each(lambda value: value.to(device, copy=copy))

    def split(self, size: int) -> list[Batch]:
        """Cut into batches of so many inputs; the last may be smaller."""
        return [self[k : k + size] for k in range(0, len(self), size)]


Given = Tensor | Batch


def shape_of(batch: Given) -> str:
    """Shape and dtype of one batch, in words."""
    if isinstance(batch, Tensor):
        return f"shape {tuple(batch.shape)} and dtype {batch.dtype}"
    return f"tensors {batch!r}"


def kind_of(batch: Given) -> tuple[object, ...]:
    """What must agree between batches of one stream: names, dtypes, dimensions, settings."""
    if isinstance(batch, Tensor):
        # Rows of numbers have one width; images and token ids may differ in size.
        width = batch.shape[1:] if batch.ndim < 3 and batch.is_floating_point() else ()
        return batch.dtype, batch.ndim, width
    tensors = [(name, value.dtype, value.ndim) for name, value in batch._labelled()]
    return (*tensors, *batch.settings.items())


def input_shapes(batch: Given) -> list[torch.Size]:
    """Shape of one input, tensor by tensor: batches can be joined where these agree."""
    tensors = [batch] if isinstance(batch, Tensor) else [value for _, value in batch._labelled()]
    return [value.shape[1:] for value in tensors]


def input_bytes(batch: Given) -> int:
    """Bytes of one input."""
    tensors = (batch,) if isinstance(batch, Tensor) else batch.tensors
    return sum(value.element_size() * value.shape[1:].numel() for value in tensors)


def joined(parts: Sequence[Given]) -> Given:
    """One batch of the inputs of several, of one kind and shape."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    columns = [
        [value for _, value in part._labelled()] for part in parts if isinstance(part, Batch)
    ]
    whole = [torch.cat(column) for column in zip(*columns, strict=True)]
    fresh = iter(whole)
    return first.each(lambda _: next(fresh))


def run(model: Callable[..., Any], batch: Given) -> Any:
    """Call a model, or any function, on a batch."""
    with as_the_user_has_it():
        if isinstance(batch, Tensor):
            return model(batch)
        return model(*batch.arrays, **batch.named, **batch.settings)


def misfit(model: nn.Module, batch: Given) -> str | None:
    """Say why a model's forward cannot be called with a batch at all; None where it can.

    Example:
        >>> misfit(nn.Bilinear(1, 1, 1), torch.ones(2, 1))
        "forward takes (input1, input2) but is given one tensor: it lacks 'input2'; name what it \
takes: Batch(input1=..., input2=...), or {'input1': ..., 'input2': ...}"
    """
    parameters = inspect.signature(model.forward).parameters
    kinds = {name: p.kind for name, p in parameters.items()}
    by_place = [name for name, kind in kinds.items() if kind in BY_PLACE]
    by_name = [name for name, kind in kinds.items() if kind in BY_NAME]
    takes = list(dict.fromkeys((*by_place, *by_name)))
    arrays, given = 1, list[str]()
    if isinstance(batch, Batch):
        arrays, given = len(batch.arrays), [*batch.named, *batch.settings]
    free = inspect.Parameter.VAR_KEYWORD in kinds.values()
    strange = [] if free else [name for name in given if name not in by_name]
    needed = [name for name in takes if parameters[name].default is inspect.Parameter.empty]
    lacking = [name for name in needed if name not in {*by_place[:arrays], *given}]
    many = inspect.Parameter.VAR_POSITIONAL in kinds.values()
    excess = 0 if many else max(0, arrays - len(by_place))
    if not strange and not lacking and not excess:
        return None
    has = f"{batch!r}" if isinstance(batch, Batch) else "one tensor"
    wrong = [f"it lacks {', '.join(map(repr, lacking))}"] if lacking else []
    wrong += [f"it has no {', '.join(map(repr, strange))}"] if strange else []
    wrong += [f"{excess} tensors are too many"] if excess else []
    keywords = ", ".join(f"{name}=..." for name in needed or takes)
    entries = ", ".join(f"{name!r}: ..." for name in needed or takes)
    return (
        f"forward takes ({', '.join(takes)}) but is given {has}: {'; '.join(wrong)}; name what it "
        f"takes: Batch({keywords}), or {{{entries}}}"
    )


def named_batch(fields: Mapping[str, Any]) -> Batch:
    """The batch that a mapping means: targets apart, `inputs` alone by position, the rest by name.

    Example:
        >>> named_batch({"inputs": torch.ones(2, 1), "targets": torch.zeros(2)}).targets
        tensor([0., 0.])
    """
    rest = {str(name): value for name, value in fields.items()}
    targets = rest.pop("targets", None)
    if set(rest) == {"inputs"}:
        return Batch(rest["inputs"], targets=targets)
    return Batch(targets=targets, **rest)
