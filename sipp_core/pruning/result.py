"""What a pruning run hands back, and its file: one safetensors file, report and checksum in it.

The file's header carries the report as JSON and a SHA-256 over it and every tensor, so a truncated
or altered file is refused. Nothing is unpickled.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.utils.prune import custom_from_mask

from sipp_core.filters.result import Channels, FilterReport
from sipp_core.network.structure import Change, restructure
from sipp_core.pruning.plan import LayerPlan
from sipp_core.runtime.files import read_bytes, write_atomically
from sipp_core.runtime.numbers import Float
from sipp_core.runtime.provenance import Provenance, checksum, remember
from sipp_core.runtime.tensor_files import metadata_of, read_safetensors, with_versions

FORMAT = "sipp-theory pruned network 1"
PLAN_FIELDS = ("scores", "positive", "nonzero", "probability", "draws", "eps", "dead", "whole",
               "scale")  # fmt: skip
REPORT_ARRAYS = ("eps_neuron", "budgets", "draws", "sensitivity_sum")
# Not in every file.
OPTIONAL_ARRAYS = ("measured_neuron",)
SCALARS = ("method", "seed", "keep", "scope", "eps", "delta", "bound", "coverage_factor", "inputs",
           "distinct", "vacuous", "holds_for", "versions", "original")  # fmt: skip


def _of_channels(report: object, channels: object, name: str) -> Any:
    """A field that stood in a result of its own for filters until 0.2."""
    if name.startswith("__") or not hasattr(channels, name):
        raise AttributeError(f"{type(report).__name__} has no attribute {name!r}")
    text = f".{name} goes in the next release; write .channels.{name}"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
    return getattr(channels, name)


@dataclass(frozen=True, eq=False)
class LayerReport:
    """What pruning did to one layer.

    Attributes:
        name: qualified name of the layer.
        shape: (out, fan_in) of its matrix.
        nnz_before: nonzero weights before.
        nnz_after: nonzero weights after; of both factors of a low-rank layer.
        eps: worst relative error promised over the layer's neurons (0: exact; >= 1: vacuous).
        eps_neuron: (out,) float64 promised |z^ - z| <= eps z~ per neuron (SP-9).
        budgets: (2, out) int64 weights left per (sign, neuron), positive sign first.
        draws: (2, out) float64 draws with replacement (0: not drawn).
        sensitivity_sum: (2, out) float64 S_sum.
        whole: neurons kept whole.
        dead: neurons no input of the calibration set ever reached; their weights are removed, which
            is exact on that set.
        removed: neurons removed with their edges (CoreNet+).
        vacuous_neurons: neurons whose promise is 1 or more.
        measured: worst |z^ - z|/z~ over the neurons and over all rows of the calibration set, of
            the weights as stored (SP-12): certain there, and nothing is said of other inputs; None
            where the inputs could not be run again or the layer has another shape.
        measured_neuron: (out,) float64, the same per neuron.
        channels: what became of its channels, where a method removes whole ones.
    """

    name: str
    shape: tuple[int, int]
    nnz_before: int
    nnz_after: int
    eps: float
    eps_neuron: Float
    budgets: np.ndarray
    draws: Float
    sensitivity_sum: Float
    whole: int
    dead: int
    removed: int
    vacuous_neurons: int
    measured: float | None = None
    measured_neuron: Float | None = None
    channels: FilterReport | None = None

    def __getattr__(self, name: str) -> Any:
        return _of_channels(self, vars(self).get("channels"), name)

    def summary(self) -> dict[str, object]:
        """Numbers of the report that fit a line, ready for JSON."""
        left_out = (*REPORT_ARRAYS, *OPTIONAL_ARRAYS, "channels", "shape")
        parts: dict[str, object] = {k: v for k, v in vars(self).items() if k not in left_out}
        return parts | {"shape": list(self.shape)}


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned model with everything needed to reproduce it and to know what it promises.

    Attributes:
        model: new model of the same class; the given one was not touched.
        layers: one report a pruned layer.
        method: method name.
        seed: seed of every draw.
        keep: fraction of prunable weights asked for, or None in guarantee mode.
        scope: "layer" or "global" (budget mode).
        eps: relative error asked for, or None in budget mode.
        delta: failure probability of the promises: per neuron and input; per network for CoreNet's
            own mode.
        bound: bound that made the promises.
        coverage_factor: C assumed of fresh inputs (1: the promises speak of calibration inputs).
        inputs: calibration inputs seen.
        distinct: distinct ones among them.
        vacuous: guarantee mode: no weight could be dropped but dead ones; budget mode: some neuron
            is promised nothing (eps >= 1).
        holds_for: in words, which inputs the promises speak of and with what probability.
        notes: what a reader should know (vacuous bounds and their factors, dead neurons, dtypes).
        claims: THEORY ids that the promises rest on.
        versions: versions of the packages used.
        original: fingerprint of the network that was pruned (SHA-256 of its state).
        masks: bool masks of the kept weights by layer name; none of a low-rank layer.
        plans: how each layer was sparsified, for drawing again; empty where a method writes new
            weights.
        digests: fingerprints of the calibration inputs.
        structure: layers that have another shape than in the network that was pruned.
        arguments: the other arguments of the call, the parameters of the method among them; empty
            for a file of an older release.
        channels: what became of whole channels, where the method removes them; not in the file.
    """

    model: nn.Module
    layers: tuple[LayerReport, ...]
    method: str
    seed: int
    keep: float | None
    scope: str
    eps: float | None
    delta: float
    bound: str
    coverage_factor: float
    inputs: int
    distinct: int
    vacuous: bool
    holds_for: str
    notes: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str]
    original: str
    masks: dict[str, Tensor] = field(repr=False)
    plans: tuple[LayerPlan, ...] = field(repr=False)
    digests: frozenset[bytes] = field(repr=False)
    structure: tuple[Change, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict)
    channels: Channels | None = None

    def __getattr__(self, name: str) -> Any:
        return _of_channels(self, vars(self).get("channels"), name)

    @property
    def nnz_before(self) -> int:
        """Nonzero prunable weights before."""
        return sum(layer.nnz_before for layer in self.layers)

    @property
    def nnz_after(self) -> int:
        """Nonzero prunable weights after."""
        return sum(layer.nnz_after for layer in self.layers)

    @property
    def kept(self) -> float:
        """Fraction of the prunable weights that are left."""
        size = sum(layer.shape[0] * layer.shape[1] for layer in self.layers)
        return self.nnz_after / size

    def save(self, path: str | PathLike[str]) -> Path:
        """Write weights and report to one safetensors file, atomically; see `sipp_core.load`."""
        return save(self, path)

    def summary(self) -> dict[str, object]:
        """Everything but arrays and weights, ready for JSON."""
        names = (*SCALARS, "nnz_before", "nnz_after", "kept")
        parts: dict[str, object] = {} if self.channels is None else self.channels.summary()
        return (
            {name: getattr(self, name) for name in names}
            | parts
            | {
                "notes": list(self.notes),
                "claims": list(self.claims),
                "arguments": dict(self.arguments),
                "layers": [
                    layer.summary() | ({} if layer.channels is None else layer.channels.summary())
                    for layer in self.layers
                ],
            }
        )


