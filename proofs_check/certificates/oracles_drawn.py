"""CT-8 against exact fractions and against every outcome of three budgets."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
from scipy import stats

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.runtime import generator

ORACLE_STREAM = 96


@oracle("CT-8")
def leaving_in_fractions(setting: Setting) -> Result:
    """No output that leaves (1 +- eps) f(x) in exact fractions counts as staying."""
    rng = generator(setting.seed, ORACLE_STREAM)
    stays, cases = 0, 0
    for eps, width in itertools.product((0.3, 0.1, 2.0**-20), (1, 3)):
        before = rng.normal(size=(200, width)) * 10.0 ** rng.integers(-6, 6, (200, width))
        before[::17] = 0
        # Most lie within a few roundings of the edge, on either side of it.
        nudge = 1 + rng.integers(-3, 4, before.shape) * 2.0**-52
        after = before + rng.choice([-1, 1], before.shape) * eps * np.abs(before) * nudge
        after[::7] = before[::7] * (1 + 0.5 * eps)
        flags = sipp_theory.leaves_entrywise(before, after, eps)
        for old, new, leaves in zip(before, after, flags, strict=True):
            truth = any(
                abs(Fraction(b) - Fraction(a)) > Fraction(eps) * abs(Fraction(a))
                for a, b in zip(old, new, strict=True)
            )
            if truth and not leaves:
                raise Refuted(
                    f"leaves_entrywise([{old.tolist()}], [{new.tolist()}], {eps}) is False"
                )
            inside = all(
                abs(Fraction(b) - Fraction(a)) <= Fraction(eps) * abs(Fraction(a)) * Fraction(3, 4)
                for a, b in zip(old, new, strict=True)
            )
            if inside and leaves:
                raise Refuted(f"well within {eps}, yet counted as leaving: {old.tolist()}")
            stays, cases = stays + (not leaves), cases + 1
    return Result(f"{stays} of {cases} outputs stay", cases=cases)


@oracle("CT-8")
def family_error_of_budgets(setting: Setting) -> Result:
    """The chance that a budget is accepted that is not enough, over every outcome of three."""
    closest, cases, delta = 0.0, 0, 0.1
    for n, confidence in ((22, 0.9), (38, 0.9), (60, 0.95)):
        most = 6
        if sipp_theory.least_budget([most], [1.0], n, delta, confidence).index >= 0:
            raise Refuted(f"{most} failures of {n} prove delta = {delta} at {confidence}")
        last = np.empty((most + 1,) * 3, int)
        for counts in itertools.product(range(most + 1), repeat=3):
            least = sipp_theory.least_budget(counts, [4.0, 2.0, 1.0], n, delta, confidence)
            last[counts] = least.index
        for first, rates in ((0, (0.1, 0.1, 0.1)), (1, (0.02, 0.1, 0.1)), (2, (0.0, 0.05, 0.1))):
            # Rates at delta stand for rates just above it, where the chance is largest.
            masses = [stats.binom.pmf(np.arange(most + 1), n, rate) for rate in rates]
            for mass in masses:
                mass[most] = 1 - mass[:most].sum()
            law = np.einsum("i,j,k->ijk", *masses)
            failure = float(law[last >= first].sum()) / (1 - confidence)
            if failure > 1 + 1e-9:
                raise Refuted(f"a budget that is not enough is accepted with {failure:.4f} of the "
                              f"probability allowed: n = {n}, rates {rates}")  # fmt: skip
            closest, cases = max(closest, failure), cases + 1
    return Result(f"{closest:.3f} of the error allowed", cases=cases, promised=1.0, needed=closest)
