"""The planning table: the numbers of one layer that allocation, promises and plans work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from torch import nn

import sipp_theory
from sipp_core.network.layers import prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import neurons
from sipp_core.runtime.numbers import Bool, Float
from sipp_core.sensitivity.empirical import working_dtype
from sipp_core.sensitivity.statistics import LayerStatistics
from sipp_theory import BOUNDS, Bound, Neuron, NeuronTail


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers of one layer that planning works on, float64 on the CPU.

    Those of single weights are made where they are first looked at, and go with the object.

    Attributes:
        statistics: what calibration learnt.
        total: (2, out) S_sum per sign, 0 for a pair that never fired.
        support: (2, out) weights with s > 0.
        failure: failure probability of a neuron at one input; of the network for bound corenet.
        delta: (2, out) failure probability of each sign at one non-negative row: `failure` shared
            by what can fail at one input, see `live_parts`.
        coverage_factor: C.
        bound: the bound that promises. One that speaks of whole neurons looks at every row, and
            makes way for Bernstein's where calibration did not keep them all.
        eta: number of neurons of the network.
        eta_star: widest layer, the input width included.
        seed: seed of random choices while planning: the call's, and the index of the layer.
    """

    statistics: LayerStatistics
    total: Float
    support: Float
    failure: float
    delta: Float
    coverage_factor: float
    bound: Bound
    eta: int
    eta_star: int
    seed: tuple[int, int] = (0, 0)

    @cached_property
    def weight(self) -> Float:
        """Weights, (out, fan_in)."""
        return self.statistics.layer.weight.double().cpu().numpy()

    @cached_property
    def sensitivity(self) -> Float:
        """s, (out, fan_in)."""
        return self.statistics.sensitivity.double().cpu().numpy()

    @property
    def raw_sensitivity(self) -> NDArray[Any]:
        """Sensitivities in the dtype in which calibration keeps them: no copy on the CPU."""
        return self.statistics.sensitivity.cpu().numpy()

    @property
    def raw_weight(self) -> NDArray[Any]:
        """Weights in the dtype in which they are measured: the network's own on the CPU."""
        weight = self.statistics.layer.weight
        return weight.to(working_dtype(weight.dtype)).cpu().numpy()

    @property
    def shape(self) -> tuple[int, int]:
        """(out, fan_in)."""
        out, fan_in = self.statistics.sensitivity.shape
        return out, fan_in

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.statistics.sensitivity.numel()

    def rows(self, part: slice) -> tuple[Float, Float]:
        """Weights and sensitivities of some neurons, without those of the others."""
        return _rows(self.statistics, part)

    @property
    def dead(self) -> Bool:
        """Pairs that never fired."""
        return self.total == 0

    @property
    def by_shares(self) -> bool:
        """Whether the bound looks at the kept activation rows."""
        return self.bound.knows == "shares"

    @property
    def tail(self) -> NeuronTail | None:
        """The bound, if it speaks of both signs of a neuron at once (SP-11)."""
        return self.bound if isinstance(self.bound, NeuronTail) else None

    @property
    def failures(self) -> Float | float:
        """Failure probability as the bound counts it: of each sign, or of the whole network."""
        return self.failure if self.bound.knows == "network" else self.delta

    def neuron(self, sums: Float) -> Neuron:
        """What a bound that knows sums is given of all pairs. Shapes: sums (2, out)."""
        widths = (self.eta, self.eta_star) if self.bound.knows == "network" else ()
        return Neuron(sums, None, None, self.coverage_factor, *widths)

    def sign(self, index: int) -> Bool:
        """Mask of the nonzero weights of a sign."""
        return self.weight > 0 if index == 0 else self.weight < 0

    def live(self, sign: int, neuron: int) -> Bool:
        """Mask of one pair's weights that ever fired, (fan_in,)."""
        weight = self.weight[neuron]
        return (weight > 0 if sign == 0 else weight < 0) & (self.sensitivity[neuron] > 0)

    def groups(self, split: bool = False) -> list[tuple[slice, Float]]:
        """The neurons of each group, and its (n, fan_in) activation rows, if all were kept.

        `split` leaves rows of both signs in two; of a sample it is not known which they are.
        """
        points = self.statistics.points
        if bool(self.statistics.peaks[1].any()) and not split:  # they were split in two
            above, below = points.chunk(2, dim=1)
            points = above - below
        step = self.weight.shape[0] // points.shape[0]
        return [
            (slice(group * step, (group + 1) * step), rows.double().numpy())
            for group, rows in enumerate(points)
        ]

    def seen(self) -> Bool:
        """Pairs that live on a kept activation row, (2, out)."""
        fires = [(part, (rows > 0).any(axis=0)) for part, rows in self.groups(split=True)]
        return np.stack([
            np.concatenate([(self.sign(s)[part] & columns).any(axis=1) for part, columns in fires])
            for s in (0, 1)
        ])  # fmt: skip

    @cached_property
    def _columns(self) -> list[NDArray[np.floating]]:
        """Kept points of each group, those of one weight side by side, (fan_in, n)."""
        return [np.ascontiguousarray(rows.numpy().T) for rows in self.statistics.points]

    def columns(self, neuron: int) -> NDArray[np.floating]:
        """Kept points of a neuron's group, those of one weight side by side, (fan_in, n)."""
        return self._columns[neuron // (self.shape[0] // len(self._columns))]

    def shares(self, sign: int, neuron: int, columns: Bool | NDArray[np.intp]) -> Float:
        """Shares g_j(x) of one pair's weights at the kept points, live rows only.

        No rows are left if the pair lives only on activation rows that were not kept.
        """
        weight = np.abs(self.weight[neuron, columns])
        rows = (self.columns(neuron)[columns] * weight[:, None]).T
        sums = rows.sum(axis=1)
        return rows[sums > 0] / sums[sums > 0, None]


def make_table(
    statistics: LayerStatistics,
    *,
    delta: float,
    coverage_factor: float,
    bound: str | Bound,
    eta: int,
    eta_star: int,
    seed: tuple[int, int] = (0, 0),
) -> Table:
    """Collect the planning numbers of one layer.

    Args:
        statistics: what calibration learnt of the layer.
        delta: failure probability of one neuron at one input, in (0, 1).
        coverage_factor: C with g_j <= C s_j, >= 1; 1 for a bound that takes none.
        bound: a name of `sipp_theory.BOUNDS`, or a bound.
        eta: number of neurons of the network.
        eta_star: widest layer, the input width included.
        seed: of the call, and the index of the layer.

    Returns:
        The table.

    Raises:
        ValueError: a coverage factor that the bound does not take.

    Example:
        >>> import torch; from torch import nn; from sipp_core import calibrate
        >>> stats = calibrate(nn.Linear(2, 3), torch.ones(4, 2)).layers[0]
        >>> table = make_table(
        ...     stats, delta=0.1, coverage_factor=1.0, bound="kl", eta=3, eta_star=2)
        >>> table.total.shape
        (2, 3)
    """
    bound = BOUNDS[bound] if isinstance(bound, str) else bound
    refuse_coverage(bound, coverage_factor)
    if bound.knows == "neuron" and not statistics.complete:
        bound = BOUNDS["bernstein"]
    out = len(statistics.sensitivity)
    total, support, live = np.zeros((2, out)), np.zeros((2, out)), np.zeros(out, dtype=np.intp)
    for part in neurons(tuple(statistics.sensitivity.shape)):
        weight, s = _rows(statistics, part)
        fires = np.stack([weight > 0, weight < 0]) & (s > 0)
        total[:, part] = np.where(fires, s, 0.0).sum(axis=2)
        support[:, part] = fires.sum(axis=2)
        live[part] = live_parts(statistics, fires, np.arange(out)[part])
    live = np.maximum(live, 1)
    # ES-2 says a live pair has S_sum >= 1; rounding of single shares may leave it just below.
    total = np.where(total > 0, np.maximum(total, 1.0), 0.0)
    return Table(
        statistics=statistics,
        total=total,
        support=support,
        failure=delta,
        delta=np.broadcast_to(delta / live, total.shape),
        coverage_factor=coverage_factor,
        bound=bound,
        eta=eta,
        eta_star=eta_star,
        seed=seed,
    )


def refuse_coverage(bound: Bound, coverage_factor: float) -> None:
    """Refuse a coverage factor that a bound would ignore: it would be promised all the same."""
    if coverage_factor != 1 and not bound.takes_coverage:
        raise ValueError(
            f"bound {bound.name!r} takes no coverage_factor: it speaks of calibration rows only, "
            f"or has CoreNet's K built in; found {coverage_factor!r}"
        )


def _rows(statistics: LayerStatistics, part: slice) -> tuple[Float, Float]:
    """Weights and sensitivities of some neurons."""
    weight, s = statistics.layer.weight[part], statistics.sensitivity[part]
    # numpy turns them into float64 in this thread: torch's others take longer to wait for.
    held = weight.to(working_dtype(weight.dtype)).cpu().numpy()
    return held.astype(np.float64), s.cpu().numpy().astype(np.float64)


def live_parts(
    statistics: LayerStatistics, fires: Bool, which: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Count of some neurons what can fail at one input: signs times halves a+ and a- that fire.

    An input of both signs is two non-negative rows, and each sign of a neuron has a promise at both
    of them. Signs and halves that no calibration input has do not count.

    Shapes: fires (2, k, fan_in) bool, weights of each sign that ever fired, of the k neurons
    `which`; returns (k,).

    Claim: SP-9. Source: [OWN].
    """
    seen = statistics.peaks.cpu().numpy() > 0
    group = which // (len(statistics.sensitivity) // seen.shape[1])
    return np.sum([(fires & half[group]).any(axis=2).sum(axis=0) for half in seen], axis=0)


class Tables(Sequence[Table]):
    """Tables of several layers: each access makes an object of its own.

    What it computes of single weights goes with it, so that a loop holds one layer's at a time.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = list(tables)

    def __len__(self) -> int:
        return len(self._tables)

    @overload
    def __getitem__(self, index: int) -> Table: ...
    @overload
    def __getitem__(self, index: slice) -> Tables: ...
    def __getitem__(self, index: int | slice) -> Table | Tables:
        if isinstance(index, slice):
            return Tables(self._tables[index])
        return replace(self._tables[index])


def make_tables(request: Request, layers: Sequence[LayerStatistics]) -> Tables:
    """Collect the planning numbers of all layers."""
    eta, eta_star = _widths([tuple(layer.sensitivity.shape) for layer in layers])
    return Tables([
        make_table(
            layer, delta=request.delta, coverage_factor=request.coverage_factor,
            bound=request.bound, eta=eta, eta_star=eta_star, seed=(request.seed, index),
        )
        for index, layer in enumerate(layers, request.first)
    ])  # fmt: skip


def _widths(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    """Of weights (out, fan_in) the number of neurons, and the most inputs that one has."""
    return sum(out for out, _ in shapes), max(fan_in for _, fan_in in shapes)


def calibration_need(
    model: nn.Module, layers: LayerChoice = None, delta: float = 0.05
) -> tuple[int, int, int]:
    """Number of calibration inputs that CoreNet's analysis asks for, and the widths it counts.

    |S| = ceil(ln(8 eta eta*/delta) ln(eta eta*)): under assumption A1 the sensitivities that so
    many inputs show, times ln(eta eta*), cover a fresh input with probability 1 - delta/(8 eta).

    Args:
        model: the network.
        layers: which layers are pruned, as for `prune`.
        delta: failure probability, in (0, 1).

    Returns:
        The number of inputs; eta, neurons of all layers; eta*, most inputs of one (of a
        convolution those of a patch).

    Raises:
        ValueError: a model without such layers, or delta out of range.

    Claim: ES-4. Source: [CN] arXiv 1804.05345.

    Example:
        >>> calibration_need(nn.Sequential(nn.Linear(784, 300), nn.Linear(300, 110)))
        (226, 410, 784)
    """
    eta, eta_star = _widths([tuple(each.weight.shape) for each in prunable_layers(model, layers)])
    return int(sipp_theory.calibration_size(eta, eta_star, delta)), eta, eta_star
