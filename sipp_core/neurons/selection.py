"""Which neurons of a group stay, what their outgoing weights become, and what that promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import sipp_theory
from sipp_core.neurons.tables import NeuronTable
from sipp_core.runtime.numbers import Bool, Float, generator

# Numbers of draws that a budget may end at: this many between m and 2 m.
STEPS = 16


@dataclass(frozen=True, eq=False)
class Selection:
    """What is left of a group.

    Attributes:
        kept: (units,) True for neurons that stay.
        weights: by consumer, (out, in, offsets) its new weights in the old numbering.
        draws: made with replacement; 0 if none.
        error: most that a next pre-activation moves at one input of the region, absolute.
        region_error: likewise, at all inputs of the region at once.
        eps: `error` in units of the mass t of the group.
        means: by consumer, (in, offsets) what its bias takes of each input instead of the middle.
    """

    kept: Bool
    weights: Mapping[str, Float]
    draws: int
    error: float
    region_error: float
    eps: float
    means: Mapping[str, Float] = field(default_factory=dict)


@dataclass(frozen=True)
class Amount:
    """How much may stay: so many neurons, or as many as an error needs.

    Attributes:
        count: neurons of the group; None where eps decides.
        exact: whether the number of draws is fixed by `count` alone, so that the draws stay
            unbiased; else the most draws that leave no more neurons, paid for in the promise.
        eps: error in units of the mass t; None where count decides.
        delta: failure probability of the group.
    """

    count: int | None
    exact: bool
    eps: float | None
    delta: float


Scores = Callable[[NeuronTable], Float]


def mass(table: NeuronTable) -> float:
    """t, what no draw by the loads moves a next neuron by more than."""
    return float(table.loads.sum() * (1 + 1e-12))


def whole(table: NeuronTable) -> Selection:
    """Keep all neurons."""
    kept = np.ones(table.group.units, dtype=bool)
    return Selection(kept, {c.name: c.weight for c in table.consumers}, 0, 0.0, 0.0, 0.0)


def multiplied(table: NeuronTable, multiplier: Float) -> dict[str, Float]:
    """The consumers' weights, those of each neuron times its multiplier."""
    weights = {}
    for c in table.consumers:
        factor = np.where(c.labels >= 0, multiplier[c.labels], 1.0)
        weights[c.name] = c.weight * factor[:, None]
    return weights


def dropped_error(
    table: NeuronTable, weights: Mapping[str, Float], means: Mapping[str, Float]
) -> float:
    """Most that changed weights move a next pre-activation, every neuron at its worst: certain.

    Biases are corrected by the middles, or by means where there are some.
    """
    worst = 0.0
    for c in table.consumers:
        change = np.abs(c.weight - weights[c.name]) * c.half[:, None]
        own = change[:, c.labels >= 0].sum(axis=(1, 2))
        if c.name in means and c.biased:
            beside = (c.weight - weights[c.name]) * (c.middle[:, None] - means[c.name])
            own = own + np.abs(beside[:, c.labels >= 0].sum(axis=(1, 2)))
        worst = max(worst, float(own.max(initial=0.0)) * (1 + 1e-12))
    return worst


def kept_weights(table: NeuronTable, kept: Bool) -> Selection:
    """Keep some neurons with their weights as they are."""
    weights = multiplied(table, kept.astype(np.float64))
    return changed(table, kept, weights)


def changed(
    table: NeuronTable, kept: Bool, weights: Mapping[str, Float],
    means: Mapping[str, Float] | None = None,
) -> Selection:  # fmt: skip
    """Keep some neurons with new outgoing weights, promised with certainty."""
    error = dropped_error(table, weights, means or {})
    total = mass(table)
    eps = error / total if total > 0 else 0.0
    return Selection(kept, weights, 0, error, error, eps, means or {})


