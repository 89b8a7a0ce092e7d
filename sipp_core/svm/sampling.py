"""Priority sampling (SV-4): one pass, fixed size, mergeable in any order, unbiased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sipp_core.svm.blocks import Matrix, stack
from sipp_theory.numeric.checks import Float


@dataclass
class PrioritySample:
    """The rows of largest score/U(0, 1), and the first priority that was left out.

    A row of score s stands for max(s, t)/s rows, t the largest priority left out: unbiased
    (Duffield, Lund and Thorup 2007).
    """

    size: int
    X: Matrix
    y: Float
    c: Float
    score: Float
    priority: Float
    place: np.ndarray
    threshold: float = 0.0

    def trim(self) -> PrioritySample:
        """Keep the rows of largest priority, in order of their places."""
        index = np.arange(len(self.place))
        if len(index) > self.size:
            index = np.argpartition(-self.priority, self.size)
            self.threshold = max(self.threshold, float(self.priority[index[self.size]]))
            index = index[: self.size]
        self._keep(index[np.argsort(self.place[index])])
        return self

    def _keep(self, index: np.ndarray) -> None:
        self.X = self.X[index]
        for name in ("y", "c", "score", "priority", "place"):
            setattr(self, name, getattr(self, name)[index])

    def merge(self, other: PrioritySample) -> PrioritySample:
        """The sample of both parts."""
        # What this sample has no room for any more is not worth a copy.
        other._keep(np.flatnonzero(other.priority > self.threshold))
        self.X = stack([self.X, other.X])
        for name in ("y", "c", "score", "priority", "place"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        self.threshold = max(self.threshold, other.threshold)
        return self.trim()

    @property
    def factor(self) -> Float:
        """(k,) how many rows each stands for."""
        return np.maximum(self.score, self.threshold) / self.score


def priority_sample(
    size: int, X: Matrix, y: Float, c: Float, score: Float, uniform: Float, first: int
) -> PrioritySample:
    """Sample from one part, whose first row has the place `first`; scores of 0 are never taken."""
    live = np.flatnonzero(score > 0)
    priority = score[live] / np.maximum(uniform[live], 1e-300)
    if len(live) > size + 1:
        # The next one's priority is the threshold.
        best = np.sort(np.argpartition(-priority, size)[: size + 1])
        live, priority = live[best], priority[best]
    sample = PrioritySample(
        size, X[live], y[live], c[live], score[live], priority, live + first
    )  # fmt: skip
    return sample.trim()
