"""SV-4: a stream kept as a tree of samples (merge and reduce), with sums that certify it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sipp_core.runtime import generator
from sipp_core.svm.blocks import Matrix, row_norms, rows_of, stack
from sipp_theory.numeric.checks import Float

STREAM = 3


@dataclass
class Sample:
    """Weighted rows with the index of their class."""

    X: Matrix
    index: np.ndarray
    weight: Float


@dataclass
class Stream:
    """A binary counter of samples: two of one level are merged and reduced to one of the next.

    A reduction keeps `size` rows by priority within each class, unbiased whatever came before, so
    that errors of levels add up as a martingale's (SV-4). `sums` groups all points by class and by
    the sign of the decision that the model had when they came: any partition bounds F* (SV-10).
    """

    size: int
    classes: int
    columns: int
    seed: int
    levels: list[Sample | None] = field(default_factory=list)
    reductions: int = 0
    seen: int = 0
    sums: Float = field(init=False)  # (classes * 2, d + 3): sum u x, u, u ||x||^2, u ||x||

    def __post_init__(self) -> None:
        self.sums = np.zeros((2 * self.classes, self.columns + 3))

    def add(self, X: Matrix, index: np.ndarray, weight: Float, side: np.ndarray) -> None:
        """Take in rows; side (n,) is the group of each within its class, 0 or 1."""
        live = np.flatnonzero(weight > 0)
        X, index, weight, side = X[live], index[live], weight[live], side[live]
        norms = row_norms(X)
        for group in range(2 * self.classes):
            mine = np.flatnonzero((index == group // 2) & (side == group % 2))
            u = weight[mine]
            self.sums[group, :-3] += np.asarray(X[mine].T @ u).ravel()
            self.sums[group, -3:] += (
                u.sum(),
                (u * norms[mine] ** 2).sum(),
                (u * norms[mine]).sum(),
            )
        for start in range(0, len(weight), self.size):
            part = slice(start, start + self.size)
            self._carry(Sample(X[part], index[part], weight[part]))
        self.seen += len(weight)

    def _carry(self, sample: Sample) -> None:
        level = 0
        while level < len(self.levels) and (held := self.levels[level]) is not None:
            sample = Sample(
                stack([held.X, sample.X]),
                np.concatenate([held.index, sample.index]),
                np.concatenate([held.weight, sample.weight]),
            )
            self.levels[level] = None
            # Short pieces of a stream fill a level up before anything is thrown away.
            if len(sample.weight) > self.size:
                sample = self._reduced(sample)
                level += 1
        if level == len(self.levels):
            self.levels.append(None)
        self.levels[level] = sample

    def _reduced(self, sample: Sample) -> Sample:
        """`size` rows: small classes whole, the others in equal shares of the room that is left."""
        random = generator(self.seed, STREAM, self.reductions).random(len(sample.weight))
        self.reductions += 1
        kept, weight = [], sample.weight.copy()
        room = self.size
        counts = np.bincount(sample.index, minlength=self.classes)
        for turn, k in enumerate(np.argsort(counts, kind="stable")):
            share = room // (self.classes - turn)
            mine = np.flatnonzero(sample.index == k)
            if len(mine) > share:
                priority = sample.weight[mine] / np.maximum(random[mine], 1e-300)
                order = np.argsort(-priority, kind="stable")
                threshold = float(priority[order[share]])
                mine = np.sort(mine[order[:share]])
                weight[mine] = np.maximum(weight[mine], threshold)
            room -= len(mine)
            kept.append(mine)
        index = np.sort(np.concatenate(kept))
        return Sample(rows_of(sample.X, index), sample.index[index], weight[index])

    def sample(self) -> Sample:
        """All levels together."""
        held = [one for one in self.levels if one is not None]
        return Sample(
            stack([one.X for one in held]),
            np.concatenate([one.index for one in held]),
            np.concatenate([one.weight for one in held]),
        )

    def groups(self) -> tuple[Float, np.ndarray, Float, Float, Float]:
        """Sums u x, classes, weights, sums u ||x|| and spreads of the groups that hold something.

        sum u ||x - mean|| <= sqrt(U sum u ||x - mean||^2), and the latter is a difference of sums.
        """
        full = self.sums[:, -3] > 0
        sums, (u, square, norms) = self.sums[full, :-3], self.sums[full, -3:].T
        rounding = 1e-15 * (self.seen + 64)
        about = square * (1 + rounding) - (sums**2).sum(axis=1) / u * (1 - rounding)
        spread = np.sqrt(np.maximum(about, 0) * u) * (1 + rounding)
        return sums, np.flatnonzero(full) // 2, u, norms, spread
