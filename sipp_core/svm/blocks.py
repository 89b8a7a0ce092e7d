"""Points as blocks of rows: arrays, sparse matrices, memory maps and streams, read the same way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from sipp_theory.numeric.checks import Float, numbers
from sipp_theory.svm.problem import MOST

Matrix = Any  # (n, d) float64 array, or CSR of it
# Entries of one block: 8 MB of float64.
ENTRIES = 2**20
LEAST_ROWS = 256
# Rows whose squares are held at once.
PIECE = 2048


@dataclass(frozen=True)
class Block:
    """Rows with labels -1 and 1 and weights."""

    X: Matrix
    y: Float
    weight: Float

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.y)


def block_rows(d: int) -> int:
    """Rows of a block, by the number of columns alone, so that no cut of a stream moves a bit."""
    return max(LEAST_ROWS, ENTRIES // max(d, 1))


def row_norms(X: Matrix) -> Float:
    """(n,) Euclidean norms."""
    if sparse.issparse(X):
        return np.sqrt(np.asarray(X.multiply(X).sum(axis=1), np.float64).ravel())
    return np.sqrt(np.einsum("ij,ij->i", X, X))


def sizes(X: Matrix, metric: Float) -> Float:
    """(n,) norms of (x, 1) under a diagonal metric (d + 1,)."""
    squares = X.multiply(X) if sparse.issparse(X) else X * X
    return np.sqrt(np.asarray(squares @ metric[:-1], np.float64).ravel() + metric[-1])


def norms_and_sizes(X: Matrix, metric: Float) -> tuple[Float, Float]:
    """(n,) `row_norms` and `sizes`, from one look at the squares."""
    wide = np.column_stack([np.ones(len(metric) - 1), metric[:-1]])
    if sparse.issparse(X):
        both = np.asarray(X.multiply(X) @ wide)
    else:
        # A few rows at a time stay in the cache, where the squares of all would not.
        both, squares = np.empty((len(X), 2)), np.empty((PIECE, X.shape[1]))
        for start in range(0, len(X), PIECE):
            part = X[start : start + PIECE]
            with np.errstate(over="ignore"):
                held = np.multiply(part, part, out=squares[: len(part)])
                np.matmul(held, wide, out=both[start : start + PIECE])
    with np.errstate(invalid="ignore"):
        total = float(both[:, 0].sum())
    if not total <= MOST**2:
        raise ValueError(f"X must be at most {MOST:g} in size; found more; scale it down")
    return np.sqrt(both[:, 0]), np.sqrt(both[:, 1] + metric[-1])


def rows_of(X: Matrix, index: np.ndarray) -> Matrix:
    """Some rows, in float64."""
    return double(X[index])


def double(X: Matrix) -> Matrix:
    """The same rows in float64; CSR stays CSR."""
    if sparse.issparse(X):
        return sparse.csr_matrix(X, dtype=np.float64)
    return np.ascontiguousarray(X, np.float64)


def stack(parts: list[Matrix]) -> Matrix:
    """One matrix of several."""
    if any(sparse.issparse(part) for part in parts):
        return sparse.csr_matrix(sparse.vstack(parts))
    return np.concatenate(parts)


def dense(X: Matrix) -> Float:
    """The rows as an array."""
    return np.asarray(X.todense() if sparse.issparse(X) else X, np.float64)


@contextlib.contextmanager
def within_float64() -> Iterator[None]:
    """Refuse points among which is an integer that no float64 holds, as what is too large."""
    try:
        yield
    except OverflowError as error:
        raise ValueError(
            f"X must be at most {MOST:g} in size; found a number beyond float64; scale it down"
        ) from error


def check_rows(X: Any, first: int, columns: int | None) -> Matrix:
    """Refuse rows that are no numbers, not finite or of another width; names the row."""
    if sparse.issparse(X):
        matrix: Any = X.tocsr()
    else:
        matrix = np.asarray(X)
        if matrix.dtype == object:
            # Frames with columns of several types.
            with within_float64(), contextlib.suppress(TypeError, ValueError):
                matrix = matrix.astype(np.float64)
        if matrix.dtype.kind not in "fiub":
            raise ValueError(f"X must be real numbers; found dtype {matrix.dtype}")
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise ValueError(f"X must have rows and columns; found shape {matrix.shape}")
    if columns is not None and matrix.shape[1] != columns:
        raise ValueError(
            f"rows from {first} on have {matrix.shape[1]} columns, those before {columns}; all "
            "chunks must have the same"
        )
    values = matrix.data if sparse.issparse(matrix) else matrix
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64)
    if not np.isfinite(total):
        bad = ~np.isfinite(dense(matrix))
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"X holds {float(dense(matrix)[row, column])!r} in row {first + row}, column "
                f"{column}; remove or impute it"
            )
    return matrix


def check_weight(weight: Any, rows: int, first: int) -> Float:
    """(n,) float64 weights >= 0; None is 1."""
    if weight is None:
        return np.ones(rows)
    weights = numbers("sample_weight", weight)
    if weights.ndim == 0:
        weights = np.full(rows, float(weights))
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight must have {rows} entries; found shape {weights.shape}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight must be at least 0 and finite; found {float(weights[at])!r} at index "
            f"{first + at}"
        )
    return weights


def signs(y: Any, classes: Any, first: int) -> Float:
    """(n,) -1 and 1 for the first and second of two classes."""
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ValueError(f"y must be one label a row; found shape {labels.shape}")
    low, high = classes
    signed = np.where(labels == high, 1.0, -1.0)
    wrong = (labels != high) & (labels != low)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"y must be {low!r} or {high!r}; found {labels[at : at + 1].tolist()[0]!r} at index "
            f"{first + at}; name other labels with classes=(negative, positive)"
        )
    return signed


def two_classes(y: Any, given: Any) -> tuple[Any, Any]:
    """(negative, positive): as given, else -1 and 1 or 0 and 1 or the two labels there are."""
    if given is not None:
        if len(given) != 2 or given[0] == given[1]:
            raise ValueError(f"classes must be two labels, negative and positive; found {given!r}")
        return given[0], given[1]
    labels = _labels(y)
    for pair in ((-1, 1), (0, 1)):
        if labels.dtype.kind in "fiub" and np.isin(labels, pair).all():
            return pair
    if len(labels) != 2:
        raise ValueError(
            f"y must have two classes; found {len(labels)}: "
            f"{', '.join(map(repr, labels[:5].tolist()))}; "
            "name them with classes=(negative, positive) where a chunk lacks one"
        )
    low, high = labels.tolist()
    return low, high


def _labels(y: Any) -> np.ndarray:
    """The labels there are, rising; what cannot be put in order is refused."""
    given = np.asarray(y)
    try:
        values = np.unique(given)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in given.ravel().tolist()})
        raise ValueError(f"y must hold labels of one kind; found {', '.join(kinds)}") from error
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"y holds nan at index {int(np.argmax(np.isnan(given)))}")
    return values


def array_blocks(X: Matrix, y: Float, weight: Float) -> Iterator[Block]:
    """Blocks of whole arrays that were checked; views until they are turned into float64."""
    size = block_rows(X.shape[1])
    for start in range(0, X.shape[0], size):
        part = slice(start, start + size)
        yield Block(double(X[part]), y[part], weight[part])


def stream_blocks(
    chunks: Iterable[Any], classes: Any = None, wide: int | None = None
) -> Iterator[Block]:
    """Blocks of a stream of (X, y) or (X, y, sample_weight); how it is cut moves no bit.

    wide: columns that decide how many rows make a block, if not those of X.
    """
    held: list[Block] = []
    columns: int | None = None
    first = count = 0
    pair: tuple[Any, Any] | None = classes
    for number, chunk in enumerate(chunks):
        if not isinstance(chunk, tuple | list) or len(chunk) not in (2, 3):
            raise ValueError(
                f"chunk {number} must be (X, y) or (X, y, sample_weight); found "
                f"{type(chunk).__name__}"
            )
        X = check_rows(chunk[0], first, columns)
        columns = X.shape[1]
        if X.shape[0] == 0:
            continue
        pair = pair or two_classes(chunk[1], None)
        y = signs(chunk[1], pair, first)
        if len(y) != X.shape[0]:
            raise ValueError(f"chunk {number} has {X.shape[0]} rows and {len(y)} labels")
        weight = check_weight(chunk[2] if len(chunk) == 3 else None, len(y), first)
        columns, first, count = X.shape[1], first + len(y), count + len(y)
        held.append(Block(double(X), y, weight))
        size = block_rows(wide or X.shape[1])
        if count >= size:
            whole = _joined(held)
            cut = count - count % size
            for start in range(0, cut, size):
                yield _part(whole, start, start + size)
            held, count = [_part(whole, cut, count)], count - cut
    if first == 0:
        raise ValueError("the stream holds no rows; it may have been read before")
    if count:
        yield _joined(held)


def _joined(held: list[Block]) -> Block:
    if len(held) == 1:
        return held[0]
    return Block(
        stack([one.X for one in held]),
        np.concatenate([one.y for one in held]),
        np.concatenate([one.weight for one in held]),
    )


def _part(block: Block, start: int, end: int) -> Block:
    return Block(block.X[start:end], block.y[start:end], block.weight[start:end])
