"""What calibration measures of a layer while a stream of inputs runs past: one class a statistic.

A statistic of your own is a subclass of `Statistic` under `@register_statistic`;
`calibrate(statistics={name})` measures it and `LayerStatistics.values[name]` holds the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from sipp_core.network.layers import PrunableLayer
from sipp_core.runtime.processes import Processes
from sipp_core.sensitivity import kernel, kernel_gpu
from sipp_core.sensitivity.buffer import HELD, Waiting
from sipp_core.sensitivity.empirical import working_dtype
from sipp_core.sensitivity.operands import Space, halves, matrix


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What calibration measured of one layer; all tensors live on the layer's device.

    Attributes:
        layer: the layer, with the user's own module.
        sensitivity: (out, fan_in) max of g over the rows, in [0, 1].
        live: (2, out) int64, rows with z^s > 0, positive sign first.
        rows: non-negative rows seen (a signed row counts twice).
        peaks: (2, groups, fan_in) largest a_j and largest -a_j seen, at least 0.
        cancellation: (out,) mean of Delta_i = max(1, z~/|z + b|) over the rows (+inf where a
            pre-activation is 0); the exact bias moves the denominator.
        points: (groups, n, fan_in) float64 activation rows kept for instance-exact bounds, on the
            CPU; signed rows are split in two. Empty where none are kept.
        complete: whether `points` holds every row seen.
        patches: most rows that an image of a convolution gave; 1 for a linear layer.
        positions: rows that it received in all, of any sign: patches of images, tokens; those of
            inputs set aside as well.
        reached_by: inputs whose forward passes gave it a row, all of them together or none.
        mean: "mean": (out, fan_in) mean of g over the rows, for ranking only; None unless measured.
        patch_mean: "patch-mean": (out, fan_in) max over images of the mean of g over an image's
            patches, the maximum itself in a linear layer; for ranking only, or None.
        support: "support": (2, out) distinct inputs that set some maximum (ES-5's k), or None.
        support_total: distinct inputs that set some maximum of the layer, or None.
        energy: "energy": (groups, fan_in) float64 sum of a_j^2 over the rows, or None.
        saliency: "gradients": (out, fan_in) float64 |w dL/dw|, L the mean loss, or None.
        values: of each further statistic that was registered and measured, its value by its name.
    """

    layer: PrunableLayer
    sensitivity: Tensor
    live: Tensor
    rows: int
    peaks: Tensor
    cancellation: Tensor
    points: Tensor
    complete: bool
    patches: int = 1
    positions: int = 0
    reached_by: int = 0
    mean: Tensor | None = None
    patch_mean: Tensor | None = None
    support: Tensor | None = None
    support_total: int | None = None
    energy: Tensor | None = None
    saliency: Tensor | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Qualified name of the layer in the model."""
        return self.layer.name

    @property
    def input_peak(self) -> Tensor:
        """(groups, fan_in) largest |a_j| seen, to find inputs that never fire."""
        return self.peaks.amax(dim=0)


class MeasuredLayer:
    """A layer as calibration computes with it: blocks of weights, one a group, and their maxima.

    Attributes:
        layer: the layer, with the user's own module.
        weight: (out, fan_in) in the dtype that statistics are kept in.
        blocks: the weights of each group, made ready for the kernel.
        biases: (out/groups,) bias of each group, zeros if there is none.
        accumulators: the kernel's running statistics of each group.
    """

    def __init__(self, layer: PrunableLayer, held: int = HELD, space: Space | None = None) -> None:
        self.layer, self._held = layer, held
        self.weight = layer.weight.to(working_dtype(layer.weight.dtype))
        weights = self.weight.chunk(layer.groups)
        self.blocks = [matrix(w, held // layer.groups, space) for w in weights]
        bias = layer.module.bias
        bias = (
            bias.detach().to(self.weight.dtype)
            if isinstance(bias, Tensor)
            else self.weight.new_zeros(len(self.weight))
        )
        self.biases = bias.chunk(layer.groups)
        self.accumulators = [kernel.new_accumulator(w, support=False) for w in weights]

    @cached_property
    def waiting(self) -> list[Waiting]:
        """Rows of each group that are not folded yet; made once all statistics have started."""
        pairs = zip(self.accumulators, self.blocks, strict=True)
        return [Waiting(acc, block, self._held // self.layer.groups) for acc, block in pairs]

    def pack(self, rows: Tensor, signed: bool, wide: bool = False) -> kernel_gpu.Packed | None:
        """Rows (groups, n, fan_in) as the GPU kernel reads them, and their ends, where it runs."""
        if not kernel_gpu.available(rows.device):
            return None
        plain = not wide and self.weight.dtype == torch.float32
        panels = plain and all(
            not block.extreme and acc.argmax is None and not waiting.waits(rows.shape[1])
            for block, acc, waiting in zip(
                self.blocks, self.accumulators, self.waiting, strict=True
            )
        )  # fmt: skip
        return kernel_gpu.pack(rows, len(self.weight) // self.layer.groups, signed, panels)

    def settle(self) -> None:
        """Fold all rows that wait."""
        for waiting in self.waiting:
            waiting.close()

    def like_inputs(self, rows: int | None = None) -> Tensor:
        """Zeros of shape (groups, fan_in), or (groups, rows, fan_in), in the dtype of `weight`."""
        groups, fan_in = self.layer.groups, self.weight.shape[1]
        return self.weight.new_zeros((groups, fan_in) if rows is None else (groups, rows, fan_in))


@dataclass(eq=False)
class Rows:
    """Some rows that a layer received in one call, and what statistics of them share.

    Attributes:
        layer: the layer as calibration computes with it.
        values: (groups, n, fan_in) activations of any sign, in the dtype of `layer.weight`.
        signed: whether some value of the call is negative, so that a+ and a- count as two rows.
        wide: whether float32 could overflow or flush to zero.
        batch: index of the batch in the stream.
        origins: first row here among those of the call, rows an input has, and index of the call's
            first input in the stream.
        patches: rows that each image of a convolution gives, in order; 1 for a linear layer.
        packed: the same rows as the GPU kernel reads them, and their ends, where it runs.
    """

    layer: MeasuredLayer
    values: Tensor
    signed: bool
    wide: bool
    batch: int
    origins: tuple[int, int, int]
    patches: int = 1
    packed: kernel_gpu.Packed | None = None

    @cached_property
    def parts(self) -> list[tuple[Tensor, ...]]:
        """Of each group the rows as non-negative ones, (n, fan_in): a, or a+ and a-."""
        return [halves(rows, self.signed) for rows in self.values]

    @cached_property
    def denominators(self) -> list[list[Tensor] | None]:
        """Of each group and part z_i^s, (2, n, out/groups); None where float64 is needed for it."""
        return [
            None
            if self.wide or block.extreme or block.weight.dtype == torch.float64
            else [kernel.denominators(block, part) for part in parts]
            for block, parts in zip(self.layer.blocks, self.parts, strict=True)
        ]

    @cached_property
    def inputs(self) -> Tensor:
        """Index in the stream of the input that each row comes from, (n,) int64."""
        first, per_input, first_input = self.origins
        n, device = self.values.shape[1], self.values.device
        return torch.arange(first, first + n, device=device) // per_input + first_input


class Statistic(ABC):
    """Something that calibration measures of one layer; each layer has an object of its own.

    The stream may be cut into batches anywhere, and batches may run in any process. So that neither
    changes a bit, what is added to `add` is kept by batch and joined by `close` in a way that no
    order changes (a maximum, a count, an `ExactSum`).

    Attributes:
        name: what `calibrate(statistics={name})` calls it.
        attributes: of LayerStatistics, which the value is (several: a tuple of them); a statistic
            of your own has none, and its value is `LayerStatistics.values[name]`.
        ordered: whether it reads `Rows.inputs`; layers whose rows do not stand in the order of the
            inputs are then refused.
        gradients: whether it needs the loss's gradients; the calibration is then (input, target)
            pairs.
    """

    name: ClassVar[str]
    attributes: ClassVar[tuple[str, ...]] = ()
    ordered: ClassVar[bool] = False
    gradients: ClassVar[bool] = False

    @abstractmethod
    def start(self, layer: MeasuredLayer) -> None:
        """Begin, before any row comes."""

    def add(self, rows: Rows) -> None:  # noqa: B027  a statistic of gradients needs no rows
        """Take in some rows of the batch that is running."""

    def add_gradient(self, gradient: Tensor, inputs: int) -> None:  # noqa: B027
        """Take in the gradient (out, fan_in) of so many inputs' mean loss, in every process."""

    def close(self) -> None:  # noqa: B027  maxima have nothing to do
        """End the batch that is running."""

    @abstractmethod
    def merge(self, group: Processes) -> None:
        """Join what all processes have seen; each of them then holds the same bits."""

    @abstractmethod
    def value(self) -> Any:
        """What was measured."""


