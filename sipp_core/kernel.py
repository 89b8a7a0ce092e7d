"""The heart of the project: S = W o maxmul(A, 1/Z), behind one function.

s_ij = |w_ij| max_x a_j(x)/z_i^s(x) is a product of matrices in the (max, x) algebra with a choice
of denominator by the weight's sign. This is the portable expression in chunks; faster kernels
replace `update_maxima` and are tested against `sipp_theory.sensitivity`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Elements of one temporary (outputs x rows x inputs): 2**22 float32 are 16 MiB, cache-friendly.
CHUNK = 2**22
# With weights and activations inside this range, a/z and its square stay inside float32.
SAFE_LOW, SAFE_HIGH = 1e-9, 1e9


@dataclass
class Accumulator:
    """Running statistics of one block of a layer; memory O(weights), whatever the stream.

    Attributes:
        maximum: (out, fan_in) running max of g_ij = |w_ij| a_j/z_i^s: the sensitivity so far.
        total: (out, fan_in) running sum of g.
        square: (out, fan_in) running sum of g^2.
        argmax: (out, fan_in) int64 index of the input that set the maximum (-1: none), or None.
        live: (2, out) number of rows with z^s > 0, positive sign first.
        rows: number of non-negative rows seen.

    Claim: none (plumbing).
    """

    maximum: Tensor
    total: Tensor
    square: Tensor
    argmax: Tensor | None
    live: Tensor
    rows: int = 0


def new_accumulator(weight: Tensor, support: bool) -> Accumulator:
    """Create empty statistics for a block of weights.

    Args:
        weight: (out, fan_in) in the dtype to compute in.
        support: also track which input set each maximum.

    Returns:
        Zeros of the weight's shape, dtype and device.

    Claim: none (plumbing).

    Example:
        >>> new_accumulator(torch.ones(2, 3), support=False).maximum.shape
        torch.Size([2, 3])
    """
    zeros = torch.zeros_like(weight)
    argmax = torch.full_like(weight, -1, dtype=torch.int64) if support else None
    live = torch.zeros((2, weight.shape[0]), dtype=torch.int64, device=weight.device)
    return Accumulator(zeros, zeros.clone(), zeros.clone(), argmax, live)


def update(acc: Accumulator, weight: Tensor, activations: Tensor, origin: Tensor | None) -> None:
    """Fold rows of activations of any sign into the statistics.

    Signed activations count as two non-negative rows, a+ and a-.

    Args:
        acc: changed in place.
        weight: (out, fan_in), the accumulator's dtype.
        activations: (n, fan_in), finite, the same dtype.
        origin: (n,) int64, index of the input each row came from; needed when argmax is tracked.

    Returns:
        None.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.tensor([[1.0, 1.0]]); acc = new_accumulator(w, support=False)
        >>> update(acc, w, torch.tensor([[1.0, 3.0]]), None); acc.maximum.tolist()
        [[0.25, 0.75]]
    """
    parts = [activations]
    if bool((activations < 0).any()):
        parts = [activations.clamp(min=0), (-activations).clamp(min=0)]
    for part in parts:
        _update_nonnegative(acc, weight, part, origin)


def _extreme(weight: Tensor, activations: Tensor) -> bool:
    """Whether float32 could overflow or flush to zero anywhere in a/z."""
    for tensor in (weight.abs(), activations):
        if tensor.numel() == 0:
            continue
        least = torch.where(tensor > 0, tensor, torch.inf).amin()
        if bool(tensor.amax() > SAFE_HIGH) or bool(least < SAFE_LOW):
            return True
    return False


def _normalised(rows: Tensor) -> Tensor:
    """Scale each row by a power of two so that its largest magnitude lies in [1, 2)."""
    peak = rows.abs().amax(dim=1, keepdim=True)
    # Exact, also for subnormal and for the largest numbers; torch.ldexp forms 2^e in float32.
    unit = torch.where(peak > 0, peak / (2 * torch.frexp(peak).mantissa), 1.0)
    return rows / unit


def _update_nonnegative(
    acc: Accumulator, weight: Tensor, activations: Tensor, origin: Tensor | None
) -> None:
    dtype = weight.dtype
    if dtype != torch.float64 and _extreme(weight, activations):
        weight, activations = weight.double(), activations.double()
    if weight.dtype == torch.float64:
        # ES-3: scaling a row by a power of two changes no share, and keeps z inside the exponents.
        weight, activations = _normalised(weight), _normalised(activations)
    acc.rows += activations.shape[0]
    for sign, part in enumerate((weight.clamp(min=0), (-weight).clamp(min=0))):
        z = activations @ part.T
        inverse = torch.where(z > 0, 1 / z, torch.zeros_like(z))
        acc.live[sign] += (z > 0).sum(dim=0)
        acc.total += (part * (inverse.T @ activations)).to(dtype)
        # Where 1/z^2 would overflow, the rms (a ranking statistic) is cut; the maximum never is.
        cut = inverse.clamp(max=0.1 * torch.finfo(inverse.dtype).max ** 0.5)
        square = part * (part * (cut.square().T @ activations.square()))
        # A weight of 0 bounds no a/z, and 0 times an overflow would be NaN.
        acc.square += torch.where(part > 0, square, 0.0).to(dtype)
        update_maxima(acc, part, inverse, activations, origin)


def update_maxima(
    acc: Accumulator, part: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None
) -> None:
    """Raise the running maxima by |w_ij| max_x a_j(x) r_i(x), a (max, x) product in bounded chunks.

    Args:
        acc: changed in place.
        part: (out, fan_in) |w_ij| where the weight has the sign of these denominators, else 0.
        inverse: (n, out) 1/z_i(x), 0 where z is 0.
        activations: (n, fan_in), non-negative.
        origin: (n,) int64 index of each row's input, or None.

    Returns:
        None.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> update_maxima(acc, w, torch.ones(1, 1), torch.tensor([[0.5, 0.25]]), None)
        >>> acc.maximum.tolist()
        [[0.5, 0.25]]
    """
    n, fan_in = activations.shape
    out = inverse.shape[1]
    row_chunk = max(1, min(n, CHUNK // max(1, fan_in)))
    out_chunk = max(1, CHUNK // max(1, fan_in * row_chunk))
    for first_row in range(0, n, row_chunk):
        a = activations[first_row : first_row + row_chunk]
        r = inverse[first_row : first_row + row_chunk]
        for first in range(0, out, out_chunk):
            block = slice(first, min(first + out_chunk, out))
            ratio = r[:, block, None] * a[:, None, :]
            # Rounding may carry a share past 1 (ES-1 says it cannot be); cut before it is compared,
            # or a later input could take over a maximum that it does not raise.
            target = acc.maximum[block]
            if acc.argmax is None or origin is None:
                best = (part[block] * ratio.amax(dim=0)).to(target.dtype).clamp(max=1)
            else:
                values, index = ratio.max(dim=0)
                best = (part[block] * values).to(target.dtype).clamp(max=1)
                source = origin[first_row : first_row + row_chunk][index]
                acc.argmax[block] = torch.where(best > target, source, acc.argmax[block])
            acc.maximum[block] = torch.maximum(target, best)
