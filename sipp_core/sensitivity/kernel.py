"""The heart of the project: S = W o maxmul(A, 1/Z), behind one function.

s_ij = |w_ij| max_x a_j(x)/z_i^s(x) is a product of matrices in the (max, x) algebra with a choice
of denominator by the weight's sign. On the CPU `sipp_core.kernel_cpu` computes it, on NVIDIA's GPUs
`sipp_core.kernel_gpu`; `maxima_in_chunks` is the portable expression, used on other devices and at
the far ends of float, and the reference that faster kernels equal bit for bit. `kernel_for` says
which of them computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sipp_core.sensitivity import kernel_cpu, kernel_gpu
from sipp_core.sensitivity.operands import Matrix, extreme, halves, matrix, normalised

# Elements of one temporary (outputs x rows x inputs): 2**22 float32 are 16 MiB, cache-friendly.
CHUNK = 2**22
# Rows and neurons from which one float32 product serves both signs, a quarter faster: of fewer, and
# in float64, MKL rounds it otherwise than one product a sign.
TOGETHER = 12
# Weights whose parts by sign are made at once, and neurons of them at least.
PIECE, LEAST = 2**21, 256
RAISED = 2.0**500  # brings subnormal float64 into range; its square is still finite


@dataclass
class Accumulator:
    """Running statistics of one block of a layer; memory O(weights), whatever the stream.

    Attributes:
        maximum: (out, fan_in) running max of g_ij = |w_ij| a_j/z_i^s: the sensitivity so far.
        total: (out, fan_in) running sum of g, or None where the mean is not measured.
        argmax: (out, fan_in) int64 index of the input that set the maximum (-1: none), or None.
        live: (2, out) number of rows with z^s > 0, positive sign first.
        rows: number of non-negative rows seen.
    """

    maximum: Tensor
    total: Tensor | None
    argmax: Tensor | None
    live: Tensor
    rows: int = 0


def new_accumulator(weight: Tensor, support: bool, mean: bool = False) -> Accumulator:
    """Create empty statistics for a block of weights.

    Shapes: weight (out, fan_in), in the dtype to compute in.

    Example:
        >>> new_accumulator(torch.ones(2, 3), support=False).maximum.shape
        torch.Size([2, 3])
    """
    zeros = torch.zeros_like(weight, memory_format=torch.contiguous_format)
    argmax = torch.full_like(zeros, -1, dtype=torch.int64) if support else None
    live = torch.zeros((2, weight.shape[0]), dtype=torch.int64, device=weight.device)
    return Accumulator(zeros, zeros.clone() if mean else None, argmax, live)


def update(acc: Accumulator, weight: Tensor, activations: Tensor, origin: Tensor | None) -> None:
    """Fold rows of activations of any sign into the statistics.

    Signed activations count as two non-negative rows, a+ and a-.

    Shapes: weight (out, fan_in), activations (n, fan_in) finite, both of the accumulator's dtype;
    origin (n,) int64, index of the input of each row, or None where argmax is not tracked.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.tensor([[1.0, 1.0]]); acc = new_accumulator(w, support=False)
        >>> update(acc, w, torch.tensor([[1.0, 3.0]]), None); acc.maximum.tolist()
        [[0.25, 0.75]]
    """
    if activations.numel() == 0 or weight.numel() == 0:
        acc.rows += len(activations)
        return
    block = matrix(weight)
    low, high = (float(end) for end in activations.aminmax())
    wide = block.extreme or extreme(activations, max(-low, high))
    for part in halves(activations, low < 0):
        if wide or weight.dtype == torch.float64:
            update_extreme(acc, block, part, origin)
        else:
            z = denominators(block, part)
            count(acc, z)
            fold(acc, block, part, z, origin)


def denominators(block: Matrix, activations: Tensor) -> Tensor:
    """Compute z_i^s(x), the sum of |w_ij| a_j(x) over the weights of sign s.

    Shapes: activations (n, fan_in), >= 0; returns (2, n, out), positive sign first, of which each
    row's numbers of both signs lie side by side.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> denominators(matrix(torch.tensor([[2.0, -3.0]])), torch.ones(1, 2)).tolist()
        [[[2.0]], [[3.0]]]
    """
    n, out = len(activations), len(block.weight)
    z = activations.new_empty(n, 2 * out)
    together = min(n, out) >= TOGETHER and z.dtype == torch.float32
    if block.kept is not None and together:
        torch.mm(activations, block.kept.T, out=z)
    elif block.kept is not None:
        for sign in (slice(0, out), slice(out, 2 * out)):
            torch.mm(activations, block.kept[sign].T, out=z[:, sign])
    else:
        for rows in _pieces(block.weight) if together else [slice(0, out)]:
            for index in (0, 1):
                with block.sign(index, rows) as part:
                    columns = slice(index * out + rows.start, index * out + rows.stop)
                    torch.mm(activations, part.T, out=z[:, columns])
    return z.unflatten(1, (2, out)).movedim(1, 0)


def _pieces(weight: Tensor) -> list[slice]:
    """Neurons in blocks of about PIECE weights, of sizes that products do not round otherwise."""
    out, fan_in = weight.shape
    count = max(1, out // max(LEAST, PIECE // fan_in)) if weight.device.type == "cpu" else 1
    return [slice(k * out // count, (k + 1) * out // count) for k in range(count)]


def update_extreme(
    acc: Accumulator, block: Matrix, activations: Tensor, origin: Tensor | None
) -> None:
    """Fold non-negative rows of any size into the statistics, in float64.

    Shapes: activations (n, fan_in), finite, >= 0; origin as for `update`.

    Claim: ES-1, ES-3. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.tensor([[1e-30, 3e-30]]); acc = new_accumulator(w, support=False)
        >>> update_extreme(acc, matrix(w), torch.tensor([[1e-20, 1e-20]]), None)
        >>> acc.maximum.tolist()
        [[0.25, 0.75]]
    """
    # ES-3: scaling a row by a power of two changes no share, and keeps z inside the exponents.
    block = matrix(normalised(block.weight.double()))
    activations = normalised(activations.double())
    z = denominators(block, activations)
    count(acc, z)
    # Where 1/z overflows, a/z is formed with the row scaled up instead: again the same share.
    tiny = (z > 0) & (z < 8 / torch.finfo(z.dtype).max)
    some = bool(tiny.any())
    fold(acc, block, activations, z.masked_fill(tiny, 0.0) if some else z, origin)
    if some:
        rows = tiny.any(dim=2).any(dim=0)
        raised = activations[rows] * RAISED
        z = torch.where(tiny[:, rows], denominators(block, raised), 0.0)
        fold(acc, block, raised, z, None if origin is None else origin[rows])


def count(acc: Accumulator, z: Tensor) -> None:
    """Count rows, and those in which something flows.

    Shapes: z (2, n, out), >= 0.

    Example:
        >>> acc = new_accumulator(torch.ones(1, 2), support=False)
        >>> count(acc, torch.tensor([[[2.0], [1.0]], [[0.0], [0.5]]]))
        >>> acc.rows, acc.live.tolist()
        (2, [[2], [1]])
    """
    acc.rows += z.shape[1]
    if z.device.type == "cpu" and z.dtype in kernel_cpu.KINDS:
        kernel_cpu.count_positive(z, acc.live)
    else:
        acc.live += z.count_nonzero(dim=1)


def fold(
    acc: Accumulator, block: Matrix, activations: Tensor, z: Tensor, origin: Tensor | None,
    panels: Tensor | None = None,
) -> None:  # fmt: skip
    """Take in the shares of all rows, neurons and signs whose z is not 0.

    All but `rows` and `live` of the accumulator are changed.

    Shapes: activations (n, fan_in), >= 0; z (2, n, out) denominators, positive sign first, inside
    the range of 1/z, overwritten; origin as for `update`; panels the activations as
    `kernel_gpu.pack` lays them out, if it did.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> fold(acc, matrix(w), torch.ones(1, 2), torch.tensor([[[2.0]], [[0.0]]]), None)
        >>> acc.maximum.tolist()
        [[0.5, 0.5]]
    """
    if acc.total is None and kernel_for(acc, block.weight, z, activations, origin) == "gpu":
        # It inverts as it reads.
        kernel_gpu.raise_maxima(acc.maximum, block.weight, z, activations, panels, invert=True)
        return
    inverse = _inverted(z)
    if acc.total is not None:
        totals = inverse.contiguous().mT @ activations
        total = torch.where(block.weight > 0, totals[0], totals[1]).mul_(block.weight.abs())
        # A weight of 0 bounds no a/z, and 0 times an overflow would be NaN.
        acc.total += total.masked_fill_(block.weight == 0, 0.0).to(acc.total.dtype)
    update_maxima(acc, block.weight, inverse, activations, origin, panels)


def _inverted(z: Tensor) -> Tensor:
    """1/z in the place of z, 0 where z is 0."""
    if z.device.type == "cpu" and z.dtype in kernel_cpu.KINDS:
        return kernel_cpu.invert(z)
    return z.reciprocal_().nan_to_num_(posinf=0.0, neginf=0.0)


def update_maxima(
    acc: Accumulator, weight: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None,
    panels: Tensor | None = None,
) -> None:  # fmt: skip
    """Raise the running maxima by |w_ij| max_x a_j(x) r_i(x), by the kernel that fits the device.

    The first row to attain a maximum sets it; a later one that equals it does not.

    Shapes: weight (out, fan_in), any sign; inverse (2, n, out), 1/z_i^s(x), 0 where z is 0, so
    small that times any activation it is finite, positive sign first; activations (n, fan_in),
    >= 0, of the weight's dtype; origin as for `update`, panels as for `fold`.

    Claim: ES-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> update_maxima(acc, w, torch.ones(2, 1, 1), torch.tensor([[0.5, 0.25]]), None)
        >>> acc.maximum.tolist()
        [[0.5, 0.25]]
    """
    chosen = kernel_for(acc, weight, inverse, activations, origin)
    if chosen == "chunks":
        maxima_in_chunks(acc, weight, inverse, activations, origin)
    elif chosen == "gpu":
        kernel_gpu.raise_maxima(acc.maximum, weight, inverse, activations, panels)
    elif acc.argmax is None or origin is None:
        kernel_cpu.raise_maxima(acc.maximum, weight, inverse, activations)
    else:
        row = torch.full_like(acc.argmax, -1)
        kernel_cpu.raise_maxima(acc.maximum, weight, inverse, activations, row)
        torch.where(row >= 0, origin[row], acc.argmax, out=acc.argmax)


def kernel_for(
    acc: Accumulator, weight: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None
) -> Literal["cpu", "gpu", "chunks"]:
    """Say which kernel `update_maxima` takes; it takes that one or raises, and no other instead.

    "cpu" is `kernel_cpu`, "gpu" `kernel_gpu` (an NVIDIA GPU of Ampere or later, where triton is
    installed), "chunks" `maxima_in_chunks`. Arguments as for `update_maxima`.

    Example:
        >>> w = torch.ones(1, 2); acc = new_accumulator(w, support=False)
        >>> kernel_for(acc, w, torch.ones(2, 1, 1), torch.ones(1, 2), None)
        'cpu'
    """
    track = acc.argmax is not None and origin is not None
    if _suits_cpu_kernel(acc, weight, inverse, track):
        return "cpu"
    # Which row sets a maximum is seldom measured (ES-5), and would double the kernel's work: each
    # share must be rounded as it is kept before rows are compared, and parts of the rows joined.
    if track or not kernel_gpu.fits(weight):
        return "chunks"
    # The reference multiplies 1/z by a first, and by |w| then: in the dtype of 1/z, if that is the
    # widest of the three.
    kinds = (weight.dtype, activations.dtype, torch.float32)
    widest = inverse.dtype
    for kind in kinds:
        widest = torch.promote_types(widest, kind)
    return "gpu" if inverse.dtype == widest and acc.maximum.is_contiguous() else "chunks"


def _suits_cpu_kernel(acc: Accumulator, weight: Tensor, inverse: Tensor, track: bool) -> bool:
    if weight.device.type != "cpu" or weight.numel() == 0 or inverse.numel() == 0:
        return False
    if weight.dtype not in kernel_cpu.KINDS:
        return False
    # Which row comes first depends on how its share is rounded.
    return not (track and acc.maximum.dtype != weight.dtype)


def maxima_in_chunks(
    acc: Accumulator, weight: Tensor, inverse: Tensor, activations: Tensor, origin: Tensor | None
) -> None:
    """Do what `update_maxima` does in torch's own operations, in chunks of bounded size.

    Any device; arguments as for `update_maxima`.

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
