"""CIFAR-10 as JPEG files, in a folder or in a zip archive of one."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from sipp_core.runtime.files import read_bytes

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
"""Classes in the order of their numbers."""

ARCHIVE = "cifar10-jpeg.zip"
SIZE = 32
# Bytes of one JPEG: more than its pixels and any comment take.
LARGEST = 1 << 18

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def find(places: Iterable[Path]) -> Path | None:
    """Find the archive, or the folder that holds train/ and test/, in the first place with one."""
    for place in places:
        if (place / ARCHIVE).is_file():
            return place / ARCHIVE
        if (place / "train" / CLASSES[0]).is_dir() or (place / "test" / CLASSES[0]).is_dir():
            return place
    return None


def _ordered(source: Path, names: list[str], part: str) -> list[tuple[str, int]]:
    """Files of one part with their class numbers, the classes taking turns.

    The first files of each class come first: a few inputs from the front are of all classes.
    """
    files: list[tuple[str, int, str]] = []
    for name in names:
        path = PurePosixPath(name)
        if path.parts[0] != part or path.suffix.lower() not in (".jpg", ".jpeg"):
            continue
        if len(path.parts) != 3 or path.parts[1] not in CLASSES:
            raise ValueError(
                f"{source} has {name!r} where {part}/<class>/<file>.jpg is expected, with a class "
                f"of {', '.join(CLASSES)}"
            )
        files.append((path.name, CLASSES.index(path.parts[1]), name))
    missing = set(range(len(CLASSES))) - {number for _, number, _ in files}
    if missing:
        raise FileNotFoundError(
            f"{source} has no JPEG in {', '.join(f'{part}/{CLASSES[k]}' for k in sorted(missing))}"
        )
    return [(name, number) for _, number, name in sorted(files)]


def _decode(source: Path, name: str, content: bytes) -> NDArray[np.uint8]:
    # Imported here: users of other data sets need not wait for it.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (SIZE, SIZE):
                width, height = image.size
                raise ValueError(f"it is {width}x{height}, not {SIZE}x{SIZE}")
            image = image if image.mode == "RGB" else image.convert("RGB")
            return np.asarray(image).transpose(2, 0, 1)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, struct.error,
            OverflowError, Image.DecompressionBombError) as error:  # fmt: skip
        raise ValueError(
            f"{source}: {name!r} is damaged or no JPEG of CIFAR-10: {error}"
        ) from error


def _decoded(source: Path, files: list[tuple[str, int]], content: Callable[[str], bytes]) -> Split:
    pixels = np.empty((len(files), 3, SIZE, SIZE), dtype=np.uint8)
    for k, (name, _) in enumerate(files):
        try:
            raw = content(name)
        except (
            OSError,
            ValueError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
        ) as error:
            raise ValueError(f"{source}: {name!r} cannot be read: {error}") from error
        pixels[k] = _decode(source, name, raw)
    return pixels, np.array([number for _, number in files], dtype=np.uint8)


def read(source: Path) -> tuple[Split, Split]:
    """Decode all images, about 0.1 ms each.

    Threads were tried: images of this size take most of their time in Python, and two threads were
    slower than one.
    """
    parts = ("train", "test")
    if source.is_dir():
        names = sorted(
            path.relative_to(source).as_posix()
            for part in parts
            for path in (source / part).rglob("*")
        )
        train, test = (_ordered(source, names, part) for part in parts)
        content: Callable[[str], bytes] = lambda name: read_bytes(source / name, "image")  # noqa: E731
        return _decoded(source, train, content), _decoded(source, test, content)
    try:
        archive = zipfile.ZipFile(io.BytesIO(read_bytes(source, "zip archive")))
    except (ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is truncated or no zip archive: {error}") from error
    with archive:
        names = [name for name in archive.namelist() if PurePosixPath(name).parts]
        for member in archive.infolist():
            if member.file_size > LARGEST:
                raise ValueError(
                    f"{source}: {member.filename!r} unpacks to {member.file_size:,} bytes; an "
                    f"image of CIFAR-10 has at most {LARGEST:,}"
                )
        train, test = (_ordered(source, names, part) for part in parts)
        return _decoded(source, train, archive.read), _decoded(source, test, archive.read)
