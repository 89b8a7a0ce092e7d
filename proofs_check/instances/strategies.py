"""Adversarial instances for laws: what Hypothesis draws when a law must hold for every layer."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

# Products and ratios of two drawn numbers stay normal float64 numbers: 1e-60 to 1e60.
SMALLEST, LARGEST = -30, 30
NEAR_TIE = 2.0**-50
WEIGHTS = ("plain", "dominant", "near ties", "huge range", "sparse", "equal")
POINTS = ("plain", "dead inputs", "dead points", "duplicates", "near ties", "huge range", "sparse")


@st.composite
def layers(
    draw: st.DrawFn,
    *,
    neurons: int = 4,
    inputs: int = 6,
    points: int = 6,
    signed_weights: bool = True,
    signed_activations: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the weights and the calibration activations of a layer that is meant to do harm.

    One dominant weight, near-ties, numbers from 1e-30 to 1e30, sparse and dead inputs, duplicate
    points, rows of zeros, and down to one neuron, one weight and one point. It shrinks to few
    numbers, small and plain.

    Shapes: returns (neurons, inputs).
    """
    rows = draw(st.integers(1, neurons))
    count = draw(st.integers(1, points))
    width = draw(st.integers(1, inputs))
    weights = _magnitudes(draw, (rows, width), draw(st.sampled_from(WEIGHTS)))
    if signed_weights:
        weights *= _signs(draw, (rows, width))
    activations = _magnitudes(draw, (count, width), draw(st.sampled_from(POINTS)))
    if signed_activations:
        activations *= _signs(draw, (count, width))
    return weights, activations


@st.composite
def share_rows(
    draw: st.DrawFn, *, points: int = 6, inputs: int = 8, positive_columns: bool = True
) -> np.ndarray:
    """Draw shares g_j(x) of one sign of one neuron: rows that add up to 1, meant to do harm.

    Shapes: returns (n, k).

    Claim: ES-1. Source: [CN] arXiv 1804.05345.
    """
    count = draw(st.integers(1, points))
    width = draw(st.integers(1, inputs))
    raw = _magnitudes(draw, (count, width), draw(st.sampled_from(POINTS)))
    raw[raw.sum(axis=1) == 0] = 1.0
    shares = raw / raw.sum(axis=1, keepdims=True)
    if positive_columns:
        shares = shares[:, shares.max(axis=0) > 0]
    return shares


def _magnitudes(draw: st.DrawFn, shape: tuple[int, int], shape_of_trouble: str) -> np.ndarray:
    """Non-negative numbers of one kind of trouble; the plain ones are small whole numbers."""
    rows, width = shape
    plain = st.integers(1, 9).map(float)
    if shape_of_trouble == "huge range":
        plain = st.integers(SMALLEST, LARGEST).map(lambda power: 10.0**power)
    if shape_of_trouble == "sparse":
        plain = st.sampled_from([0.0, 0.0, 0.0, 1.0, 3.0])
    values = np.array(draw(st.lists(plain, min_size=rows * width, max_size=rows * width)))
    values = values.reshape(shape)
    column = draw(st.integers(0, width - 1))
    row = draw(st.integers(0, rows - 1))
    if shape_of_trouble == "dominant":
        values[:, column] = 1e12
    elif shape_of_trouble == "near ties":
        steps = draw(st.lists(st.integers(-3, 3), min_size=rows * width, max_size=rows * width))
        values = values[0, 0] * (1 + NEAR_TIE * np.array(steps, dtype=float).reshape(shape))
    elif shape_of_trouble == "equal":
        values[:] = values[0, 0]
    elif shape_of_trouble == "dead inputs":
        values[:, column] = 0.0
    elif shape_of_trouble == "dead points":
        values[row] = 0.0
    elif shape_of_trouble == "duplicates":
        values[:] = values[row]
    return values


def _signs(draw: st.DrawFn, shape: tuple[int, int]) -> np.ndarray:
    size = shape[0] * shape[1]
    signs = draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=size, max_size=size))
    return np.array(signs).reshape(shape)
