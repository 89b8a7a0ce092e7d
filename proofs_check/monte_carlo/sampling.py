"""Draw the estimate z^/z of one neuron and sign many times at once, without any bound's help.

At one point only the law of one draw's value matters, so weights with the same value are merged;
the sum of m draws is then simulated through multinomial counts or, for few draws, value by value
from a table. Trials run in blocks of a fixed number, each with its own random stream, so nothing
depends on how much memory a run was given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sipp_core.pruning import pivotal
from sipp_core.runtime import Float, generator

BLOCK = 1024
# Numbers handled at once; 2**21 float64 are 16 MiB.
LARGEST_CHUNK = 2**21
# Measured costs in nanoseconds, only to choose the faster of two samplers of one law.
MULTINOMIAL_COST, TABLE_COST, TABLE_SETUP = 100.0, 10.0, 2e5
TABLE = 2**16


@dataclass(frozen=True, eq=False)
class Law:
    """Law of one draw: its value g_j/q_j (z^ is the mean of the draws, z = 1).

    Attributes:
        values: (k,) float64, distinct, >= 0.
        probabilities: (k,) float64, add up to 1; the largest comes last.
    """

    values: Float
    probabilities: Float

    @property
    def mean(self) -> float:
        """Expected value of a draw: 1, less the share of weights that are never drawn."""
        return float(self.values @ self.probabilities)

    @property
    def variance(self) -> float:
        """Variance of a draw."""
        return float((self.values - self.mean) ** 2 @ self.probabilities)


def draw_law(shares: Float, q: Float) -> Law:
    """Law of one draw at one point, equal values merged.

    Shapes: shares (k,), q (k,).

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    drawn = q > 0
    values, where = np.unique(shares[drawn] / q[drawn], return_inverse=True)
    mass = np.bincount(where, weights=q[drawn], minlength=values.size)
    order = np.argsort(mass, kind="stable")
    return Law(values[order], mass[order] / mass.sum())


def blocks(trials: int, seed: int, *stream: int) -> Iterator[tuple[slice, np.random.Generator]]:
    """Cut trials into blocks, each with its own random stream."""
    for index, start in enumerate(range(0, trials, BLOCK)):
        yield slice(start, min(start + BLOCK, trials)), generator(seed, *stream, index)


def draw_sums(law: Law, m: int, trials: int, rng: np.random.Generator) -> Float:
    """Sum of m draws, many times.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    if m == 0 or law.values.size == 1:
        return np.full(trials, m * float(law.values[0]))
    by_table = TABLE_SETUP + TABLE_COST * m * trials
    if by_table < MULTINOMIAL_COST * law.values.size * trials:
        return _sums_by_table(law, m, trials, rng)
    rows = max(1, LARGEST_CHUNK // law.values.size)
    parts = [
        rng.multinomial(m, law.probabilities, size=min(rows, trials - start)) @ law.values
        for start in range(0, trials, rows)
    ]
    return np.concatenate(parts)


def _sums_by_table(law: Law, m: int, trials: int, rng: np.random.Generator) -> Float:
    """Draw by looking up 16 random bits; what 1/65536 cannot express is drawn from its own law.

    Value j owns floor(65536 q_j) cells. The cells left over stand for the law of the remainders
    65536 q_j - floor(.), so the mixture is exactly q.
    """
    scaled = law.probabilities * TABLE
    cells = np.floor(scaled).astype(np.int64)
    owned = int(cells.sum())
    table = np.zeros(TABLE)
    table[:owned] = np.repeat(law.values, cells)
    remainder = np.cumsum(scaled - cells)
    sums = np.zeros(trials)
    rows = max(1, LARGEST_CHUNK // (8 * m))
    for start in range(0, trials, rows):
        count = min(rows, trials - start)
        raw = rng.bit_generator.random_raw(-(-count * m // 4))
        index = np.asarray(raw).view(np.uint16)[: count * m].reshape(count, m)
        total = table[index].sum(axis=1)
        if owned < TABLE:
            left = np.count_nonzero(index >= owned, axis=1)
            picks = np.searchsorted(remainder, rng.random(int(left.sum())) * remainder[-1], "right")
            extra = law.values[np.minimum(picks, law.values.size - 1)]
            total += np.bincount(np.repeat(np.arange(count), left), extra, minlength=count)
        sums[start : start + count] = total
    return sums


def draw_estimates(law: Law, m: int, trials: int, seed: int, *stream: int) -> Float:
    """Estimates z^/z at one point from m draws each.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """
    result = np.zeros(trials)
    if m > 0:
        for part, rng in blocks(trials, seed, *stream):
            result[part] = draw_sums(law, m, part.stop - part.start, rng) / m
    return result


def inclusion_estimates(shares: Float, p: Float, trials: int, seed: int, *stream: int) -> Float:
    """Estimates z^/z at one point, each weight kept with its own probability.

    The uniform numbers behind the coins depend on the seed and on which weights carry anything at
    this point, not on p: the same seed at two rates compares them on common ground.

    Shapes: shares (k,), p (k,).

    Claim: SP-8. Source: [OWN].
    """
    carries = shares > 0
    g, chance = shares[carries], p[carries]
    fixed = float(g[chance >= 1].sum())
    moving = (chance > 0) & (chance < 1)
    if not moving.any():
        return np.full(trials, fixed)
    value = np.where(moving, g / np.where(moving, chance, 1.0), 0.0)
    result = np.empty(trials)
    rows = max(1, LARGEST_CHUNK // g.size)
    for part, rng in blocks(trials, seed, *stream):
        for start in range(part.start, part.stop, rows):
            stop = min(start + rows, part.stop)
            kept = rng.random((stop - start, g.size)) < chance
            result[start:stop] = kept @ value + fixed
    return result


def coupled_estimates(shares: Float, p: Float, trials: int, seed: int, *stream: int) -> Float:
    """Estimates z^/z at one point, weights kept by the pruner's own pivotal sampling.

    Shapes: shares (k,), p (k,).

    Claim: SP-8 (negatively associated form). Source: [OWN].
    """
    moving = (p > 0) & (p < 1)
    fixed = float(shares[p >= 1].sum())
    # Weights that carry nothing here still take part: they decide whom the others meet.
    value, chance = shares[moving] / p[moving], p[moving]
    result = np.full(trials, fixed)
    if moving.any():
        for part, rng in blocks(trials, seed, *stream):
            count = part.stop - part.start
            result[part] += pivotal(np.broadcast_to(chance, (count, chance.size)), rng) @ value
    return result
