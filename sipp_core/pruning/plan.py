"""A plan: for every weight of a layer how it is kept, before any die is cast.

Each (sign, neuron) pair is either drawn with replacement (SP-1) or included weight by weight with
a probability (SP-8; 0 and 1 make it deterministic, SP-6), independently or coupled to a fixed
count; or the whole matrix is drawn from at once. Drawing a plan gives the multipliers of the
weights; the same seed gives the same multipliers on every machine and device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sipp_theory
from sipp_core.pruning.pivotal import pivotal
from sipp_core.runtime.numbers import Bool, Float, generator


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """How one layer will be sparsified.

    Attributes:
        name: qualified name of the layer.
        scores: (out, fan_in) float64 >= 0; draws pick weights in proportion to them.
        positive: (out, fan_in) bool, True where the weight is positive.
        nonzero: (out, fan_in) bool, True where the weight is not zero.
        probability: (out, fan_in) float64 in [0, 1], inclusion probability where no draws are made.
        draws: (2, out) float64 whole, draws with replacement; 0 where inclusion is used.
        eps: (2, out) float64, error promised relative to z^s (inf: nothing promised).
        dead: (2, out) bool, pairs that never fired during calibration (removed; exact on S).
        whole: (2, out) bool, live pairs that keep every weight that ever fired.
        scale: (2, out) float64 > 0, factor of the kept weights (1; SP-6's recentring otherwise).
        coupled: whether inclusion is pivotal (fixed count, same probabilities) and not independent.
        joint: whether all draws are from the whole matrix, in proportion to scores; `draws` is then
            one number throughout, and `probability` and `scale` have no say.
    """

    name: str
    scores: Float
    positive: Bool
    nonzero: Bool
    probability: Float
    draws: Float
    eps: Float
    dead: Bool
    whole: Bool
    scale: Float
    coupled: bool = False
    joint: bool = False

    def sign(self, index: int) -> Bool:
        """Mask of the weights of one sign: 0 positive, 1 negative."""
        return self.nonzero & (self.positive if index == 0 else ~self.positive)

    def draw_probabilities(self, index: int) -> Float:
        """Chance that a draw takes each weight of one sign, (out, fan_in); 0 for dead pairs."""
        part = np.where(self.sign(index), self.scores, 0.0)
        total = part.sum(axis=1, keepdims=True)
        if self.joint:
            total = np.full_like(total, np.where(self.nonzero, self.scores, 0.0).sum())
        return np.divide(part, total, out=np.zeros_like(part), where=total > 0)

    def expected(self) -> Float:
        """Expected number of distinct weights that each pair keeps, (2, out); not if joint."""
        kept = []
        for index, draws in enumerate(self.draws):
            q = np.minimum(self.draw_probabilities(index), 1.0)
            included = np.where(self.sign(index), self.probability, 0.0).sum(axis=1)
            kept.append(np.where(draws > 0, sipp_theory.expected_distinct(q, draws), included))
        return np.stack(kept)


class _ANumberEach:
    """A field of a float64 number for each weight, kept in the fewest bytes that lose none."""

    def __init__(self, name: str) -> None:
        self.kept = f"_{name}"

    def __get__(self, plan: LayerPlan, owner: type | None = None) -> Float:
        return vars(plan)[self.kept].astype(np.float64, copy=False)

    def __set__(self, plan: LayerPlan, value: Float) -> None:
        vars(plan)[self.kept] = value
        for dtype in (np.bool_, np.float32):
            with np.errstate(over="ignore"):
                narrow = value.astype(dtype)
            if np.array_equal(narrow, value):
                vars(plan)[self.kept] = narrow
                return


# Networks keep their plans: with these two narrow, they take no more than the weights do.
for _name in ("scores", "probability"):
    setattr(LayerPlan, _name, _ANumberEach(_name))


def draw_counts(q: Float, m: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Multinomial counts per row; what rounding of q would leave over goes to the largest q.

    Args:
        q: (rows, k) probabilities, each row adding up to 1.
        m: (rows,) draws.
        rng: random stream.

    Returns:
        (rows, k) int64 counts, 0 wherever q is 0.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.

    Example:
        >>> draw_counts(np.array([[1.0, 0.0]]), np.array([3]), generator(0)).tolist()
        [[3, 0]]
    """
    counts = rng.multinomial(m, q)
    stray = np.where(q == 0, counts, 0).sum(axis=1)
    if stray.any():
        counts[q == 0] = 0
        counts[np.arange(len(q)), q.argmax(axis=1)] += stray
    return counts


def draw(plan: LayerPlan, rng: np.random.Generator) -> Float:
    """Draw one sparsification of a layer.

    N_j/(m q_j) where weights are drawn with replacement, B_j/p_j where they are included: both have
    expectation 1 on the support (SP-1, SP-8).

    Args:
        plan: how the layer is kept.
        rng: random stream; consumed the same way whatever the plan's numbers are.

    Returns:
        (out, fan_in) float64 multipliers of the weights, 0 where a weight is dropped.

    Claim: SP-1, SP-8. Source: [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> one = np.ones((1, 2)); zero = np.zeros((2, 1)); no = zero.astype(bool)
        >>> plan = LayerPlan("a", one, one > 0, one > 0, one, zero, zero, no, no, zero + 1)
        >>> draw(plan, generator(0))
        array([[1., 1.]])
    """
    if plan.joint:
        return _draw_jointly(plan, rng)
    p = np.where(plan.nonzero, plan.probability, 0.0)
    if plan.coupled:
        signs = (np.where(plan.sign(index), p, 0.0) for index in (0, 1))
        kept = np.logical_or(*(pivotal(part, rng) for part in signs))
    else:
        kept = rng.random(p.shape) < p
    multiplier = np.divide(1.0, p, out=np.zeros_like(p), where=kept)
    for index in (0, 1):
        rows = np.flatnonzero(plan.draws[index] > 0)
        if rows.size == 0:
            continue
        q = plan.draw_probabilities(index)[rows]
        m = plan.draws[index, rows]
        counts = draw_counts(q, m.astype(np.int64), rng)
        value = np.divide(counts, m[:, None] * q, out=np.zeros_like(q), where=q > 0)
        multiplier[rows] = np.where(plan.sign(index)[rows], value, multiplier[rows])
    return multiplier * np.where(plan.positive, plan.scale[0][:, None], plan.scale[1][:, None])


def _draw_jointly(plan: LayerPlan, rng: np.random.Generator) -> Float:
    q = plan.draw_probabilities(0) + plan.draw_probabilities(1)
    m = plan.draws.max()
    counts = draw_counts(q.reshape(1, -1), np.array([m], dtype=np.int64), rng).reshape(q.shape)
    return np.divide(counts, m * q, out=np.zeros_like(q), where=counts > 0)


def draw_many(plan: LayerPlan, seed: int, layer: int, copies: int) -> Iterator[Float]:
    """Draw independent sparsifications of a layer, each from its own stream.

    Args:
        plan: how the layer is kept.
        seed: the user's seed.
        layer: index of the layer.
        copies: how many.

    Returns:
        An iterator of (out, fan_in) multipliers.

    Claim: SP-1, SP-8. Source: [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> one = np.ones((1, 2)); zero = np.zeros((2, 1)); no = zero.astype(bool)
        >>> plan = LayerPlan("a", one, one > 0, one > 0, one, zero, zero, no, no, zero + 1)
        >>> len(list(draw_many(plan, 0, 0, 3)))
        3
    """
    for copy in range(copies):
        yield draw(plan, generator(seed, layer, copy))
