"""Data sets by name: one embedded, the others from files, two fetched where there is a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sipp_core.runtime.arguments import whole
from sipp_core.zoo import cifar10, idx

__all__ = ["NAMES", "Dataset", "load"]

NAMES: tuple[str, ...] = ("digits", "mnist", "fashion-mnist", "cifar10")
"""Names that `load` knows. Claim: none (plumbing)."""

DATA_DIR_VARIABLE = "SIPP_DATA_DIR"
_OPENML = {"mnist": "mnist_784", "fashion-mnist": "Fashion-MNIST"}
_FOLDERS = {
    "mnist": ("mnist", "MNIST", "MNIST/raw"),
    "fashion-mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"),
}
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_CLASSES = 10

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Inputs in [0, 1] and class numbers, split into what is fitted to and what is held out.

    Attributes:
        name: the name it was loaded by.
        train_inputs: (n, d) or (n, channels, height, width) float32 values in [0, 1], grey or
            red, green and blue.
        train_targets: (n,) int64 class numbers in [0, num_classes).
        test_inputs: (k, d) or (k, channels, height, width) float32, as train_inputs.
        test_targets: (k,) int64.
        num_classes: number of classes.
        description: what the data are and where they came from.

    Claim: none (plumbing).

    Example:
        >>> data = load("digits")
        >>> tuple(data.train_inputs.shape), tuple(data.test_targets.shape)
        ((1437, 64), (360,))
    """

    name: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    num_classes: int
    description: str


def _bytes(values: object) -> NDArray[np.uint8]:
    """Whole numbers as bytes; the labels that OpenML delivers are text."""
    return np.asarray(values).astype(np.float64).astype(np.uint8)


def _tensors(split: Split, flat: bool, white: float) -> tuple[Tensor, Tensor]:
    images, labels = split
    inputs = torch.tensor(images, dtype=torch.float32).div_(white)
    inputs = inputs.flatten(1) if flat else inputs.view(len(inputs), -1, *inputs.shape[-2:])
    return inputs, torch.tensor(labels, dtype=torch.int64)


def _dataset(
    name: str, train: Split, test: Split, *, flat: bool, white: float, description: str
) -> Dataset:
    train_inputs, train_targets = _tensors(train, flat, white)
    test_inputs, test_targets = _tensors(test, flat, white)
    return Dataset(
        name, train_inputs, train_targets, test_inputs, test_targets, _CLASSES, description
    )


def _digits(seed: int, flat: bool) -> Dataset:
    # Imported here: scikit-learn takes a second that users with their own data need not spend.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, classes = load_digits(return_X_y=True)
    images, labels = _bytes(pixels).reshape(-1, 8, 8), _bytes(classes)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=360, stratify=labels, random_state=seed
    )
    return _dataset(
        "digits",
        (images[train], labels[train]),
        (images[test], labels[test]),
        flat=flat,
        white=16.0,
        description=(
            "1,797 handwritten digits of 8x8 grey values (UCI optical recognition, as embedded in "
            f"scikit-learn); 1,437 train, 360 test, stratified, split by seed {seed}"
        ),
    )


def _spellings(part: str) -> Iterator[str]:
    """File names under which a part is met: with - or . before idx, packed or not."""
    axes = 3 if part.endswith("images") else 1
    for dot in "-.":
        for suffix in (".gz", ""):
            yield f"{part}{dot}idx{axes}-ubyte{suffix}"


def _find(folder: Path, name: str) -> dict[str, Path] | None:
    """Files of the first folder that has any part of the data set; None if none has."""
    for place in [*(folder / sub for sub in _FOLDERS[name]), folder]:
        found: dict[str, Path] = {}
        for part in _PARTS:
            paths = (place / spelling for spelling in _spellings(part))
            if path := next(filter(Path.is_file, paths), None):
                found[part] = path
        missing = [part for part in _PARTS if part not in found]
        if found and missing:
            wanted = " and ".join(next(_spellings(part)) for part in missing)
            raise FileNotFoundError(f"{place} has part of data set {name!r} but lacks {wanted}")
        if found:
            return found
    return None


def _read_split(images_path: Path, labels_path: Path) -> Split:
    images, labels = idx.read(images_path, ndim=3), idx.read(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(
            f"counts disagree: {images_path} has {len(images)} images, "
            f"{labels_path} has {len(labels)} labels"
        )
    if images.size == 0:
        raise ValueError(f"{images_path} has no pixels: its shape is {images.shape}")
    if (wrong := np.flatnonzero(labels >= _CLASSES)).size:
        first = int(wrong[0])
        raise ValueError(
            f"{labels_path} has label {labels[first]} at index {first}; "
            f"labels must be below {_CLASSES}"
        )
    return images, labels


def _from_files(name: str, files: dict[str, Path], flat: bool) -> Dataset:
    train = _read_split(files["train-images"], files["train-labels"])
    test = _read_split(files["t10k-images"], files["t10k-labels"])
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"image sizes disagree: {files['train-images']} has {train[0].shape[1:]}, "
            f"{files['t10k-images']} has {test[0].shape[1:]}"
        )
    folder = files["train-images"].parent.name
    return _dataset(
        name,
        train,
        test,
        flat=flat,
        white=255.0,
        description=f"{name} read from IDX files (folder {folder!r}), published train/test split",
    )


