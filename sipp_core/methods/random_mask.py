"""A random mask, the control that any choice must beat."""

from __future__ import annotations

import numpy as np

from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float, generator

# Draws count their candidates in the third place, so no draw shares these random numbers.
MASK_STREAM = (0, 0, 0)


@register
class RandomMask(KeepLargest):
    """Keep a set of nonzero weights chosen uniformly among all sets of that size, unscaled.

    Ranking by independent uniform numbers gives every set the same chance. The promise is SP-6's
    for the set that was drawn, at most 1: little or nothing.

    Claim: SP-6. Source: Frankle and Carbin 2019, arXiv 1803.03635 (the control).
    """

    name = "random"
    facts = Facts(
        "Random mask",
        "peer",
        "A set of weights chosen uniformly among all sets of its size stays as it is: the control "
        "that any choice must beat.",
        "arXiv 1803.03635",
    )
    random = True
    takes = KeepLargest.takes - {"eps"}

    def scores(self, table: Table) -> Float:
        """Uniform numbers in (0, 1]: 0 would stand for a weight that is not there."""
        seed, layer = table.seed
        numbers = 1 - generator(seed, *MASK_STREAM, layer).random(table.weight.shape)
        return np.where(table.weight != 0, numbers, 0.0)