def save(result: PruneResult, path: str | PathLike[str]) -> Path:
    """Write a pruned network with its report to one safetensors file, atomically.

    Args:
        result: what `prune` returned.
        path: the file; its folder is made if needed.

    Returns:
        The path.

    Raises:
        OSError: the place cannot be written to.

    Example:
        >>> import tempfile; from sipp_core import methods, prune
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save(prune(net, torch.ones(2, 4), method=methods.SippDet(), keep=0.5),
        ...                 Path(folder) / "net.safetensors")
        ...     load(path, net).nnz_after
        4
    """
    tensors = {
        f"model/{k}": v for k, v in result.model.state_dict().items() if isinstance(v, Tensor)
    }
    tensors |= {f"mask/{k}": v for k, v in result.masks.items()}
    for plan in result.plans:
        for name in PLAN_FIELDS:
            tensors[f"plan/{plan.name}/{name}"] = torch.from_numpy(np.asarray(getattr(plan, name)))
    for report in result.layers:
        known = (n for n in OPTIONAL_ARRAYS if getattr(report, n) is not None)
        for name in (*REPORT_ARRAYS, *known):
            array = np.asarray(getattr(report, name))
            tensors[f"report/{report.name}/{name}"] = torch.from_numpy(array)
    marks = np.frombuffer(b"".join(sorted(result.digests)), dtype=np.uint8).reshape(-1, 8)
    tensors["calibration/digests"] = torch.from_numpy(marks.copy())
    # safetensors refuses tensors that share memory; a state_dict of views would.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    report = json.dumps(_report(result), sort_keys=True)
    header = {"format": FORMAT, "report": report, "sha256": checksum(tensors, report)}
    # One key only: several are written in no fixed order, and equal results make equal files.
    content = to_bytes(tensors, metadata={"sipp": json.dumps(header, sort_keys=True)})
    return write_atomically(path, content)


def _masked(result: PruneResult) -> list[str]:
    """Names of the pruned layers that carry weight_orig and weight_mask."""
    state = result.model.state_dict()
    return [k for k in result.masks if f"{k}.weight_mask".lstrip(".") in state]


