"""SP-1 to SP-4 at 50 digits, and SP-1 by enumerating every draw."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any, cast

import mpmath as mp
import numpy as np

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.pruning import LayerPlan, draw
from sipp_theory.draws import chernoff_hoeffding

# mpmath has no types of its own.
Real = Any

SPANS = (1.0, 1.2, 1.5, 2.0, 2.0000001, 9.0, 237.5, 1e6, 1e12)
# Where 1 - 1/M loses its digits, and where a textbook kl loses them.
NEXT_TO_ONE = (1 + 1e-12, 1 + 1e-9, 1 + 3e-7, 1 + 1e-5, 2.0, 1e6)
DELTAS = (1e-300, 1e-15, 0.05, 0.9)
TARGETS = (1e-6, 1e-3, 0.1, 0.5, 0.999)
DRAWS = (0.25, 1.0, 17.0, 1e5, 1e15)
ETA, ETA_STAR = 410, 784
# A size may exceed the ceiling of its formula by what the guards of the errors cost, some 1e-14.
GUARD = mp.mpf("5e-14")


def log_two_over(delta: float) -> Real:
    """L = ln(2/delta)."""
    return mp.log(2 / mp.mpf(delta))


def bernstein_terms(span: float, delta: float) -> tuple[Real, Real]:
    """Terms v and b of Bernstein's m eps^2 = v + 2 b eps."""
    spread = mp.mpf(span) - 1
    return 2 * spread * log_two_over(delta), max(spread, 1) * log_two_over(delta) / 3


def corenet_scale(total: float, delta: float) -> Real:
    """CoreNet's m eps^2."""
    logs = mp.log(mp.mpf(ETA) * ETA_STAR) * mp.log(8 * mp.mpf(ETA) / mp.mpf(delta))
    return 8 * mp.mpf(total) * logs


def divergence(span: float, eps: float) -> Real:
    """The smaller of kl((1 +- eps) p || p), p = 1/M, by its definition; +inf where impossible."""
    p, sides = 1 / mp.mpf(span), []
    for sign in (1, -1):
        a = (1 + sign * mp.mpf(eps)) * p
        if 0 <= a <= 1 and p < 1:
            first = a * mp.log(a / p) if a > 0 else mp.mpf(0)
            second = (1 - a) * mp.log((1 - a) / (1 - p)) if a < 1 else mp.mpf(0)
            sides.append(first + second)
    return min(sides, default=mp.inf)


def right_size(size: float, formula: Real, at: dict[str, object]) -> None:
    """A size is the ceiling of its formula, give or take what its guard costs upwards."""
    least = max(mp.mpf(1), mp.ceil(formula))
    if not least <= mp.mpf(size) <= max(least, mp.ceil(formula * (1 + GUARD))):
        raise Refuted(f"found {size!r}, formula {mp.nstr(formula, 20)} at {at}")


@oracle("SP-3")
def bernstein_at_50_digits(setting: Setting) -> Result:
    """SP-3's size, error and coefficients against the closed forms, errors never below."""
    with mp.workdps(DIGITS):
        for span, delta in itertools.product(SPANS, DELTAS):
            v, b = bernstein_terms(span, delta)
            pair = sipp_theory.bernstein_coefficients(span, delta)
            for computed, truth in zip(pair, (b, v / 2), strict=True):
                close(float(computed), truth, {"M": span, "delta": delta})
            sizes = sipp_theory.bernstein_size(span, TARGETS, delta)
            for eps, size in zip(TARGETS, sizes.tolist(), strict=True):
                formula = (v + 2 * b * mp.mpf(eps)) / mp.mpf(eps) ** 2
                right_size(size, formula, {"M": span, "eps": eps, "delta": delta})
            errors = sipp_theory.bernstein_error(span, DRAWS, delta)
            for m, error in zip(DRAWS, errors.tolist(), strict=True):
                truth = (b + mp.sqrt(b**2 + v * mp.mpf(m))) / mp.mpf(m)
                close(error, truth, {"M": span, "m": m, "delta": delta}, "above")
    return Result(cases=len(SPANS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))


