"""Read a saved network: nothing of a file is used before it is known to be what it should be.

The report is checked by its schema, every size by the model that the caller gives.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import custom_from_mask

from sipp_core.filters.result import FilterReport
from sipp_core.network.layers import weight_of
from sipp_core.network.packed import layer_of
from sipp_core.network.selection import places
from sipp_core.network.structure import Change, restructure
from sipp_core.pruning.header import (
    FORMAT,
    OLD_FORMAT,
    OPTIONAL_ARRAYS,
    PLAN_FIELDS,
    REPORT_ARRAYS,
    SCALARS,
    read_report,
)
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.result import LayerReport, PruneResult
from sipp_core.pruning.saved_channels import read_channels
from sipp_core.pruning.together import take_apart
from sipp_core.runtime.arguments import refuse_no_module
from sipp_core.runtime.execution import uncompiled
from sipp_core.runtime.files import read_bytes
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.packing import FORMS, unpack, unpack_bits, widen_array
from sipp_core.runtime.provenance import Provenance, checksum, remember
from sipp_core.runtime.tensor_files import metadata_of, read_safetensors, with_versions

_FLAGS = ("positive", "nonzero", "dead", "whole")
_PER_PAIR = ("draws", "eps", "dead", "whole", "scale")


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = read_bytes(path, "saved network")
    text = metadata_of(content, str(path)).get("sipp", "{}")
    try:
        header = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        header = None
    tensors = read_safetensors(content, str(path))
    kind = header.get("format") if isinstance(header, dict) else None
    if not isinstance(header, dict) or kind not in (OLD_FORMAT, FORMAT):
        raise ValueError(f"{path} was not written by sipp: format is {kind!r}")
    text = header.get("report")
    if not isinstance(text, str) or checksum(tensors, text) != header.get("sha256"):
        raise ValueError(f"{path} has been altered: its checksum does not match; save it again")
    report = read_report(text, str(path))
    if kind == OLD_FORMAT:  # what is dense there has the new names of it
        tensors = {_renamed(name): tensor for name, tensor in tensors.items()}
    return take_apart(tensors, str(path)), report


def _renamed(name: str) -> str:
    return "dense/" + name.removeprefix("model/") if name.startswith("model/") else name


@isolated
def load(path: str | PathLike[str], model: nn.Module) -> PruneResult:
    """Read a saved network into a copy of a model of the same architecture.

    The model is the budget: a file that asks for more than it has is refused before anything is
    made.

    Args:
        path: file written by `PruneResult.save`.
        model: the architecture; not changed (a deep copy receives the weights).

    Returns:
        The result as it was saved, its plans only if they were.

    Raises:
        FileNotFoundError: no such file.
        TypeError: a model that is none.
        ValueError: a truncated, altered or foreign file, or a model whose parameters differ.

    Example:
        >>> load("no/such/file", nn.Linear(1, 1))
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no saved network at no/such/file
    """
    refuse_no_module(model)
    source, model = Path(path), uncompiled(model)
    tensors, report = _read(source)
    changes = tuple(
        Change(c["name"], c["kind"], tuple(c["sizes"])) for c in report.get("structure", [])
    )
    try:
        _refuse_larger(report, model)
        new = restructure(copy.deepcopy(model), changes)
        masks = _fill(new, tensors, report)
        channels, by_layer = read_channels(report.get("channels"), tensors, model, new, changes)
        layers, plans = _layers(tensors, report, by_layer)
        digests = _digests(tensors)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        fault = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{source} does not fit the model: {fault}") from error
    remember(new, Provenance(digests, report["seed"]))
    return PruneResult(
        model=new,
        layers=layers,
        **{name: report[name] for name in SCALARS},
        notes=tuple(report["notes"]),
        claims=tuple(report["claims"]),
        masks=masks,
        plans=plans,
        digests=digests,
        structure=changes,
        arguments=report.get("arguments", {}),
        channels=channels,
    )


def _refuse_larger(report: Mapping[str, Any], model: nn.Module) -> None:
    """Refuse layers that the model has not, or that are larger than its own."""
    modules = {place.name: place.module for place in places(model)}
    for entry in report["layers"]:
        module = modules.get(entry["name"])
        weight = getattr(module, "weight_orig", getattr(module, "weight", None))
        if not isinstance(weight, Tensor):
            raise ValueError(f"the model has no layer {entry['name']!r}")
        size, most = entry["shape"][0] * entry["shape"][1], weight.numel()
        if size > most:
            raise ValueError(f"layer {entry['name']!r} has {most} weights, the saved one {size}")
        if entry["nnz_before"] > 2 * most or entry["nnz_after"] > 2 * most:
            raise ValueError(f"layer {entry['name']!r} has {most} weights, fewer than are counted")


def _fill(
    new: nn.Module, tensors: Mapping[str, Tensor], report: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Give a copy of the model the tensors of the file; its masks."""
    modules = {place.name: place.module for place in places(new)}
    masks = dict[str, Tensor]()
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "mask":
            module = modules.get(name)
            if module is None or not isinstance(getattr(module, "weight", None), Tensor):
                raise ValueError(f"it has no layer {name!r}")
            shape = tuple(weight_of(module).shape)
            old = tensor.dtype == torch.bool
            if old and tuple(tensor.shape) != shape:
                raise ValueError(
                    f"layer {name!r} has shape {shape}, the saved one {tuple(tensor.shape)}"
                )
            masks[name] = tensor if old else unpack_bits(tensor, shape)
    for name in report["masked"]:
        if not isinstance(getattr(modules.get(name), "weight", None), Tensor):
            raise ValueError(f"it has no layer {name!r}")
        custom_from_mask(modules[name], "weight", masks[name])
    own = new.state_dict()
    state: dict[str, Any] = {}
    for name, value in own.items():
        unpacked = unpack(name, tensors, value) if isinstance(value, Tensor) else None
        if not isinstance(value, Tensor):
            if name in report.get("extra", {}):
                state[name] = report["extra"][name]
        elif unpacked is not None:
            if unpacked.dtype != value.dtype:
                raise ValueError(
                    f"{name!r} is {value.dtype}, the saved one {unpacked.dtype}; convert the model "
                    "first"
                )
            state[name] = unpacked
        elif name.endswith("weight_mask") and name[:-12].rstrip(".") in report["masked"]:
            state[name] = value
    known = {*own, *report.get("extra", {})}
    strange = {k.partition("/")[2] for k in tensors if k.partition("/")[0] in ("dense", *FORMS)}
    if unknown := sorted(strange - known):
        raise ValueError(f"it has no {unknown[0]!r}")
    try:
        new.load_state_dict(with_versions(state, new))
    except Exception as error:  # whatever a module of the user's own makes of another's state
        raise ValueError(str(error)) from error
    for name in report["masked"]:
        # The masked weight is otherwise recomputed only in the next forward pass.
        module = new.get_submodule(name)
        orig, mask = module.get_parameter("weight_orig"), module.get_buffer("weight_mask")
        module.weight = orig.detach() * mask
    for name in report.get("implied", []):
        masks[name] = weight_of(layer_of(new, name)).detach() != 0
    order = [entry["name"] for entry in report["layers"] if entry["name"] in masks]
    return {name: masks[name] for name in [*order, *(k for k in masks if k not in order)]}


