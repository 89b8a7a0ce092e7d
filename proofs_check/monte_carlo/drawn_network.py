"""A small dense network whose weights are drawn afresh in every trial, as many as one likes.

Sizes of 10^15 draws are no obstacle: only the counts of a multinomial law are drawn. Everything is
float64, so that errors far below float32's are seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from proofs_check.monte_carlo.neuron import TIE
from sipp_core.runtime import Float, generator

DRAWN_STREAM = 61
LARGEST_SIZE = 2.0**53


@dataclass(frozen=True, eq=False)
class DrawnNetwork:
    """A ReLU network, what its weights are drawn by, and the inputs that trials meet.

    Attributes:
        weights: one (out, in) array a layer.
        biases: one (out,) array a layer, kept exactly.
        probabilities: one (2, out, in) array a layer, draw probabilities of each sign; a row is 0
            where the sign has no live weight.
        sizes: one (2, out) array a layer, whole draws.
        inputs: (n, in) inputs, drawn uniformly.
        limits: (n,) relative error that an output must not pass, at each input.
    """

    weights: tuple[Float, ...]
    biases: tuple[Float, ...]
    probabilities: tuple[Float, ...]
    sizes: tuple[Float, ...]
    inputs: Float
    limits: Float

    @property
    def total(self) -> float:
        """Draws of the whole network."""
        return float(sum(size.sum() for size in self.sizes))

    def scaled(self, factor: float) -> DrawnNetwork:
        """The same with all sizes times a factor, at least one draw where there was one."""
        sizes = tuple(np.where(s > 0, np.maximum(1.0, np.ceil(s * factor)), 0) for s in self.sizes)
        return replace(self, sizes=sizes)


def activations(net_weights: tuple[Float, ...], biases: tuple[Float, ...], x: Float) -> list[Float]:
    """Inputs of each layer and, last, the output of a ReLU network.

    Shapes: x (n, in).
    """
    layers = [x]
    for layer, (w, b) in enumerate(zip(net_weights, biases, strict=True)):
        z = layers[-1] @ w.T + b
        layers.append(z if layer == len(net_weights) - 1 else np.maximum(z, 0.0))
    return layers


def parts(weight: Float, a: Float) -> tuple[Float, Float]:
    """z+ and z- of every neuron; inputs of both signs count by what they add up to.

    Shapes: weight (out, in), a (n, in).

    Claim: NW-1. Source: [CN] arXiv 1804.05345.
    """
    return a @ np.maximum(weight, 0.0).T, a @ np.maximum(-weight, 0.0).T


def sensitivities(weight: Float, a: Float) -> Float:
    """s_ij = max over the rows of |w_ij| a_j/z_i^s, by brute force.

    Shapes: weight (out, in), a (n, in); returns (2, out, in).

    Claim: ES-1. Source: [CN] arXiv 1804.05345.
    """
    result = np.zeros((2, *weight.shape))
    for sign, part in enumerate((np.maximum(weight, 0.0), np.maximum(-weight, 0.0))):
        for neuron, row in enumerate(part):
            c = row * a
            z = c.sum(axis=1, keepdims=True)
            result[sign, neuron] = np.divide(c, z, out=np.zeros_like(c), where=z > 0).max(axis=0)
    return result


def draw_weights(net: DrawnNetwork, count: int, rng: np.random.Generator) -> list[Float]:
    """Weights of `count` pruned copies, w_j N_j/(m q_j).

    Claim: SP-1. Source: [CN] arXiv 1804.05345.
    """
    drawn = []
    for w, q, sizes in zip(net.weights, net.probabilities, net.sizes, strict=True):
        if sizes.max(initial=0) > LARGEST_SIZE:
            raise ValueError(f"sizes must be at most 2^53; found {sizes.max():g}")
        copies = np.zeros((count, *w.shape))
        for sign, neuron in np.argwhere(sizes > 0):
            p, m = q[sign, neuron], int(sizes[sign, neuron])
            live = np.flatnonzero(p)
            # The sampler gives rounding's leftover to the last weight: let it be the likeliest.
            live = live[np.argsort(p[live], kind="stable")]
            counts = rng.multinomial(m, p[live] / p[live].sum(), size=count)
            copies[:, neuron, live] = w[neuron, live] * (counts / (m * p[live]))
        drawn.append(copies)
    return drawn


def relative_errors(net: DrawnNetwork, count: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Largest relative error of an output entry, one input drawn for each of `count` copies.

    Shapes: returns (count,).
    """
    chosen = rng.integers(len(net.inputs), size=count)
    x = net.inputs[chosen]
    truth = activations(net.weights, net.biases, x)[-1]
    a = x
    for layer, (copies, b) in enumerate(
        zip(draw_weights(net, count, rng), net.biases, strict=True)
    ):
        z = np.einsum("toi,ti->to", copies, a) + b
        a = z if layer == len(net.weights) - 1 else np.maximum(z, 0.0)
    off = np.abs(a - truth)
    ratio = np.divide(off, np.abs(truth), out=np.where(off > 0, np.inf, 0.0), where=truth != 0)
    return ratio.max(axis=1), net.limits[chosen]


def failures(net: DrawnNetwork, seed: int, stream: tuple[int, ...], block: int, trials: int) -> int:
    """Count copies whose output leaves the limit at their input.

    Claim: NW-1 to NW-5, whichever gave the sizes. Source: the claim's; the count is [OWN].
    """
    errors, limits = relative_errors(net, trials, generator(seed, DRAWN_STREAM, *stream, block))
    return int((errors > limits * (1 + 1e-9) + TIE).sum())


def needed_total(
    net: DrawnNetwork, delta: float, seed: int, *, copies: int = 200, steps: int = 12
) -> float:
    """Draws of the whole network at which a share delta of the trials fails, in fixed ratio."""
    # A little further down than to one draw, so that rounding does not make it two.
    low, high = -np.log(max(s.max(initial=1.0) for s in net.sizes)) - 1e-9, 0.0
    if failures(net.scaled(np.exp(low)), seed, (9,), 0, copies) <= delta * copies:
        high = low
    for _ in range(steps if high > low else 0):
        middle = (low + high) / 2
        failed = failures(net.scaled(np.exp(middle)), seed, (9,), 0, copies)
        low, high = (low, middle) if failed <= delta * copies else (middle, high)
    return net.scaled(float(np.exp(high))).total
