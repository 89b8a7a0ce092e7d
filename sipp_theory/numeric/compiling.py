"""Loops that numba compiles: without a compiler on the machine, kept on disk between runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile on first use: IEEE arithmetic as written, without reordering."""
    return _kept(function)


def compiled_leaf(function: F) -> F:
    """As `compiled`, for what is called in innermost loops: arrays are used, and none is made.

    Without numba's counting of references to arrays, which costs more there than the work itself.
    """
    return _kept(function, _nrt=False)


def compiled_unordered(function: F) -> F:
    """As `compiled_leaf`, for a sum or a maximum over a loop, of numbers of which none is NaN.

    Its terms may be taken in any order, which rounds no maximum and lets the loop run in vectors.
    """
    return _kept(function, _nrt=False, fastmath={"nnan", "nsz", "reassoc"})


def _kept(function: F, **options: Any) -> F:
    import numba  # slow to load, and most of this package does without

    # numba's types know nothing of `_nrt`.
    njit: Any = numba.njit
    try:
        return cast(F, njit(nogil=True, cache=True, error_model="numpy", **options)(function))
    except RuntimeError:  # neither beside this file nor in the user's own cache folder
        return cast(F, njit(nogil=True, error_model="numpy", **options)(function))
