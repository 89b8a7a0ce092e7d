"""Exact laws of the kept set in rational arithmetic, and what a fresh look at them says of SP-8.

No check lives here: these are the truths that the checks of keeping and inclusion compare with.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

Law = dict[frozenset[int], Fraction]


def fractions_of(values: np.ndarray) -> list[Fraction]:
    """Each number as it is stored."""
    return [Fraction(float(x)) for x in values]


def independent_law(p: Sequence[Fraction]) -> Law:
    """Law of the kept set when every weight has a coin of its own, all 2^k patterns."""
    law: Law = {}
    for bits in itertools.product((False, True), repeat=len(p)):
        mass = Fraction(1)
        for bit, chance in zip(bits, p, strict=True):
            mass *= chance if bit else 1 - chance
        if mass:
            law[frozenset(j for j, bit in enumerate(bits) if bit)] = mass
    return law


def pivotal_law(p: Sequence[Fraction]) -> Law:
    """Law of the kept set under the sequential pivotal method (Deville and Tille 1998).

    State: the sure ones, and the one undecided index with the probability that it carries. The next
    fractional index duels with it: if the two probabilities a, b add up to less than 1 one drops
    out (the first with b/(a+b)), else one is kept for sure (the first with (1-b)/(2-a-b)).
    """
    states: dict[tuple[frozenset[int], int, Fraction], Fraction] = {
        (frozenset(), -1, Fraction(0)): Fraction(1)
    }
    for j, b in enumerate(p):
        following: dict[tuple[frozenset[int], int, Fraction], Fraction] = defaultdict(Fraction)
        for (sure, holder, a), mass in states.items():
            if b in (0, 1):
                following[(sure | {j} if b == 1 else sure, holder, a)] += mass
            elif a == 0:
                following[(sure, j, b)] += mass
            elif a + b < 1:
                following[(sure, holder, a + b)] += mass * a / (a + b)
                following[(sure, j, a + b)] += mass * b / (a + b)
            else:
                first = (1 - b) / (2 - a - b)
                following[(sure | {holder}, j, a + b - 1)] += mass * first
                following[(sure | {j}, holder, a + b - 1)] += mass * (1 - first)
        states = dict(following)
    law: Law = defaultdict(Fraction)
    for (sure, holder, a), mass in states.items():
        law[sure | {holder} if a > 0 else sure] += mass * (a if a > 0 else 1)
        if a > 0:
            law[sure] += mass * (1 - a)
    return {kept: mass for kept, mass in law.items() if mass}


def joint(law: Law, subset: tuple[int, ...], kept: bool = True) -> Fraction:
    """Probability that all of a subset are kept, or that all of it is dropped."""
    chosen = frozenset(subset)
    return sum(
        (mass for b, mass in law.items() if (chosen <= b if kept else not chosen & b)), Fraction(0)
    )


def positively_dependent(law: Law, p: Sequence[Fraction]) -> tuple[int, ...]:
    """A subset that is kept or dropped together likelier than by coins of its own; () if none.

    With none, exp(t B) = 1 + (e^t - 1) B expands the MGF of sum v_j B_j, v >= 0, into joint
    probabilities with non-negative coefficients, so it is at most that of independent coins; with
    1 - B_j in place of B_j for t < 0.
    """
    for size in range(2, len(p) + 1):
        for subset in itertools.combinations(range(len(p)), size):
            together = dropped = Fraction(1)
            for j in subset:
                together *= p[j]
                dropped *= 1 - p[j]
            if joint(law, subset) > together or joint(law, subset, False) > dropped:
                return subset
    return ()


def estimates(law: Law, p: Sequence[Fraction], row: Sequence[Fraction]) -> dict[Fraction, Fraction]:
    """Law of z^/z at one input, the weights' shares being `row`."""
    total = sum(row, Fraction(0))
    masses: dict[Fraction, Fraction] = defaultdict(Fraction)
    for kept, mass in law.items():
        masses[sum((row[j] / p[j] for j in kept), Fraction(0)) / total] += mass
    return masses


def failure(law: Law, p: Sequence[Fraction], row: Sequence[Fraction], eps: float) -> Fraction:
    """Probability that |z^/z - 1| exceeds eps; a rounding of the shares is no failure."""
    limit = Fraction(eps) * (1 + Fraction(1, 10**9)) + Fraction(1, 10**12)
    values = estimates(law, p, row)
    return sum((mass for v, mass in values.items() if abs(v - 1) > limit), Fraction(0))


def least_error(values: dict[Fraction, Fraction], delta: float) -> float:
    """The least eps with Pr(|z^/z - 1| > eps) <= delta, given the law of z^/z."""
    deviations: dict[Fraction, Fraction] = defaultdict(Fraction)
    for value, mass in values.items():
        deviations[abs(value - 1)] += mass
    beyond = Fraction(0)
    for value in sorted(deviations, reverse=True):
        beyond += deviations[value]
        if beyond > Fraction(delta):
            return float(value)
    return 0.0
