"""Chunks that can be read again: one pass is a map over them and a reduce in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from scipy import sparse

from sipp_core.runtime import tasks
from sipp_core.svm.blocks import Block, Matrix, block_rows, double
from sipp_theory.numeric.checks import Float
from sipp_theory.numeric.threads import one_blas_thread

Result = TypeVar("Result")


@runtime_checkable
class Chunks(Protocol):
    """Rows in pieces, each of them read anew whenever it is needed."""

    @property
    def columns(self) -> int:
        """Width."""
        ...

    def __len__(self) -> int:
        """How many pieces."""
        ...

    def read(self, number: int) -> tuple[Matrix, np.ndarray, Float]:
        """One piece: float64 rows, labels as they are, and weights."""
        ...


def pieces(chunks: Any) -> Iterator[Any]:
    """(X, y) or (X, y, weight) after another, from the first on, of `Chunks` or any iterable."""
    if isinstance(chunks, Chunks):
        return map(chunks.read, range(len(chunks)))
    if (
        sparse.issparse(chunks)
        or isinstance(chunks, np.ndarray)
        or not isinstance(chunks, Iterable)
    ):
        raise ValueError("y must be given with an array X; leave it out for chunks (X, y)")
    return iter(chunks)


@dataclass(frozen=True)
class ArrayChunks:
    """Slices of arrays that were checked."""

    X: Matrix
    y: np.ndarray
    weight: Float

    @property
    def columns(self) -> int:
        """Width."""
        return int(self.X.shape[1])

    def __len__(self) -> int:
        return -(-int(self.X.shape[0]) // block_rows(self.columns))

    def read(self, number: int) -> tuple[Matrix, np.ndarray, Float]:
        """One slice."""
        size = block_rows(self.columns)
        part = slice(number * size, (number + 1) * size)
        return double(self.X[part]), self.y[part], self.weight[part]


def refuse_strangers(y: np.ndarray, classes: np.ndarray) -> None:
    """Refuse labels that are none of the classes."""
    strange = ~np.isin(y, classes)
    if strange.any():
        raise ValueError(f"y holds {y[strange].tolist()[0]!r}, which is not among the classes")


@dataclass(frozen=True)
class OneAgainstRest:
    """Chunks as blocks of two classes, with the weight of each class multiplied in."""

    chunks: Chunks
    classes: np.ndarray
    positive: int
    class_weight: Float

    def block(self, number: int, known: bool = False) -> Block:
        """One block; `known` refuses labels that are none of the classes."""
        X, y, weight = self.chunks.read(number)
        if known:
            refuse_strangers(y, self.classes)
        if (self.class_weight != 1).any():
            weight = weight * self.class_weight[np.searchsorted(self.classes, y)]
        return Block(X, np.where(y == self.classes[self.positive], 1.0, -1.0), weight)


def _in_one_thread(function: Callable[[int], Result], number: int) -> Result:
    """function(number) in one BLAS thread: workers have one each, and more give other bits."""
    with one_blas_thread():
        return function(number)


def mapped(
    function: Callable[[int], Result], count: int, n_jobs: int | None = None
) -> Iterator[Result]:
    """function(0), function(1), ... in order, on joblib's workers; a lost worker's share again."""
    return tasks.mapped(_in_one_thread, [(function, number) for number in range(count)], n_jobs)


def in_order(
    function: Callable[[int], Any], count: int, n_jobs: int | None, merge: Callable[[Any, Any], Any]
) -> Any:
    """The merge of all results, from the first on."""
    total = None
    for value in mapped(function, count, n_jobs):
        total = value if total is None else merge(total, value)
    return total