def largest(table: NeuronTable, scores: Float, amount: Amount) -> Selection:
    """Keep the neurons of largest score: so many, or the fewest within an error."""
    order = np.argsort(-scores, kind="stable")
    if amount.count is not None:
        kept = np.zeros(len(scores), dtype=bool)
        kept[order[: amount.count]] = True
        return kept_weights(table, kept)
    assert amount.eps is not None
    low, high = 0, len(scores)
    # The error falls as more stay.
    while high - low > 1:
        middle = (low + high) // 2
        kept = np.zeros(len(scores), dtype=bool)
        kept[order[:middle]] = True
        low, high = (low, middle) if kept_weights(table, kept).eps <= amount.eps else (middle, high)
    kept = np.zeros(len(scores), dtype=bool)
    kept[order[:high]] = True
    return kept_weights(table, kept)


def drawn(
    table: NeuronTable, probabilities: Float, amount: Amount, seed: int, index: int,
    corrected: bool = True,
) -> Selection:  # fmt: skip
    """Draw neurons with replacement, next biases corrected by the middles or not.

    Claim: NC-1, NC-1g, NC-3g, NC-4, NC-5. Source: [MU] arXiv 1907.04018, [OWN].
    """
    live = probabilities > 0
    units, total = table.group.units, mass(table)
    loads = table.loads if corrected else table.peaks
    if not live.any():
        return kept_weights(table, np.eye(units, dtype=bool)[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        range_ = float(np.where(loads > 0, loads / probabilities, 0.0).max())
    sizes = 1
    if amount.eps is not None:
        share = amount.eps * total / range_ if range_ > 0 else 1.0
        draws = 1
        if share < 1:
            draws = int(min(2**52, sipp_theory.neuron_size(share, amount.delta, table.outputs)))
        if draws >= int(live.sum()):
            return whole(table)
    elif amount.count is None or amount.count >= int(live.sum()):
        return whole(table) if live.all() else kept_weights(table, live)
    elif amount.exact:
        draws = max(1, int(sipp_theory.draws_for_distinct(probabilities, amount.count)))
    else:
        draws, sizes = _most_draws(probabilities, amount.count, seed, index)
    multiplier = sipp_theory.neuron_draw(probabilities, draws, generator(seed, index))
    return _promised(
        table, probabilities, multiplier, draws, range_, amount.delta / sizes, corrected
    )


def _most_draws(q: Float, count: int, seed: int, index: int) -> tuple[int, int]:
    """The most draws of a ladder, settled beforehand, that leave no more neurons; its length.

    `neuron_draw` with more draws goes on where fewer ended: the neurons met can only grow.
    """
    longest = max(2.0, 4 * float(sipp_theory.draws_for_distinct(q, count)))
    powers = np.arange(0, math.ceil(math.log2(longest) * STEPS) + 1) / STEPS
    ladder = np.unique(np.floor(2.0**powers)).astype(int)
    low, high = 0, len(ladder)
    while high - low > 1:
        middle = (low + high) // 2
        draw = sipp_theory.neuron_draw(q, int(ladder[middle]), generator(seed, index))
        low, high = (middle, high) if np.count_nonzero(draw) <= count else (low, middle)
    return int(ladder[low]), len(ladder)


def _promised(
    table: NeuronTable, q: Float, multiplier: Float, draws: int, range_: float, delta: float,
    corrected: bool,
) -> Selection:  # fmt: skip
    error = float(sipp_theory.neuron_error(range_, draws, delta, table.outputs))
    region, total = 0.0, mass(table)
    for c in table.consumers:
        region = max(region, _over_the_region(table, c.name, q, draws, delta, corrected))
    weights = multiplied(table, multiplier)
    # What the weights may have rounded to in their own dtype is for the certificate to say.
    return Selection(
        multiplier != 0, weights, draws, error, region, error / total if total > 0 else 0.0
    )


def _over_the_region(
    table: NeuronTable, name: str, q: Float, draws: int, delta: float, corrected: bool
) -> float:
    """NC-3g at every next neuron; +inf where what lies between is none that it speaks of."""
    if not table.act:
        return np.inf
    lipschitz = sipp_theory.ACTIVATIONS[table.act].lipschitz
    factor = 1.5 if table.act == "relu" else 2 * lipschitz
    (c,) = (c for c in table.consumers if c.name == name)
    half = np.zeros(table.group.units)
    own = c.labels >= 0
    reach = c.half if corrected else c.half + np.abs(c.middle)
    np.maximum.at(half, c.labels[own], reach[own])
    errors = sipp_theory.region_error(
        c.per_unit(table.group.units), table.incoming, table.radius, q, half, draws,
        delta / len(table.consumers) / c.positions, factor,
    )  # fmt: skip
    return float(errors.max())


class Pursuit:
    """Simultaneous orthogonal matching pursuit on activations, refitted at each step.

    Neurons are taken one by one, the one that explains most of what is left of the consumers'
    pre-activations; the outgoing weights are then solved for by least squares, means apart, as a
    mean goes into the next bias.

    Shapes: rows by consumer (n, in x offsets) what it reads.

    Claim: NC-6 (the selection is free). Source: Tropp, Gilbert and Strauss 2006; [OWN].
    """

    def __init__(self, table: NeuronTable, rows: Mapping[str, Float]) -> None:
        self.table, self.means = table, means_of(table, rows)
        self.grams, self.targets, self.blocks = [], [], []
        for c in table.consumers:
            centred = rows[c.name] - rows[c.name].mean(axis=0)
            offsets = c.weight.shape[2]
            flat = c.weight.reshape(len(c.weight), -1).T.copy()
            flat[np.repeat(c.labels < 0, offsets)] = 0
            self.grams.append(centred.T @ centred)
            self.targets.append(self.grams[-1] @ flat)
            self.blocks.append([
                (np.flatnonzero(c.labels == u)[:, None] * offsets + np.arange(offsets)).ravel()
                for u in range(table.group.units)
            ])  # fmt: skip
        self.order: list[int] = []

    def _fit(self, k: int, kept: list[int]) -> tuple[np.ndarray, Float]:
        """Weights of the inputs of these neurons, at one consumer."""
        own = np.sort(np.concatenate([self.blocks[k][u] for u in kept]))
        part = self.grams[k][np.ix_(own, own)]
        ridge = 1e-6 * max(float(np.diag(self.grams[k]).max(initial=0.0)), 1e-300)
        return own, np.linalg.solve(part + ridge * np.eye(len(own)), self.targets[k][own])

    def _grow(self, count: int) -> None:
        """Go on to so many neurons; those taken before stay."""
        sizes = [
            [max(float(np.diag(gram)[own].mean()), 1e-300) for own in blocks]
            for gram, blocks in zip(self.grams, self.blocks, strict=True)
        ]
        while len(self.order) < count:
            gain = np.zeros(self.table.group.units)
            for k, gram in enumerate(self.grams):
                left = self.targets[k]
                if self.order:
                    own, fit = self._fit(k, self.order)
                    left = left - gram[:, own] @ fit
                power = (left**2).sum(axis=1)
                gain += [
                    power[own].sum() / size
                    for own, size in zip(self.blocks[k], sizes[k], strict=True)
                ]
            gain[self.order] = -1
            self.order.append(int(gain.argmax()))

    def select(self, count: int) -> Selection:
        """Keep so many neurons, refitted."""
        self._grow(count)
        chosen, table = self.order[:count], self.table
        kept = np.zeros(table.group.units, dtype=bool)
        kept[chosen] = True
        weights = {}
        for k, c in enumerate(table.consumers):
            own, fit = self._fit(k, chosen)
            flat = c.weight.reshape(len(c.weight), -1).copy()
            flat[:, np.repeat(c.labels >= 0, c.weight.shape[2])] = 0
            flat[:, own] = fit.T
            weights[c.name] = flat.reshape(c.weight.shape)
        return changed(table, kept, weights, self.means)


def means_of(table: NeuronTable, rows: Mapping[str, Float]) -> dict[str, Float]:
    """(in, offsets) means of what each consumer reads."""
    return {c.name: rows[c.name].mean(axis=0).reshape(c.weight.shape[1:]) for c in table.consumers}
