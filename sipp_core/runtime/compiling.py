"""Loops that numba compiles, as the packages above have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sipp_theory.numeric import compiling

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on first use, and keep it on disk where some cache folder can be written.

    Args:
        function: loops over arrays; IEEE arithmetic as written, without reordering.

    Returns:
        The compiled function.

    Example:
        >>> @compiled
        ... def total(values):
        ...     result = 0.0
        ...     for value in values:
        ...         result += value
        ...     return result
        >>> import numpy as np
        >>> total(np.ones(3))
        3.0
    """
    return compiling.compiled(function)
