"""The verdict on a probabilistic claim from independent trials, by the exact binomial law.

A claim says that an event fails with probability at most delta. With k failures in n independent
trials the verdict is

- refuted: the one-sided Clopper-Pearson lower limit of the failure rate exceeds delta, that is
  Pr(Bin(n, delta) >= k) is below 1 - confidence. A true claim meets this with at most that chance.
- consistent: not refuted, and the same n trials would have refuted a claim that fails at twice the
  rate (2 delta) with probability at least POWER.
- undecided: not refuted, but the trials were too few to have noticed.

A deterministic claim (delta = 0) is refuted by its first failure, and consistent if every case that
it speaks of was looked at without one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.ledger.refusals import require_chance

Verdict = Literal["consistent", "refuted", "undecided"]
Where = Literal["calibration", "fresh", "fresh-covered"]

# One-sided confidence of a refutation: one true claim in a thousand is refuted by accident.
CONFIDENCE = 1 - 1e-3
# "consistent" must mean that a rate of twice delta would have been seen with this probability.
POWER = 0.9
FACTOR = 2.0


@dataclass(frozen=True)
class Coverage:
    """One Monte-Carlo verdict on one promise.

    Attributes:
        claim: id of the claim in THEORY.md, as "SP-3".
        scheme: "draws", "inclusion", "coupled" or "dropping"; "network" for a whole network.
        where: "calibration", "fresh", or "fresh-covered" (fresh points with g_j <= s_j for all j,
            the only fresh ones of which a claim with coverage factor 1 speaks).
        eps: relative error that must be met.
        delta: failure probability promised; 0 for a deterministic claim.
        m: draws, inclusion rate c, or weights kept.
        trials: independent trials n.
        failures: trials with an error above eps, k.
        low: one-sided Clopper-Pearson lower limit of the failure rate.
        high: one-sided upper limit.
        confidence: confidence of each limit; 1 - (1 - CONFIDENCE)/looks after `looks` looks.
        verdict: "consistent", "refuted" or "undecided"; see `verdict`.
        point: row at which the failures were counted, -1 if a row was drawn for every trial.
        seed: seed of the trials.
        points: which rows: "worst" (one, chosen before the trials), "each" (all of them, the one
            with most failures is shown, corrected for looking at all), "random" (one drawn for
            every trial: the probability is over input and draws).
    """

    claim: str
    scheme: str
    where: str
    eps: float
    delta: float
    m: float
    trials: int
    failures: int
    low: float
    high: float
    confidence: float
    verdict: Verdict
    point: int
    seed: int
    points: str = "worst"

    @property
    def rate(self) -> float:
        """Observed failure rate."""
        return self.failures / self.trials if self.trials else 0.0

    @property
    def p_value(self) -> float:
        """Pr(Bin(trials, delta) >= failures): how surprising the failures are if it holds."""
        return float(stats.binom.sf(self.failures - 1, self.trials, self.delta))

    def summary(self) -> dict[str, object]:
        """All fields and the observed rate, ready for JSON."""
        fields: dict[str, object] = asdict(self)
        return fields | {"rate": self.rate}


def refuting_failures(trials: int, delta: float, confidence: float = CONFIDENCE) -> int:
    """Least number of failures that refutes a claim.

    The least k with Pr(Bin(n, delta) >= k) <= 1 - confidence; n + 1 if there is none.

    Args:
        trials: n, independent trials, >= 0.
        delta: failure probability promised, in [0, 1).
        confidence: one-sided, in (0, 1).

    Returns:
        The count k, from 1 to n + 1.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: none (plumbing; Clopper and Pearson 1934).

    Example:
        >>> refuting_failures(1000, 0.05)
        74
    """
    _check(trials, delta, confidence)
    k = int(stats.binom.isf(1 - confidence, trials, delta)) + 1
    # isf is good to a rounding; the definition decides.
    while k > 1 and stats.binom.sf(k - 2, trials, delta) <= 1 - confidence:
        k -= 1
    while k <= trials and stats.binom.sf(k - 1, trials, delta) > 1 - confidence:
        k += 1
    return k


def power(trials: int, delta: float, confidence: float = CONFIDENCE) -> float:
    """Probability that the trials refute a claim whose true failure rate is twice delta.

    Args:
        trials: n, independent trials, >= 0.
        delta: failure probability promised, in [0, 1).
        confidence: one-sided, in (0, 1).

    Returns:
        Pr(Bin(n, min(1, 2 delta)) >= refuting_failures(n, delta)).

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Example:
        >>> power(1000, 0.05) > 0.99 > 0.5 > power(100, 0.05)
        True
    """
    least = refuting_failures(trials, delta, confidence)
    return float(stats.binom.sf(least - 1, trials, min(1.0, FACTOR * delta)))


@cache
def trials_for_power(delta: float, confidence: float = CONFIDENCE, wanted: float = POWER) -> int:
    """Number of trials from which the verdict "consistent" is possible.

    An n, found by doubling and bisection, with power(n) >= wanted (the power is a saw of n; within
    a per cent of the least n).

    Args:
        delta: failure probability promised, in (0, 1).
        confidence: one-sided, in (0, 1).
        wanted: power, in (0, 1).

    Returns:
        The number of trials.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Example:
        >>> 500 < trials_for_power(0.05) < 700 < 2500 < trials_for_power(0.01) < 3500
        True
    """
    require_chance("delta", delta)
    low, high = 0, 1
    while power(high, delta, confidence) < wanted:
        low, high = high, 2 * high
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, delta, confidence) >= wanted else (middle, high)
    return high


def judge(
    failures: int, trials: int, delta: float, *, looks: int = 1, confidence: float = CONFIDENCE
) -> tuple[float, float, float, Verdict]:
    """Limits of the failure rate and the verdict; the rule is in the module's docstring.

    Args:
        failures: k, from 0 to trials.
        trials: n, independent trials.
        delta: failure probability promised, in [0, 1); 0 for a deterministic claim.
        looks: how many such counts were looked at to show this one (Bonferroni), >= 1.
        confidence: one-sided confidence of the family of looks, in (0, 1).

    Returns:
        (low, high, confidence of each limit, verdict).

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: none (plumbing; Clopper and Pearson 1934).

    Example:
        >>> [judge(k, 1000, 0.05)[3] for k in (50, 73, 74)], judge(0, 100, 0.05)[3]
        (['consistent', 'consistent', 'refuted'], 'undecided')
    """
    _check(trials, delta, confidence)
    if not 0 <= failures <= trials:
        raise ValueError(f"failures must lie in [0, trials = {trials}]; found {failures}")
    if looks < 1:
        raise ValueError(f"looks must be at least 1; found {looks}")
    level = 1 - (1 - confidence) / looks
    # The two-sided interval at 1 - 2 a has one-sided limits at 1 - a each.
    low, high = sipp_theory.clopper_pearson(failures, trials, 1 - 2 * (1 - level))
    if delta == 0:
        verdict: Verdict = "refuted" if failures else "consistent"
    elif failures >= refuting_failures(trials, delta, level):
        verdict = "refuted"
    else:
        verdict = "consistent" if power(trials, delta, level) >= POWER else "undecided"
    return float(low), float(high), float(level), verdict


def _check(trials: int, delta: float, confidence: float) -> None:
    if isinstance(trials, bool) or not isinstance(trials, int | np.integer) or trials < 0:
        raise ValueError(f"trials must be a whole number >= 0; found {trials!r}")
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1); found {delta!r}")
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence must lie in (0.5, 1); found {confidence!r}")
