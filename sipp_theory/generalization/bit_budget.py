"""The price of choices in bits (GN-3): what a network's description costs, item by item.

Whatever was chosen on the training data is named in the file or charged here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import Float

RULES_BITS = 32.0
"""Charged for rules that are fixed and public, but whose constants were settled while data of the
very kind were looked at; 2^32 is more variants than were tried. Claim: GN-3."""
# 2^-length to 60 digits; what the arithmetic leaves open is far below this.
_DECIMAL = Context(prec=60)
_DECIMAL_ERROR = Decimal(1).scaleb(-50)
# A longer word counts as one of this length, which is the safe side and fits into memory.
_LONGEST = 2.0**20


@dataclass(frozen=True)
class Charge:
    """One item of a bit budget.

    Attributes:
        what: the item, "keep ratio" or "the file".
        bits: its price, >= 0; a credit is refused.
        why: how the price comes about, "one of 16 fixed before the data".

    Claim: GN-3. Source: [OWN].
    """

    what: str
    bits: float
    why: str

    def __post_init__(self) -> None:
        if not self.what:
            raise ValueError("what must name the item that is charged; found ''")
        if not (math.isfinite(self.bits) and self.bits >= 0):
            raise ValueError(
                f"bits of {self.what!r} must be finite and at least 0; found {self.bits!r}"
            )


@dataclass(frozen=True)
class BitBudget:
    """Everything that a description of a network costs; `total` is the B of Occam's bound.

    Attributes:
        charges: the items, in the order in which a decoder would read them.

    Claim: GN-3. Source: [OWN].
    """

    charges: tuple[Charge, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "charges", tuple(self.charges))
        names = [charge.what for charge in self.charges]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"charges must name each item once; found {twice[0]!r} twice")

    @property
    def total(self) -> float:
        """Sum of all charges in bits, rounded up; whole where each of them is."""
        exact = sum((Fraction(float(charge.bits)) for charge in self.charges), Fraction(0))
        return _not_below(exact)


def choice_bits(options: ArrayLike) -> Float:
    """Price of one choice from a list that was fixed before the data: log2 of its length.

    Args:
        options: number of options, whole, >= 1; any shape.

    Returns:
        float64 array of bits, rounded up; exact for powers of two.

    Raises:
        ValueError: a number below 1 or not whole.

    Claim: GN-3. Source: [OWN], the uniform prior.

    Example:
        >>> choice_bits([1, 8]).tolist(), round(float(choice_bits(3)), 4)
        ([0.0, 3.0], 1.585)
    """
    count = numeric.integer_at_least("options", options, 1)
    bits = np.log2(count)
    mantissa, power = np.frexp(count)
    return np.where(mantissa == 0.5, power - 1.0, numeric.up(numeric.up(bits)))[()]


def search_bits(options: ArrayLike) -> Float:
    """Price of the outcome of a search whose rules were settled while such data were looked at.

    RULES_BITS + log2 of the number of options: the rules (code, plans, ratios, recipes) are one of
    at most 2^32 variants, the outcome one of the options that they list. choice_bits alone is
    enough where somebody wrote the list down who had seen no point that the bound counts.

    Args:
        options: number of options that a variant of the rules lists, whole, >= 1; any shape.

    Returns:
        float64 array of bits, rounded up.

    Raises:
        ValueError: a number below 1 or not whole.

    Claim: GN-3. Source: [OWN], the uniform prior over variants and options.

    Example:
        >>> search_bits([1, 4]).tolist()
        [32.0, 34.0]
    """
    bits = choice_bits(options)
    total = RULES_BITS + bits
    return np.where(bits == np.floor(bits), total, numeric.up(total))[()]


def count_bits(value: ArrayLike) -> Float:
    """Length of a whole number that has no limit, in Elias' delta code: prefix-free and complete.

    With N = value + 1, e = floor(log2 N) and f = floor(log2(e + 1)): e + 2 f + 1 bits. The lengths
    of all numbers have the Kraft sum 1. (2 log2 N bits, as is seen in public code, have the Kraft
    sum pi^2/6 = 1.645 and are no code.)

    Args:
        value: whole, 0 <= value < 2^53; any shape.

    Returns:
        float64 array of bits, whole, >= 1, exact.

    Raises:
        ValueError: a number below 0, not whole, or too large.

    Claim: GN-3. Source: Elias 1975, Universal codeword sets.

    Example:
        >>> count_bits([0, 1, 2, 16, 1000]).tolist()
        [1.0, 4.0, 4.0, 9.0, 16.0]
    """
    number = numeric.integer_at_least("value", value, 0)
    if (number >= numeric.LARGEST_EXACT).any():
        raise ValueError(f"value must be below 2^53; found {float(number.max()):g}")
    exponent = np.frexp(number + 1)[1] - 1.0
    return (exponent + 2 * (np.frexp(exponent + 1)[1] - 1.0) + 1.0)[()]


def kraft_sum(lengths: ArrayLike) -> float:
    """Sum of 2^-length over the words of a code; at most 1 for every prefix-free code.

    Args:
        lengths: bits of each word, >= 0, not all need be whole; any shape.

    Returns:
        The sum, rounded up; exact comparisons with 1 are `require_prefix_code`'s.

    Raises:
        ValueError: a length below 0 or not finite.

    Claim: GN-3. Source: Kraft 1949; McMillan 1956.

    Example:
        >>> kraft_sum([1, 2, 3, 3]), round(kraft_sum(2 * np.log2(np.arange(1, 1000))), 2)
        (1.0, 1.64)
    """
    return _not_below(_kraft(lengths))


def require_prefix_code(lengths: ArrayLike) -> None:
    """Refuse lengths that no prefix-free code has.

    Args:
        lengths: bits of each word, >= 0, not all need be whole; any shape.

    Raises:
        ValueError: their Kraft sum is above 1, or a length is below 0 or not finite.

    Claim: GN-3. Source: Kraft 1949; McMillan 1956.

    Example:
        >>> require_prefix_code(choice_bits([3, 3, 3]))
        >>> require_prefix_code([1, 1, 7])
        Traceback (most recent call last):
        ...
        ValueError: lengths must have a Kraft sum of at most 1, ... found 1.0078125
    """
    total = _kraft(lengths)
    if total > 1:
        raise ValueError(
            "lengths must have a Kraft sum of at most 1, or a bound that pays them is void; charge "
            f"more bits; found {_not_below(total)!r}"
        )


def _kraft(lengths: ArrayLike) -> Fraction:
    """The sum, exact for whole lengths up to 2^20, else never below the truth."""
    words = numeric.at_least("lengths", lengths, 0.0)
    each, counts = np.unique(words, return_counts=True)
    total = Fraction(0)
    for length, count in zip(each.tolist(), counts.tolist(), strict=True):
        total += int(count) * _share(length)
    return total


def _share(length: float) -> Fraction:
    length = min(length, _LONGEST)
    if length == math.floor(length):
        return Fraction(1, 2 ** int(length))
    share = _DECIMAL.power(Decimal(2), -Decimal(length))
    return Fraction(_DECIMAL.multiply(share, 1 + _DECIMAL_ERROR))


def _not_below(exact: Fraction) -> float:
    nearest = float(exact)
    return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)
