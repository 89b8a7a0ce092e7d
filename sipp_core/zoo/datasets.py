"""Data sets by name: one embedded, the others from files, two fetched where there is a network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sipp_core.runtime.arguments import whole
from sipp_core.zoo import cifar10, idx

__all__ = ["NAMES", "SOURCES", "Dataset", "Source", "load"]

DATA_DIR_VARIABLE = "SIPP_DATA_DIR"
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]
# Training part, test part, and what they are.
Parts = tuple[Split, Split, str]


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


@dataclass(frozen=True, eq=False)
class Source:
    """A data set: what it is, where its files are looked for and how they are read.

    Attributes:
        name: by which `load` knows it.
        title: name as a reader knows it.
        about: what the inputs are, in a few words.
        origin: whose data it is.
        licence: under which licence.
        network: reference network that a report trains on it.
        read: makes its parts from (source, folder or None, whether it may be fetched, seed); the
            seed splits what has no published split.
        white: what a white pixel has in the files.
        classes: how many there are.
        folders: where in a folder of data sets it is looked for; none for embedded data.
        openml: its name at OpenML, if it is fetched from there.
    """

    name: str
    title: str
    about: str
    origin: str
    licence: str
    network: str
    read: Callable[[Source, Path | None, bool, int], Parts]
    white: float = 255.0
    classes: int = 10
    folders: tuple[str, ...] = ()
    openml: str = ""

    def places(self, folder: Path) -> list[Path]:
        """Folders that the files may be in, the likeliest first."""
        return [*(folder / name for name in self.folders), folder]


def _bytes(values: object) -> NDArray[np.uint8]:
    """Whole numbers as bytes; the labels that OpenML delivers are text."""
    return np.asarray(values).astype(np.float64).astype(np.uint8)


def _tensors(split: Split, flat: bool, white: float) -> tuple[Tensor, Tensor]:
    images, labels = split
    inputs = torch.tensor(images, dtype=torch.float32).div_(white)
    inputs = inputs.flatten(1) if flat else inputs.view(len(inputs), -1, *inputs.shape[-2:])
    return inputs, torch.tensor(labels, dtype=torch.int64)


def _digits(source: Source, folder: Path | None, fetch: bool, seed: int) -> Parts:
    # Imported here: scikit-learn takes a second that users with their own data need not spend.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, classes = load_digits(return_X_y=True)
    images, labels = _bytes(pixels).reshape(-1, 8, 8), _bytes(classes)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=360, stratify=labels, random_state=seed
    )
    return (
        (images[train], labels[train]),
        (images[test], labels[test]),
        "1,797 handwritten digits of 8x8 grey values (UCI optical recognition, as embedded in "
        f"scikit-learn); 1,437 train, 360 test, stratified, split by seed {seed}",
    )


def _spellings(part: str) -> Iterator[str]:
    """File names under which a part is met: with - or . before idx, packed or not."""
    axes = 3 if part.endswith("images") else 1
    for dot in "-.":
        for suffix in (".gz", ""):
            yield f"{part}{dot}idx{axes}-ubyte{suffix}"


def _find(source: Source, folder: Path) -> dict[str, Path] | None:
    """Files of the first folder that has any part of the data set; None if none has."""
    for place in source.places(folder):
        files: dict[str, Path] = {}
        for part in _PARTS:
            paths = (place / spelling for spelling in _spellings(part))
            if path := next(filter(Path.is_file, paths), None):
                files[part] = path
        missing = [next(_spellings(part)) for part in _PARTS if part not in files]
        if files and missing:
            raise FileNotFoundError(
                f"{place} has part of data set {source.name!r} but lacks {' and '.join(missing)}"
            )
        if files:
            return files
    return None


def _read_split(source: Source, images_path: Path, labels_path: Path) -> Split:
    images, labels = idx.read(images_path, ndim=3), idx.read(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(
            f"counts disagree: {images_path} has {len(images)} images, "
            f"{labels_path} has {len(labels)} labels"
        )
    if images.size == 0:
        raise ValueError(f"{images_path} has no pixels: its shape is {images.shape}")
    if (wrong := np.flatnonzero(labels >= source.classes)).size:
        first = int(wrong[0])
        raise ValueError(
            f"{labels_path} has label {labels[first]} at index {first}; "
            f"labels must be below {source.classes}"
        )
    return images, labels


def _idx_files(source: Source, folder: Path | None, fetch: bool, seed: int) -> Parts:
    files = None if folder is None else _find(source, folder)
    if files is None:
        return _from_openml(source, folder, fetch)
    train = _read_split(source, files["train-images"], files["train-labels"])
    test = _read_split(source, files["t10k-images"], files["t10k-labels"])
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"image sizes disagree: {files['train-images']} has {train[0].shape[1:]}, "
            f"{files['t10k-images']} has {test[0].shape[1:]}"
        )
    there = files["train-images"].parent.name
    description = f"{source.name} read from IDX files (folder {there!r}), "
    return train, test, description + "published train/test split"


def _from_openml(source: Source, folder: Path | None, fetch: bool) -> Parts:
    """Fetch it, or say where it was looked for and what to do."""
    looked_in = (
        f"No folder was named (and {DATA_DIR_VARIABLE} is unset)."
        if folder is None
        else f"There are no IDX files of it in {folder} or {source.places(folder)[0]}."
    )
    four = f"the four IDX files ({next(_spellings('train-images'))} and so on)"
    if not fetch:
        raise FileNotFoundError(
            f"data set {source.name!r} is not here. {looked_in} Either put {four} there, or leave "
            "data_dir out where there is a network, so that scikit-learn fetches it from OpenML"
        )
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # A retry warns; if all fail, the error below says more.
            warnings.simplefilter("ignore")
            # liac-arff, because the other parser needs pandas.
            pixels, classes = fetch_openml(
                source.openml, version=1, return_X_y=True, as_frame=False, parser="liac-arff",
                n_retries=1,
            )  # fmt: skip
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"data set {source.name!r} is not here and could not be fetched. {looked_in} Either "
            f"put {four} into a folder and name it with data_dir (--data-dir) or the environment "
            f"variable {DATA_DIR_VARIABLE}, or connect to a network, so that scikit-learn can "
            f"fetch {source.openml!r} from OpenML ({error})"
        ) from error
    images, labels = _bytes(pixels).reshape(-1, 28, 28), _bytes(classes)
    cut = len(images) - 10_000
    return (
        (images[:cut], labels[:cut]),
        (images[cut:], labels[cut:]),
        f"{source.name} fetched from OpenML ({source.openml!r}), published train/test split",
    )


def _cifar10(source: Source, folder: Path | None, fetch: bool, seed: int) -> Parts:
    path = None if folder is None else cifar10.find(source.places(folder))
    if path is None:
        where = f"There is no {cifar10.ARCHIVE} in {folder}." if folder else "No folder was named."
        raise FileNotFoundError(
            f"data set {source.name!r} is not here and is never fetched. {where} Put "
            f"{cifar10.ARCHIVE}, or the folders train and test with a folder of JPEGs for each "
            "class, into a folder and "
            f"name it with data_dir (--data-dir) or the environment variable {DATA_DIR_VARIABLE}"
        )
    train, test = cifar10.read(path)
    return (
        train,
        test,
        f"CIFAR-10 (JPEG, which is lossy) read from {path.name!r}: {len(train[1]):,} train, "
        f"{len(test[1]):,} test, published split",
    )


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "digits", "scikit-learn digits",
            "grey-value images of handwritten digits, 8 by 8 pixels",
            "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998",
            "CC BY 4.0", "digits-mlp", _digits, white=16.0,
        ),
        Source(
            "mnist", "MNIST", "grey-value images of handwritten digits, 28 by 28 pixels",
            "LeCun, Cortes and Burges, the MNIST database of handwritten digits, 1998",
            "CC BY-SA 3.0", "lenet-300-100", _idx_files,
            folders=("mnist", "MNIST", "MNIST/raw"), openml="mnist_784",
        ),
        Source(
            "fashion-mnist", "Fashion-MNIST", "grey-value images of clothing, 28 by 28 pixels",
            "Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017", "MIT", "lenet-300-100", _idx_files,
            folders=("fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"),
            openml="Fashion-MNIST",
        ),
        Source(
            "cifar10", "CIFAR-10", "colour images of animals and vehicles, 32 by 32 pixels",
            "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
            "not stated", "resnet-20", _cifar10, folders=("cifar10", "CIFAR10", "cifar-10"),
        ),
    )
}  # fmt: skip
"""Every data set by its name."""

NAMES: tuple[str, ...] = tuple(SOURCES)
"""Names that `load` knows."""


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

    Example:
        >>> data = load("digits", flat=False)
        >>> tuple(data.test_inputs.shape), data.test_inputs.dtype, data.num_classes
        ((360, 1, 8, 8), torch.float32, 10)
    """
    if name not in SOURCES:
        raise ValueError(f"name must be one of {', '.join(SOURCES)}; found {name!r}")
    source, split_seed = SOURCES[name], whole("seed", seed, 0, 2**32)
    given = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE) or None
    folder, fetch = None if given is None else Path(given), data_dir is None
    train, test, description = source.read(source, folder, fetch, split_seed)
    return Dataset(
        name, *_tensors(train, flat, source.white), *_tensors(test, flat, source.white),
        source.classes, description,
    )  # fmt: skip
