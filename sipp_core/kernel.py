"""The heart of the project: S = W o maxmul(A, 1/Z), behind one function.

s_ij = |w_ij| max_x a_j(x)/z_i^s(x) is a product of matrices in the (max, x) algebra with a choice
of denominator by the weight's sign. On the CPU `sipp_core.kernel_cpu` computes it;
`maxima_in_chunks` is the portable expression, used on other devices and at the far ends of float,
and the reference that faster kernels equal bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sipp_core import kernel_cpu

# Elements of one temporary (outputs x rows x inputs): 2**22 float32 are 16 MiB, cache-friendly.
CHUNK = 2**22
# With weights and activations inside this range, a/z and its square stay inside float32.
SAFE_LOW, SAFE_HIGH = 1e-9, 1e9
RAISED = 2.0**500  # brings subnormal float64 into range; its square is still finite


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
    zeros = torch.zeros_like(weight, memory_format=torch.contiguous_format)
    argmax = torch.full_like(zeros, -1, dtype=torch.int64) if support else None
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
    z = _denominators(weight, activations)
    acc.live += (z > 0).sum(dim=1)
    # Where 1/z overflows, a/z is formed with the row scaled up instead: again the same share.
    tiny = (z > 0) & (z < 8 / torch.finfo(z.dtype).max)
    some = bool(tiny.any())
    _fold(acc, weight, activations, z.masked_fill(tiny, 0.0) if some else z, origin)
    if some:
        rows = tiny.any(dim=2).any(dim=0)
        raised = activations[rows] * RAISED
        z = torch.where(tiny[:, rows], _denominators(weight, raised), 0.0)
        _fold(acc, weight, raised, z, None if origin is None else origin[rows])


def _denominators(weight: Tensor, activations: Tensor) -> Tensor:
    """z_i^s(x), (2, n, out), positive sign first."""
    return torch.stack([activations @ part.T for part in _parts(weight)])


def _parts(weight: Tensor) -> tuple[Tensor, Tensor]:
    return weight.clamp(min=0), (-weight).clamp(min=0)


def _fold(
    acc: Accumulator, weight: Tensor, activations: Tensor, z: Tensor, origin: Tensor | None
) -> None:
    """Take in the shares of all rows, neurons and signs whose z is not 0."""
    dtype = acc.maximum.dtype
    inverse = z.reciprocal().masked_fill_(z == 0, 0.0)
    # Where 1/z^2 would overflow, the rms (a ranking statistic) is cut; the maximum never is.
    cut = inverse.clamp(max=0.1 * torch.finfo(inverse.dtype).max ** 0.5).square_()
    squares = activations.square()
    positive, size = weight > 0, weight.abs()
    totals, total_squares = ((r.mT @ x) for r, x in ((inverse, activations), (cut, squares)))
    total, square = (torch.where(positive, x[0], x[1]) for x in (totals, total_squares))
    total, square = total.mul_(size), square.mul_(size).mul_(size)
    if not bool((total + square).isfinite().all()):
        # A weight of 0 bounds no a/z, and 0 times an overflow would be NaN.
        total, square = (x.masked_fill_(weight == 0, 0.0) for x in (total, square))
    acc.total += total.to(dtype)
    acc.square += square.to(dtype)
    update_maxima(acc, weight, inverse, activations, origin)


def update_maxima(
    acc: Accumulator, weight: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None
) -> None:
    """Raise the running maxima by |w_ij| max_x a_j(x) r_i(x), by the kernel that fits the device.

    Args:
        acc: changed in place.
        weight: (out, fan_in), any sign.
        inverse: (2, n, out) 1/z_i^s(x), 0 where z is 0, so small that times any activation it is
            finite; positive sign first.
        activations: (n, fan_in), non-negative, the weight's dtype.
        origin: (n,) int64 index of each row's input, or None. The first row to attain a maximum
            sets it; a later one that equals it does not.

    Returns:
        None.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> update_maxima(acc, w, torch.ones(2, 1, 1), torch.tensor([[0.5, 0.25]]), None)
        >>> acc.maximum.tolist()
        [[0.5, 0.25]]
    """
    track = acc.argmax is not None and origin is not None
    if not _suits_cpu_kernel(acc, weight, inverse, track):
        maxima_in_chunks(acc, weight, inverse, activations, origin)
    elif acc.argmax is None or origin is None:
        kernel_cpu.raise_maxima(acc.maximum, weight, inverse, activations)
    else:
        row = torch.full_like(acc.argmax, -1)
        kernel_cpu.raise_maxima(acc.maximum, weight, inverse, activations, row)
        torch.where(row >= 0, origin[row], acc.argmax, out=acc.argmax)


def _suits_cpu_kernel(acc: Accumulator, weight: Tensor, inverse: Tensor, track: bool) -> bool:
    if weight.device.type != "cpu" or weight.numel() == 0 or inverse.numel() == 0:
        return False
    if weight.dtype not in (torch.float32, torch.float64):
        return False
    # Which row comes first depends on how its share is rounded.
    return not (track and acc.maximum.dtype != weight.dtype)


def maxima_in_chunks(
    acc: Accumulator, weight: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None
) -> None:
    """Do what `update_maxima` does in torch's own operations, in chunks of bounded size.

    Args:
        acc: changed in place.
        weight: as for `update_maxima`, any device.
        inverse: as for `update_maxima`.
        activations: as for `update_maxima`.
        origin: as for `update_maxima`.

    Returns:
        None.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> maxima_in_chunks(acc, w, torch.ones(2, 1, 1), torch.tensor([[0.5, 0.25]]), None)
        >>> acc.maximum.tolist()
        [[0.5, 0.25]]
    """
    n, fan_in = activations.shape
    out = inverse.shape[2]
    row_chunk = max(1, min(n, CHUNK // max(1, fan_in)))
    out_chunk = max(1, CHUNK // max(1, fan_in * row_chunk))
    for sign, part in enumerate((weight.clamp(min=0), (-weight).clamp(min=0))):
        for first_row in range(0, n, row_chunk):
            rows = slice(first_row, first_row + row_chunk)
            for first in range(0, out, out_chunk):
                block = slice(first, min(first + out_chunk, out))
                ratio = inverse[sign, rows, block, None] * activations[rows, None, :]
                target = acc.maximum[block]
                if acc.argmax is None or origin is None:
                    # Rounding may carry a share past 1 (ES-1 says it cannot be).
                    best = (part[block] * ratio.amax(dim=0)).clamp(max=1).to(target.dtype)
                else:
                    # Shares as they are kept: else chunks would decide between near-equal rows.
                    shares = (part[block] * ratio).clamp(max=1).to(target.dtype)
                    best, index = shares.max(dim=0)
                    source = origin[rows][index]
                    acc.argmax[block] = torch.where(best > target, source, acc.argmax[block])
                acc.maximum[block] = torch.maximum(target, best)
