"""A plan: for every weight of a layer how it is kept, before any die is cast.

Each (sign, neuron) pair is either drawn with replacement (SP-1) or included weight by weight with
a probability (SP-8; 0 and 1 make it deterministic, SP-6), independently or coupled to a fixed
count; or the whole matrix is drawn from at once. Drawing a plan gives the multipliers of the
weights; the same seed gives the same multipliers on every machine and device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sipp_theory
from sipp_core.pruning.pivotal import pivotal
from sipp_core.pruning.stored import (
    Computed,
    FlagEach,
    NumberEach,
    Stored,
    flags_by_rows,
    neurons,
    whole,
)
from sipp_core.runtime.numbers import Bool, Float, generator
from sipp_theory.numeric.compiling import compiled


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

    @property
    def shape(self) -> tuple[int, int]:
        """(out, fan_in)."""
        out, fan_in = vars(self)["_positive"].shape
        return out, fan_in

    def part(self, rows: slice) -> LayerPlan:
        """The plan of some neurons by themselves; of a joint one only what is of single weights."""
        plan = object.__new__(LayerPlan)
        for name, value in vars(self).items():
            is_stored = isinstance(value, np.ndarray | Computed)
            of_pairs = name in ("draws", "eps", "dead", "whole", "scale")
            vars(plan)[name] = value[:, rows] if of_pairs else value[rows] if is_stored else value
        return plan

    def changed(self, **fields: Any) -> LayerPlan:
        """The same plan with other fields; what stays does so as it is kept."""
        plan = object.__new__(LayerPlan)
        vars(plan).update(vars(self))
        for name, value in fields.items():
            object.__setattr__(plan, name, value)
        return plan

    def owned(self) -> LayerPlan:
        """The same plan, which keeps nothing that is written where a network is."""
        plan = object.__new__(LayerPlan)
        for name, value in vars(self).items():
            vars(plan)[name] = value.owned() if isinstance(value, Computed) else value
        return plan

    def parts(self) -> list[tuple[slice, LayerPlan]]:
        """The neurons in blocks of bounded size, and the plan of each."""
        blocks = neurons(self.shape)
        return [(rows, self.part(rows) if len(blocks) > 1 else self) for rows in blocks]

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
        if len(parts := self.parts()) > 1:
            return np.concatenate([some.expected() for _, some in parts], axis=1)
        kept = []
        for index, draws in enumerate(self.draws):
            q = np.minimum(self.draw_probabilities(index), 1.0)
            included = np.where(self.sign(index), self.probability, 0.0).sum(axis=1)
            kept.append(np.where(draws > 0, sipp_theory.expected_distinct(q, draws), included))
        return np.stack(kept)


# Networks keep their plans: with these narrow, they take little more than the weights do.
for _name, _kind in (
    ("scores", NumberEach), ("probability", NumberEach), ("positive", FlagEach),
    ("nonzero", FlagEach),
):  # fmt: skip
    _field = _kind()
    _field.__set_name__(LayerPlan, _name)
    setattr(LayerPlan, _name, _field)


class Coins(Computed):
    """Inclusion in proportion to scores: p_j = min(1, c s_j), c the rate of a pair.

    Shapes: rates (2, out); scores, positive and nonzero (out, fan_in).
    """

    def __init__(self, rates: Float, scores: Stored, positive: Stored, nonzero: Stored) -> None:
        self.rates, self.scores, self.positive, self.nonzero = rates, scores, positive, nonzero

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, fan_in)."""
        return self.scores.shape

    def array(self) -> Float:
        """The probabilities."""
        p = whole(self.scores).astype(np.float64)
        _in_proportion(self.rates, whole(self.positive), whole(self.nonzero), p)
        return p

    def __getitem__(self, rows: slice) -> Coins:
        return Coins(
            self.rates[:, rows], self.scores[rows], self.positive[rows], self.nonzero[rows]
        )


