"""Numbers that float64 all but loses: M next to 1, widths that are none, sums that cancel."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
from numpy.typing import ArrayLike

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.ledger.registry import Setting, oracle
from sipp_theory.numeric import checks


@oracle("SP-3")
def factor_times_sum_next_to_one(setting: Setting) -> Result:
    """SP-3's error where C S - 1 is a few roundings wide, and at subnormal delta, at 50 digits."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for total, factor in ((1 + 1e-9, 1 + 1e-7), (1 + 2.0**-52, 1 + 2.0**-30), (1.0, 1.0)):
            for m, delta in ((10, 0.05), (1000, 1e-9), (7, 5e-324)):
                spread = Fraction(total) * Fraction(factor) - 1
                over = mpmath.mpf(spread.numerator) / spread.denominator
                log = mpmath.log(2 / mpmath.mpf(delta))
                linear = max(over, 1) * log / (3 * m)
                truth = linear + mpmath.sqrt(linear**2 + 2 * over * log / m)
                computed = float(sipp_theory.bernstein_error(total, m, delta, factor))
                close(computed, truth, {"S": total, "C": factor, "m": m, "delta": delta}, "above",
                      1e-11)  # fmt: skip
                kl = float(sipp_theory.kl_error(total, m, delta, factor))
                if not kl >= 0:
                    raise Refuted(f"kl_error({total!r}, {m}, {delta!r}, {factor!r}) = {kl!r}")
                cases += 2
    return Result(cases=cases)


@oracle("SP-2")
def widths_are_whole(setting: Setting) -> Result:
    """A number of neurons that is no whole number is refused."""
    for eta, star in ((1, 1.01), (2.5, 784), (410, 0.5)):
        try:
            computed = sipp_theory.corenet_size(9, 0.1, 0.05, eta, star)
        except ValueError:
            continue
        raise Refuted(f"corenet_size(9, 0.1, 0.05, {eta}, {star}) = {float(computed)!r}")
    return Result(cases=3)


@oracle("NW-1")
def cancelling_to_a_rounding(setting: Setting) -> Result:
    """Delta of sums that all but cancel, in exact fractions, never too small."""
    triples = [(1.0, 2.0**-54, -1 + 2.0**-53), (1.0, 1 - 2.0**-53, 2.0**-60), (3.0, 0.1, -2.9)]
    for above, below, bias in triples:
        plus, minus, shift = map(Fraction, (above, below, bias))
        truth = max(Fraction(1), (plus + minus) / abs(plus - minus + shift))
        computed = float(sipp_theory.delta_ratio(above, below, bias))
        if Fraction(computed) < truth or computed > float(truth) * (1 + 1e-9):
            raise Refuted(
                f"delta_ratio({above!r}, {below!r}, {bias!r}) = {computed!r}, truth {float(truth)}"
            )
    return Result(cases=len(triples))


@oracle("SP-6")
def recentring_in_fractions(setting: Setting) -> Result:
    """What recentring promises covers its factor as rounded, in exact fractions."""
    shares = np.concatenate([np.linspace(0.001, 0.999, 300), [2.0**-53, 1 / 3]])
    for share in shares:
        computed = sipp_theory.recentring(share)
        factor, lost = Fraction(float(computed.factor)), Fraction(float(share))
        truth = max(factor - 1, 1 - (1 - lost) * factor)
        if Fraction(float(computed.error)) < truth:
            raise Refuted(
                f"recentring({share!r}) promises {float(computed.error)!r}, less than it is"
            )
    return Result(cases=len(shares))


def _rounded_product(_: Function) -> Function:
    def wrong(total: ArrayLike, m: ArrayLike, delta: ArrayLike, factor: ArrayLike = 1.0) -> object:
        over = np.multiply(total, factor) - 1
        linear = np.maximum(over, 1) * np.log(2 / np.asarray(delta)) / (3 * np.asarray(m))
        return linear + np.sqrt(linear**2 + 6 * over * linear / np.maximum(over, 1))

    return wrong


def _plain_ratio(_: Function) -> Function:
    def wrong(above: ArrayLike, below: ArrayLike, bias: ArrayLike = 0.0) -> object:
        z = np.abs(np.subtract(above, below) + bias)
        return np.maximum(1.0, np.add(above, below) / z)

    return wrong


def _plain_recentring(_: Function) -> Function:
    def wrong(dropped: ArrayLike) -> sipp_theory.Recentring:
        half = np.asarray(dropped) / 2
        return sipp_theory.Recentring(1 / (1 - half), half / (1 - half))

    return wrong


def _quotient(_: Function) -> Function:
    def log_over(top: ArrayLike, delta: ArrayLike) -> object:
        with np.errstate(over="ignore"):
            return np.log(np.divide(top, delta))

    return log_over


MUTATIONS = (
    Mutation("SP-3", "delta_divided_by", "ln(2/delta) by a quotient that leaves float64's range.",
             checks.log_over, _quotient, (factor_times_sum_next_to_one,)),
    Mutation("SP-3", "product_rounded", "C S is rounded before 1 is taken from it.",
             sipp_theory.bernstein_error, _rounded_product, (factor_times_sum_next_to_one,)),
    Mutation("SP-2", "any_width", "Widths that are no whole numbers are rounded up and taken.",
             sipp_theory.corenet_size,
             lambda size: lambda s, eps, delta, eta, star: size(
                 s, eps, delta, np.ceil(eta), np.ceil(star) + 1), (widths_are_whole,)),
    Mutation("NW-1", "ratio_as_float64_has_it", "Delta by plain float64 subtraction.",
             sipp_theory.delta_ratio, _plain_ratio, (cancelling_to_a_rounding,)),
    Mutation("SP-6", "factor_not_rounded", "Recentring's factor is taken for a real number.",
             sipp_theory.recentring, _plain_recentring, (recentring_in_fractions,)),
)  # fmt: skip
