"""A pruned network in forms that other tools read, with its size on disk in each.

Zeros are zeros everywhere; what differs is who can read the file and whether it is any smaller.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import _TYPES
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from sipp_core.network.masks import unmask
from sipp_core.runtime.batch import Batch, Given
from sipp_core.runtime.execution import evaluating, model_device
from sipp_core.runtime.files import write_atomically
from sipp_core.runtime.isolation import isolated

KINDS = {kind: name for name, kind in _TYPES.items()}  # of dtypes, as safetensors spells them


@dataclass(frozen=True)
class Export:
    """A file that another tool reads.

    Attributes:
        path: the file.
        form: "dense", "torch-sparse" or "onnx".
        bytes: its size.
        dense: size of the same network as a dense safetensors file.
        notes: what a reader should know.
    """

    path: Path
    form: str
    bytes: int
    dense: int
    notes: tuple[str, ...]


def _dense(model: nn.Module, example: Given | None) -> tuple[bytes, list[str]]:
    return to_bytes(_state(model)), ["zeros are stored like any number: no smaller than before"]


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Every tensor of the state, in memory of its own."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }


def _dense_bytes(model: nn.Module) -> int:
    """Size of the safetensors file of the state_dict, of which only the header is formed.

    The header says of each tensor its name, dtype, shape and place: wider dtypes first, then by
    name.
    """
    state = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    order = sorted(state.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header, place = dict[str, object](), 0
    for name, value in order:
        end = place + value.numel() * value.element_size()
        header[name] = {
            "dtype": KINDS[value.dtype], "shape": list(value.shape), "data_offsets": [place, end],
        }  # fmt: skip
        place = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return 8 + -(-len(text) // 8) * 8 + place


def _torch_sparse(model: nn.Module, example: Given | None) -> tuple[bytes, list[str]]:
    """A state_dict in which matrices are CSR tensors where that is smaller."""
    state, notes = _state(model), list[str]()
    larger, shaped = list[str](), list[str]()
    for name, value in state.items():
        if value.ndim < 2 or not value.is_floating_point() or bool((value != 0).all()):
            continue
        if value.ndim > 2:
            shaped.append(name)
            continue
        sparse = _csr(value)
        parts = (sparse.crow_indices(), sparse.col_indices(), sparse.values())
        if sum(p.numel() * p.element_size() for p in parts) < value.numel() * value.element_size():
            state[name] = sparse
        else:
            larger.append(name)
    if larger:
        notes.append(f"left dense, as CSR with 4 bytes an index would be larger: {_listed(larger)}")
    if shaped:
        notes.append(f"left dense, as torch has no convolution by sparse ones: {_listed(shaped)}")
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue(), notes


def _listed(names: list[str]) -> str:
    """Some tensors, the first of them by name."""
    first, rest = ", ".join(names[:3]), len(names) - 3
    return first if rest <= 0 else f"{first} and {rest} more"


def _csr(matrix: Tensor) -> Tensor:
    """A matrix in compressed rows, its indices in 4 bytes."""
    rows, columns = matrix.nonzero(as_tuple=True)
    starts = torch.zeros(matrix.shape[0] + 1, dtype=torch.int32)
    starts[1:] = torch.bincount(rows, minlength=matrix.shape[0]).cumsum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            starts, columns.int(), matrix[rows, columns], matrix.shape, check_invariants=True
        )


def _onnx(model: nn.Module, example: Given | None) -> tuple[bytes, list[str]]:
    """An ONNX graph with dense weights, of any number of inputs."""
    if not isinstance(example, Tensor):
        raise ValueError("form 'onnx' needs example=, a tensor (n, ...) of inputs of the model")
    file: Any = io.BytesIO()
    some = example[:2].to(model_device(model))
    with evaluating(model), warnings.catch_warnings():
        # That exporter is an old one, and folds fewer constants of strided slices than it could.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding")
        torch.onnx.export(
            model, (some,), file, dynamo=False, input_names=["inputs"],
            output_names=["outputs"], dynamic_axes={"inputs": {0: "n"}, "outputs": {0: "n"}},
        )  # fmt: skip
    return file.getvalue(), [
        "weights are dense: ONNX knows sparse initialisers, and hardly any runtime reads them"
    ]


FORMS: Mapping[str, Callable[[nn.Module, Given | None], tuple[bytes, list[str]]]] = {
    "dense": _dense, "torch-sparse": _torch_sparse, "onnx": _onnx,
}  # fmt: skip


@isolated
def export(
    model: nn.Module, path: str | PathLike[str], form: str, *, example: Given | None = None
) -> Export:
    """Write a network in a form that another tool reads, atomically.

    Args:
        model: the network, such as `result.model`; masks are applied, it is not changed.
        path: the file.
        form: "dense", a safetensors file of the state_dict; "torch-sparse", a file of torch.save
            whose state_dict has matrices as CSR tensors (4 bytes an index) where that is smaller,
            for `torch.load(weights_only=True)`; or "onnx" (needs the package onnx).
        example: inputs (n, ...) of the model, for "onnx".

    Returns:
        The file, its size, the dense size, and what a reader should know.

    Raises:
        ImportError: onnx is not installed.
        OSError: the place cannot be written to.
        ValueError: an unknown form, or no example where one is needed.

    Example:
        >>> import tempfile
        >>> net = nn.Sequential(nn.Linear(100, 100, bias=False))
        >>> _ = nn.init.eye_(net[0].weight)
        >>> with tempfile.TemporaryDirectory() as place:
        ...     file = export(net, f"{place}/net.pt", "torch-sparse")
        ...     torch.load(file.path)["0.weight"].layout, file.bytes < file.dense / 10
        (torch.sparse_csr, True)
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}; found {form!r}")
    if isinstance(example, Batch):
        raise ValueError("form 'onnx' exports networks of one input; found a Batch")
    plain = unmask(model)
    content, notes = FORMS[form](plain, example)
    dense = len(content) if form == "dense" else _dense_bytes(plain)
    if len(content) >= dense and form != "dense":
        notes.append(f"no smaller than the dense file of {dense:,} bytes")
    written = write_atomically(path, content)
    return Export(written, form, len(content), dense, tuple(notes))
