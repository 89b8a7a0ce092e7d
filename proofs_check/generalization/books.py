"""GN-3's codes, written out as words, and what searching books of networks costs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import numpy as np
from scipy import special

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle

NUMBERS = 2**15
Rates = Callable[[np.ndarray, np.ndarray], np.ndarray]


def occam_rates(form: Any, n: int, delta: float, k: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """GN-3 for counts and prices."""
    return sipp_theory.occam_bound(form, errors=k, n=n, bits=bits, delta=delta)


@oracle("GN-3")
def words_of_counts(setting: Setting) -> Result:
    """Elias' words written out have the lengths of count_bits, and none begins another."""
    words = []
    for value in range(NUMBERS - 1):
        number = bin(value + 1)[2:]
        size = bin(len(number))[2:]
        words.append("0" * (len(size) - 1) + size + number[1:])
    lengths = np.array([len(word) for word in words])
    computed = sipp_theory.count_bits(np.arange(len(words)))
    if (computed != lengths).any():
        value = int(np.argmax(computed != lengths))
        raise Refuted(f"count_bits({value}) is {computed[value]}, the word has {lengths[value]}")
    words.sort()
    for one, other in itertools.pairwise(words):
        if other.startswith(one):
            raise Refuted(f"{one} begins {other}")
    # 2^15 - 1 numbers fill all but 2^-4 of the sum.
    if sipp_theory.kraft_sum(computed) != 1 - 2.0**-4:
        raise Refuted(f"their Kraft sum is {sipp_theory.kraft_sum(computed)!r}")
    return Result(cases=len(words))


@oracle("GN-3")
def choices_are_words_enough(setting: Setting) -> Result:
    """The price of a choice is log2 at 50 digits, never below; the lengths make a code."""
    with mpmath.workdps(DIGITS):
        for options in (1, 2, 3, 7, 64, 1000, 10**9 + 7, 2**52):
            computed = float(sipp_theory.choice_bits(options))
            close(computed, mpmath.log(options, 2), {"options": options}, "above")
    for options in (3, 10, 77):
        sipp_theory.require_prefix_code(np.full(options, sipp_theory.choice_bits(options)))
    return Result(cases=11)


def most_errors(bound: Rates, prices: np.ndarray, n: int | np.ndarray) -> np.ndarray:
    """Most errors at which each price's bound is below 1/2, the risk of a coin; -1 if none.

    Bisection over the counts, as bounds rise with them (a law of its own).
    """
    low, high = np.full(prices.shape, -1), np.full(prices.shape, n)
    while (high - low > 1).any():
        middle = (low + high) // 2
        below = (bound(np.maximum(middle, 0), prices) < 0.5) & (middle >= 0)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def book_failure(bound: Rates, prices: np.ndarray, n: int) -> float:
    """Chance that some network of a book, all of them coins apart, has a bound below its risk."""
    each, many = np.unique(prices, return_counts=True)
    most = most_errors(bound, each, n)
    fails = np.where(most >= 0, special.bdtr(np.maximum(most, 0), n, 0.5), 0.0)
    return -float(np.expm1((many * np.log1p(-fails)).sum()))


@oracle("GN-3")
def books_of_coins(setting: Setting) -> Result:
    """The exact chance that a searched book of networks that guess breaks the bound."""
    closest, cases = 0.0, 0
    counts = sipp_theory.count_bits(np.arange(2000))
    three = sipp_theory.count_bits(np.arange(20))
    books = {
        "64 of equal price": np.full(64, sipp_theory.choice_bits(64)),
        "2000 by their number": counts,
        "8000 by three numbers": (three[:, None, None] + three[:, None] + three).ravel(),
    }
    for (name, prices), n, delta in itertools.product(books.items(), (500, 20_000), (0.01, 0.1)):
        bound = partial(occam_rates, "binomial", n, delta)
        failure = book_failure(bound, prices, n) / delta
        if failure > 1:
            raise Refuted(f"a book of {name}, n = {n}, delta = {delta}: fails with {failure:.4f} "
                          "of what is allowed")  # fmt: skip
        closest, cases = max(closest, failure), cases + 1
    text = f"{closest:.3f} of what is allowed; error counts are whole numbers"
    return Result(text, cases=cases, promised=1.0, needed=closest)
