"""Reads of a layer's weight that no call of the layer announces, noticed among torch's operators.

x @ layer.weight.T beside layer(x) is a product with inputs that no hook sees.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# They take a tensor for its shape and dtype alone.
SHAPES_ONLY = ("_like", "new_empty", "new_zeros", "new_ones", "new_full", "new_empty_strided")
COPIES = ("_to_copy", "clone")
Span = tuple[int, int, str]


def span_of(tensor: Tensor) -> tuple[int, int, int] | None:
    """Where a tensor's values lie: its memory, and the first and last byte; None if nowhere.

    Example:
        >>> memory, first, last = span_of(torch.zeros(3, 2).T)
        >>> memory == first, last - first
        (True, 24)
    """
    if tensor.layout != torch.strided or tensor.is_meta or not tensor.numel():
        return None
    try:
        memory, first = tensor.untyped_storage().data_ptr(), tensor.data_ptr()
    except (RuntimeError, NotImplementedError):  # a subclass that has no memory of its own
        return None
    reach = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return memory, first, first + (reach + 1) * tensor.element_size()


class Bypasses(TorchDispatchMode):
    """Runs a block and notes which weights are read by other operators than their layers' own.

    Attributes:
        outside: the operators that read a weight outside of its layer's calls, by the layer's name.
        used: names of the layers whose calls read their weight.

    Example:
        >>> layer, inside = nn.Linear(2, 3), set()
        >>> with Bypasses({"fc": layer}, inside) as bypasses:
        ...     _ = torch.ones(1, 2) @ layer.weight.T
        >>> bypasses.outside
        {'fc': 'mm'}
    """

    def __init__(self, modules: Mapping[str, nn.Module], inside: Collection[str]) -> None:
        super().__init__()
        self.inside = inside  # names of the layers that are being called, kept by `products`
        self.outside: dict[str, str] = {}
        self.used: set[str] = set()
        self._spans: dict[tuple[torch.device, int], list[Span]] = {}
        self._copies: list[Tensor] = []  # held, so that their memory is not another's meanwhile
        for name, module in modules.items():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor):
                self._remember(name, weight)

    def _remember(self, name: str, tensor: Tensor) -> None:
        if (span := span_of(tensor)) is not None:
            memory, first, last = span
            self._spans.setdefault((tensor.device, memory), []).append((first, last, name))

    def _names(self, tensor: Tensor) -> Iterator[str]:
        """Layers whose weight, or a part of it, a tensor is."""
        if (span := span_of(tensor)) is None:
            return
        for first, last, name in self._spans.get((tensor.device, span[0]), ()):
            if first < span[2] and span[1] < last:
                yield name

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operator, and note the weights that it reads."""
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        aliases = [each.alias_info for each in func._schema.returns]
        view = bool(aliases) and all(a is not None and not a.is_write for a in aliases)
        read: set[str] = set()
        if not view and not name.endswith(SHAPES_ONLY):
            given = _tensors((*args, *kwargs.values()))
            read = {layer for tensor in given for layer in self._names(tensor)}
        out = func(*args, **kwargs)
        for layer in sorted(read):
            if layer not in self.inside:
                self.outside.setdefault(layer, name)
                continue
            self.used.add(layer)
            if name in COPIES:  # autocast hands its copy out again, to other products too
                self._copies.append(out)
                self._remember(layer, out)
        return out


def _tensors(given: Any) -> Iterator[Tensor]:
    for each in given:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)
