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
# What is known of each single point.
SINGLE = ("y", "c", "distance", "side", "place")


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
class BlockView:
    """The points of a block that have weight: slacks, norms, and the share of the objective."""

    X: Matrix
    y: Float
    c: Float
    index: np.ndarray  # (n,) their rows in the block
    r: Float
    size: Float  # (n,) Q-norms of (x, 1)
    norms: Float
    hinge: float
    rows: int  # of the block, those without weight too

    @classmethod
    def at(cls, view: View, block: Block) -> BlockView:
        """A block as seen from a hyperplane."""
        X, y, weight = block.X, block.y, block.weight
        index = np.arange(len(y))
        if not (weight > 0).all():
            index = np.flatnonzero(weight > 0)
            X, y, weight = X[index], y[index], weight[index]
        c, (norms, size) = view.C * weight, norms_and_sizes(X, view.metric)
        r, hinge = hinge_sum(view.w, view.b, X, y, c, norms)
        return cls(X, y, c, index, r, size, norms, hinge, block.rows)


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
    place: np.ndarray  # (k,) their rows in the data, rising
    taken: int  # rows of the data so far
    sums: Float  # (CODES, d) sum c x of all others
    weights: Float
    norms: Float

    @classmethod
    def of(cls, view: View, block: Block) -> Bands:
        """The pass over one block."""
        return cls.seen(view, BlockView.at(view, block))

    @classmethod
    def seen(cls, view: View, look: BlockView) -> Bands:
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
            distance[near], r[near], look.index[near], look.rows, np.zeros((CODES, d)),
            np.zeros(CODES), np.zeros(CODES),
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
        other.place = other.place + self.taken
        self.taken += other.taken
        for name in SINGLE:
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
        for name in SINGLE:
            setattr(self, name, getattr(self, name)[near])

    def groups(self) -> tuple[Float, Float, Float, Float]:
        """Sums c x, labels, weights and sums c ||x|| of all groups, singles first."""
        self.trim()
        X = dense(self.X)
        full = self.weights > 0
        side = np.where(np.arange(CODES) // (2 * LEVELS + 1) >= 2, 1.0, -1.0)
        y = np.concatenate([self.y, side[full]])
        if not len(y):
            raise ValueError("there is no point with weight above 0")
        for label in (-1.0, 1.0):
            if not (y == label).any():
                raise ValueError(
                    "there must be two classes with weight above 0; found only points of class "
                    f"{-label:g} (1 is the positive class)"
                )
        return (
            np.concatenate([self.c[:, None] * X, self.sums[full]]),
            y,
            np.concatenate([self.c, self.weights[full]]),
            np.concatenate([self.c * row_norms(X), self.norms[full]]),
        )

    def lifted(self, alpha: Float, look: BlockView, first: int) -> Float:
        """(n,) multipliers of points from those of `groups`: a_i = a_G c_i/c_G, at most c_i.

        `look` is at the points from row `first` of the data on, from the same view.
        """
        share = np.zeros(CODES)
        full = self.weights > 0
        share[full] = alpha[len(self.y) :] / self.weights[full]
        alphas = share[coarse(look.r, look.y, np.abs(look.r) / look.size)] * look.c
        mine = slice(*np.searchsorted(self.place, (first, first + look.rows)))
        alphas[np.searchsorted(look.index, self.place[mine] - first)] = alpha[: len(self.y)][mine]
        return np.minimum(alphas, look.c)

    def primal(self) -> float:
        """F(w, b), rounded up."""
        return primal_above(self.view, self.hinge, self.blocks)

    def certificate(self, tol: float) -> SvmCertificate:
        """Solve for the means."""
        dual, w, b, alpha = self.solved(tol)
        primal, groups = self.primal(), len(alpha)
        return SvmCertificate(primal, dual, suboptimality(primal, dual), self.points, groups, w, b)

    def solved(self, tol: float) -> tuple[float, Float, float, Float]:
        """A lower bound of F*, the best hyperplane of the means, and their multipliers."""
        additions = 2 * self.rows + self.blocks
        return group_dual(*self.groups(), additions, self.view.w, self.view.b, tol)


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
