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

    Claim: none (plumbing).
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

    Args:
        net_weights: one (out, in) array a layer.
        biases: one (out,) array a layer.
        x: (n, in).

    Returns:
        L + 1 arrays.

    Claim: none (plumbing).

    Example:
        >>> [a.tolist() for a in activations((np.eye(1),), (np.zeros(1),), np.array([[-2.0]]))]
        [[[-2.0]], [[-2.0]]]
    """
    found = [x]
    for layer, (w, b) in enumerate(zip(net_weights, biases, strict=True)):
        z = found[-1] @ w.T + b
        found.append(z if layer == len(net_weights) - 1 else np.maximum(z, 0.0))
    return found


def parts(weight: Float, a: Float) -> tuple[Float, Float]:
    """z+ and z- of every neuron; inputs of both signs count by what they add up to.

    Args:
        weight: (out, in).
        a: (n, in), >= 0.

    Returns:
        Two (n, out) arrays >= 0.

    Claim: NW-1. Source: [CN] arXiv 1804.05345.

    Example:
        >>> [z.tolist() for z in parts(np.array([[1.0, -2.0]]), np.array([[3.0, 1.0]]))]
        [[[3.0]], [[2.0]]]
    """
    return a @ np.maximum(weight, 0.0).T, a @ np.maximum(-weight, 0.0).T


def sensitivities(weight: Float, a: Float) -> Float:
    """s_ij = max over the rows of |w_ij| a_j/z_i^s, by brute force.

    Args:
        weight: (out, in).
        a: (n, in), >= 0.

    Returns:
        (2, out, in), positive sign first.

    Claim: ES-1. Source: [CN] arXiv 1804.05345.

    Example:
        >>> sensitivities(np.array([[1.0, 1.0]]), np.array([[3.0, 1.0]]))[0].tolist()
        [[0.75, 0.25]]
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

    Args:
        net: the network; sizes up to 2^53.
        count: copies.
        rng: random stream.

    Returns:
        One (count, out, in) array a layer.

    Raises:
        ValueError: a size that float64 and int64 cannot count.

    Claim: SP-1. Source: [CN] arXiv 1804.05345.

    Example:
        >>> one = DrawnNetwork((np.ones((1, 1)),), (np.zeros(1),), (np.array([[[1.0]], [[0.0]]]),),
        ...                    (np.array([[7.0], [0.0]]),), np.ones((1, 1)), np.ones(1))
        >>> draw_weights(one, 2, generator(0))[0].ravel().tolist()
        [1.0, 1.0]
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

    Args:
        net: the network.
        count: copies.
        rng: random stream.

    Returns:
        (count,) max over i of |f^_i - f_i|/|f_i|, and (count,) the limits at the inputs drawn.

    Claim: none (plumbing).

    Example:
        >>> one = DrawnNetwork((np.ones((1, 1)),), (np.zeros(1),), (np.array([[[1.0]], [[0.0]]]),),
        ...                    (np.array([[7.0], [0.0]]),), np.ones((1, 1)), np.ones(1))
        >>> relative_errors(one, 2, generator(0))[0].tolist()
        [0.0, 0.0]
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

    Args:
        net: the network.
        seed: seed of the run.
        stream: whole numbers that tell this experiment from others.
        block: number of the block.
        trials: copies.

    Returns:
        The number of failures.

    Claim: NW-1 to NW-5, whichever gave the sizes. Source: the claim's; the count is [OWN].

    Example:
        >>> one = DrawnNetwork((np.ones((1, 1)),), (np.zeros(1),), (np.array([[[1.0]], [[0.0]]]),),
        ...                    (np.array([[7.0], [0.0]]),), np.ones((1, 1)), np.ones(1))
        >>> failures(one, 0, (1,), 0, 5)
        0
    """
    errors, limits = relative_errors(net, trials, generator(seed, DRAWN_STREAM, *stream, block))
    return int((errors > limits * (1 + 1e-9) + TIE).sum())


def needed_total(
    net: DrawnNetwork, delta: float, seed: int, *, copies: int = 200, steps: int = 12
) -> float:
    """Draws of the whole network at which a share delta of the trials fails, sizes kept in ratio.

    Args:
        net: the network, its sizes enough.
        delta: share of failures that is allowed, in (0, 1).
        seed: seed of the run.
        copies: trials at each size looked at; the same random numbers at all of them.
        steps: of the bisection in the logarithm of the size.

    Returns:
        The total, measured; no bound.

    Claim: none (plumbing).

    Example:
        >>> one = DrawnNetwork((np.ones((1, 1)),), (np.zeros(1),), (np.array([[[1.0]], [[0.0]]]),),
        ...                    (np.array([[7.0], [0.0]]),), np.ones((1, 1)), np.ones(1))
        >>> needed_total(one, 0.1, 0, copies=10, steps=5)
        1.0
    """
    # A little further down than to one draw, so that rounding does not make it two.
    low, high = -np.log(max(s.max(initial=1.0) for s in net.sizes)) - 1e-9, 0.0
    if failures(net.scaled(np.exp(low)), seed, (9,), 0, copies) <= delta * copies:
        high = low
    for _ in range(steps if high > low else 0):
        middle = (low + high) / 2
        failed = failures(net.scaled(np.exp(middle)), seed, (9,), 0, copies)
        low, high = (low, middle) if failed <= delta * copies else (middle, high)
    return net.scaled(float(np.exp(high))).total
