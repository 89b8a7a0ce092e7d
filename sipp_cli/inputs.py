"""Reading what the user names: arrays, calibration and held-out inputs, and places to write to."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sipp_core.runtime import Batch
    from sipp_core.zoo import Dataset

Array = np.ndarray[Any, Any]
Chosen = TypeVar("Chosen", "Tensor", "Tensor | Batch")

SUFFIXES = (".npz", ".npy", ".pt")
# Names under which the inputs of an archive of several arrays are looked for.
INPUT_NAMES = ("inputs", "x", "X")
# Names of what the network should answer.
TARGET_NAMES = ("targets", "y", "Y", "labels")
# Held-out inputs must stay held out whatever the seed of a run: the split has a seed of its own.
SPLIT_SEED = 0


def _member(names: list[str], path: Path) -> str:
    """Name of the array to take from an archive where one is meant."""
    if len(names) == 1:
        return names[0]
    for name in INPUT_NAMES:
        if name in names:
            return name
    raise ValueError(
        f"{path} holds {len(names)} arrays ({', '.join(sorted(names)) or 'none'}); "
        f"name the one that holds the inputs {INPUT_NAMES[0]!r}"
    )


def array(path: Path) -> Array:
    """Read one array from a .npy file, or from a .npz file that says which one is meant."""
    from sipp_core.runtime import read_arrays

    (only,) = read_arrays(path, lambda names: [_member(names, path)]).values()
    return only


def _numbers(values: Array, path: Path) -> Tensor:
    """An array as a tensor of its own memory and byte order."""
    import torch

    if values.dtype.kind not in "fiub":
        raise TypeError(f"{path} must hold real numbers; found dtype {values.dtype}")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    return torch.from_numpy(np.array(values, values.dtype.newbyteorder("="), order="C"))


def _pt(path: Path) -> Any:
    from sipp_core.runtime import most_unpacked, read_bytes, read_torch

    content = read_bytes(path)
    return read_torch(content, str(path), most_unpacked(content))


def _roles(names: list[str], path: Path, model: nn.Module | None) -> dict[str, str]:
    """What arrays of an archive are, by their names: forward's own, or inputs and targets."""
    known = set() if model is None else set(inspect.signature(model.forward).parameters)
    roles = {name: name for name in names}
    if not set(names) - set(TARGET_NAMES) <= known:
        roles[_member(sorted(set(names) - set(TARGET_NAMES)), path)] = "inputs"
    targets = [name for name in TARGET_NAMES if name in roles and name not in known]
    if len(targets) > 1:
        raise ValueError(f"{path} names targets twice ({', '.join(targets)}); keep one of them")
    roles |= dict.fromkeys(targets, "targets")
    strange = sorted(set(roles.values()) - {"inputs", "targets"} - known)
    if strange:
        raise ValueError(
            f"{path} holds {', '.join(map(repr, strange))} beside the inputs, which forward does "
            f"not take; it takes {', '.join(sorted(known))}; targets are named {TARGET_NAMES[0]!r}"
        )
    return roles


def _named(fields: dict[str, Any], path: Path, model: nn.Module | None) -> dict[str, Any]:
    """The arrays of an archive by what they are."""
    return {role: fields[name] for name, role in _roles(list(fields), path, model).items()}


def read(path: Path, model: nn.Module | None = None) -> Tensor | Batch:
    """Read inputs (n, ...) from a .npz, .npy or .pt file and refuse what no network can take.

    A list in a .pt file is batches, all of them; arrays of several names are what the model's
    forward takes by these names, or inputs and targets.
    """
    import torch

    from sipp_core.runtime import read_arrays, read_whole

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    held: Any = (
        _pt(path)
        if path.suffix == ".pt"
        else read_arrays(
            path, lambda names: names if len(names) == 1 else _roles(names, path, model)
        )
    )
    if isinstance(held, dict):
        held = {
            str(name): value if isinstance(value, torch.Tensor) else _plain(value, path)
            for name, value in held.items()
        }
        if len(held) == 1:
            held = next(iter(held.values()))
    if isinstance(held, torch.Tensor) and held.ndim == 0:
        raise ValueError(f"{path} holds no inputs: its shape is {tuple(held.shape)}")
    # A list is batches; two tensors of other shapes, one entry an input each, are a pair.
    pair = isinstance(held, tuple) and len(held) == 2 and _shape(held[0]) != _shape(held[1])
    batches = held if isinstance(held, list | tuple) and not pair else [held]
    try:
        inputs = read_whole(
            [_named(dict(b), path, model) if isinstance(b, dict) else b for b in batches], str(path)
        )
    except TypeError as error:
        raise TypeError(
            f"{path} must hold a tensor of inputs, or batches of them: {error}"
        ) from error
    for values in (inputs,) if isinstance(inputs, torch.Tensor) else inputs.tensors:
        _refuse_useless(values, path)
    return inputs