@compiled
def _in_proportion(rates: Any, positive: Any, nonzero: Any, p: Any) -> None:
    """Turn scores into min(1, c s_j)."""
    rows, k = p.shape
    for i in range(rows):
        up, down = rates[0, i], rates[1, i]
        for j in range(k):
            chance = (up if positive[i, j] else down) * p[i, j]
            p[i, j] = 0.0 if not nonzero[i, j] else 1.0 if chance > 1.0 else chance


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
    return whole(drawn(plan, rng))


class Multipliers(Computed):
    """What a draw makes of a plan, computed whenever it is looked at.

    Shapes: stays (out, fan_in) flags of included weights; counts (out, fan_in) whole, how often
    each was drawn, None where nothing is drawn.
    """

    def __init__(self, plan: LayerPlan, stays: Stored, counts: NDArray[Any] | None) -> None:
        self.plan, self.stays, self.counts = plan, stays, counts

    @property
    def shape(self) -> tuple[int, ...]:
        """(out, fan_in)."""
        return self.plan.shape

    def array(self) -> Float:
        """The multipliers."""
        multiplier = np.zeros(self.shape)
        for rows, plan in self.plan.parts():
            p, target = np.where(plan.nonzero, plan.probability, 0.0), multiplier[rows]
            np.divide(1.0, p, out=target, where=whole(self.stays[rows]))
            if self.counts is not None:
                _write_drawn(plan, self.counts[rows], target)
            if (plan.scale != 1).any():
                target *= np.where(plan.positive, plan.scale[0][:, None], plan.scale[1][:, None])
        return multiplier

    def __getitem__(self, rows: slice) -> Multipliers:
        counts = None if self.counts is None else self.counts[rows]
        return Multipliers(self.plan.part(rows), self.stays[rows], counts)


def _write_drawn(plan: LayerPlan, counts: NDArray[Any], multiplier: Float) -> None:
    """Write N_j/(m q_j) where weights are drawn. Shapes: counts, multiplier (out, fan_in)."""
    for index in (0, 1):
        pairs = np.flatnonzero(plan.draws[index] > 0)
        if pairs.size:
            q, m = plan.draw_probabilities(index)[pairs], plan.draws[index, pairs]
            value = np.divide(counts[pairs], m[:, None] * q, out=np.zeros_like(q), where=q > 0)
            multiplier[pairs] = np.where(plan.sign(index)[pairs], value, multiplier[pairs])


def drawn(plan: LayerPlan, rng: np.random.Generator) -> Stored:
    """What `draw` draws, in few bytes: (out, fan_in) multipliers."""
    if plan.joint:
        return _draw_jointly(plan, rng)
    if plan.coupled:
        stays: Stored = _coupled(plan, rng)
    else:

        def coins(rows: slice) -> Bool:
            some = plan.part(rows)
            return rng.random(some.shape) < np.where(some.nonzero, some.probability, 0.0)

        stays = flags_by_rows(plan.shape, coins)
    return Multipliers(plan, stays, _counts(plan, rng))


def _counts(plan: LayerPlan, rng: np.random.Generator) -> NDArray[Any] | None:
    """How often each weight is drawn, (out, fan_in); None where nothing is."""
    if not (plan.draws > 0).any():
        return None
    drawn = np.zeros(plan.shape, np.uint8)
    for index in (0, 1):
        for rows, some in plan.parts():
            pairs = np.flatnonzero(some.draws[index] > 0)
            if pairs.size == 0:
                continue
            q = some.draw_probabilities(index)[pairs]
            counts = draw_counts(q, some.draws[index, pairs].astype(np.int64), rng)
            kind = np.promote_types(drawn.dtype, np.min_scalar_type(counts.max()))
            drawn = drawn.astype(kind, copy=False)
            target = drawn[rows]
            target[pairs] = np.where(some.sign(index)[pairs], counts, target[pairs])
    return drawn


def _coupled(plan: LayerPlan, rng: np.random.Generator) -> Bool:
    """Mask (out, fan_in) of the weights that stay, a fixed count of each sign of each neuron."""
    p = np.zeros(plan.shape)
    for rows, some in plan.parts():
        np.copyto(p[rows], some.probability, where=some.nonzero)
    return pivotal(p, rng, plan.positive)


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
