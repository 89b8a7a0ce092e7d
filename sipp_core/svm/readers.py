"""Data files as chunks that can be read again: npy, npz, csv and parquet."""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from sipp_core.runtime import read_arrays
from sipp_core.svm.blocks import block_rows, check_rows, check_weight, double
from sipp_core.svm.chunks import ArrayChunks, Chunks, mapped
from sipp_theory.numeric.checks import Float

SUFFIXES = (".npz", ".npy", ".csv", ".parquet")
# More labels than this are no classes.
MOST_CLASSES = 1000
# A row group may take so many bytes in memory, or so many times the bytes of its file.
FEW_BYTES, MOST_PACKED = 1 << 26, 1000


@dataclass(frozen=True)
class ParquetChunks:
    """Row groups of a parquet file."""

    source: Path
    features: tuple[str, ...]
    label: str
    weight: str | None
    groups: int

    @property
    def columns(self) -> int:
        """Width."""
        return len(self.features)

    def __len__(self) -> int:
        return self.groups

    def read(self, number: int) -> tuple[Float, np.ndarray, Float]:
        """One row group."""
        names = [*self.features, self.label, *filter(None, [self.weight])]
        with _named(self.source), _parquet(self.source) as file:
            refuse_bomb(self.source, file, number, len(names))
            table = file.read_row_group(number, columns=names)
            return _columns(table, self.features, self.label, self.weight)