@oracle("SP-2")
def corenet_at_50_digits(setting: Setting) -> Result:
    """SP-2's size and error as CoreNet prints them, from 1 on no less than SP-3's; never below."""
    with mp.workdps(DIGITS):
        for total, delta in itertools.product(SPANS, DELTAS):
            scale = corenet_scale(total, delta)
            sizes = sipp_theory.corenet_size(total, TARGETS, delta, ETA, ETA_STAR)
            for eps, size in zip(TARGETS, sizes.tolist(), strict=True):
                at: dict[str, object] = {"S": total, "eps": eps, "delta": delta}
                right_size(size, scale / mp.mpf(eps) ** 2, at)
            errors = sipp_theory.corenet_error(total, DRAWS, delta, ETA, ETA_STAR)
            for m, error in zip(DRAWS, errors.tolist(), strict=True):
                truth = mp.sqrt(scale / mp.mpf(m))
                if truth >= 1:
                    log = mp.log(16 * ETA / (3 * mp.mpf(delta)))
                    linear = max(mp.mpf(total) - 1, 1) * log / 3
                    variance = 2 * (mp.mpf(total) - 1) * log
                    truth = max(truth, (linear + mp.sqrt(linear**2 + variance * m)) / m)
                close(error, truth, {"S": total, "m": m, "delta": delta}, "above")
    return Result(cases=len(SPANS) * len(DELTAS) * (len(TARGETS) + len(DRAWS)))


@oracle("SP-2")
def corenet_in_factors(setting: Setting) -> Result:
    """What SP-2 asks of LeNet-300-100 over SP-3 at the same delta, split into its three causes."""
    total, eps, delta = 9.0, 0.1, 0.05
    printed = float(sipp_theory.corenet_size(total, eps, delta, ETA, ETA_STAR))
    sharper = float(sipp_theory.bernstein_size(total, eps, delta))
    # 8 for (6 + 2 eps)/3, and M for M - 1; K for calibration; all neurons for one.
    constant = 24 / (6 + 2 * eps) * total / (total - 1)
    cover = math.log(ETA * ETA_STAR)
    union = math.log(8 * ETA / delta) / math.log(2 / delta)
    if abs(constant * cover * union / (printed / sharper) - 1) > 1e-3:
        raise Refuted(f"SP-2/SP-3 = {printed / sharper}, not {constant} x {cover} x {union}")
    text = f"{printed / sharper:.0f} = {constant:.1f} (constant) x {cover:.1f} (K) x {union:.1f}"
    return Result(f"{text} (all neurons at once)", 1)


@oracle("SP-4")
def chernoff_at_50_digits(setting: Setting) -> Result:
    """SP-4's rate, size and error against the divergence of two coins by its definition."""
    whole = DRAWS[1:-1]
    with mp.workdps(DIGITS):
        for span, eps in itertools.product(NEXT_TO_ONE, (1e-12, *TARGETS)):
            rate = float(chernoff_hoeffding.bernoulli_divergence(np.array(span), np.array(eps)))
            close(rate, divergence(span, eps), {"M": span, "eps": eps}, relative=5e-14)
        for span in SPANS:
            rates = chernoff_hoeffding.bernoulli_divergence(np.array(span), np.array(TARGETS))
            truths = [divergence(span, eps) for eps in TARGETS]
            for eps, rate, truth in zip(TARGETS, rates.tolist(), truths, strict=True):
                close(rate, truth, {"M": span, "eps": eps}, relative=1e-13)
            for delta in DELTAS:
                log = log_two_over(delta)
                sizes = sipp_theory.kl_size(span, TARGETS, delta)
                for eps, size, truth in zip(TARGETS, sizes.tolist(), truths, strict=True):
                    at: dict[str, object] = {"M": span, "eps": eps, "delta": delta}
                    right_size(size, log / truth, at)
                errors = sipp_theory.kl_error(span, whole, delta)
                for m, error in zip(whole, errors.tolist(), strict=True):
                    _is_root(span, m, log, error)
    return Result(cases=len(SPANS) * (len(TARGETS) + len(DELTAS) * (len(TARGETS) + len(whole))))


def _is_root(span: float, m: float, log: Real, error: float) -> None:
    """The error is where m times the rate reaches L, or the largest error that there is."""
    largest = max(span - 1, 1.0) if span > 1 else 0.0
    reached = error == largest or m * divergence(span, error) >= log
    too_much = error > 0 and m * divergence(span, error * (1 - 1e-12)) >= log
    if error > largest or not reached or too_much:
        raise Refuted(f"kl_error({span!r}, {m!r}, 2 exp(-{mp.nstr(log, 8)})) = {error!r}")


