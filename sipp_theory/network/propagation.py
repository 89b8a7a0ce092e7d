"""Absolute propagation of weight changes through a network (NW-7): no probability, no assumption.

Every rounding of float64 is charged: what is returned bounds the difference of the two networks in
exact arithmetic (underflow aside).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric import special
from sipp_theory.numeric.checks import Float

Phi = Literal["relu", "identity", "tanh", "sigmoid"]

_PHI: dict[str, Callable[[Float], Float]] = {
    "relu": lambda z: np.maximum(z, 0.0),
    "identity": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": lambda z: special.expit(z),
}
# What evaluating phi itself may lose, relative to values of at most 1.
_PHI_ROUNDING = {"relu": 0.0, "identity": 0.0, "tanh": 1e-15, "sigmoid": 1e-15}


@dataclass(frozen=True)
class _Layer:
    weight: Float
    change: Float
    pruned: Float
    bias: Float

    @property
    def size(self) -> Float:
        return np.abs(self.weight)

    @property
    def rounding(self) -> float:
        """Relative rounding of a dot product of this fan-in, with room for the terms around it."""
        return 2.0 * (self.weight.shape[1] + 8) * 2.0**-53


def _layers(
    weights: Sequence[ArrayLike],
    pruned_weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike | None],
    width: int,
) -> list[_Layer]:
    if not len(weights) == len(pruned_weights) == len(biases) or not len(weights):
        raise ValueError(
            "weights, pruned_weights and biases must have one entry a layer, at least one; found "
            f"{len(weights)}, {len(pruned_weights)} and {len(biases)}"
        )
    layers: list[_Layer] = []
    for index, (given, other, bias) in enumerate(zip(weights, pruned_weights, biases, strict=True)):
        weight = numeric.finite(f"weights[{index}]", given)
        pruned = numeric.finite(f"pruned_weights[{index}]", other)
        if weight.ndim != 2 or weight.shape[1] != width or pruned.shape != weight.shape:
            raise ValueError(
                f"weights[{index}] and pruned_weights[{index}] must both be (out, {width}); "
                f"found {weight.shape} and {pruned.shape}"
            )
        shift = np.zeros(len(weight)) if bias is None else numeric.finite(f"biases[{index}]", bias)
        if shift.shape != (len(weight),):
            raise ValueError(f"biases[{index}] must be ({len(weight)},); found {shift.shape}")
        layers.append(_Layer(weight, pruned - weight, np.abs(pruned), shift))
        width = len(weight)
    return layers


def _activation(phi: str) -> Callable[[Float], Float]:
    if phi not in _PHI:
        raise ValueError(f"phi must be one of {', '.join(_PHI)}; found {phi!r}")
    return _PHI[phi]


def absolute_propagation(
    weights: Sequence[ArrayLike],
    pruned_weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike | None],
    inputs: ArrayLike,
    phi: Phi = "relu",
) -> tuple[Float, ...]:
    """Bound on how far each pre-activation moves when the weights are replaced, input by input.

    |e^l| <= |(W^ - W)^l a^{l-1}| + |W^^l| |e^{l-1}| with e^0 = 0 and a the original activations:
    exact in the first layer, by the triangle inequality after it. phi is 1-Lipschitz and acts
    entrywise, so what holds of the pre-activations holds of the activations too.

    Args:
        weights: L arrays (out, in), real, any unit.
        pruned_weights: L arrays of the same shapes.
        biases: L arrays (out,), the same in both networks, or None.
        inputs: (n, in) real, any unit.
        phi: activation after every layer but the last.

    Returns:
        L float64 arrays (n, out), in the unit of the pre-activations, rounded up. The last one
        bounds |f^(x) - f(x)| entrywise.

    Raises:
        ValueError: shapes that do not fit, entries that are not finite, an unknown phi.

    Claim: NW-7. Source: [OWN].

    Example:
        >>> bound = absolute_propagation([[[1.0, 2.0]]], [[[1.0, 0.0]]], [None], [[3.0, 0.5]])
        >>> round(float(bound[0][0, 0]), 9)
        1.0
    """
    act = _activation(phi)
    rows = numeric.finite("inputs", inputs)
    if rows.ndim != 2:
        raise ValueError(f"inputs must be (n, in); found shape {rows.shape}")
    layers = _layers(weights, pruned_weights, biases, rows.shape[1])
    error, doubt = np.zeros_like(rows), np.zeros_like(rows)
    bounds: list[Float] = []
    for layer in layers:
        weight, change, unit = layer.weight, np.abs(layer.change), layer.rounding
        # doubt bounds how far the computed activations stand from the exact ones.
        direct = np.abs(rows @ layer.change.T) + unit * (np.abs(rows) @ change.T)
        moved = direct + doubt @ change.T + error @ layer.pruned.T
        error = moved * (1 + 2 * unit)
        bounds.append(error)
        size = np.abs(rows) @ layer.size.T + np.abs(layer.bias)
        doubt = (doubt @ layer.size.T + unit * size) * (1 + 2 * unit) + _PHI_ROUNDING[phi]
        rows = act(rows @ weight.T + layer.bias)
    return tuple(bounds)


def interval_propagation(
    weights: Sequence[ArrayLike],
    pruned_weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike | None],
    low: ArrayLike,
    high: ArrayLike,
    phi: Phi = "relu",
) -> tuple[Float, ...]:
    """Bound on how far each pre-activation moves, for all inputs of a box at once.

    As absolute_propagation, with the original activations enclosed by interval arithmetic (phi is
    non-decreasing): |(W^ - W) a| <= the larger end of (W^ - W)[low, high] in absolute value.

    Args:
        weights: L arrays (out, in), real, any unit.
        pruned_weights: L arrays of the same shapes.
        biases: L arrays (out,), the same in both networks, or None.
        low: (in,) real, lower corner of the box, in the inputs' unit.
        high: (in,) real, upper corner, >= low.
        phi: activation after every layer but the last.

    Returns:
        L float64 arrays (out,), in the unit of the pre-activations, rounded up.

    Raises:
        ValueError: shapes that do not fit, low above high, entries not finite, an unknown phi.

    Claim: NW-7. Source: [OWN].

    Example:
        >>> bound = interval_propagation([[[1.0, 2.0]]], [[[1.0, 0.0]]], [None], [0, 0], [1, 1])
        >>> round(float(bound[0][0]), 9)
        2.0
    """
    act = _activation(phi)
    bottom, top = numeric.finite("low", low), numeric.finite("high", high)
    if bottom.ndim != 1 or top.shape != bottom.shape:
        raise ValueError(f"low and high must both be (in,); found {bottom.shape} and {top.shape}")
    if (bottom > top).any():
        raise ValueError(
            f"low must not exceed high; it does at index {int((bottom > top).argmax())}"
        )
    layers = _layers(weights, pruned_weights, biases, bottom.size)
    error = np.zeros_like(bottom)
    bounds: list[Float] = []
    for layer in layers:
        weight, change, unit = layer.weight, np.abs(layer.change), layer.rounding
        reach = np.maximum(np.abs(bottom), np.abs(top))
        ends = _enclose(layer.change, bottom, top)
        direct = np.maximum(np.abs(ends[0]), np.abs(ends[1])) + unit * (change @ reach)
        error = (direct + layer.pruned @ error) * (1 + 2 * unit)
        bounds.append(error)
        ends = _enclose(weight, bottom, top)
        slack = 2 * unit * (layer.size @ reach + np.abs(layer.bias))
        charge = _PHI_ROUNDING[phi]
        bottom = act(ends[0] + layer.bias - slack) - charge
        top = act(ends[1] + layer.bias + slack) + charge
    return tuple(bounds)


def _enclose(matrix: Float, bottom: Float, top: Float) -> tuple[Float, Float]:
    plus, minus = np.maximum(matrix, 0.0), np.minimum(matrix, 0.0)
    return plus @ bottom + minus @ top, plus @ top + minus @ bottom
