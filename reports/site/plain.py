"""JSON without NaN or infinity, and numbers as a reader wants to see them."""

from __future__ import annotations

import json
import math
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

INFINITE = "infinite"
UNDEFINED = "undefined"
DIGITS = 10
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"

Number = int | float | str | None


def plain(value: Any) -> Any:
    """Python numbers, lists and dicts only; infinities by name; floats to ten digits.

    Ten digits are more than any measurement here means, and few enough that the order of a
    summation does not show.
    """
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            return UNDEFINED
        if math.isinf(number):
            return INFINITE if number > 0 else f"-{INFINITE}"
        return float(f"{number:.{DIGITS}g}")
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"results hold numbers and text only; found {type(value).__name__}")


def dump(results: dict[str, Any]) -> str:
    """Results as JSON text, keys in the order of computation."""
    return json.dumps(plain(results), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _shortened(value: float, digits: int, rounding: str) -> Decimal:
    exact = Decimal(repr(value))
    if exact == 0:
        return Decimal(0)
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    short = exact.quantize(step, rounding=rounding)
    # 0.9996 becomes 1.00, which has a digit too many.
    return short.quantize(step.scaleb(1)) if short.adjusted() > exact.adjusted() else short


def significant(value: Number, digits: int = 3, rounding: str = ROUND_HALF_EVEN) -> str:
    """A number with so many significant digits: 12,300 or 0.0123 or 1.23 × 10²⁴.

    >>> significant(1234567.0), significant(0.01234), significant(1.6e24), significant("infinite")
    ('1,230,000', '0.0123', '1.60 × 10²⁴', '∞')
    >>> significant(0.9996), significant(0.0)
    ('1.00', '0')
    """
    if value is None:
        return "none"
    if isinstance(value, str):
        return {INFINITE: "∞", f"-{INFINITE}": MINUS + "∞"}.get(value, value)
    short = _shortened(float(value), digits, rounding)
    power = short.adjusted() if short else 0
    if power >= 7 or power < -4:
        head = f"{short.scaleb(-power):f}"
        return f"{head} × 10{str(power).translate(_SUPERSCRIPT)}".replace("-", MINUS)
    if power >= digits - 1:
        return f"{int(short):,}".replace("-", MINUS)
    return f"{short:,f}".replace("-", MINUS)


def upward(value: Number, digits: int = 3) -> str:
    """As `significant`, rounded up: for a bound, which must not look better than it is.

    >>> upward(0.12301), significant(0.12301)
    ('0.124', '0.123')
    """
    return significant(value, digits, ROUND_CEILING)


def percent(value: Number, decimals: int = 1, rounding: str = ROUND_HALF_EVEN) -> str:
    """A fraction as a percentage.

    >>> percent(0.0512), percent(1.0, 0), percent(None)
    ('5.1%', '100%', 'none')
    """
    if value is None or isinstance(value, str):
        return significant(value)
    step = Decimal(1).scaleb(-decimals)
    return f"{(Decimal(repr(float(value))) * 100).quantize(step, rounding=rounding):f}%"


def percent_upward(value: Number, decimals: int = 1) -> str:
    """As `percent`, rounded up.

    >>> percent_upward(0.05001)
    '5.1%'
    """
    return percent(value, decimals, ROUND_CEILING)


def count(value: Number) -> str:
    """A whole number with thousands separated.

    >>> count(266200)
    '266,200'
    """
    return significant(value) if value is None or isinstance(value, str) else f"{int(value):,}"


def given(value: Number) -> str:
    """A number that somebody chose, such as 0.3, as it was written.

    >>> given(0.3), given(0.05)
    ('0.3', '0.05')
    """
    if value is None or isinstance(value, str):
        return significant(value)
    return f"{float(value):.6g}"


def share(value: Number) -> str:
    """A fraction given by the user, such as 0.05 or 0.99, as a percentage without idle zeros.

    >>> share(0.05), share(0.99), share(1 - 0.01 / 9)
    ('5%', '99%', '99.89%')
    """
    if value is None or isinstance(value, str):
        return significant(value)
    return f"{100 * float(value):.4g}%"