def _report(result: PruneResult) -> dict[str, Any]:
    layers = [layer.summary() for layer in result.layers]
    return {name: getattr(result, name) for name in SCALARS} | {
        "notes": list(result.notes),
        "claims": list(result.claims),
        "layers": layers,
        "coupled": [plan.name for plan in result.plans if plan.coupled],
        "joint": [plan.name for plan in result.plans if plan.joint],
        "masked": _masked(result),
        "structure": [asdict(change) for change in result.structure],
        "arguments": dict(result.arguments),
    }


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = read_bytes(path, "saved network")
    header = json.loads(metadata_of(content, str(path)).get("sipp", "{}"))
    tensors = read_safetensors(content, str(path))
    if header.get("format") != FORMAT:
        raise ValueError(f"{path} was not written by sipp: format is {header.get('format')!r}")
    if checksum(tensors, header.get("report", "")) != header.get("sha256"):
        raise ValueError(f"{path} has been altered: its checksum does not match; save it again")
    return tensors, json.loads(header["report"])


def _wear_masks(model: nn.Module, masks: dict[str, Tensor], source: Path) -> None:
    """Give layers the weight_orig and weight_mask that the file has for them."""
    modules = dict(model.named_modules())
    for name, mask in masks.items():
        weight = getattr(modules.get(name), "weight", None)
        if not isinstance(weight, Tensor):
            raise ValueError(f"{source} does not fit the model: it has no layer {name!r}")
        if weight.shape != mask.shape:
            raise ValueError(
                f"{source} does not fit the model: layer {name!r} has shape "
                f"{tuple(weight.shape)}, the saved one {tuple(mask.shape)}"
            )
        custom_from_mask(modules[name], "weight", mask)


def load(path: str | PathLike[str], model: nn.Module) -> PruneResult:
    """Read a saved network into a copy of a model of the same architecture.

    Args:
        path: file written by `PruneResult.save`.
        model: the architecture; not changed (a deep copy receives the weights).

    Returns:
        The result as it was saved.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a truncated, altered or foreign file, or a model whose parameters differ.

    Example:
        >>> load("no/such/file", nn.Linear(1, 1))
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no saved network at no/such/file
    """
    source = Path(path)
    tensors, report = _read(source)
    state = {k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")}
    masks = {k.removeprefix("mask/"): v for k, v in tensors.items() if k.startswith("mask/")}
    changes = tuple(
        Change(c["name"], c["kind"], tuple(c["sizes"])) for c in report.get("structure", [])
    )
    try:
        new = restructure(copy.deepcopy(model), changes)
    except ValueError as error:
        raise ValueError(f"{source} does not fit the model: {error}") from error
    _wear_masks(new, {name: masks[name] for name in report["masked"]}, source)
    for name, tensor in new.state_dict().items():
        if name in state and tensor.dtype != state[name].dtype:
            raise ValueError(
                f"{source} does not fit the model: {name!r} is {tensor.dtype}, the saved one "
                f"{state[name].dtype}; convert the model first"
            )
    try:
        new.load_state_dict(with_versions(state, new))
    except RuntimeError as error:
        raise ValueError(f"{source} does not fit the model: {error}") from error
    for name in report["masked"]:
        # The masked weight is else made anew only in the next forward pass.
        module = new.get_submodule(name)
        orig, mask = module.get_parameter("weight_orig"), module.get_buffer("weight_mask")
        module.weight = orig.detach() * mask
    layers, plans = [], []
    for entry in report["layers"]:
        name = entry["name"]
        known = (f for f in OPTIONAL_ARRAYS if f"report/{name}/{f}" in tensors)
        arrays: dict[str, Any] = {
            f: tensors[f"report/{name}/{f}"].numpy() for f in (*REPORT_ARRAYS, *known)
        }
        entry["shape"] = (entry["shape"][0], entry["shape"][1])
        layers.append(LayerReport(**entry, **arrays))
        if f"plan/{name}/scores" not in tensors:
            continue  # new weights were written; nothing was drawn
        plans.append(
            LayerPlan(
                name,
                *(tensors[f"plan/{name}/{f}"].numpy() for f in PLAN_FIELDS),
                coupled=name in report["coupled"],
                joint=name in report.get("joint", ()),
            )
        )
    digests = frozenset(row.tobytes() for row in tensors["calibration/digests"].numpy())
    remember(new, Provenance(digests, report["seed"]))
    return PruneResult(
        model=new,
        layers=tuple(layers),
        **{name: report[name] for name in SCALARS},
        notes=tuple(report["notes"]),
        claims=tuple(report["claims"]),
        masks=masks,
        plans=tuple(plans),
        digests=digests,
        structure=changes,
        arguments=report.get("arguments", {}),
    )
