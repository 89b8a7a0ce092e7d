"""Which rows of a layer come from which input, found out by exchanging one input for another.

The statistic "support" counts inputs, so it must know that row k of a layer's n rows comes from
input k * batch // n. Shapes cannot tell: (sequence, batch, features) looks like (batch, sequence,
features). So one input of a few is replaced, and no row outside of its part may change.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer
from sipp_core.network.patches import row_count, tiles
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import forward, watching

# Inputs of the trial, of which the middle one is exchanged: few, as all layers' rows are held.
TRIAL, MIDDLE = 3, 1
# So many of a batch are looked through for the one that differs most.
LOOKED_AT = 64
Rows = dict[str, list[Tensor]]
ADVICE = "leave it out with layers=[...], or calibrate without 'support'"


def refuse_uneven(layer: PrunableLayer, given: Tensor, batch: int) -> None:
    """Refuse rows that cannot be shared out evenly among the inputs of a batch.

    Example:
        >>> refuse_uneven(PrunableLayer("fc", nn.Linear(2, 1), 1), torch.ones(6, 2), 3)
    """
    if (count := row_count(layer, given)) % batch:
        raise ValueError(
            f"layer {layer.name!r} received {count} rows (shape {tuple(given.shape)}) for {batch} "
            "inputs: its leading dimension is not the batch, so 'support' cannot tell which "
            f"input a row comes from; {ADVICE}"
        )


def refuse_mixed(model: nn.Module, layers: Sequence[PrunableLayer], batch: Given) -> bool:
    """Refuse layers whose rows do not stand in the order of the inputs.

    Two forward passes over three inputs of the batch.

    Shapes: batch (n, ...).

    Example:
        >>> net = nn.Linear(2, 1)
        >>> refuse_mixed(net, [PrunableLayer("", net, 1)], torch.eye(2))
        True
    """
    trial = _trial(batch)
    if trial is None:
        return False
    first, second = trial
    before, after = _received(model, layers, first), _received(model, layers, second)
    for layer in layers:
        for old, new in zip(before[layer.name], after[layer.name], strict=False):
            _compare(layer, old, new)
    return True


def _trial(batch: Given) -> tuple[Given, Given] | None:
    """Three inputs, and the same with the middle one exchanged; None if all inputs are alike."""
    parts = [batch] if isinstance(batch, Tensor) else batch.tensors
    seen = [part[:LOOKED_AT].flatten(1) for part in parts]
    differs = torch.stack([(part != part[:1]).sum(dim=1) for part in seen]).sum(dim=0)
    other = int(differs.argmax())
    if differs[other] == 0:
        return None
    # The middle one, as rows of the first stay in front whatever the order.
    return batch[[other, 0, other]], batch[[other, other, other]]


def _received(model: nn.Module, layers: Sequence[PrunableLayer], batch: Given) -> Rows:
    """Run the model once; return the inputs of every call of every layer."""
    rows: Rows = {layer.name: [] for layer in layers}
    modules = {layer.name: layer.module for layer in layers}
    with watching(model, modules, lambda name, given: rows[name].append(given.detach().clone())):
        forward(model, batch.clone(), "calibration")
    return rows


def _compare(layer: PrunableLayer, old: Tensor, new: Tensor) -> None:
    """Refuse a call whose rows changed outside of the middle input's part."""
    refuse_uneven(layer, old, TRIAL)
    if old.shape != new.shape:
        raise ValueError(
            f"layer {layer.name!r} receives rows according to what the inputs are: another input "
            f"gave {tuple(new.shape)} for {tuple(old.shape)}, so 'support' cannot tell which "
            f"input a row comes from; {ADVICE}"
        )
    pairs = zip(tiles(layer, old), tiles(layer, new), strict=True)
    changed = torch.cat([(a != b).flatten(2).any(dim=2).any(dim=0) for a, b in pairs])
    part = len(changed) // TRIAL
    strange = changed.clone()
    strange[MIDDLE * part : (MIDDLE + 1) * part] = False
    if strange.any():
        raise ValueError(
            f"layer {layer.name!r} receives rows of shape {tuple(old.shape)} that are not in the "
            f"order of the inputs (sequence first?): input {MIDDLE} of {TRIAL} changes row "
            f"{int(strange.nonzero()[0])} of {len(changed)}, so 'support' cannot tell which "
            f"input a row comes from; make its leading dimension the batch, {ADVICE}"
        )
