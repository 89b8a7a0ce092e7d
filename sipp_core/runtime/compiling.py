"""Loops that numba compiles: without a compiler on the machine, kept on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

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
    try:
        return cast(F, numba.njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:  # neither beside this file nor in the user's own cache folder
        return cast(F, numba.njit(nogil=True, error_model="numpy")(function))
