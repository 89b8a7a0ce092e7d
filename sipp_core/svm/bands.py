"""One pass of SV-10: the primal, the points nearest the hinge, and sums over all the others.

`Bands.of(block)` is the map, `merge` the reduce. Blocks are merged in the order of the data, so
that neither the number of workers nor the order of arrival moves a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sipp_core.svm.blocks import Block, Matrix, dense, row_norms, rows_of, squares_dot, stack
from sipp_theory.numeric.checks import Float
from sipp_theory.svm.certificate import LEVELS, SvmCertificate, coarse, group_dual
from sipp_theory.svm.problem import hinge_sum, primal_value, suboptimality

CODES = 4 * (2 * LEVELS + 1)


@dataclass(frozen=True)
class View:
    """What a pass looks at: a hyperplane, C, how many points stay single, and the metric.

    metric (d + 1,): diagonal of Q; the distance of a point is |r_i| over its Q-norm. None farther
    than `limit` stays single.
    """

    w: Float
    b: float
    C: float
    singles: int
    metric: Float
    limit: float = np.inf


@dataclass
class Bands:
    """Sums of a part of the data, and its points nearest the hinge."""

    view: View
    hinge: float
    points: int
    blocks: int
    rows: int
    X: Matrix  # (k, d) single points
    y: Float
    c: Float
    distance: Float
    side: Float
    sums: Float  # (CODES, d) sum c x of all others
    weights: Float
    norms: Float

    @classmethod
    def of(cls, view: View, block: Block) -> Bands:
        """The pass over one block."""
        live = block.weight > 0
        X, y, weight = block.X, block.y, block.weight
        if not live.all():
            keep = np.flatnonzero(live)
            X, y, weight = X[keep], y[keep], weight[keep]
        c = view.C * weight
        norms = row_norms(X)
        r, hinge = hinge_sum(view.w, view.b, X, y, c, norms)
        distance = np.abs(r) / np.sqrt(squares_dot(X, view.metric[:-1]) + view.metric[-1])
        near = np.flatnonzero(distance <= view.limit)
        near = near[_nearest(distance[near], view.singles)]
        far = np.ones(len(y), bool)
        far[near] = False
        d = X.shape[1]
        made = cls(
            view, hinge, len(y), 1, len(y), rows_of(X, near), y[near], c[near], distance[near],
            r[near], np.zeros((CODES, d)), np.zeros(CODES), np.zeros(CODES),
        )  # fmt: skip
        made._lump(X[np.flatnonzero(far)], y[far], c[far], distance[far], r[far], norms[far])
        return made

    def _lump(self, X: Matrix, y: Float, c: Float, distance: Float, r: Float, norms: Float) -> None:
        """Add points to the sums of their groups."""
        if len(y) == 0:
            return
        codes = coarse(r, y, distance)
        picks = sparse.csr_matrix((c, (codes, np.arange(len(y)))), shape=(CODES, len(y)))
        self.sums += dense(picks @ X)
        self.weights += np.bincount(codes, c, CODES)
        self.norms += np.bincount(codes, c * norms, CODES)

    def merge(self, other: Bands) -> None:
        """Take in the part that comes next; twice the singles are held before some are lumped."""
        self.hinge += other.hinge
        self.points += other.points
        self.blocks += other.blocks
        self.rows = max(self.rows, other.rows)
        self.sums += other.sums
        self.weights += other.weights
        self.norms += other.norms
        self.X = stack([self.X, other.X])
        for name in ("y", "c", "distance", "side"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        if len(self.y) > 2 * self.view.singles:
            self.trim()

    def trim(self) -> None:
        """Lump all but the nearest points."""
        near = _nearest(self.distance, self.view.singles)
        far = np.ones(len(self.y), bool)
        far[near] = False
        index = np.flatnonzero(far)
        X = self.X[index]
        self._lump(X, self.y[far], self.c[far], self.distance[far], self.side[far], row_norms(X))
        self.X = self.X[near]
        for name in ("y", "c", "distance", "side"):
            setattr(self, name, getattr(self, name)[near])

    def groups(self) -> tuple[Float, Float, Float, Float]:
        """Sums c x, labels, weights and sums c ||x|| of all groups, singles first."""
        self.trim()
        X = dense(self.X)
        full = self.weights > 0
        side = np.where(np.arange(CODES) // (2 * LEVELS + 1) >= 2, 1.0, -1.0)
        return (
            np.concatenate([self.c[:, None] * X, self.sums[full]]),
            np.concatenate([self.y, side[full]]),
            np.concatenate([self.c, self.weights[full]]),
            np.concatenate([self.c * row_norms(X), self.norms[full]]),
        )

    def primal(self) -> float:
        """F(w, b), rounded up."""
        return primal_value(self.view.w, self.hinge * (1 + 2e-16 * (self.blocks + 1)))

    def certificate(self, tol: float) -> SvmCertificate:
        """Solve for the means."""
        sums, y, c, norms = self.groups()
        for label in (-1.0, 1.0):
            if not (y == label).any():
                raise ValueError(
                    "there must be two classes with weight above 0; found only points of class "
                    f"{-label:g} (1 is the positive class)"
                )
        additions = 2 * self.rows + self.blocks
        dual, w, b, _ = group_dual(sums, y, c, norms, additions, self.view.w, self.view.b, tol)
        primal = self.primal()
        return SvmCertificate(primal, dual, suboptimality(primal, dual), self.points, len(y), w, b)


def _nearest(distance: Float, count: int) -> np.ndarray:
    """Indices of the least distances, in order of the data."""
    if count >= len(distance):
        return np.arange(len(distance))
    if count == 0:
        return np.arange(0)
    limit = np.partition(distance, count - 1)[count - 1]
    below = np.flatnonzero(distance < limit)
    ties = np.flatnonzero(distance == limit)[: count - len(below)]
    return np.sort(np.concatenate([below, ties]))