@oracle("SP-3")
def heuristic_at_50_digits(setting: Setting) -> Result:
    """The authors' ranking heuristic is computed as their code has it."""
    with mp.workdps(DIGITS):
        for m in (1.0, 100.0, 1e9):
            scale = 2 * mp.mpf("1.5") * 9 * mp.log(8 * 5 * 100 / mp.mpf(0.05))
            ratio = scale / (3 * mp.mpf(m))
            truth = (mp.sqrt(ratio**2 + 6 * ratio) + ratio) / 2
            computed = float(sipp_theory.heuristic_error(9.0, m, 0.05, 100, 4, 1.5))
            close(computed, truth, {"S": 9, "C": 1.5, "m": m, "delta": 0.05, "neurons": 100})
    return Result(cases=3)


@oracle("SP-1")
def draws_are_unbiased(setting: Setting) -> Result:
    """Every outcome of the pruner's own draws, times its probability, adds up to each weight."""
    cases = 0
    for scores, m in (
        ([[1.0, 1.0, 0.3, 0.0]], 3),
        ([[0.9, 0.05, 0.05, 0.7]], 3),
        ([[1e-6, 1.0, 1.0, 1e-12]], 2),
    ):
        plan = _drawn_plan(np.array(scores), m)
        mean = np.zeros(plan.scores.shape)
        pools = [_outcomes(plan.draw_probabilities(sign)[0], m) for sign in (0, 1)]
        for (positive, p), (negative, n) in itertools.product(*pools):
            loaded = cast(Any, _Loaded([positive, negative]))
            mean += float(p * n) * draw(plan, loaded)
            cases += 1
        expected = np.where(plan.scores > 0, 1.0, 0.0)
        if not np.allclose(mean, expected, rtol=1e-12, atol=0):
            raise Refuted(f"E multiplier = {mean.tolist()} for scores {scores}, m = {m}")
    return Result(cases=cases)


def _drawn_plan(scores: np.ndarray, m: int) -> LayerPlan:
    """One neuron, its first half of weights positive, m draws a sign."""
    positive = np.arange(scores.shape[1])[None] < scores.shape[1] // 2
    draws, no = np.full((2, 1), float(m)), np.zeros((2, 1), bool)
    probability = np.zeros(scores.shape)
    return LayerPlan(
        "layer", scores, positive, scores >= 0, probability, draws, draws, no, no, draws / draws
    )


def _outcomes(q: np.ndarray, m: int) -> list[tuple[np.ndarray, Fraction]]:
    """Every outcome of m draws with its multinomial probability, in rational arithmetic."""
    chances = [Fraction(float(x)) for x in q]
    outcomes = []
    for picks in itertools.combinations_with_replacement(np.flatnonzero(q).tolist(), m):
        counts = np.bincount(picks, minlength=q.size)
        chance = Fraction(math.factorial(m))
        for j in set(picks):
            chance *= chances[j] ** int(counts[j]) / Fraction(math.factorial(int(counts[j])))
        outcomes.append((counts, chance))
    return outcomes


class _Loaded:
    """Stands for a random stream: gives the outcomes that it was given, one a call."""

    def __init__(self, outcomes: list[np.ndarray]) -> None:
        self.outcomes = list(outcomes)

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        """Nothing is included where weights are drawn."""
        return np.ones(shape)

    def multinomial(self, m: np.ndarray, q: np.ndarray) -> np.ndarray:
        """The next outcome."""
        return self.outcomes.pop(0)[None]


@oracle("SP-1")
def distinct_weights_by_enumeration(setting: Setting) -> Result:
    """The expected number of distinct weights, summed over every sequence of draws."""
    cases = 0
    for q in ([1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [0.999, 0.001, 0.0]):
        for m in (0, 1, 2, 5):
            truth = sum(
                math.prod((Fraction(q[j]) for j in draws), start=Fraction(1)) * len(set(draws))
                for draws in itertools.product(range(len(q)), repeat=m)
            )
            with mp.workdps(DIGITS):
                exact = mp.mpf(Fraction(truth).numerator) / Fraction(truth).denominator
                computed = float(sipp_theory.expected_distinct(q, m))
                close(computed, exact, {"q": q, "m": m}, relative=1e-9 if sum(q) != 1 else 1e-12)
            cases += 1
    return Result(cases=cases)
