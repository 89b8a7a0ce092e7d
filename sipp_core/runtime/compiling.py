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
    return _kept(function)


def compiled_leaf(function: F) -> F:
    """As `compiled`, for what is called in innermost loops: arrays are used, and none is made.

    Without numba's counting of references to arrays, which costs more there than the work itself.

    Args:
        function: arithmetic on arrays that it is given.

    Returns:
        The compiled function.

    Example:
        >>> @compiled_leaf
        ... def first(values):
        ...     return values[0]
        >>> import numpy as np
        >>> first(np.ones(3))
        1.0
    """
    return _kept(function, _nrt=False)


def _kept(function: F, **options: Any) -> F:
    # numba's types know nothing of `_nrt`.
    njit: Any = numba.njit
    try:
        return cast(F, njit(nogil=True, cache=True, error_model="numpy", **options)(function))
    except RuntimeError:  # neither beside this file nor in the user's own cache folder
        return cast(F, njit(nogil=True, error_model="numpy", **options)(function))
