"""Whether a model can be copied, seen before minutes are spent on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn


def refuse_uncopyable(model: nn.Module) -> None:
    """Refuse, all at once and by name, what no copy of the model could hold.

    Tensors of the model are not copied to see that.
    """
    own: dict[int, object] = {id(module): module for module in model.modules()}
    own |= {id(t): t for t in (*model.parameters(), *model.buffers())}
    faults: list[str] = []
    for place, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and (fault := _fault(tensor)):
                faults.append(f"{_joined(place, name)} is {fault}")
        if (special := getattr(type(module), "__deepcopy__", None)) is not None:
            others = {key: value for key, value in own.items() if key != id(module)}
            faults += _not_copied(place, partial(special, module, others))
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            # A hook recomputes it, without gradients, in the first pass of calibration.
            if isinstance(value, Tensor) and not value.is_leaf and module._forward_pre_hooks:
                continue
            faults += _not_copied(
                f"{place}.{name}", lambda value=value: copy.deepcopy(value, dict(own))
            )
    if faults:
        more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
        raise ValueError(
            "a pruned network is a copy of the model, and this one has what a copy cannot hold: "
            f"{'; '.join(faults[:5])}{more}; take it out, or make it a buffer of values"
        )


def _not_copied(name: str, copied: Callable[[], object]) -> list[str]:
    """Why a copy cannot be made, if so: whatever a value of the user's own raises."""
    try:
        copied()
    except Exception as error:
        reason = " ".join(str(error).split())[:80]
        shown = repr(name.lstrip(".")) if name else "the model"
        return [f"{shown} cannot be copied ({reason})"]
    return []


def _joined(place: str, name: str) -> str:
    return repr(f"{place}.{name}".lstrip("."))


def _fault(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "on the meta device, without values"
    if tensor.layout != torch.strided:
        return f"of layout {str(tensor.layout).removeprefix('torch.')}"
    return "" if tensor.is_leaf or not isinstance(tensor, nn.Parameter) else "no leaf"