def _layers(
    tensors: Mapping[str, Tensor], report: Mapping[str, Any], channels: Mapping[str, FilterReport]
) -> tuple[tuple[LayerReport, ...], tuple[LayerPlan, ...]]:
    layers, plans = [], []
    for entry in report["layers"]:
        name, (out, fan_in) = entry["name"], entry["shape"]
        known = (f for f in OPTIONAL_ARRAYS if f"report/{name}/{f}" in tensors)
        arrays: dict[str, Any] = {}
        for field in (*REPORT_ARRAYS, *known):
            shape = (out,) if field in ("eps_neuron", *OPTIONAL_ARRAYS) else (2, out)
            dtype = np.dtype(np.int64 if field == "budgets" else np.float64)
            key = f"report/{name}/{field}"
            arrays[field] = widen_array(key, tensors[key], shape, dtype)
        shape = (out, fan_in)
        layers.append(
            LayerReport(**entry | {"shape": shape}, **arrays, channels=channels.get(name))
        )
        if f"plan/{name}/scores" not in tensors:
            continue  # new weights were written, or the plans were not saved
        parts = []
        for field in PLAN_FIELDS:
            part = tensors[f"plan/{name}/{field}"].numpy()
            shape = (2, out) if field in _PER_PAIR else (out, fan_in)
            kind = bool if field in _FLAGS else np.float64
            if part.shape != shape or part.dtype != kind:
                raise ValueError(f"the plan of layer {name!r} has {field} of {part.shape}")
            parts.append(part)
        coupled, joint = (name in report.get(key, ()) for key in ("coupled", "joint"))
        plans.append(LayerPlan(name, *parts, coupled=coupled, joint=joint))
    return tuple(layers), tuple(plans)


def _digests(tensors: Mapping[str, Tensor]) -> frozenset[bytes]:
    marks = tensors["calibration/digests"].numpy()
    if marks.dtype != np.uint8 or marks.ndim != 2 or marks.shape[1] != 8:
        raise ValueError(f"its fingerprints of inputs are {marks.dtype} {marks.shape}")
    return frozenset(row.tobytes() for row in marks)
