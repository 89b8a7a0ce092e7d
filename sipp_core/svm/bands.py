"""One pass of SV-10: the primal, the points nearest the hinge, and sums over all the others.

`Bands.of(block)` is the map, `merge` the reduce. Blocks are merged in the order of the data, so
that neither the number of workers nor the order of arrival moves a bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sipp_core.svm.blocks import Block, Matrix, dense, norms_and_sizes, row_norms, rows_of, stack
from sipp_theory.numeric.checks import Float
from sipp_theory.svm.certificate import LEVELS, SvmCertificate, coarse, group_dual
from sipp_theory.svm.problem import hinge_sum, primal_value, slacks, suboptimality

CODES = 4 * (2 * LEVELS + 1)


@dataclass(frozen=True)
class View:
    """What a pass looks at: a hyperplane, C, how many points stay single, and the metric.

    metric (d + 1,): diagonal of Q; the distance of a point is |r_i| over its Q-norm. None farther
    than `limit` stays single. about (d + 1,): the hyperplane whose hinge the bands are laid around,
    (w, b) itself if not given.
    """

    w: Float
    b: float
    C: float
    singles: int
    metric: Float
    limit: float = np.inf
    about: Float | None = None


@dataclass(frozen=True)
class Look:
    """The points of a block that have weight: slacks, norms, and the share of the objective."""

    X: Matrix
    y: Float
    c: Float
    index: np.ndarray  # (n,) their rows in the block
    r: Float
    size: Float  # (n,) Q-norms of (x, 1)
    norms: Float
    hinge: float

    @classmethod
    def at(cls, view: View, block: Block) -> Look:
        """Look at a block from a hyperplane."""
        X, y, weight = block.X, block.y, block.weight
        index = np.arange(len(y))
        if not (weight > 0).all():
            index = np.flatnonzero(weight > 0)
            X, y, weight = X[index], y[index], weight[index]
        c, (norms, size) = view.C * weight, norms_and_sizes(X, view.metric)
        r, hinge = hinge_sum(view.w, view.b, X, y, c, norms)
        return cls(X, y, c, index, r, size, norms, hinge)


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
        return cls.seen(view, Look.at(view, block))

    @classmethod
    def seen(cls, view: View, look: Look) -> Bands:
        """The same, of what was looked at already."""
        X, y, c, r, norms = look.X, look.y, look.c, look.r, look.norms
        if view.about is not None:
            r = slacks(view.about[:-1], float(view.about[-1]), X, y)
        distance = np.abs(r) / look.size
        near = np.flatnonzero(distance <= view.limit)
        near = near[_nearest(distance[near], view.singles)]
        far = np.ones(len(y), bool)
        far[near] = False
        d = X.shape[1]
        bands = cls(
            view, look.hinge, len(y), 1, len(y), rows_of(X, near), y[near], c[near],
            distance[near], r[near], np.zeros((CODES, d)), np.zeros(CODES), np.zeros(CODES),
        )  # fmt: skip
        bands._lump(np.flatnonzero(far), X, y, c, distance, r, norms)
        return bands

    def _lump(
        self,
        far: np.ndarray,
        X: Matrix,
        y: Float,
        c: Float,
        distance: Float,
        r: Float,
        norms: Float,
    ) -> None:
        """Add some points to the sums of their groups."""
        if len(far) == 0:
            return
        codes = coarse(r[far], y[far], distance[far]).astype(np.uint8)
        order = np.argsort(codes, kind="stable")
        far, counts = far[order], np.bincount(codes, minlength=CODES)
        picks = sparse.csr_matrix(
            (c[far], far, np.append(0, np.cumsum(counts))), shape=(CODES, len(y))
        )
        self.sums += dense(picks @ X)
        self.weights += picks @ np.ones(len(y))
        self.norms += picks @ norms

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
        self._lump(index, self.X, self.y, self.c, self.distance, self.side, row_norms(self.X))
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
        return primal_above(self.view, self.hinge, self.blocks)

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


def primal_above(view: View, hinge: float, blocks: int) -> float:
    """F(w, b), rounded up, of hinges that so many blocks added up."""
    return primal_value(view.w, hinge * (1 + 2e-16 * (blocks + 1)))


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