def _shape(value: Any) -> tuple[int, ...] | None:
    return tuple(getattr(value, "shape", ())) or None


def _plain(value: Any, path: Path) -> Any:
    return _numbers(value, path) if isinstance(value, np.ndarray) else value


def _refuse_useless(values: Tensor, path: Path) -> None:
    """Refuse no numbers at all, and numbers that are not finite."""
    if values.ndim == 0 or values.numel() == 0:
        raise ValueError(f"{path} holds no inputs: its shape is {tuple(values.shape)}")
    if values.is_complex():
        raise TypeError(f"{path} must hold real numbers; found dtype {values.dtype}")
    bad = ~values.isfinite()
    if bad.any():
        index = tuple(int(i) for i in bad.nonzero()[0])
        raise ValueError(f"{path} holds {values[index].item()} at index {index}; repair that input")


def data_folder(data_dir: Path | None) -> Path | str | None:
    """The folder of data files that the option or the environment names."""
    return data_dir or os.environ.get("SIPP_DATA_DIR") or None


def dataset(name: str, data_dir: Path | None, flat: bool) -> Dataset:
    """Load a data set by name, always with the same split."""
    from sipp_core.zoo import datasets

    return datasets.load(name, data_dir, seed=SPLIT_SEED, flat=flat)


def is_dataset(source: str) -> bool:
    """Whether a word names a data set; refuse a word that names neither one nor a file."""
    from sipp_core.zoo import datasets

    if source in datasets.SOURCES:
        return True
    if Path(source).suffix not in SUFFIXES:
        raise ValueError(
            f"inputs are a {', '.join(SUFFIXES)} file or a data set "
            f"({', '.join(datasets.SOURCES)}); found {source!r}"
        )
    return False


def some(inputs: Chosen, count: int | None, seed: int, option: str) -> Chosen:
    """Take a seeded random choice of the inputs, in their order; all of them if count is None."""
    import torch

    if count is None:
        return inputs
    if not 1 <= count <= len(inputs):
        raise ValueError(f"{option} must be from 1 to the {len(inputs)} inputs; found {count}")
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return inputs[order[:count].sort().values]


def fitted(inputs: Tensor | Batch, model: nn.Module, source: str) -> Tensor | Batch:
    """Give inputs the model's float type and see that the model takes one of them."""
    import torch

    from sipp_core.runtime import Batch, evaluating, forward

    first = next((p for p in model.parameters() if p.is_floating_point()), None)

    kind = inputs.dtype if isinstance(inputs, torch.Tensor) else None

    def suited(values: Tensor) -> Tensor:
        if values.is_floating_point():
            return values if first is None else values.to(first.dtype)
        return values if values.dtype in (torch.bool, torch.int32) else values.to(torch.int64)

    inputs = inputs.each(suited) if isinstance(inputs, Batch) else suited(inputs)
    one = inputs[:1]
    given = one.without_targets() if isinstance(one, Batch) else one
    try:
        with evaluating(model):
            forward(model, given if first is None else given.to(first.device, copy=True), source)
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        hint = (
            f" ({source} holds {kind} numbers; save inputs that are no token ids as floats, scaled "
            "as in training)"
            if kind is not None and not kind.is_floating_point
            else ""
        )
        shape = tuple(given.shape[1:]) if isinstance(given, torch.Tensor) else repr(given)
        raise ValueError(
            f"the model does not take inputs of shape {shape} as {source} gives them{hint}: {error}"
        ) from error
    return inputs


def position(output: str | None) -> str | int | None:
    """Read --output: a position where it is a number, else a name."""
    return int(output) if output is not None and output.lstrip("-").isdigit() else output
