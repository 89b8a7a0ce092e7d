"""The largest share of every group's neurons that a budget of weights has room for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from sipp_core.filters.rebuild import left, nonzeros
from sipp_core.network.layers import PrunableLayer
from sipp_core.neurons.removal import Pairs, ends_of


def within(
    fraction: float, model: nn.Module, prunable: Sequence[PrunableLayer],
    at: Callable[[float], Pairs], kept_whole: dict[str, str],
) -> Pairs:  # fmt: skip
    """What `at` selects at the largest share that leaves at most so much of the weights."""
    counts = {layer.name: nonzeros(layer) for layer in prunable}
    size = sum(layer.weight.numel() for layer in prunable)
    budget = math.floor(fraction * size + 1e-9)

    def weights(pairs: Pairs) -> int:
        ends = ends_of(model, pairs)
        return sum(left(counts[name], ends.get(name)) for name in counts)

    low, high = 0.0, 1.0
    if weights(best := at(1.0)) <= budget:
        return best
    best = at(0.0)
    if (least := weights(best)) > budget:
        raise ValueError(
            f"keep={fraction!r} cannot be met: with one neuron left in each group "
            f"{least} of {size} weights remain, so keep must be at least {least / size:.4g} "
            f"(whole: {', '.join(map(repr, kept_whole)) or 'none'})"
        )
    widest = max(table.group.units for table, _ in best)
    while high - low > 0.5 / widest:
        middle = (low + high) / 2
        pairs = at(middle)
        if weights(pairs) <= budget:
            low, best = middle, pairs
        else:
            high = middle
    return best
