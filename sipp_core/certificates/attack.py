"""How far two networks can be pushed apart: projected gradient ascent, a bound from below."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sipp_core.neurons import Domain


def ascend(
    score: Callable[[Tensor], Tensor], domain: Domain, restarts: int, steps: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Largest scores that gradient ascent finds in regions, and where.

    On a box steps follow the gradient's signs and end in corners; on a ball its direction.

    Args:
        score: (r, b, ...) inputs to (r, b) numbers, each of its own input.
        domain: a batch of b regions.
        restarts: r >= 1 starts in each.
        steps: of the ascent, >= 0.
        seed: of the starts, >= 0.

    Returns:
        (b,) largest scores that were found, from below, and (b, ...) where.

    Raises:
        RuntimeError: a score that no gradient goes through.

    Measurements, not guarantees. Source: Madry et al. 2018, arXiv 1706.06083.

    Example:
        >>> box = Domain.box(torch.zeros(1, 2).double(), torch.ones(1, 2).double())
        >>> ascend(lambda x: x.sum(-1), box, 2, 5, 0)[0]
        tensor([2.], dtype=torch.float64)
    """
    rng = torch.Generator().manual_seed(seed)
    shape = (restarts, *domain.centre.shape)
    noise = torch.rand(shape, generator=rng, dtype=torch.float64) * 2 - 1
    noise[restarts // 2 :] = noise[restarts // 2 :].sign()
    half = domain.half_widths()
    x = domain.inside(domain.centre + noise * half)
    best = torch.full((len(domain),), -torch.inf, dtype=torch.float64)
    where = domain.centre.clone()
    for step in range(steps + 1):
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            value = score(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        value = value.detach()
        top, place = value.max(dim=0)
        better = top > best
        best = torch.where(better, top, best)
        picked = x.detach()[place, torch.arange(len(domain))]
        where[better] = picked[better]
        rate = 0.5 * (1 - step / steps) + 0.02 if steps else 0.0
        if step == steps - 1:
            rate = 2.0  # the corner that the gradient points to
        with torch.no_grad():
            if domain.ball:
                size = slope.flatten(2).norm(dim=2).clamp_min(1e-300)
                way = slope / size.view(*size.shape, *[1] * (x.ndim - 2))
                x = domain.inside(x + rate * half * way)
            else:
                x = domain.inside(x + rate * half * slope.sign())
    return best, where
