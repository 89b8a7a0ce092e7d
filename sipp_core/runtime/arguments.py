"""Checks of arguments and values, so that a refusal always names what is wrong and where."""

from __future__ import annotations

import math
import operator
import re

import torch
from torch import Tensor, nn


def whole(name: str, value: object, low: int, below: int | None = None) -> int:
    """Return value as an int; refuse what is no integer or lies outside [low, below).

    Args:
        name: of the argument, for the message.
        value: what was given.
        low: least value allowed.
        below: first value above that is not; None for no limit.

    Returns:
        The value.

    Raises:
        TypeError: no integer.
        ValueError: out of range.

    Example:
        >>> whole("seed", 3, 0)
        3
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer; found {value!r}")
    number = operator.index(value)  # pyright: ignore[reportArgumentType]
    if number < low or (below is not None and number >= below):
        rule = f"at least {low}" if below is None else f"in [{low}, {below})"
        raise ValueError(f"{name} must be {rule}; found {number}")
    return number


def _number(name: str, value: object) -> float:
    shape = getattr(value, "shape", ())  # of an array that is one number
    if isinstance(value, bool) or any(n != 1 for n in shape) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number; found {value!r}")
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except OverflowError:  # an integer beyond float64
        return math.inf


def positive(name: str, value: float) -> float:
    """Return value as a float; refuse NaN, infinities and anything that is not above 0."""
    number = _number(name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be finite and above 0; found {number}")
    return number


def at_least_0(name: str, value: float) -> float:
    """Return value as a float; refuse NaN, infinities and anything below 0."""
    number = _number(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and at least 0; found {number:g}")
    return number


def first_nonfinite(values: Tensor) -> tuple[int, ...] | None:
    """Index of the first value that is not finite, None if there is none."""
    # The least and the largest say it, NaN included, and take no memory.
    plain = values.dtype in (torch.float32, torch.float64) and values.numel()
    if plain and all(math.isfinite(end) for end in values.aminmax()):
        return None
    bad = ~torch.isfinite(values)
    return tuple(int(i) for i in bad.nonzero()[0]) if bad.any() else None


def refuse_nonfinite(what: str, values: Tensor, advice: str = "") -> None:
    """Refuse values that are not finite, naming the first of them."""
    if (index := first_nonfinite(values)) is not None:
        value = values[index].item()
        raise ValueError(f"{what} is not finite: {value} at index {index}{advice}")


def in_words(setting: object) -> str:
    """A setting as it is written, the same in every process: no address of a function.

    Example:
        >>> in_words(len), " at 0x" in in_words(lambda: 0)
        ('<built-in function len>', False)
    """
    return re.sub(r" at 0x[0-9a-f]+", "", repr(setting))


def refuse_no_module(model: object) -> None:
    """Refuse a model that is none, or the class of one.

    Example:
        >>> refuse_no_module(nn.Linear)
        Traceback (most recent call last):
        ...
        TypeError: model must be an nn.Module; found the class Linear: call it first
    """
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}: call it first" if isinstance(model, type) else None
        raise TypeError(f"model must be an nn.Module; found {kind or type(model).__name__}")
