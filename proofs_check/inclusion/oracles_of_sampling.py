"""What pivotal sampling does exactly, and what it does better and worse than other coins."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any, cast

import numpy as np
from scipy.stats import qmc

from proofs_check.inclusion.exact_laws import (
    estimates,
    failure,
    independent_law,
    joint,
    pivotal_law,
    positively_dependent,
)
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.pruning import pivotal
from sipp_core.runtime import generator

STREAM = 63
CASES = [
    [Fraction(n, 64) for n in numerators]
    for numerators in (
        (32, 32),
        (13, 40, 7, 22),
        (64, 10, 0, 54, 50, 20),
        (60, 61, 62, 63, 5),
        (3, 2, 1, 4, 5, 6),
        (16, 48, 16, 48, 32, 32),
        (40,),
    )
]


def _drawn_cases(setting: Setting) -> list[list[Fraction]]:
    rng = generator(setting.seed, STREAM, 1)
    count = 200 if setting.full else 20
    return CASES + [
        [Fraction(int(n), 64) for n in rng.integers(0, 65, size=rng.integers(1, 7))]
        for _ in range(count)
    ]


@oracle("SP-8")
def negative_dependence(setting: Setting) -> Result:
    """Pivotal sampling keeps every mean, fixes the count, and no subset is kept together too often.

    By all subsets of at most six weights, in rational arithmetic; dropped together likewise.
    """
    cases = _drawn_cases(setting)
    for p in cases:
        law = pivotal_law(p)
        at = f"p = {[str(x) for x in p]}"
        if [joint(law, (j,)) for j in range(len(p))] != p:
            raise Refuted(f"a mean is not kept at {at}")
        if not {len(kept) for kept in law} <= {math.floor(sum(p)), math.ceil(sum(p))}:
            raise Refuted(f"the count is not fixed at {at}")
        if subset := positively_dependent(law, p):
            raise Refuted(f"the weights {subset} are positively dependent at {at}")
        if positively_dependent(independent_law(p), p):
            raise Refuted(f"independence is not the boundary case at {at}")
    return Result(cases=len(cases))


class _Coins:
    """Stands in for a generator: the uniform numbers are a low-discrepancy net, no chance."""

    def __init__(self, power: int) -> None:
        self.power = power

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        """Hand out the net, one column a trial."""
        net = qmc.Sobol(shape[0], scramble=True, rng=np.random.default_rng(1))
        return net.random_base2(self.power).T[:, : shape[1]]


@oracle("SP-8")
def sampler_follows_the_law(setting: Setting) -> Result:
    """The sampler's kept sets have the exact law's frequencies, over a net of uniform numbers."""
    power = 16 if setting.full else 13
    worst = 0.0
    for p in CASES:
        law = pivotal_law(p)
        rows = np.tile(np.array(p, dtype=np.float64), (2**power, 1))
        kept = pivotal(rows, cast(Any, _Coins(power)))
        counts = Counter(frozenset(np.flatnonzero(row).tolist()) for row in kept)
        for subset in set(law) | set(counts):
            gap = abs(counts[subset] / 2**power - float(law.get(subset, Fraction(0))))
            worst = max(worst, gap)
            if gap > 0.01 or (subset not in law and counts[subset]):
                raise Refuted(
                    f"the set {sorted(subset)} has frequency {counts[subset] / 2**power:.6g}, not "
                    f"{float(law.get(subset, 0)):.6g}, at p = {[str(x) for x in p]}"
                )
    return Result(f"largest difference of a frequency {worst:.1e}", cases=len(CASES))


@oracle("SP-8", "SP-5x")
def coupling_breaks_the_exact_law(setting: Setting) -> Result:
    """Kept as found: the exact tail of independent inclusion does not hold for coupled weights."""
    p = [Fraction(n, 16) for n in (11, 11, 9, 13)]
    row = [Fraction(n) for n in (3, 3, 3, 8)]
    alone, coupled = (failure(law(p), p, row, 0.4209) for law in (independent_law, pivotal_law))
    if not alone < Fraction(14, 100) < Fraction(18, 100) < coupled:
        raise Refuted(f"failure rates {float(alone):.4f} alone, {float(coupled):.4f} coupled")
    return Result(f"fails with {float(alone):.3f} independent, {float(coupled):.3f} coupled", 2)


def variances(g: list[Fraction], p: list[Fraction], m: int) -> tuple[Fraction, ...]:
    """Variance of z^/z: m draws in proportion to p, independent and coupled inclusion with p."""
    q = [x / sum(p, Fraction(0)) for x in p]
    draws = sum((x**2 / y for x, y in zip(g, q, strict=True)), Fraction(0)) - 1
    laws = (independent_law(p), pivotal_law(p))
    return draws / m, *(
        sum((mass * (v - 1) ** 2 for v, mass in estimates(law, p, g).items()), Fraction(0))
        for law in laws
    )


@oracle("SP-8")
def inclusion_is_no_safe_win(setting: Setting) -> Result:
    """Kept as found: at an equal number of weights, independent inclusion may vary more than draws.

    Eight weights, one in four kept: draws have variance (M - 1)/m, whose -1 is the fixed total.
    """
    scores = [Fraction(n, 36) for n in range(1, 9)]
    shares = [(x + Fraction(1, 8)) / 2 for x in scores]  # what is drawn by is a little off
    draws, alone, coupled = variances(shares, [2 * x for x in scores], 2)
    if not coupled < alone or not draws < alone:
        raise Refuted(f"variances {float(draws):.4f} drawn, {float(alone):.4f} independent, "
                      f"{float(coupled):.4f} coupled")  # fmt: skip
    return Result(
        f"variances {float(draws):.3f} drawn, {float(alone):.3f} independent, "
        f"{float(coupled):.3f} coupled", 3,
    )  # fmt: skip
