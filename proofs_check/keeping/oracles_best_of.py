"""SP-10 by enumeration: the best of several candidates, on the set it is chosen on and off it."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

import sipp_theory
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.methods import corenet
from sipp_core.pruning import LayerPlan, draw
from sipp_core.runtime import generator

STREAM = 64


def mean_errors(
    rows: list[list[Fraction]], q: list[Fraction], m: int
) -> list[tuple[Fraction, Fraction]]:
    """Law of the mean error over the rows, by all ways of drawing m of k weights."""
    means = []
    for counts in itertools.product(range(m + 1), repeat=len(q)):
        if sum(counts) != m:
            continue
        mass = Fraction(math.factorial(m))
        for count, chance in zip(counts, q, strict=True):
            mass *= chance**count / Fraction(math.factorial(count))
        value = [Fraction(n) / (m * x) for n, x in zip(counts, q, strict=True)]
        total = Fraction(0)
        for row in rows:
            total += abs(sum((g * v for g, v in zip(row, value, strict=True)), Fraction(0)) - 1)
        means.append((total / len(rows), mass))
    return means


@oracle("SP-10")
def best_of_tau_by_enumeration(setting: Setting) -> Result:
    """The best of tau meets its promise with the probability stated, over all ways of drawing."""
    cases, worst, mean_ratio = 0, 0.0, []
    for trial in range(30 if setting.full else 5):
        rng = generator(setting.seed, STREAM, 2, trial)
        raw = rng.integers(1, 20, size=(3, 3)) if trial else np.eye(3, dtype=int)
        rows = [[Fraction(int(x), int(row.sum())) for x in row] for row in raw]
        s = [max(row[j] for row in rows) for j in range(3)]
        total = sum(s, Fraction(0))
        q = [x / total for x in s]
        for m in (1, 2, 6):
            law = mean_errors(rows, q, m)
            mean = sum((e * mass for e, mass in law), Fraction(0))
            bound = float(
                sipp_theory.mean_error_bound(np.array(rows, float), np.array(q, float), m)
            )
            if mean > Fraction(bound):
                raise Refuted(
                    f"mean error {float(mean)!r} above the bound {bound!r} at {rows}, {m}"
                )
            mean_ratio.append(bound / float(mean))
            for tau, lam in itertools.product((1, 2, 5), (1.05, 10 / 9, 2.0)):
                got = sipp_theory.best_of_tau(float(total), m, tau, factor=lam)
                single = sum(
                    (mass for e, mass in law if e > Fraction(float(got.mean_error))), Fraction(0)
                )
                if single**tau > Fraction(float(got.failure)):
                    raise Refuted(
                        f"the best of {tau} fails with {float(single**tau):.4g}, promised "
                        f"{float(got.failure):.4g}, at rows {rows}, m = {m}, lambda = {lam}"
                    )
                if single > Fraction(lam) ** -2 + Fraction(1, 10**12):
                    raise Refuted(f"Chebyshev fails at rows {rows}, m = {m}, lambda = {lam}")
                worst, cases = max(worst, float(single) * lam**2), cases + 1
    return Result(
        f"one candidate misses with at most {worst:.2f} of 1/lambda^2; the mean error promised is "
        f"{min(mean_ratio):.2f} to {max(mean_ratio):.2f} of the true one", cases,
    )  # fmt: skip


@oracle("SP-10")
def choosing_can_hurt(setting: Setting) -> Result:
    """Kept as found: choosing the best of five on T raises the failure rate at a fresh input.

    One draw of three weights; the candidate that is perfect on T is the one that fails at x.
    """
    q = [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)]
    on_set = [Fraction(72, 100), Fraction(10, 100), Fraction(18, 100)]
    fresh = [Fraction(85, 100), Fraction(0), Fraction(15, 100)]
    errors = [abs(g / x - 1) for g, x in zip(on_set, q, strict=True)]
    fails = [abs(g / x - 1) > Fraction(6, 10) for g, x in zip(fresh, q, strict=True)]
    single = sum((x for x, f in zip(q, fails, strict=True) if f), Fraction(0))
    tau, chosen, beyond = 5, Fraction(0), Fraction(1)
    for j in sorted(range(3), key=errors.__getitem__):
        # The best is j if one of the tau draws is j and none has a smaller error.
        after = beyond - q[j]
        chosen += (beyond**tau - after**tau) * fails[j]
        beyond = after
    promised = float(sipp_theory.selected_violation(tau, float(single)))
    if not 4 * single < chosen <= Fraction(promised):
        raise Refuted(f"{float(chosen):.4f} after choosing, {float(single):.4f} before; the union "
                      f"bound says {promised:.4f}")  # fmt: skip
    return Result(
        f"failure rate {float(single):.2f} of one candidate, {float(chosen):.2f} of the chosen one",
        1, promised=promised, needed=float(chosen),
    )  # fmt: skip


@oracle("SP-10")
def best_of_takes_the_least(setting: Setting) -> Result:
    """CoreNet++ keeps, per neuron and sign, that one of its candidates that errs least on T."""
    rng = generator(setting.seed, STREAM, 3)
    weight = rng.normal(size=(6, 9))
    points = rng.random((1, 4, 9))
    scores = np.abs(weight)
    blank = np.zeros((2, 6))
    plan = LayerPlan(
        "layer", scores, weight > 0, weight != 0, np.zeros_like(weight), blank + 3, blank,
        blank > 0, blank > 0, blank + 1,
    )  # fmt: skip
    delta = 0.5
    best = corenet.best_of(plan, weight, points, delta, setting.seed, 0)
    tau = int(sipp_theory.candidates(delta))
    drawn = np.stack([draw(plan, generator(setting.seed, 0, one)) for one in range(tau)])
    for sign in (0, 1):
        part = np.where(plan.sign(sign), np.abs(weight), 0.0)
        z = points[0] @ part.T
        errors = np.abs(np.einsum("nk,tok,ok->tno", points[0], drawn, part) / z - 1).mean(axis=1)
        for neuron in range(6):
            mask = plan.sign(sign)[neuron]
            expected = drawn[int(errors[:, neuron].argmin()), neuron, mask]
            if not np.array_equal(best[neuron, mask], expected):
                raise Refuted(f"sign {sign} of neuron {neuron} is not its best candidate's")
    return Result(cases=12)
