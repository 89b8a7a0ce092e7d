"""Coverage of a promise for one sign of one neuron: many pruned versions, failures counted."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from proofs_check.ledger.judging import CONFIDENCE, Coverage, Where, judge
from proofs_check.ledger.refusals import require_chance, require_counts
from proofs_check.monte_carlo.failures import (
    WORST_STREAM,
    estimates_at,
    failures_at_each,
    failures_at_random,
)
from proofs_check.monte_carlo.pair import Scheme, make_pair
from proofs_check.monte_carlo.sampling import LARGEST_CHUNK

Points = Literal["worst", "each", "random"]

# An error that equals eps is no failure, so rounding must not push it over: lattice laws do attain
# eps exactly, and a neuron kept whole has eps = 0. Failures by less than this are missed.
TIE = 1e-9


def neuron_coverage(
    shares: ArrayLike,
    scores: ArrayLike,
    *,
    scheme: Scheme,
    size: float,
    eps: float,
    delta: float,
    trials: int = 20_000,
    seed: int = 0,
    points: Points = "worst",
    claim: str = "none",
    where: Where = "calibration",
    confidence: float = CONFIDENCE,
    chunk: int = LARGEST_CHUNK,
) -> Coverage:
    """Count how often |z^ - z| > eps z for one sign of one neuron, and judge Pr(...) <= delta.

    draws: `size` draws from q = scores/sum, z^/z the mean of g_J/q_J; inclusion: each weight kept
    with p = min(1, size scores), z^/z = sum of g_j B_j/p_j; coupled: the same by pivotal sampling,
    so that the number of weights kept is fixed; dropping: the `size` weights of largest
    score kept as they are. Which rows count:

    - "worst": the row of largest mean square error, computed exactly before any trial;
    - "each": every row in each trial; the row with most failures, corrected by Bonferroni;
    - "random": one row drawn uniformly for each trial, so that the rate is over input and draws.

    Dropping has no randomness: every row is looked at once. Against "worst" and "each" it is judged
    as a deterministic claim (delta 0), for "random" the rows are the trials.

    Args:
        shares: (n, k) or (k,) g_j(x) >= 0, rows add up to 1 or are all 0 (left out).
        scores: (k,) >= 0, the sensitivities s_j.
        scheme: "draws", "inclusion", "coupled" or "dropping".
        size: draws m, rate c, or weights kept; >= 0.
        eps: relative error, > 0, no unit.
        delta: failure probability promised at one row, in (0, 1).
        trials: pruned versions, >= 1.
        seed: seed of the trials, >= 0.
        points: which rows count, see above.
        claim: id of the claim under test, for the record.
        where: what the rows are, for the record.
        confidence: one-sided confidence of the verdict, in (0.5, 1).
        chunk: largest number of float64 held at once; the result does not depend on it.

    Returns:
        The coverage; `point` counts rows of `shares` as given.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: SP-2 to SP-8, whichever gave the size. Source: the claim's; the count is [OWN].

    Example:
        >>> neuron_coverage([[1.0, 0.0]], [0.5, 0.5], scheme="draws", size=20, eps=0.1, delta=0.05,
        ...                 trials=2000).verdict
        'refuted'
    """
    check_question(scheme, points, size, eps, delta, trials, chunk)
    pair = make_pair(shares, scores)
    limit = eps + TIE
    looks, point = 1, -1
    if scheme == "dropping":
        failing = np.sqrt(pair.mean_square(scheme, size)) > limit
        failures, trials = int(failing.sum()), len(failing)
        if points != "random":
            delta, point = 0.0, int(pair.rows[np.argmax(pair.mean_square(scheme, size))])
    elif points == "worst":
        worst = int(np.argmax(pair.mean_square(scheme, size)))
        estimates = estimates_at(pair, worst, scheme, size, trials, seed, WORST_STREAM)
        failures = int((np.abs(estimates - 1) > limit).sum())
        point = int(pair.rows[worst])
    elif points == "each":
        counts = failures_at_each(pair, scheme, size, limit, trials, seed, chunk)
        failures, looks = int(counts.max()), len(counts)
        point = int(pair.rows[np.argmax(counts)])
    else:
        failures = failures_at_random(pair, scheme, size, limit, trials, seed, chunk)
    low, high, level, verdict = judge(failures, trials, delta, looks=looks, confidence=confidence)
    return Coverage(
        claim, scheme, where, float(eps), float(delta), float(size), trials, failures,
        low, high, level, verdict, point, seed, points,
    )  # fmt: skip


def check_question(
    scheme: str, points: str, size: float, eps: float, delta: float, trials: int, chunk: int
) -> None:
    """Refuse arguments for which neither coverage nor search is defined."""
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme must be one of {get_args(Scheme)}; found {scheme!r}")
    if points not in get_args(Points):
        raise ValueError(f"points must be one of {get_args(Points)}; found {points!r}")
    if not (np.isfinite(size) and size >= 0):
        raise ValueError(f"size must be finite and >= 0; found {size!r}")
    if scheme in ("draws", "dropping") and size != int(size):
        raise ValueError(f"size must be a whole number for scheme {scheme!r}; found {size!r}")
    if not (np.isfinite(eps) and eps > 0):
        raise ValueError(f"eps must be above 0; found {eps!r}")
    require_chance("delta", delta)
    require_counts(trials=trials, chunk=chunk)
