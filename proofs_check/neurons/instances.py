"""Layers of ReLUs where the truth is known: enumerated in two dimensions, or by design."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.linalg import hadamard
from torch import nn

from sipp_core.neurons import Ball, Box
from sipp_theory import ACTIVATIONS

Array = np.ndarray


@dataclass(frozen=True)
class Layer:
    """One hidden layer over a region: outgoing (k, n), incoming (n, d), bias (n,)."""

    outgoing: Array
    incoming: Array
    bias: Array
    centre: Array
    radius: Array

    def points(self, count: int, seed: int) -> Array:
        """(count, d) inputs of the region, many of them on its border."""
        rng = np.random.default_rng(seed)
        d = self.incoming.shape[1]
        s = rng.uniform(-1, 1, (count, d))
        if self.radius.ndim:
            s = np.where(rng.random(s.shape) < 0.5, np.sign(s), s)
        else:
            s /= np.maximum(np.linalg.norm(s, axis=1, keepdims=True), 1e-300)
            s *= rng.choice([1.0, 0.6], (count, 1))
        return self.centre + self.radius * s * (1 - 1e-12)


@st.composite
def small_layers(draw: st.DrawFn) -> Layer:
    """Draw a layer of a few neurons over a box or a ball, weights and biases of any sign."""
    seed, n = draw(st.integers(0, 2**20)), draw(st.integers(1, 7))
    d, k, box = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.booleans())
    rng = np.random.default_rng(seed)
    scale = 10.0 ** draw(st.integers(-3, 3))
    radius = rng.uniform(0, 1, d) if box else np.asarray(rng.uniform(0, 1))
    return Layer(
        rng.normal(size=(k, n)), rng.normal(size=(n, d)) * scale,
        rng.normal(size=n) * draw(st.sampled_from([0.0, 1.0])), rng.normal(size=d), radius,
    )  # fmt: skip


activations = st.sampled_from(sorted(ACTIVATIONS))


def exact_peak(a: Array, incoming: Array, bias: Array, centre: Array, radius: Array) -> float:
    """Largest sum_j a_j relu(z_j) over a box in the plane, by all corners of its pieces.

    Claim: NC-6. Source: [OWN]: a piecewise linear function is largest at a corner of a piece.
    """
    low, high = centre - radius, centre + radius
    lines = [(p, -b) for p, b in zip(incoming, bias, strict=True)]
    lines += [(np.eye(2)[i], end[i]) for i in (0, 1) for end in (low, high)]
    corners = []
    for (p, s), (q, t) in itertools.combinations(lines, 2):
        matrix = np.stack([p, q])
        if abs(np.linalg.det(matrix)) > 1e-12 * max(1e-12, np.abs(matrix).max() ** 2):
            corners.append(np.linalg.solve(matrix, [s, t]))
    x = np.array(corners)
    x = x[((x >= low - 1e-12) & (x <= high + 1e-12)).all(axis=1)].clip(low, high)
    return float((np.maximum(x @ incoming.T + bias, 0) @ a).max())


def attacked_peak(a: Array, layer: Layer, starts: int, steps: int, seed: int) -> float:
    """What ascent finds of the largest sum_j a_j relu(z_j): from below, in any dimension.

    Each step goes to the point of the region that is best for the piece where the last one lies.
    """
    x, best = layer.points(starts, seed), -np.inf
    for _ in range(steps):
        z = x @ layer.incoming.T + layer.bias
        best = max(best, float((np.maximum(z, 0) @ a).max()))
        slope = ((z > 0) * a) @ layer.incoming
        if layer.radius.ndim:
            way = np.sign(slope)
        else:
            way = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-300)
        x = layer.centre + layer.radius * way * (1 - 1e-12)
    return best


def disc_peaks(weights: Array, incoming: Array) -> Array:
    """Largest sum_p w_p relu(p.x) over the unit disc, for rows of weights, without biases.

    Shapes: weights (rows, n), incoming (n, 2); returns (rows,).

    Claim: NC-3. Source: [OWN]: between two directions where a neuron switches the sum is linear.
    """
    angles = np.arctan2(incoming[:, 1], incoming[:, 0])
    edges = np.sort(np.concatenate([angles + np.pi / 2, angles - np.pi / 2]) % (2 * np.pi))
    after = np.roll(edges, -1) + np.where(np.arange(len(edges)) == len(edges) - 1, 2 * np.pi, 0)
    middles = (edges + after) / 2
    on = (np.cos(middles[:, None] - angles) > 0).astype(float)
    gradient = np.einsum("rn,sn,nd->rsd", weights, on, incoming)
    direction = np.arctan2(gradient[..., 1], gradient[..., 0])
    inside = (direction - edges) % (2 * np.pi) <= (after - edges)
    best = np.where(inside, np.linalg.norm(gradient, axis=2), 0.0)
    for end in (edges, after):
        at = gradient[..., 0] * np.cos(end) + gradient[..., 1] * np.sin(end)
        best = np.maximum(best, at)
    return np.maximum(best.max(axis=1), 0.0)


def sign_design(outputs: int, neurons: int) -> Array:
    """(outputs, neurons) signs whose rows are balanced and orthogonal."""
    return hadamard(neurons)[1 : outputs + 1].astype(float)


ACTIVATION_LAYERS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid, "softplus": nn.Softplus, "gelu": nn.GELU, "silu": nn.SiLU,
}  # fmt: skip


def two_networks(rng: np.random.Generator, act: str, sizes: list[int]) -> list[nn.Module]:
    """A network, and another of its shape: neurons gone, weights moved, or nothing alike."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATION_LAYERS[act]()]
    first = nn.Sequential(*layers[:-1]).double().requires_grad_(False)
    for p in first.parameters():
        p.copy_(torch.from_numpy(rng.normal(size=p.shape)))
    second, kind = copy.deepcopy(first), int(rng.integers(3))
    for p in second.parameters():
        noise = torch.from_numpy(rng.normal(size=p.shape))
        if kind == 0:
            p.mul_((noise > -0.5).double())
        elif kind == 1:
            p.add_(0.1 * noise)
        else:
            p.copy_(noise)
    return [first, second]


def small_region(rng: np.random.Generator, d: int) -> Box | Ball:
    """A box or a ball, of any size from next to nothing to one that says little."""
    centre, size = rng.normal(size=d), 10.0 ** rng.uniform(-3, 0.3)
    if rng.random() < 0.5:
        return Ball(centre, size)
    half = size * rng.uniform(0, 1, d)
    return Box(centre - half, centre + half)