STATISTICS: dict[str, type[Statistic]] = {}
Kind = TypeVar("Kind", bound=type[Statistic])


def register_statistic(kind: Kind) -> Kind:
    """Make a statistic known by its name, so that `calibrate(statistics={name})` measures it.

    Args:
        kind: a subclass of Statistic with a `name` of its own, built without arguments.

    Returns:
        The class itself, as a decorator does.

    Raises:
        ValueError: a name that is taken.

    Example:
        >>> @register_statistic
        ... class Calls(Statistic):
        ...     name = "tiles of rows"
        ...     def start(self, layer):
        ...         self.count = 0
        ...     def add(self, rows):
        ...         self.count += 1
        ...     def merge(self, group):
        ...         self.count = group.count(self.count)
        ...     def value(self):
        ...         return self.count
        >>> from torch import nn; from sipp_core import calibrate
        >>> stats = calibrate(nn.Linear(2, 1), torch.ones(3, 2), statistics={"tiles of rows"})
        >>> stats.layers[0].values
        {'tiles of rows': 1}
        >>> del STATISTICS["tiles of rows"]
    """
    if STATISTICS.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"a statistic named {kind.name!r} is registered already")
    return kind


def checked_names(names: Collection[str]) -> list[str]:
    """Names of registered statistics in one order for all processes, or a refusal."""
    if isinstance(names, str):
        raise TypeError(f"statistics must be a set of names; found {names!r}: write {{{names!r}}}")
    for name in names:
        if name not in STATISTICS:
            known = ", ".join(map(repr, sorted(STATISTICS)))
            raise ValueError(f"statistics must be names among {known}; found {name!r}")
    return sorted(set(names))
