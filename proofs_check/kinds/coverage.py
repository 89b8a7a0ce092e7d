"""Monte Carlo: every probabilistic claim as trials, on instances where the truth is known."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from proofs_check.ledger.evidence import Experiment
from proofs_check.monte_carlo.failures import estimates_at
from proofs_check.monte_carlo.neuron import TIE
from proofs_check.monte_carlo.pair import Pair, Scheme, make_pair

NEURON_STREAM = 51


def neuron_experiment(
    label: str,
    shares: ArrayLike,
    scores: ArrayLike,
    *,
    scheme: Scheme,
    size: float,
    eps: float,
    delta: float,
    seed: int,
    stream: tuple[int, ...],
    needed: float = math.nan,
) -> Experiment:
    """Count pruned versions of one sign of one neuron that miss eps at the worst of the rows.

    The worst row is the one of largest exact mean square error, chosen before any trial.

    Shapes: shares (n, k), scores (k,).

    Claim: SP-2 to SP-8, whichever gave the size. Source: the claim's; the count is [OWN].
    """
    pair = make_pair(shares, scores)
    row = int(np.argmax(pair.mean_square(scheme, size)))
    only = Pair(pair.shares[row : row + 1], pair.scores, pair.rows[row : row + 1])
    count = partial(_misses, only, scheme, size, eps + TIE, seed, stream)
    return Experiment(label, delta, count, promised=size, needed=needed)


def _misses(
    pair: Pair, scheme: str, size: float, limit: float, seed: int, stream: tuple[int, ...],
    block: int, trials: int,
) -> int:  # fmt: skip
    estimates = estimates_at(pair, 0, scheme, size, trials, seed, NEURON_STREAM, *stream, block)
    return int((np.abs(estimates - 1) > limit).sum())


def two_point(span: int, coverage_factor: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The instance that attains Chernoff's bound: a draw is M with probability 1/M, else 0.

    `span` weights of equal sensitivity 1/C, each the whole output at an input of its own, so that
    M = C S_sum = span and z^/z = M Bin(m, 1/M)/m.

    Shapes: returns (shares, scores).

    Claim: SP-4. Source: Hoeffding 1963.
    """
    return np.eye(span), np.full(span, 1 / coverage_factor)


def two_point_failure(span: float, m: float, eps: float) -> float:
    """Failure probability on the two-point instance, from the binomial law.

    Claim: SP-4. Source: Hoeffding 1963.
    """
    high = math.floor(m * (1 + eps) / span + TIE)
    low = math.ceil(m * (1 - eps) / span - TIE)
    law = stats.binom(int(m), 1 / span)
    return float(law.sf(high) + law.cdf(low - 1))
