"""What became of whole channels, in the file of a saved network and back.

The report holds whole numbers, promises and names; indices and multipliers are tensors. Shapes and
numbers of parameters stand in the two models, and no file asks for more than they have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.filters.result import Channels, FilterReport, GroupReport
from sipp_core.network.cost import parameter_count
from sipp_core.network.packed import layer_of
from sipp_core.network.structure import Change, channel_shape
from sipp_core.runtime.packing import narrow_array, widen_array

_LAYER = ("zeroed", "eps", "multiply_adds_before", "multiply_adds_after")
_WHOLE = ("whole", "multiply_adds_before", "multiply_adds_after")


def channels_parts(result: Any) -> tuple[dict[str, Any] | None, dict[str, Tensor]]:
    """The report's entry and the tensors; None and none where a method removes no channels."""
    if result.channels is None:
        return None, {}
    layers, arrays = {}, dict[str, np.ndarray]()
    for report in (r.channels for r in result.layers if r.channels is not None):
        layers[report.name] = {name: getattr(report, name) for name in _LAYER} | {
            "filters": len(report.kept_filters), "inputs": len(report.kept_inputs)
        }  # fmt: skip
        for name in ("kept_filters", "kept_inputs", "multiplier"):
            arrays[f"report/{report.name}/{name}"] = getattr(report, name)
    for i, group in enumerate(result.channels.groups):
        arrays[f"group/{i}/sensitivity"] = group.sensitivity
    entry = {name: getattr(result.channels, name) for name in _WHOLE} | {
        "groups": [group.summary() for group in result.channels.groups], "layers": layers
    }  # fmt: skip
    return entry, {k: torch.from_numpy(narrow_array(v)) for k, v in arrays.items()}


def read_channels(
    entry: Mapping[str, Any] | None, tensors: Mapping[str, Tensor], model: nn.Module,
    new: nn.Module, changes: tuple[Change, ...],
) -> tuple[Channels | None, dict[str, FilterReport]]:  # fmt: skip
    """What `channels_parts` was given: of the network, and of its layers by name.

    Raises:
        ValueError, TypeError, AttributeError: layers or sizes that the models have not.
        KeyError: a tensor is missing.
    """
    if entry is None:
        return None, {}
    layers = {}
    for name, numbers in entry["layers"].items():
        before = channel_shape(layer_of(model, name))
        layers[name] = FilterReport(
            name, before, channel_shape(layer_of(new, name)),
            kept_filters=_indices(tensors, name, "kept_filters", numbers["filters"], before[0]),
            kept_inputs=_indices(tensors, name, "kept_inputs", numbers["inputs"], before[1]),
            multiplier=_array(tensors, f"report/{name}/multiplier", before[1], np.float64),
            **{field: numbers[field] for field in _LAYER},
        )  # fmt: skip
    producers = sorted({name for group in entry["groups"] for name in group["producers"]})
    most = sum(channel_shape(layer_of(model, name))[0] for name in producers)
    if (units := sum(group["units"] for group in entry["groups"])) > most:
        raise ValueError(f"{', '.join(producers)} have {most} channels, fewer than {units} saved")
    groups = []
    for i, group in enumerate(entry["groups"]):
        shares = _array(tensors, f"group/{i}/sensitivity", group["units"], np.float64)
        names = {name: tuple(group[name]) for name in ("producers", "consumers", "frozen")}
        groups.append(GroupReport(sensitivity=shares, **group | names))
    return Channels(
        tuple(groups),
        shapes={c.name: (c.sizes[0], c.sizes[1]) for c in changes if c.kind == "narrow"},
        parameters_before=parameter_count(model), parameters_after=parameter_count(new),
        **{name: entry[name] for name in _WHOLE},
    ), layers  # fmt: skip


def _array(tensors: Mapping[str, Tensor], key: str, size: int, dtype: Any) -> np.ndarray:
    return widen_array(key, tensors[key], (size,), np.dtype(dtype))


def _indices(
    tensors: Mapping[str, Tensor], layer: str, what: str, size: int, most: int
) -> np.ndarray:
    """Indices below `most`, ascending."""
    if size > most:
        raise ValueError(f"layer {layer!r} has {most} channels, fewer than its {what}")
    indices = _array(tensors, f"report/{layer}/{what}", size, np.int64)
    if size and not (indices[0] >= 0 and indices[-1] < most and (np.diff(indices) > 0).all()):
        raise ValueError(f"{what} of layer {layer!r} are no channels of it, each once, in order")
    return indices
