"""ES: the empirical sensitivity of every weight of a layer, from a batch of activations."""

from __future__ import annotations

import torch
from torch import Tensor

from sipp_core.runtime.arguments import refuse_nonfinite
from sipp_core.runtime.execution import full_precision, threads_for
from sipp_core.sensitivity import kernel


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that statistics of a layer are kept in: float32 for half precision.

    Example:
        >>> working_dtype(torch.float16)
        torch.float32
    """
    return torch.float64 if dtype == torch.float64 else torch.float32


def _matrix(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch tensor; found {type(value).__name__}")
    if value.ndim != 2:
        raise ValueError(f"{name} must have 2 dimensions; found shape {tuple(value.shape)}")
    if not value.is_floating_point():
        raise TypeError(
            f"{name} must be floating point; found {value.dtype}: convert with .float()"
        )
    return value.detach()


def empirical_sensitivity(weight: Tensor, activations: Tensor) -> Tensor:
    """Largest share that each weight takes in its neuron's output over a batch, per sign.

    s_ij = max over x of |w_ij| a_j(x) / z_i^s(x), z_i^s the sum of |w_ik| a_k(x) over the weights
    of the same sign as w_ij; 0 where z is 0. Activations of mixed sign count as two non-negative
    rows, a+ and a-.

    Args:
        weight: (out, in) float tensor, any sign, finite.
        activations: (n, in) float tensor, n >= 1, any sign, finite; one row an input (or patch).

    Returns:
        (out, in) tensor in [0, 1] on the weight's device; float64 if the weight is, else float32
        (half precision is computed in float32).

    Raises:
        TypeError: no tensors, or integers.
        ValueError: wrong shapes, no rows, or a value that is not finite.

    Claim: ES-1. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.tensor([[1.0, 1.0, -2.0]])
        >>> empirical_sensitivity(w, torch.tensor([[1.0, 3.0, 1.0]])).tolist()
        [[0.25, 0.75, 1.0]]
    """
    w, a = _matrix("weight", weight), _matrix("activations", activations)
    if a.shape[0] == 0:
        raise ValueError("activations is empty: at least one row is needed")
    if a.shape[1] != w.shape[1]:
        raise ValueError(
            f"activations must have {w.shape[1]} columns, one an input of weight "
            f"{tuple(w.shape)}; found shape {tuple(a.shape)}"
        )
    if a.device != w.device:
        raise ValueError(f"weight is on {w.device} but activations on {a.device}; move one of them")
    with full_precision(w.device), threads_for(len(a), w):
        refuse_nonfinite("weight", w)
        refuse_nonfinite("activations", a)
        dtype = working_dtype(w.dtype)
        work_dtype = torch.promote_types(dtype, working_dtype(a.dtype))
        work = w.to(work_dtype)
        acc = kernel.new_accumulator(work, support=False)
        kernel.update(acc, work, a.to(work_dtype), None)
        return acc.maximum.to(dtype)
