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
    says: str,
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

    Args:
        says: what is counted, one sentence.
        shares: (n, k) or (k,) g_j(x), rows add up to 1.
        scores: (k,) what is drawn by, the sensitivities.
        scheme: "draws", "inclusion" or "coupled".
        size: draws m or rate c, as the bound under test asked for them; finite.
        eps: relative error, > 0.
        delta: failure probability promised, in (0, 1).
        seed: seed of the run.
        stream: whole numbers that tell this experiment from the others of its check.
        needed: size that the trials need, NaN if not measured.

    Returns:
        The experiment; `promised` is the size.

    Raises:
        ValueError: shares or scores that are no instance.

    Claim: SP-2 to SP-8, whichever asked for the size. Source: the claim's; the count is [OWN].

    Example:
        >>> one = neuron_experiment("a coin", np.eye(2), [1, 1], scheme="draws", size=100, eps=0.3,
        ...                         delta=0.05, seed=0, stream=(1,))
        >>> one.count(0, 1024) < 60
        True
    """
    pair = make_pair(shares, scores)
    row = int(np.argmax(pair.mean_square(scheme, size)))
    only = Pair(pair.shares[row : row + 1], pair.scores, pair.rows[row : row + 1])
    count = partial(_misses, only, scheme, size, eps + TIE, seed, stream)
    return Experiment(says, delta, count, promised=size, needed=needed)


def _misses(
    pair: Pair, scheme: str, size: float, limit: float, seed: int, stream: tuple[int, ...],
    block: int, trials: int,
) -> int:  # fmt: skip
    found = estimates_at(pair, 0, scheme, size, trials, seed, NEURON_STREAM, *stream, block)
    return int((np.abs(found - 1) > limit).sum())


def two_point(span: int, coverage_factor: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The instance that attains Chernoff's bound: a draw is M with probability 1/M, else 0.

    `span` weights of equal sensitivity 1/C, each the whole output at an input of its own, so that
    M = C S_sum = span and z^/z = M Bin(m, 1/M)/m.

    Args:
        span: M, a whole number >= 1.
        coverage_factor: C, a whole number that the calibration inputs fall short of the truth by.

    Returns:
        (shares, scores): (M, M) the fresh inputs, and (M,) the sensitivities.

    Claim: SP-4. Source: Hoeffding 1963.

    Example:
        >>> g, s = two_point(3)
        >>> g.tolist() == np.eye(3).tolist() and s.tolist() == [1.0, 1.0, 1.0]
        True
    """
    return np.eye(span), np.full(span, 1 / coverage_factor)


def two_point_failure(span: float, m: float, eps: float) -> float:
    """Failure probability on the two-point instance, from the binomial law.

    Args:
        span: M >= 1.
        m: draws, >= 1.
        eps: relative error, > 0.

    Returns:
        Pr(|M Bin(m, 1/M)/m - 1| > eps); an error that equals eps is no failure.

    Claim: SP-4. Source: Hoeffding 1963.

    Example:
        >>> round(two_point_failure(2, 4, 0.5), 6)
        0.125
    """
    high = math.floor(m * (1 + eps) / span + TIE)
    low = math.ceil(m * (1 - eps) / span - TIE)
    law = stats.binom(int(m), 1 / span)
    return float(law.sf(high) + law.cdf(low - 1))
