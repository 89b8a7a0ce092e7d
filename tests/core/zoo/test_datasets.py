"""Data sets: tiny IDX files made by hand, every way they can be damaged, and the real ones."""

from __future__ import annotations

import gzip
import inspect
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sipp_core.zoo import datasets, idx

TRAIN, TEST = 6, 3


def idx_bytes(values: np.ndarray) -> bytes:
    """Our own writer of the format, as its specification words it."""
    header = bytes([0, 0, 8, values.ndim])
    lengths = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return header + lengths + values.astype(np.uint8).tobytes()


def example_parts() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {
        "train-images": generator.integers(0, 256, (TRAIN, 4, 5)),
        "train-labels": np.arange(TRAIN) % 10,
        "t10k-images": generator.integers(0, 256, (TEST, 4, 5)),
        "t10k-labels": np.arange(TEST),
    }


def write(
    folder: Path, parts: dict[str, np.ndarray], *, dot: str = "-", packed: bool = True
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, values in parts.items():
        name = f"{part}{dot}idx{values.ndim}-ubyte" + (".gz" if packed else "")
        content = idx_bytes(values)
        (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture(autouse=True)
def no_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(datasets.DATA_DIR_VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, example_parts())
    return tmp_path


# ---- digits -------------------------------------------------------------------------------------


def test_digits_are_split_by_class_without_overlap() -> None:
    data = datasets.load("digits", seed=4)
    assert data.train_inputs.dtype == torch.float32 and data.train_targets.dtype == torch.int64
    assert data.train_inputs.shape == (1437, 64) and data.test_inputs.shape == (360, 64)
    assert float(data.train_inputs.min()) == 0 and float(data.train_inputs.max()) == 1
    together = torch.cat([data.train_inputs, data.test_inputs]).double()
    whole = torch.tensor(sklearn.datasets.load_digits(return_X_y=True)[0]) / 16
    order = [np.lexsort(rows.numpy().T) for rows in (together, whole)]
    assert torch.equal(together[order[0]], whole[order[1]])
    shares = data.test_targets.bincount() / 360 - data.train_targets.bincount() / 1437
    assert float(shares.abs().max()) < 1 / 360


def global_state() -> tuple[bytes, int]:
    """All that numpy's global generator would draw next depends on."""
    state = np.random.get_state(legacy=False)["state"]
    return state["key"].tobytes(), state["pos"]


def test_digits_depend_on_the_seed_alone() -> None:
    state = global_state()
    first, again, other = (datasets.load("digits", seed=s) for s in (1, 1, 2))
    assert torch.equal(first.train_inputs, again.train_inputs)
    assert not torch.equal(first.train_targets, other.train_targets)
    assert global_state() == state


# ---- IDX files ----------------------------------------------------------------------------------


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)), st.booleans())
def test_idx_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / "values"
    path.write_bytes(gzip.compress(idx_bytes(values)) if packed else idx_bytes(values))
    assert np.array_equal(idx.read(path, values.ndim), values)


@given(cut=st.integers(0, 23))
def test_idx_cut_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("idx") / "values"
    path.write_bytes(idx_bytes(np.arange(8).reshape(2, 2, 2))[:cut])
    with pytest.raises(ValueError, match="magic number|truncated"):
        idx.read(path, 3)


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
def test_all_spellings_and_places_are_found(
    tmp_path: Path, dot: str, packed: bool, sub: str
) -> None:
    parts = example_parts()
    write(tmp_path / sub, parts, dot=dot, packed=packed)
    data = datasets.load("mnist", data_dir=tmp_path)
    expected = torch.tensor(parts["train-images"].reshape(TRAIN, 20), dtype=torch.float32) / 255
    assert torch.equal(data.train_inputs, expected)
    assert data.test_targets.tolist() == [0, 1, 2] and data.num_classes == 10
    images = datasets.load("mnist", data_dir=tmp_path, flat=False)
    assert images.train_inputs.shape == (TRAIN, 1, 4, 5)
    assert torch.equal(images.train_inputs.flatten(1), data.train_inputs)


def test_the_environment_names_the_default_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(folder))
    assert len(datasets.load("fashion-mnist").train_targets) == TRAIN


def test_a_named_subfolder_wins_over_the_folder_itself(folder: Path) -> None:
    write(folder / "fashion-mnist", {**example_parts(), "t10k-labels": np.array([9, 9, 9])})
    assert datasets.load("fashion-mnist", folder).test_targets.tolist() == [9, 9, 9]
    assert datasets.load("mnist", folder).test_targets.tolist() == [0, 1, 2]


def labels(values: list[int]) -> bytes:
    return idx_bytes(np.array(values))


PACKED_LABELS = gzip.compress(labels([0, 1, 2]), mtime=0)