@dataclass(frozen=True)
class MappedChunks:
    """Rows of a .npy file that stays on disk."""

    path: Path
    y: np.ndarray
    weight: Float
    columns: int
    source: Path

    def __len__(self) -> int:
        return -(-len(self.y) // block_rows(self.columns))

    def read(self, number: int) -> tuple[Float, np.ndarray, Float]:
        """One slice."""
        rows = np.load(self.path, mmap_mode="r", allow_pickle=False)
        size = block_rows(self.columns)
        part = slice(number * size, (number + 1) * size)
        return double(rows[part]), self.y[part], self.weight[part]


def read_chunks(
    path: str | PathLike[str],
    *,
    label: str | None = None,
    labels: str | PathLike[str] | None = None,
    weight: str | None = None,
) -> Chunks:
    """Open a data file for as many passes as are needed, without holding it in memory.

    Args:
        path: .npz with arrays X, y and perhaps sample_weight (held in memory); .npy with the rows;
            .csv with a line of names; or .parquet, read a row group at a time. The last two need
            the extra `svm` (pyarrow); a .csv is turned into a temporary .npy first.
        label: column of the labels in a .csv or .parquet; the last one if not given.
        labels: .npy file with the labels of a .npy file.
        weight: column of the weights in a .csv or .parquet.

    Returns:
        Chunks for `scan` and `CoresetSVC.fit_chunks`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no such file, or columns that are missing or no numbers.
        ImportError: pyarrow is not installed.

    Claim: none (plumbing).

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "data.npz"
        ...     np.savez(file, X=[[0.0], [1.0]], y=[0, 1])
        ...     scan(read_chunks(file))
        {0: 1.0, 1: 1.0}
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{file} must end in one of {', '.join(SUFFIXES)}")
    if suffix in (".npz", ".npy") and (label or weight):
        raise ValueError(f"{file} has no named columns; label and weight are for csv and parquet")
    if suffix != ".npy" and labels is not None:
        raise ValueError("labels is for a .npy file; the others hold their own")
    if suffix == ".npy" and labels is None:
        raise ValueError(f"{file} holds no labels; name a .npy file of them with labels")
    with _named(file):
        if suffix == ".npz":
            return _archive(file)
        if labels is None:
            return _table(file, label, weight)
        rows, y = _array(file), np.asarray(_array(Path(labels)))
        if rows.ndim != 2 or y.shape != (len(rows),):
            raise ValueError(f"{file} has shape {rows.shape}, its labels {y.shape}")
        return MappedChunks(file, y, np.ones(len(y)), rows.shape[1], file)


def scan(chunks: Chunks, n_jobs: int | None = None) -> dict[Any, float]:
    """Read everything once: the weight of each label; what is wrong is refused by name.

    Args:
        chunks: as `read_chunks` returns them.
        n_jobs: joblib's workers.

    Returns:
        Weight by label, rising.

    Raises:
        ValueError: NaN or infinity, a weight below 0, no rows, or labels that are none of classes:
            fractions, or too many.

    Claim: none (plumbing).

    Example:
        >>> scan(ArrayChunks(np.zeros((3, 1)), np.array([1, 0, 1]), np.ones(3)))
        {0: 1.0, 1: 2.0}
    """
    totals: dict[Any, float] = {}
    for part in mapped(partial(_totals, chunks), len(chunks), n_jobs):
        for label, weight in part.items():
            totals[label] = totals.get(label, 0.0) + weight
        if len(totals) > MOST_CLASSES:
            raise ValueError(f"y has more than {MOST_CLASSES} labels; name the column of classes")
    live = {label: weight for label, weight in sorted(totals.items()) if weight > 0}
    if not live:
        raise ValueError("the data hold no row with weight above 0")
    return live


def _totals(chunks: Chunks, number: int) -> dict[Any, float]:
    with _named(getattr(chunks, "source", None)):
        X, y, weight = chunks.read(number)
        check_rows(X, 0, chunks.columns)
        check_weight(weight, len(y), 0)
        if y.dtype.kind not in "fiubU":
            raise ValueError(f"y must be numbers or text; found dtype {y.dtype}")
        broken = ~(y == np.floor(y)) if y.dtype.kind == "f" else np.zeros(len(y), bool)
        if broken.any():
            raise ValueError(
                f"y holds {y[broken].tolist()[0]!r}, which is the label of no class: labels are "
                "whole numbers or text; name their column"
            )
    names, place = np.unique(y, return_inverse=True)
    return dict(zip(names.tolist(), np.bincount(place, weight).tolist(), strict=True))


def _array(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        # A map takes no memory, whatever the header says; a short file is refused.
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises what comes up where a header is damaged
        raise ValueError(f"{path} is truncated or no NumPy file of numbers") from error


def _archive(path: Path) -> ArrayChunks:
    def choose(names: list[str]) -> list[str]:
        if missing := [name for name in ("X", "y") if name not in names]:
            raise ValueError(
                f"{path} must hold X and y; found {', '.join(names)} (no {', '.join(missing)})"
            )
        return [name for name in ("X", "y", "sample_weight") if name in names]

    held = read_arrays(path, choose)
    if "" in held:
        raise ValueError(f"{path} is one array and no archive of X and y; name it .npy")
    X, y, weight = held["X"], held["y"], held.get("sample_weight")
    rows = check_rows(X, 0, None)
    if y.shape != (len(rows),):
        raise ValueError(f"{path}: y has shape {y.shape}, X {len(rows)} rows")
    return ArrayChunks(rows, y, check_weight(weight, len(rows), 0))


@contextmanager
def _named(path: Path | None) -> Iterator[None]:
    """Say in every refusal which file it is about; what pyarrow raises is a refusal too."""
    try:
        yield
    except (KeyError, NotImplementedError, OSError, OverflowError, TypeError, ValueError) as error:
        # A disk that fails is no fault of the file's content, and its error names the file.
        if path is None or str(path) in str(error) or getattr(error, "errno", None):
            raise
        raise ValueError(f"{path}: {error}") from error
    except MemoryError as error:
        if type(error) is MemoryError:
            raise
        raise ValueError(f"{path} asks for more memory than there is: {error}") from error


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """The file, open while the block runs."""
    with _arrow("parquet").ParquetFile(path) as file:
        yield file


def refuse_bomb(path: Path, file: Any, number: int, columns: int) -> None:
    """Refuse a row group that is far larger than its file, before it is unpacked."""
    rows = file.metadata.row_group(number).num_rows
    if rows < 0 or 8 * rows * columns > max(FEW_BYTES, MOST_PACKED * path.stat().st_size):
        raise ValueError(
            f"row group {number} of {path} says that it holds {rows:,} rows of {columns:,} columns "
            f"in a file of {path.stat().st_size:,} bytes; if it does, write it with smaller ones "
            "(row_group_size=)"
        )


def _arrow(part: str) -> Any:
    try:
        import importlib

        return importlib.import_module(f"pyarrow.{part}")
    except ImportError as error:
        raise ImportError(
            "csv and parquet are read by pyarrow; install sipp-theory[svm]"
        ) from error


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _names(
    path: Path, names: list[str], label: str | None, weight: str | None
) -> tuple[tuple[str, ...], str]:
    own = label or next((n for n in reversed(names) if n != weight), "")
    missing = [n for n in (own, weight) if n is not None and n not in names]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {', '.join(names[:20])}")
    if weight is not None and weight == own:
        raise ValueError(f"label and weight both name the column {own!r} of {path}")
    if twice := [n for n, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} has more than one column {twice[0]!r}; name them apart")
    features = tuple(n for n in names if n not in (own, weight))
    if not features:
        raise ValueError(f"{path} has no column but the labels")
    return features, own


def _columns(
    table: Any, features: tuple[str, ...], label: str, weight: str | None
) -> tuple[Float, np.ndarray, Float]:
    """Rows, labels and weights of an Arrow table or batch."""
    rows = np.empty((table.num_rows, len(features)))
    for place, name in enumerate(features):
        column = table.column(name)
        try:
            rows[:, place] = column.to_numpy(zero_copy_only=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"column {name!r} holds what is no number") from error
    y = np.asarray(table.column(label).to_pylist())
    if y.dtype == object:
        raise ValueError(f"column {label!r} lacks a label in some row")
    u = None if weight is None else table.column(weight).to_numpy(zero_copy_only=False)
    return rows, y, check_weight(u, table.num_rows, 0)


def _table(path: Path, label: str | None, weight: str | None) -> Chunks:
    if path.suffix.lower() != ".parquet":
        return _csv(path, label, weight)
    with _parquet(path) as file:
        features, own = _names(path, file.schema_arrow.names, label, weight)
        return ParquetChunks(path, features, own, weight, file.num_row_groups)


def _csv(path: Path, label: str | None, weight: str | None) -> MappedChunks:
    """One pass that leaves the rows in a temporary .npy file, which is mapped from then on."""
    folder = tempfile.mkdtemp(prefix="sipp-svm-")
    try:
        reader = _arrow("csv").open_csv(path)
        if all(map(_is_number, reader.schema.names)):
            raise ValueError(f"the first line of {path} must name the columns; found numbers")
        features, own = _names(path, reader.schema.names, label, weight)
        raw, labels, weights = Path(folder, "rows.raw"), [], []
        with raw.open("wb") as out:
            for batch in reader:
                X, y, u = _columns(batch, features, own, weight)
                out.write(X.tobytes())
                labels.append(y)
                weights.append(u)
        if not labels:
            raise ValueError(f"{path} has a line of names and no rows")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    y = np.concatenate(labels)
    target = Path(folder, "rows.npy")
    with target.open("wb") as out:
        shape = {"descr": "<f8", "fortran_order": False, "shape": (len(y), len(features))}
        np.lib.format.write_array_header_1_0(out, shape)
        with raw.open("rb") as source:
            while piece := source.read(2**24):
                out.write(piece)
    raw.unlink()
    chunks = MappedChunks(target, y, np.concatenate(weights), len(features), path)
    # A copy in another process has no such duty.
    weakref.finalize(chunks, shutil.rmtree, folder, ignore_errors=True)
    return chunks
