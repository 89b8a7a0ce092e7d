"""Activations of hidden neurons: where each lies on an interval, and how fast it can change.

Ranges are widened by more than the functions of numpy and scipy round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric import special
from sipp_theory.numeric.checks import Float

# Relative and absolute guard of a value that numpy or scipy computed.
GUARD, TINY = 2e-14, 1e-300
LEAKY = 0.01


@dataclass(frozen=True)
class Activation:
    """One activation function and what bounds know of it.

    Attributes:
        name: as torch.nn.functional calls it.
        function: float64 arrays to float64 arrays.
        lipschitz: largest |slope| anywhere, rounded up.
        least_slope: a number below every slope.
        dip: where it is least if it is not monotone, else None.

    Claim: NC-1g. Source: [OWN].
    """

    name: str
    function: Callable[[Float], Float]
    lipschitz: float
    least_slope: float = 0.0
    dip: float | None = None


def _gelu(z: Float) -> Float:
    return z * special.ndtr(z)


def _silu(z: Float) -> Float:
    return z * special.expit(z)


def _sigmoid(z: Float) -> Float:
    return special.expit(z)


ACTIVATIONS: dict[str, Activation] = {
    one.name: one
    for one in (
        Activation("identity", lambda z: z, 1.0, 1.0),
        Activation("relu", lambda z: np.maximum(z, 0.0), 1.0),
        Activation("leaky_relu", lambda z: np.where(z > 0, z, LEAKY * z), 1.0, LEAKY),
        Activation("elu", lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))), 1.0),
        Activation("tanh", np.tanh, 1.0),
        Activation("sigmoid", _sigmoid, 0.25),
        Activation("softplus", lambda z: np.logaddexp(z, 0.0), 1.0),
        Activation("gelu", _gelu, 1.1290, -0.1290, -0.7517915246935645),
        Activation("silu", _silu, 1.0999, -0.0999, -1.2784645427610738),
    )
}


def activation_range(name: str, low: ArrayLike, high: ArrayLike) -> tuple[Float, Float]:
    """Least and largest value of an activation on an interval.

    Monotone ones at its ends; GELU and SiLU also at their minimum if it lies inside.

    Args:
        name: a key of `ACTIVATIONS`.
        low: lower end of each interval, any shape.
        high: upper end, >= low, broadcasts.

    Returns:
        (least, largest) float64, rounded outward.

    Raises:
        ValueError: an unknown activation, or an interval whose ends are swapped or not finite.

    Claim: NC-1g. Source: [OWN].

    Example:
        >>> least, most = activation_range("relu", -2.0, 3.0)
        >>> float(least), float(most) >= 3.0
        (0.0, True)
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; found {name!r}")
    below, above = np.broadcast_arrays(nm.finite("low", low), nm.finite("high", high))
    if (below > above).any():
        raise ValueError("low must not exceed high: the ends of an interval are swapped")
    act = ACTIVATIONS[name]
    first, last = act.function(below), act.function(above)
    least, most = np.minimum(first, last), np.maximum(first, last)
    if act.dip is not None:
        inside = (below <= act.dip) & (act.dip <= above)
        least = np.where(inside, act.function(np.asarray(act.dip)), least)
    if name in ("identity", "relu"):
        return least[()], most[()]
    return (least - GUARD * np.abs(least) - TINY)[()], (most + GUARD * np.abs(most) + TINY)[()]