@pytest.mark.parametrize(
    ("part", "content", "message"),
    [
        ("train-labels-idx1-ubyte.gz", labels([1] * 5), "counts disagree.*6 images.*5 labels"),
        ("train-labels-idx1-ubyte.gz", labels([0, 1, 2, 10, 4, 5]), "label 10 at index 3"),
        ("t10k-labels-idx1-ubyte.gz", labels([0, 1, 2])[:-1], "t10k-labels.*is truncated"),
        ("t10k-labels-idx1-ubyte.gz", labels([0, 1, 2]) + b"x", "t10k-labels.*bytes left over"),
        (
            "t10k-labels-idx1-ubyte.gz",
            idx_bytes(np.zeros((3, 1))),
            "magic number 00000801.*00000802",
        ),
        ("t10k-labels-idx1-ubyte.gz", b"", "found an empty file"),
        ("t10k-labels-idx1-ubyte.gz", PACKED_LABELS[:-4], "truncated or damaged gzip"),
        ("t10k-labels-idx1-ubyte.gz", PACKED_LABELS[:10] + b"\xff" * 9, "damaged gzip"),
        ("t10k-images-idx3-ubyte.gz", b"<html>not found</html>", "magic number 00000803"),
        ("t10k-images-idx3-ubyte.gz", idx_bytes(np.ones((3, 4, 4))), r"sizes disagree.*\(4, 5\)"),
        ("t10k-images-idx3-ubyte.gz", bytes([0, 0, 8, 3]) + b"\xff" * 12, "is truncated"),
        ("t10k-images-idx3-ubyte.gz", bytes([0, 0, 8, 3, 0]), "header takes 16 bytes of 5"),
        ("t10k-images-idx3-ubyte.gz", idx_bytes(np.ones((3, 0, 5))), "has no pixels"),
    ],
    # Names of our own, because bytes make none that every worker agrees on.
    ids=lambda value: value.hex()[:8] if isinstance(value, bytes) else None,
)
def test_a_damaged_file_is_refused_by_name(
    folder: Path, part: str, content: bytes, message: str
) -> None:
    (folder / part).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        datasets.load("mnist", data_dir=folder)


# ---- absent files -------------------------------------------------------------------------------


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks t10k-labels-idx1-ubyte\.gz"):
        datasets.load("mnist", data_dir=folder)


def refuse_to_fetch(*_: object, **__: object) -> None:
    raise AssertionError("nothing may be fetched here")


def test_an_explicit_folder_without_files_is_never_replaced_by_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", refuse_to_fetch)
    with pytest.raises(FileNotFoundError, match="no IDX files.*leave data_dir out"):
        datasets.load("mnist", data_dir=tmp_path / "absent")


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError(), ValueError("md5")])
@pytest.mark.parametrize("variable", ["", "an-empty-folder"])
def test_without_a_network_the_error_tells_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, variable: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    if variable:
        monkeypatch.setenv(datasets.DATA_DIR_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="SIPP_DATA_DIR.*connect to a network"):
        datasets.load("mnist")


def openml_answer(images: np.ndarray) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Answer as OpenML does (float pixels, text labels), if it is called with real arguments."""
    real = inspect.signature(sklearn.datasets.fetch_openml)

    def fetch(*args: object, **kwargs: object) -> tuple[np.ndarray, np.ndarray]:
        arguments = real.bind(*args, **kwargs).arguments
        assert (
            arguments["name"] == "mnist_784"
            and arguments["return_X_y"]
            and arguments["n_retries"] >= 1
        )
        text = np.array([str(k % 10) for k in range(len(images))], dtype=object)
        return images.astype(np.float64), text

    return fetch


def test_what_openml_delivers_becomes_the_published_split(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.arange(10_002)[:, None] % 256 * np.ones((1, 784), np.uint8)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", openml_answer(images))
    data = datasets.load("mnist")
    assert data.train_targets.tolist() == [0, 1] and len(data.test_inputs) == 10_000
    assert data.train_inputs.shape == (2, 784) and "OpenML" in data.description
    assert torch.equal(data.train_inputs[1], torch.full((784,), 1 / 255))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"seed must be in .*found {seed}"):
        datasets.load("digits", seed=seed)


def test_arguments_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError, match=r"name must be one of digits, mnist.*'cifar'"):
        datasets.load("cifar")
    with pytest.raises(TypeError, match=r"seed must be an integer; found 1\.5"):
        datasets.load("digits", seed=1.5)  # pyright: ignore[reportArgumentType]


# ---- the real files -----------------------------------------------------------------------------


def test_real_mnist(mnist_dir: Path) -> None:
    data = datasets.load("mnist", data_dir=mnist_dir)
    assert data.train_inputs.shape == (60_000, 784) and data.test_inputs.shape == (10_000, 784)
    assert data.train_targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_targets.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert float(data.train_inputs.mean()) == pytest.approx(0.1306604762738429, abs=1e-6)
