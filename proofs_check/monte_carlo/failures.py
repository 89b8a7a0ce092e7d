"""Many pruned versions of one sign of one neuron, and how many of them fail at which row."""

from __future__ import annotations

import numpy as np

from proofs_check.monte_carlo.pair import Pair
from proofs_check.monte_carlo.sampling import (
    BLOCK,
    blocks,
    coupled_estimates,
    draw_estimates,
    draw_law,
    inclusion_estimates,
)
from sipp_core.pruning import pivotal
from sipp_core.runtime import Float

# First entries of the random streams, so that no two purposes share one.
WORST_STREAM, EACH_STREAM, RANDOM_STREAM, CHOICE_STREAM = 11, 12, 13, 14


def estimates_at(
    pair: Pair, row: int, scheme: str, size: float, trials: int, seed: int, *stream: int
) -> Float:
    """Estimates z^/z of many pruned versions at one live row.

    Claim: SP-1, SP-8. Source: [SP] arXiv 1910.05422, [OWN].
    """
    p = pair.probabilities(scheme, size)
    if scheme == "draws":
        return draw_estimates(draw_law(pair.shares[row], p), int(size), trials, seed, *stream)
    if scheme == "coupled":
        return coupled_estimates(pair.shares[row], p, trials, seed, *stream)
    return inclusion_estimates(pair.shares[row], p, trials, seed, *stream)


def failures_at_each(
    pair: Pair, scheme: str, size: float, limit: float, trials: int, seed: int, chunk: int
) -> np.ndarray:
    """Count the failures at every live row, all rows looking at the same pruned versions.

    Shapes: returns (n,) int64.
    """
    shares, p = _on_support(pair, scheme, size)
    counts = np.zeros(len(shares), np.int64)
    width = _width(scheme, chunk, p.size + len(shares))
    for part, rng in blocks(trials, seed, EACH_STREAM):
        for start in range(part.start, part.stop, width):
            versions = _multipliers(p, scheme, size, min(width, part.stop - start), rng)
            counts += (np.abs(versions @ shares.T - 1) > limit).sum(axis=0)
    return counts


def failures_at_random(
    pair: Pair, scheme: str, size: float, limit: float, trials: int, seed: int, chunk: int
) -> int:
    """Count the failures when each pruned version meets one live row, drawn uniformly."""
    shares, p = _on_support(pair, scheme, size)
    failures, width = 0, _width(scheme, chunk, 2 * p.size)
    chosen = np.empty(trials, np.int64)
    for part, rng in blocks(trials, seed, CHOICE_STREAM):
        chosen[part] = rng.integers(len(shares), size=part.stop - part.start)
    for part, rng in blocks(trials, seed, RANDOM_STREAM):
        for start in range(part.start, part.stop, width):
            stop = min(start + width, part.stop)
            versions = _multipliers(p, scheme, size, stop - start, rng)
            estimates = np.einsum("tk,tk->t", versions, shares[chosen[start:stop]])
            failures += int((np.abs(estimates - 1) > limit).sum())
    return failures


def _multipliers(p: Float, scheme: str, size: float, count: int, rng: np.random.Generator) -> Float:
    """Multipliers N_j/(m q_j) or B_j/p_j of `count` pruned versions, (count, k)."""
    if scheme == "inclusion":
        return (rng.random((count, p.size)) < p) / p
    if scheme == "coupled":
        return pivotal(np.broadcast_to(p, (count, p.size)), rng) / p
    if size == 0:
        return np.zeros((count, p.size))
    return rng.multinomial(int(size), p, size=count) / (size * p)


def _on_support(pair: Pair, scheme: str, size: float) -> tuple[Float, Float]:
    """Shares and probabilities of the weights that can be kept at all, the likeliest last.

    The multinomial sampler gives rounding's leftover to the last weight, hence the order.
    """
    p = pair.probabilities(scheme, size)
    order = np.flatnonzero(p) if scheme == "coupled" else np.argsort(p, kind="stable")
    order = order[p[order] > 0]
    chance = p[order] / p.sum() if scheme == "draws" else p[order]
    return pair.shares[:, order], chance


def _width(scheme: str, chunk: int, numbers: int) -> int:
    """Pruned versions held at once; coupled sampling takes a block's random numbers together."""
    return BLOCK if scheme == "coupled" else max(1, chunk // max(1, numbers))
