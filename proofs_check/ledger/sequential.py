"""The verdict on trials that may stop early, with a p-value that stays valid whenever they do.

Trials come in blocks. After each block two beta-binomial e-processes (CT-4) are looked at:

- against "the rate is at most delta": at 2/LEVEL or more the claim is refuted, and counting stops;
- against "the rate is at least 2 delta": at 1/MISSED or more a rate of twice delta is out of the
  question, and counting stops; the claim is consistent.

If neither happens before the trials end, the exact binomial test decides. The p-value is
2 min(1/largest e-value, binomial p-value at the planned end): by Ville's inequality and the union
bound it is valid although one of the two may stop the other. LEVEL is Holm's first and strictest
step for a family of FAMILY experiments, so an experiment is the same alone or in the ledger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scipy import stats

import sipp_theory
from proofs_check.ledger.evidence import Evidence, Experiment, Outcome
from proofs_check.ledger.judging import trials_for_power

# A true ledger is refuted somewhere by accident in at most one run of a thousand.
FAMILY_ERROR = 1e-3
FAMILY = 400
LEVEL = FAMILY_ERROR / FAMILY
# A rate of twice delta is taken for consistent with at most this probability by the early stop, and
# with at most 5% by the binomial test: together the power is at least 90%.
MISSED = 0.05
PRIOR = (0.5, 0.5)
# Held where a mutation of CT-4 cannot reach: a judge that is itself weakened would acquit anything.
JUDGE = {"evidence": sipp_theory.log_e_value, "limits": sipp_theory.confidence_sequence}


@dataclass(frozen=True)
class Count:
    """Trials so far.

    Attributes:
        blocks: blocks counted.
        trials: trials counted.
        failures: of them.
        largest: largest log e-value against the claim seen after any block.
        stopped: why no more are run: "", "refuted", "consistent" or "end".

    Claim: CT-4. Source: [OWN]; Robbins (1970).
    """

    blocks: int = 0
    trials: int = 0
    failures: int = 0
    largest: float = 0.0
    stopped: str = ""


def planned_trials(experiment: Experiment) -> int:
    """Trials after which the binomial test decides."""
    return experiment.most or trials_for_power(experiment.delta, 1 - LEVEL / 2, 1 - MISSED)


def block_sizes(experiment: Experiment) -> list[int]:
    """Sizes of the blocks that the planned trials are cut into."""
    total, size = planned_trials(experiment), experiment.block
    return [min(size, total - start) for start in range(0, total, size)]


def counted(experiment: Experiment, count: Count, failures: int, trials: int) -> Count:
    """Add one block, in its order, and see whether to stop.

    Claim: CT-4. Source: [OWN]; Robbins (1970).
    """
    k, n, delta = count.failures + failures, count.trials + trials, experiment.delta
    against = float(JUDGE["evidence"](k, n, delta, prior=PRIOR))
    largest = max(count.largest, against)
    stopped = ""
    if largest >= math.log(2 / LEVEL):
        stopped = "refuted"
    elif 2 * delta < 1 and float(
        JUDGE["evidence"](k, n, 2 * delta, "below", prior=PRIOR)
    ) >= math.log(1 / MISSED):
        stopped = "consistent"
    elif n >= planned_trials(experiment):
        stopped = "end"
    return Count(count.blocks + 1, n, k, largest, stopped)


def verdict(blank: Evidence, experiment: Experiment, count: Count) -> Evidence:
    """Evidence from a finished count, before Holm's correction."""
    p_value = 2 * math.exp(-count.largest)
    if count.stopped == "end":
        fixed = float(stats.binom.sf(count.failures - 1, count.trials, experiment.delta))
        p_value = min(p_value, 2 * fixed)
    p_value = min(1.0, p_value)
    enough = experiment.most == 0 or count.trials >= trials_for_power(
        experiment.delta, 1 - LEVEL / 2, 1 - MISSED
    )
    outcome: Outcome = "consistent" if count.stopped == "consistent" or enough else "undecided"
    if p_value <= LEVEL:
        outcome = "refuted"
    low, high = JUDGE["limits"](count.failures, count.trials, 0.99, prior=PRIOR)
    return replace(
        blank,
        says=f"{blank.says} {experiment.says}".strip(),
        outcome=outcome,
        trials=int(count.trials),
        failures=int(count.failures),
        delta=float(experiment.delta),
        low=float(low),
        high=float(high),
        p_value=p_value,
        promised=float(experiment.promised),
        needed=float(experiment.needed),
        counterexample=f"{count.failures} failures in {count.trials} trials, promised at most "
        f"{experiment.delta:g}: {experiment.says}" if outcome == "refuted" else "",
    )  # fmt: skip


def run_serially(experiment: Experiment) -> Count:
    """Count block after block until the count stops."""
    count = Count()
    for block, size in enumerate(block_sizes(experiment)):
        count = counted(experiment, count, experiment.count(block, size), size)
        if count.stopped:
            break
    return count


def holm(p_values: list[float], error: float = FAMILY_ERROR) -> list[bool]:
    """Holm's step-down: which hypotheses are rejected, at a family-wise error of `error`."""
    rejected = [False] * len(p_values)
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > error / (len(p_values) - step):
            break
        rejected[index] = True
    return rejected
