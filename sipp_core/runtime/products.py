"""Products with a layer's matrix that no call of a module announces: F.linear(x, layer.weight).

Attention is often written so: nn.MultiheadAttention, torchvision's Swin, timm's BEiT.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Called with the layer's name, what it multiplies, the rows of the product that are its own, and
# the product; what it returns, if anything, takes the product's place.
Heard = Callable[[str, Tensor, slice, Tensor], Tensor | None]


def matrix_rows(weight: Tensor, part: Tensor) -> slice | None:
    """Which rows of a matrix another one is, in the same memory; None if it is none of them.

    Example:
        >>> w = torch.rand(6, 2)
        >>> matrix_rows(w, w[2:4])
        slice(2, 4, None)
    """
    if weight.ndim != 2 or part.ndim != 2 or weight.shape[1] != part.shape[1]:
        return None
    if not weight.is_contiguous() or not part.is_contiguous() or weight.dtype != part.dtype:
        return None
    step = weight.element_size() * max(1, weight.shape[1])
    first, odd = divmod(part.data_ptr() - weight.data_ptr(), step)
    last = first + len(part)
    return None if odd or first < 0 or last > len(weight) else slice(first, last)


def _listening(
    linear: Callable[..., Tensor], matrices: Mapping[str, Tensor], inside: set[str], heard: Heard
) -> Callable[..., Tensor]:
    """F.linear that tells of the products of known matrices."""

    @functools.wraps(linear)
    def listen(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        parts = {name: matrix_rows(weight, each) for name, each in matrices.items()}
        own = {name: part for name, part in parts.items() if part and name not in inside}
        inside.update(own)
        try:
            out = linear(input, weight, bias)
        finally:
            inside.difference_update(own)
        for name, rows in own.items():
            changed = heard(name, input, rows, out)
            out = out if changed is None else changed
        return out

    return listen


@contextmanager
def products(modules: Mapping[str, nn.Module], heard: Heard) -> Iterator[set[str]]:
    """Run a block and hear of products with the layers' matrices outside of their own calls.

    F.linear is exchanged meanwhile, as a mode of torch's functions does not reach into attention.
    The block is given the names of the layers whose products run, whenever it looks.

    Example:
        >>> layer, names = nn.Linear(2, 3), []
        >>> with products({"fc": layer}, lambda name, *_: names.append(name)):
        ...     _ = layer(torch.ones(1, 2)), F.linear(torch.ones(1, 2), layer.weight)
        >>> names
        ['fc']
    """
    weights = {name: getattr(module, "weight", None) for name, module in modules.items()}
    matrices = {
        name: weight.detach()
        for name, weight in weights.items()
        if isinstance(weight, Tensor) and weight.ndim == 2 and weight.numel()
        # Where a parameter of another layer is a matrix, it is a transposed one.
        if isinstance(modules[name], nn.Linear) or "weight" not in modules[name]._parameters
    }
    inside: set[str] = set()

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: inside.add(name)

    def leave(name: str) -> Callable[..., None]:
        return lambda *_: inside.discard(name)

    with ExitStack() as stack:
        for name in modules:
            handles = (
                modules[name].register_forward_pre_hook(enter(name)),
                modules[name].register_forward_hook(leave(name), always_call=True),
            )
            for handle in handles:
                stack.callback(handle.remove)
        # The fused attention hides its products.
        fused = torch.backends.mha.get_fastpath_enabled()
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(setattr, F, "linear", F.linear)
        F.linear = _listening(F.linear, matrices, inside, heard)
        yield inside
