"""CIFAR-10 from JPEGs: the order, the values, and every damaged file named."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sipp_core.zoo import cifar10, datasets


def jpeg(colour: tuple[int, int, int], size: int = 32, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), colour).convert(mode).save(file, "JPEG", quality=95)
    return file.getvalue()


def files(train: int = 2, test: int = 1) -> dict[str, bytes]:
    """A few images a class: the red of an image tells its class, the green its number."""
    return {
        f"{part}/{name}/{number:04}.jpg": jpeg((20 * label, 100 * number, 0))
        for part, count in (("train", train), ("test", test))
        for label, name in enumerate(cifar10.CLASSES)
        for number in range(count)
    }


def write(folder: Path, content: dict[str, bytes], packed: bool) -> Path:
    if packed:
        with zipfile.ZipFile(folder / cifar10.ARCHIVE, "w") as archive:
            for name, value in content.items():
                archive.writestr(name, value)
        return folder / cifar10.ARCHIVE
    for name, value in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(value)
    return folder


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("sub", ["", "cifar10"])
def test_classes_take_turns_and_values_are_in_0_1(tmp_path: Path, packed: bool, sub: str) -> None:
    (tmp_path / sub).mkdir(exist_ok=True)
    write(tmp_path / sub, files(), packed)
    data = datasets.load("cifar10", tmp_path, flat=False)
    assert data.train_inputs.shape == (20, 3, 32, 32) and data.test_inputs.shape == (10, 3, 32, 32)
    assert data.train_inputs.dtype == torch.float32
    assert data.train_targets.tolist() == [*range(10), *range(10)]
    assert data.test_targets.tolist() == list(range(10)) and data.num_classes == 10
    red, green = data.train_inputs[:, 0] * 255, data.train_inputs[:, 1] * 255
    # JPEG is lossy even on a plain colour, by a few of 255 levels.
    assert (red - 20 * data.train_targets[:, None, None]).abs().max() < 6
    assert (green - 100 * (torch.arange(20) // 10)[:, None, None]).abs().max() < 6
    assert "JPEG" in data.description and "20 train, 10 test" in data.description
    flat = datasets.load("cifar10", tmp_path)
    assert torch.equal(flat.train_inputs, data.train_inputs.flatten(1))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("train/cat/0001.jpg", jpeg((1, 2, 3))[:300], "'train/cat/0001.jpg' is damaged or no JPEG"),
        ("test/dog/0000.jpg", b"", "'test/dog/0000.jpg' is damaged or no JPEG"),
        ("test/dog/0000.jpg", b"\x89PNG", "'test/dog/0000.jpg' is damaged or no JPEG"),
        ("train/cat/0001.jpg", jpeg((1, 2, 3), 31), "0001.jpg' is damaged .* 31x31, not 32x32"),
        ("train/lynx/0000.jpg", jpeg((1, 2, 3)), "has 'train/lynx/0000.jpg' where train/<class>"),
        ("train/0000.jpg", jpeg((1, 2, 3)), "has 'train/0000.jpg' where train/<class>"),
    ],
)
def test_damaged_files_are_named(
    tmp_path: Path, name: str, value: bytes, message: str, packed: bool
) -> None:
    write(tmp_path, files() | {name: value}, packed)
    with pytest.raises(ValueError, match=message):
        datasets.load("cifar10", tmp_path)


def test_other_files_are_left_alone_and_grey_images_read(tmp_path: Path) -> None:
    grey = {"train/frog/0001.jpg": jpeg((50, 50, 50), mode="L"), "train/notes.txt": b"x"}
    write(tmp_path, files() | grey, packed=True)
    data = datasets.load("cifar10", tmp_path, flat=False)
    assert (data.train_inputs[16] * 255 - 50).abs().max() < 6


def test_a_damaged_archive_and_missing_classes_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, files(), packed=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="cifar10-jpeg.zip is truncated or no zip archive"):
        datasets.load("cifar10", tmp_path)
    spoilt = bytearray(whole)
    spoilt[200] ^= 255  # inside the first file, whose checksum tells
    path.write_bytes(spoilt)
    with pytest.raises(ValueError, match="'train/airplane/0000.jpg' cannot be read"):
        datasets.load("cifar10", tmp_path)
    path.unlink()
    write(tmp_path, {k: v for k, v in files().items() if "test/ship" not in k}, packed=True)
    with pytest.raises(FileNotFoundError, match="no JPEG in test/ship"):
        datasets.load("cifar10", tmp_path)


def test_it_is_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="never fetched. There is no cifar10-jpeg.zip in"):
        datasets.load("cifar10", tmp_path)
    monkeypatch.delenv(datasets.DATA_DIR_VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match="No folder was named.*--data-dir.*SIPP_DATA_DIR"):
        datasets.load("cifar10")


def test_the_real_archive(data_dir: Path) -> None:
    source = cifar10.find(datasets.SOURCES["cifar10"].places(data_dir))
    if source is None:
        pytest.skip(f"no CIFAR-10 in {data_dir}")
    data = datasets.load("cifar10", data_dir, flat=False)
    assert (len(data.train_inputs), len(data.test_inputs)) == (50_000, 10_000)
    assert np.bincount(data.train_targets).tolist() == [5000] * 10
    # Published means of the three channels of the training images, which JPEG hardly moves.
    result = data.train_inputs.mean((0, 2, 3))
    torch.testing.assert_close(result, torch.tensor([0.4914, 0.4822, 0.4465]), atol=2e-3, rtol=0)
