"""scipy's special functions, loaded by the first that is called: a bound needs none of them."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from scipy import special

    value = getattr(special, name)
    globals()[name] = value
    return value
