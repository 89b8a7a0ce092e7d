"""A pruned network as one safetensors file: weights, report and checksum, in few bytes.

The file's header carries the report as JSON and a SHA-256 over it and every tensor, so a truncated
or altered file is refused. Nothing is unpickled, and nothing is used before it is known to be what
it should: the report by its schema, every size by the model that the caller gives. Zeros are left
out, and so is what the reader can compute: masks that are where weights are not 0, and plans, which
the same call of `prune` makes again. Short tensors are put together in one.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor

from sipp_core.pruning.header import (
    FORMAT,
    OPTIONAL_ARRAYS,
    PLAN_FIELDS,
    REPORT_ARRAYS,
    SCALARS,
)
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.saved_channels import channels_parts
from sipp_core.pruning.together import put_together
from sipp_core.runtime.files import write_atomically
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.packing import narrow_array, pack, pack_bits
from sipp_core.runtime.provenance import checksum


@isolated
def save(result: Any, path: str | PathLike[str], *, plans: bool = False) -> Path:
    """Write a pruned network with its report to one safetensors file, atomically.

    Args:
        result: what `prune` returned.
        path: the file; its folder is made if needed.
        plans: write the plans too, for drawing again without the calibration inputs; some 20 bytes
            for each weight, those that are gone included.

    Returns:
        The path.

    Raises:
        OSError: the place cannot be written to.
        TypeError: a module's extra state that is not made of numbers, text, lists and dicts.

    Example:
        >>> import sipp_core, tempfile; from torch import nn; from sipp_core import methods, prune
        >>> net = nn.Sequential(nn.Linear(4, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save(prune(net, torch.ones(2, 4), method=methods.SippDet(), keep=0.5),
        ...                 Path(folder) / "net.safetensors")
        ...     sipp_core.load(path, net).nnz_after
        4
    """
    tensors: dict[str, Tensor] = {}
    extra: dict[str, Any] = {}
    masked, implied = _masked(result), _implied(result)
    for name, value in result.model.state_dict().items():
        if not isinstance(value, Tensor):
            extra[name] = _plain(name, value)
        elif name not in {_joined(layer, "weight_mask") for layer in masked}:
            tensors |= pack(name, value)
    tensors |= {f"mask/{k}": pack_bits(v) for k, v in result.masks.items() if k not in implied}
    for plan in result.plans if plans else ():
        for name in PLAN_FIELDS:
            tensors[f"plan/{plan.name}/{name}"] = torch.from_numpy(np.asarray(getattr(plan, name)))
    for report in result.layers:
        known = (n for n in OPTIONAL_ARRAYS if getattr(report, n) is not None)
        for name in (*REPORT_ARRAYS, *known):
            array = narrow_array(np.asarray(getattr(report, name)))
            tensors[f"report/{report.name}/{name}"] = torch.from_numpy(array)
    channels, arrays = channels_parts(result)
    tensors |= arrays
    marks = np.frombuffer(b"".join(sorted(result.digests)), dtype=np.uint8).reshape(-1, 8)
    digests = torch.from_numpy(marks.copy())
    # safetensors refuses tensors that share memory; a state_dict of views would.
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    # The mark by which readers tell a saved network from other tensors stands by itself.
    tensors = put_together(tensors) | {"calibration/digests": digests}
    kept = result.plans if plans else ()
    fields = _report(result, kept, masked, implied, extra)
    if channels is not None:
        fields["channels"] = channels
    report = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    header = {"format": FORMAT, "report": report, "sha256": checksum(tensors, report)}
    # One key only: several are written in no fixed order, and equal results make equal files.
    content = to_bytes(tensors, metadata={"sipp": json.dumps(header, sort_keys=True)})
    return write_atomically(path, content)


def _joined(layer: str, leaf: str) -> str:
    return f"{layer}.{leaf}".lstrip(".")


def _plain(name: str, value: object) -> object:
    """A module's extra state, if JSON gives it back as it is."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        again = None
    if again != value or repr(again) != repr(value):
        raise TypeError(
            f"{name!r} of the model is a {type(value).__name__} that a file cannot hold; let "
            "get_extra_state return numbers, text, lists and dicts of them, or a tensor"
        )
    return value


def _masked(result: Any) -> list[str]:
    """Names of the pruned layers that carry weight_orig and weight_mask."""
    state = result.model.state_dict()
    return [k for k in result.masks if _joined(k, "weight_mask") in state]


def _implied(result: Any) -> list[str]:
    """Names of the layers whose mask is where their weight is not 0."""
    state, masked = result.model.state_dict(), _masked(result)
    names = []
    for name, mask in result.masks.items():
        weight = state.get(_joined(name, "weight"))
        same = weight is not None and weight.shape == mask.shape
        if name not in masked and same and torch.equal((weight != 0).cpu(), mask.cpu()):
            names.append(name)
    return names


def _report(
    result: Any, plans: tuple[LayerPlan, ...], masked: list[str], implied: list[str],
    extra: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    return {name: getattr(result, name) for name in SCALARS} | {
        "notes": list(result.notes),
        "claims": list(result.claims),
        "layers": [layer.summary() for layer in result.layers],
        "coupled": [plan.name for plan in plans if plan.coupled],
        "joint": [plan.name for plan in plans if plan.joint],
        "masked": masked,
        "implied": implied,
        "extra": extra,
        "structure": [asdict(change) for change in result.structure],
        "arguments": dict(result.arguments),
    }