def _from_openml(name: str, flat: bool, looked_in: str) -> Dataset:
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # A retry warns; if all fail, the error below says more.
            warnings.simplefilter("ignore")
            # liac-arff, because the other parser needs pandas.
            pixels, classes = fetch_openml(
                _OPENML[name],
                version=1,
                return_X_y=True,
                as_frame=False,
                parser="liac-arff",
                n_retries=1,
            )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"data set {name!r} is not here and could not be fetched. {looked_in} Either put the "
            f"four IDX files ({next(_spellings('train-images'))} and so on) into a folder and name "
            f"it with data_dir or the environment variable {DATA_DIR_VARIABLE}, or connect to a "
            f"network, so that scikit-learn can fetch {_OPENML[name]!r} from OpenML ({error})"
        ) from error
    images, labels = _bytes(pixels).reshape(-1, 28, 28), _bytes(classes)
    cut = len(images) - 10_000
    return _dataset(
        name,
        (images[:cut], labels[:cut]),
        (images[cut:], labels[cut:]),
        flat=flat,
        white=255.0,
        description=f"{name} fetched from OpenML ({_OPENML[name]!r}), published train/test split",
    )


def _cifar10(folder: Path | None, flat: bool) -> Dataset:
    source = None if folder is None else cifar10.find(folder)
    if source is None:
        where = f"There is no {cifar10.ARCHIVE} in {folder}." if folder else "No folder was named."
        raise FileNotFoundError(
            f"data set 'cifar10' is not here and is never fetched. {where} Put "
            f"{cifar10.ARCHIVE}, or the folders train and test with a folder of JPEGs for each "
            "class, into a folder and "
            f"name it with data_dir or the environment variable {DATA_DIR_VARIABLE}"
        )
    train, test = cifar10.read(source)
    return _dataset(
        "cifar10",
        train,
        test,
        flat=flat,
        white=255.0,
        description=(
            f"CIFAR-10 (JPEG, which is lossy) read from {source.name!r}: {len(train[1]):,} train, "
            f"{len(test[1]):,} test, published split"
        ),
    )


def load(
    name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, flat: bool = True
) -> Dataset:
    """Load a data set by name.

    `digits` is embedded and needs nothing. `mnist` and `fashion-mnist` are read from the four
    standard IDX files, packed (.gz) or not, spelt `train-images-idx3-ubyte` or
    `train-images.idx3-ubyte`, in the folder itself or in its subfolder of that name. Where no
    folder is given and the environment variable SIPP_DATA_DIR names none that has them,
    scikit-learn fetches them from OpenML. `cifar10` is read from JPEGs, train/<class>/<n>.jpg and
    test/<class>/<n>.jpg in a folder or in cifar10-jpeg.zip, and never fetched; its classes take
    turns, and decoding 60,000 images takes about ten seconds.

    Args:
        name: one of `NAMES`.
        data_dir: folder of the files. If given, nothing is ever fetched.
        seed: how `digits` is split, in [0, 2**32); the others have a published split, so the seed
            changes nothing there.
        flat: True for (n, values) inputs, False for (n, channels, height, width).

    Returns:
        The data set, on the CPU.

    Raises:
        ValueError: unknown name, seed out of range, or a file that is damaged or inconsistent.
        TypeError: the seed is no integer.
        FileNotFoundError: the files are missing and cannot be fetched; says what to do.

    Claim: none (plumbing).

    Example:
        >>> data = load("digits", flat=False)
        >>> tuple(data.test_inputs.shape), data.test_inputs.dtype, data.num_classes
        ((360, 1, 8, 8), torch.float32, 10)
    """
    if name not in NAMES:
        raise ValueError(f"name must be one of {', '.join(NAMES)}; found {name!r}")
    split = whole("seed", seed, 0, 2**32)
    if name == "digits":
        return _digits(split, flat)
    given = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE) or None
    if name == "cifar10":
        return _cifar10(None if given is None else Path(given), flat)
    if given is None:
        return _from_openml(name, flat, f"No folder was named (and {DATA_DIR_VARIABLE} is unset).")
    folder = Path(given)
    if (files := _find(folder, name)) is not None:
        return _from_files(name, files, flat)
    subfolder = folder / _FOLDERS[name][0]
    looked_in = f"There are no IDX files of it in {folder} or {subfolder}."
    if data_dir is None:
        return _from_openml(name, flat, looked_in)
    raise FileNotFoundError(
        f"data set {name!r} is not here. {looked_in} Either put the four IDX files "
        f"({next(_spellings('train-images'))} and so on) there, or leave data_dir out where there "
        "is a network, so that scikit-learn fetches it from OpenML"
    )
