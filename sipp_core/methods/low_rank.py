"""Truncated SVD at an equal number of parameters: the best matrix of its rank, and a baseline."""

from __future__ import annotations

import numpy as np
from torch import nn

from sipp_core.network.layers import SUPPORTED
from sipp_core.network.packed import Projection
from sipp_core.network.selection import leaving_out
from sipp_core.network.structure import Change
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.writing import Rewrite, Rewriting
from sipp_core.sensitivity.calibrate import Calibration


@register
class LowRank(Rewriting):
    """Replace each layer by two thin ones, its truncated singular value decomposition.

    Claim: MS (the peer). Source: [CN] arXiv 1804.05345 (the baseline).
    """

    name = "svd"
    facts = Facts(
        "Low rank (SVD)",
        "peer",
        "Each layer becomes two thin ones, its truncated singular value decomposition; the numbers "
        "of both count as kept.",
        "arXiv 1804.05345",
    )
    takes = frozenset({"keep", "coverage_factor"})

    def rewrites(self, request: Request, calibration: Calibration) -> list[Rewrite]:
        """The factors of every layer."""
        assert isinstance(request.target, Keep)
        return svd(calibration, request.target.fraction)


def rank_for(keep: float, out: int, fan_in: int) -> int:
    """Largest rank whose two factors hold no more numbers than `keep` of the matrix; at least 1.

    floor(keep * out * fan_in / (out + fan_in)): rank r costs r (out + fan_in) numbers.

    Claim: MS (the peer). Source: [CN] arXiv 1804.05345 (the baseline).
    """
    # The product is taken first: 0.1 * 10 is 1, 0.1 * 11 / 11 may not be.
    fits = int(np.floor(np.nextafter(keep * (out * fan_in), np.inf) / (out + fan_in)))
    return max(1, min(fits, out, fan_in))


def svd(stats: Calibration, keep: float) -> list[Rewrite]:
    """Replace each layer by two thin ones, its truncated singular value decomposition.

    With W = U diag(sigma) V', the factors are U sqrt(sigma) and sqrt(sigma) V' of the `rank_for`
    largest sigma: by Eckart and Young no matrix of that rank is nearer to W in spectral or
    Frobenius norm. A convolution's matrix is (out, channels * kernel); each group is one matrix.

    Claim: MS (the peer). Source: Eckart, Young, Psychometrika 1936; the baseline [CN] arXiv
        1804.05345.
    """
    rewrites = []
    packed = [layer.name for layer in stats.layers if not _two_calls(layer.layer.module)]
    if packed:
        raise ValueError(
            f"layer {', '.join(map(repr, packed))} is no module that is called with rows, so it "
            "cannot be made low-rank; prune the others with "
            + leaving_out(packed, [layer.name for layer in stats.layers])
        )
    for layer in stats.layers:
        weight = layer.layer.weight.double().cpu().numpy()
        blocks = np.split(weight, layer.layer.groups)
        out, fan_in = blocks[0].shape
        rank = rank_for(keep, out, fan_in)
        if keep == 1:
            rewrites.append(Rewrite(layer.name, weight))
            continue
        left, right = zip(*(_factors(block, rank) for block in blocks), strict=True)
        dense = np.concatenate([a @ b for a, b in zip(left, right, strict=True)])
        notes, size = (), rank * (out + fan_in)
        if size > keep * out * fan_in:
            notes = (
                f"layer {layer.name!r}: even rank 1 takes {size} numbers a block, more than "
                f"{keep:g} of its {out * fan_in}",
            )
        rewrites.append(
            Rewrite(
                layer.name,
                dense,
                factors=(np.concatenate(right), np.concatenate(left)),
                change=Change(layer.name, "low-rank", (rank,)),
                notes=notes,
            )
        )
    return rewrites


def _two_calls(module: nn.Module) -> bool:
    """Whether two thin layers can stand in a layer's place."""
    return isinstance(module, SUPPORTED) and not isinstance(module, Projection)


def _factors(block: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    u, sigma, v = np.linalg.svd(block, full_matrices=False)
    root = np.sqrt(sigma[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]
