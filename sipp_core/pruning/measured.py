"""SP-12: what the delivered weights do on the calibration set, measured after the draw."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

import sipp_theory
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.packed import layer_of
from sipp_core.network.patches import masked as rows_kept
from sipp_core.network.patches import tiles
from sipp_core.network.structure import TwoLayers
from sipp_core.pruning.surroundings import Norm, look_around
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import forward, model_device, watching
from sipp_core.runtime.numbers import Float
from sipp_core.runtime.padding import Mask, padding_mask
from sipp_core.runtime.processes import Processes
from sipp_theory import Bound, Neuron
from sipp_theory.keeping.measured import SMALL


class Measured(Bound):
    """SP-12 in place of a bound: the weights are chosen by what is measured of them.

    Claim: SP-12. Source: [OWN].
    """

    name, claim, title, knows = "measured", "SP-12", "measured on S", "sum"

    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> Float | np.float64:
        """Nothing is known before a draw."""
        raise ValueError("'measured' knows no size before weights are drawn")

    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> Float | np.float64:
        """Nothing is known before a draw."""
        raise ValueError("'measured' knows no error before weights are drawn")


MEASURED = Measured()
# Weights that are held in float64 at once.
BLOCK = 1 << 19


def measured_errors(
    dense: nn.Module, pruned: nn.Module, layers: Iterable[PrunableLayer],
    stream: Iterable[Given], group: Processes | None = None, mask: Mask = None,
) -> dict[str, Float]:  # fmt: skip
    """Largest relative error of each neuron over all rows of the inputs, (out,) by layer name.

    Rows are those of the dense network, so that each layer is given its own input; the weights are
    those that `pruned` holds. Where the BatchNorm right behind a layer has another running mean
    there (a refit moves it in place of a bias), the layer's output counts as shifted by as much. A
    layer that has another shape there is left out. In a group of processes the batches are shared
    out.

    Args:
        dense: the network before pruning.
        pruned: its pruned copy.
        layers: the layers of `dense` to look at, as `calibrate(...).layers[k].layer`.
        stream: batches of inputs.
        group: the processes that share the batches out, None for this one alone.
        mask: which positions of the inputs count, as in `calibrate`.

    Returns:
        (out,) errors by layer name, certain for every row that was seen.

    Claim: SP-12. Source: [OWN].

    Example:
        >>> dense, pruned = nn.Linear(2, 1), nn.Linear(2, 1)
        >>> _ = pruned.load_state_dict(
        ...     {"weight": torch.tensor([[1.0, 0.0]]), "bias": torch.zeros(1)}
        ... )
        >>> _ = dense.load_state_dict({"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
        >>> layer = PrunableLayer("", dense, groups=1)
        >>> errors = measured_errors(dense, pruned, [layer], [torch.tensor([[3.0, 1.0]])])
        >>> errors[""].round(12).tolist()
        [0.25]
    """
    layers = list(layers)
    stream, example = _peeked(stream)
    moved = {} if example is None else _moved_norms(dense, pruned, layers, example)
    known: dict[str, tuple[PrunableLayer, Tensor, Tensor, Float]] = {}
    errors: dict[str, Float] = {}
    for layer in (each.within(dense) for each in layers):
        module = layer_of(pruned, layer.name)
        if isinstance(module, TwoLayers) or not isinstance(getattr(module, "weight", None), Tensor):
            continue
        old, new = layer.weight, weight_of(module).detach().flatten(1)
        if new.shape != old.shape:
            continue
        bias = [m.bias.detach().double().cpu().numpy() if isinstance(m.bias, Tensor) else 0.0
                for m in (layer.module, module)]  # fmt: skip
        change = np.asarray(bias[1] - bias[0]) + moved.get(layer.name, 0.0)
        shift = np.broadcast_to(change, old.shape[:1])
        known[layer.name] = layer, old, new, shift
        errors[layer.name] = np.zeros(len(old))

    def see(name: str, given: Tensor) -> None:
        layer, old, new, shift = known[name]
        measure = there if multiplies(given.device) else here
        for tile in tiles(layer, rows_kept(layer, given.detach(), padding[0])):
            rows = (tile if measure is there else tile.cpu()).double()
            for group, part in parts(len(old), layer.groups, old.shape[1]):
                worst = measure(old[part], new[part], rows[group], shift[part])
                errors[name][part] = np.maximum(errors[name][part], worst)

    padding: list[Tensor | None] = [None]
    device = model_device(dense)
    with watching(dense, {name: each[0].module for name, each in known.items()}, see):
        for number, batch in enumerate(stream):
            if group is None or group.mine(number):
                padding[0] = padding_mask(mask, batch)
                forward(dense, batch.to(device), "calibration")
    if group is not None:
        errors = {n: group.maximum(torch.from_numpy(e)).cpu().numpy() for n, e in errors.items()}
    return errors


def multiplies(device: torch.device) -> bool:
    """Whether products in float64 are better made on a device than on the CPU."""
    return device.type == "cuda"  # no other has float64


def here(old: Tensor, new: Tensor, rows: Tensor, shift: Float) -> Float:
    """SP-12 on the CPU. Shapes: old, new (out, k), rows (n, k) float64 on the CPU, shift (out,)."""
    before, after = (w.double().cpu().numpy() for w in (old, new))
    return sipp_theory.measured_error(before, after, rows.numpy(), shift)


def there(old: Tensor, new: Tensor, rows: Tensor, shift: Float) -> Float:
    """SP-12 with its products on the tensors' device; the rest is the CPU's, shapes as for `here`.

    What is out of the usual range is done on the CPU throughout.

    Claim: SP-12. Source: [OWN].
    """
    before, after = old.double(), new.double()
    change, sizes = after - before, rows.abs()
    moved = torch.from_numpy(np.array(shift)).to(rows.device)
    if not all(_usual(each) for each in (rows, before, after, change, moved)):
        return here(old, new, rows.cpu(), shift)
    error, total = rows @ change.T, sizes @ before.abs().T
    ratio = (change / before).abs().masked_fill_(change == 0, 0.0).amax(dim=1)
    wide = ~ratio.isfinite() | (error + moved == 0).all(dim=0)
    spread = total * ratio.masked_fill(wide, 0.0)
    if bool(wide.any()):
        spread[:, wide] = sizes @ change[wide].abs().T
    error, total, spread = (each.cpu().numpy() for each in (error, total, spread))
    return sipp_theory.error_of_products(error, total, spread, shift, old.shape[1])


def _usual(values: Tensor) -> bool:
    """Whether no product or quotient of two such numbers leaves the range of float64."""
    size = values.abs()
    return bool(((size == 0) | ((size > SMALL) & (size < 1 / SMALL))).all())


def parts(out: int, groups: int, width: int) -> Iterator[tuple[int, slice]]:
    """Neurons in blocks of about BLOCK weights, each within a group, whose number comes first."""
    size, step = out // groups, max(1, BLOCK // width)
    for group in range(groups):
        for first in range(group * size, (group + 1) * size, step):
            yield group, slice(first, min(first + step, (group + 1) * size))


def _peeked(stream: Iterable[Given]) -> tuple[Iterable[Given], Given | None]:
    """The stream, and its first batch, None of an empty one."""
    batches = iter(stream)
    first = next(batches, None)
    return ([] if first is None else itertools.chain([first], batches)), first


def _moved_norms(
    dense: nn.Module, pruned: nn.Module, layers: list[PrunableLayer], example: Given
) -> dict[str, Float]:
    """By how much the BatchNorm behind each layer takes less off its output than before, (out,)."""
    places = dict(pruned.named_modules())

    def shift(name: str, old: Tensor) -> Float | None:
        new = getattr(places.get(name), "running_mean", None)
        if not isinstance(new, Tensor) or new.shape != old.shape or torch.equal(new, old):
            return None
        return (old.double() - new.double()).cpu().numpy()

    changed = {
        name: by
        for name, module in dense.named_modules()
        if isinstance(module, Norm)
        and isinstance(module.running_mean, Tensor)
        and (by := shift(name, module.running_mean)) is not None
    }
    if not changed:
        return {}
    around = look_around(dense, layers, example[:1])
    return {n: changed[p.norm_name] for n, p in around.items() if p.norm_name in changed}
