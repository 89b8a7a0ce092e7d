"""A device that is not the CPU, on the CPU: what CUDA would refuse is refused.

Inside `elsewhere()` tensors moved to or made on `THERE` are held here but say that they are there:
operations that mix them with the CPU's raise as CUDA's would, and so does numpy. What CUDA's own
kernels compute is not what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

from sipp_core.pruning import measured
from sipp_core.sensitivity import stream

# Of all devices the only one that torch knows everywhere and that holds nothing by itself.
THERE = torch.device("meta")
aten: Any = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default, aten.copy.default}
# Indices may come from the CPU.
INDEXED = {
    aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
    aten._index_put_impl_.default, aten._unsafe_index.Tensor,
}  # fmt: skip


class There(Tensor):
    """A tensor of that device."""

    held: Tensor
    is_meta = False

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        """Wrap a tensor."""
        self = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, device=THERE,
        )  # fmt: skip
        self.held = held
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute with what is held, or refuse."""
        return _computed(func, args, kwargs or {})

    def untyped_storage(self) -> torch.UntypedStorage:
        """That of what is held: tensors that share it are told apart by it."""
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        """That of what is held."""
        return self.held.data_ptr()

    def new_tensor(self, data: Any, **kwargs: Any) -> Tensor:  # pyright: ignore
        """A tensor beside this one."""
        return There(self.held.new_tensor(data, **kwargs))

    def __getitem__(self, index: Any) -> Tensor:
        """Lists become indices here; torch would make them there, of nothing."""
        return super().__getitem__(torch.tensor(index) if isinstance(index, list) else index)

    def tolist(self) -> Any:
        """As numbers of Python's."""
        return self.held.tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A copy, of a parameter a parameter."""
        if id(self) not in memo:
            copied = There(self.held.clone()).requires_grad_(self.requires_grad)
            if hasattr(self, "_is_param"):
                # By its name, as torch does: the type has no such attribute to assign to.
                setattr(copied, "_is_param", True)  # noqa: B010
            memo[id(self)] = copied
        return memo[id(self)]

    def __repr__(self, **_: Any) -> str:
        """Say where it is."""
        return f"There({self.held!r})"


def _computed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target = kwargs.get("device")
    given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
    there = [each for each in given if isinstance(each, There)]
    here = [each for each in given if not isinstance(each, There) and each.ndim > 0]
    if here and there and func not in MOVES:
        indices = args[1] if func in INDEXED else ()
        fine = isinstance(args[0], There) and all(any(h is i for i in indices) for h in here)
        if not fine:
            shapes = [(type(t).__name__, tuple(t.shape)) for t in given]
            raise RuntimeError(f"Expected all tensors to be on the same device: {func} of {shapes}")
    if target is not None:
        kwargs = kwargs | {"device": "cpu"}
    result = func(
        *tree_map_only(There, lambda t: t.held, args),
        **tree_map_only(There, lambda t: t.held, kwargs),
    )
    goes = bool(there) if target is None else torch.device(target).type == THERE.type
    if func is aten.copy_.default:
        goes = isinstance(args[0], There)
    if not goes:
        return args[0] if func is aten.copy_.default else result
    wrapped = tree_map(lambda t: There(t) if isinstance(t, Tensor) else t, result)
    if not there or target is not None:
        return wrapped
    return return_and_correct_aliasing(func, args, kwargs, wrapped)


class _Elsewhere(TorchDispatchMode):
    """Catches what makes tensors there."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Compute as `There` does."""
        return _computed(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """Catches what makes tensors of Python's numbers, of which no operation is dispatched."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Make them here, and move them."""
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and "device" in kwargs:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        return func(*args, **kwargs)


@contextmanager
def _no_other_modes() -> Iterator[None]:
    """What calibration measures is none of the model's operators, and all the same there."""
    with _disable_current_modes(), _Elsewhere(), _Made():
        yield


@contextmanager
def elsewhere(patch: Callable[[Any, str, Any], None] = setattr) -> Iterator[torch.device]:
    """Run a block in which `THERE` is such a device; `patch` is `monkeypatch.setattr`."""
    patch(stream, "_disable_current_modes", _no_other_modes)
    patch(measured, "multiplies", lambda device: device == THERE)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Elsewhere(), _Made():
            yield THERE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
