"""Reading what the user names: arrays, calibration and held-out inputs, and places to write to."""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sipp_core.zoo import Dataset

SUFFIXES = (".npz", ".npy", ".pt")
# Names under which the inputs of an archive of several arrays are looked for.
INPUT_NAMES = ("inputs", "x", "X")
# Held-out inputs must stay held out whatever the seed of a run: the split has a seed of its own.
SPLIT_SEED = 0


def _member(names: list[str], path: Path) -> str:
    """Name of the array to take from an archive or a dictionary."""
    if len(names) == 1:
        return names[0]
    for name in INPUT_NAMES:
        if name in names:
            return name
    raise ValueError(
        f"{path} holds {len(names)} arrays ({', '.join(sorted(names)) or 'none'}); "
        f"name the one that holds the inputs {INPUT_NAMES[0]!r}"
    )


def array(path: Path) -> np.ndarray[Any, Any]:
    """Read one array from a .npy file, or from a .npz file that says which one is meant."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                return found
            held = {name: found[name] for name in found.files}
    except (EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is truncated, no NumPy file, or holds Python objects, which are not loaded"
        ) from error
    return held[_member(list(held), path)]


def _pt(path: Path) -> Tensor:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} is truncated, no torch file, or holds more than tensors, which is not loaded"
        ) from error
    if isinstance(found, dict):
        found = found[_member([str(name) for name in found], path)]
    elif isinstance(found, tuple | list) and found:
        found = found[0]
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"{path} must hold a tensor of inputs; found {type(found).__name__}")
    return found.detach()


def tensor(path: Path) -> Tensor:
    """Read inputs (n, ...) from a .npz, .npy or .pt file and refuse what no network can take."""
    import torch

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix == ".pt":
        found = _pt(path)
    else:
        values = array(path)
        if values.dtype.kind not in "fiub":
            raise TypeError(f"{path} must hold real numbers; found dtype {values.dtype}")
        if values.dtype.kind == "f" and values.dtype.itemsize > 8:
            values = values.astype(np.float64)
        found = torch.from_numpy(np.array(values, values.dtype.newbyteorder("="), order="C"))
    if found.ndim == 0 or found.numel() == 0:
        raise ValueError(f"{path} holds no inputs: its shape is {tuple(found.shape)}")
    if not found.is_floating_point():
        raise TypeError(
            f"{path} holds {found.dtype} numbers; save the inputs as floats, scaled as in training"
        )
    bad = ~torch.isfinite(found)
    if bad.any():
        index = tuple(int(i) for i in bad.nonzero()[0])
        raise ValueError(f"{path} holds {found[index].item()} at index {index}; repair that input")
    return found


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


def some(inputs: Tensor, count: int | None, seed: int, option: str) -> Tensor:
    """Take a seeded random choice of the inputs, in their order; all of them if count is None."""
    import torch

    if count is None:
        return inputs
    if not 1 <= count <= len(inputs):
        raise ValueError(f"{option} must be from 1 to the {len(inputs)} inputs; found {count}")
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return inputs[order[:count].sort().values]


def fitted(inputs: Tensor, model: nn.Module, source: str) -> Tensor:
    """Give inputs the model's float type and see that the model takes one of them."""
    import torch

    from sipp_core.runtime import evaluating

    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    if first is not None:
        inputs = inputs.to(first.dtype)
    one = inputs[:1]
    try:
        with evaluating(model):
            model(one if first is None else one.to(first.device))
    except (RuntimeError, ValueError, IndexError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(
            f"the model does not take inputs of shape {tuple(one.shape[1:])} as {source} gives "
            f"them: {error}"
        ) from error
    return inputs


def refuse_unwritable(path: Path, *, folder: bool) -> None:
    """Refuse a place that cannot be written to, before any work; nothing is left behind there."""
    if not folder and path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {path}: {place}: {error.strerror or error}") from error
