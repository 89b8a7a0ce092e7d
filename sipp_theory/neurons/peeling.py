"""NC-9: sensitivities of sum w |p.x| by peeling off l_inf coresets, shown for what they are.

They are for |.| and not for ReLU (NC-8r), loose, and uniform for fewer than 2 r^2 neurons of rank
r, which is every layer of LeNet, VGG and ResNet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float
from sipp_theory.numeric.threads import blas_threads_for


def _ellipsoid(points: Float, steps: int = 1000) -> Float:
    """Matrix A with p.A p <= 1 for all points, nearly of least volume about 0 (Khachiyan).

    Shapes: points (n, r) of full rank; returns (r, r).
    """
    n, r = points.shape
    mass = np.full(n, 1 / n)
    with blas_threads_for(points.size * r):
        for _ in range(steps):
            inner = np.linalg.inv(points.T @ (mass[:, None] * points))
            heights = np.einsum("ni,ij,nj->n", points, inner, points)
            worst = int(heights.argmax())
            if heights[worst] <= r * 1.01:
                break
            step = (heights[worst] - r) / (r * (heights[worst] - 1))
            mass *= 1 - step
            mass[worst] += step
    inner = np.linalg.inv(points.T @ (mass[:, None] * points))
    return inner / np.einsum("ni,ij,nj->n", points, inner, points).max()


def linf_coreset(points: ArrayLike) -> tuple[np.ndarray, float]:
    """Few points that stand for all in max |p.x|, and the factor that they are worse by (NC-9).

    The axes of an ellipsoid about +-P, shrunk into its hull, are convex combinations of r + 1
    points each; these are the coreset S. max_P |p.x| <= f max_S |q.x| for every x, with f the
    largest sum of |coordinates| of a point in these axes: John's theorem says f <= r, the paper's
    argument 2 r^1.5.

    Args:
        points: (n, d) points, of any rank r >= 1.

    Returns:
        (indices of S, f).

    Raises:
        ValueError: points that are all 0 or not finite.

    Claim: NC-9. Source: arXiv 2209.08554; the symmetric body is [OWN].

    Example:
        >>> chosen, factor = linf_coreset([[1.0, 0.0], [0.0, 1.0], [0.1, 0.1]])
        >>> chosen.tolist(), factor <= 2
        ([0, 1], True)
    """
    from scipy import optimize  # here: it is long to import

    p = np.atleast_2d(nm.finite("points", points))
    _, sizes, turn = np.linalg.svd(p, full_matrices=False)
    rank = int((sizes > 1e-10 * sizes[0]).sum()) if sizes[0] > 0 else 0
    if rank == 0:
        raise ValueError("points must not all be 0")
    flat = p @ (turn[:rank].T / sizes[:rank])
    values, axes = np.linalg.eigh(_ellipsoid(flat))
    both = np.vstack([flat, -flat]).T
    corners, chosen = [], set()
    for axis in (axes / np.sqrt(values)).T:
        # The farthest point along the axis inside the hull; a corner of the program needs r + 1.
        done = optimize.linprog(
            np.r_[np.zeros(both.shape[1]), -1.0],
            A_eq=np.vstack([np.c_[both, -axis], np.r_[np.ones(both.shape[1]), 0.0]]),
            b_eq=np.r_[np.zeros(rank), 1.0],
            method="highs-ds",
        )
        if done.status != 0:
            return np.arange(len(p)), 1.0
        corners.append(done.x[-1] * axis)
        chosen |= set((np.flatnonzero(done.x[:-1] > 0) % len(p)).tolist())
    coordinates = np.linalg.solve(np.stack(corners).T, flat.T)
    return np.array(sorted(chosen)), float(np.abs(coordinates).sum(axis=0).max() * (1 + 1e-9))


def peeled_sensitivities(points: ArrayLike) -> tuple[Float, bool]:
    """Bounds on sup_x |p.x|/sum_q |q.x| by peeling off l_inf coresets (NC-9).

    A point of round i was beaten, up to that round's factor f_k, by one of every round k before:
    s = 1/(1 + sum_{k < i} 1/f_k), where the paper has 2 r^1.5/i. Of fewer than 2 r^2 points none is
    peeled and all get 1: uniform draws.

    Args:
        points: (n, d) points w p, of rank r.

    Returns:
        (n,) float64 in [0, 1], 0 for points that are 0; whether they are uniform.

    Raises:
        ValueError: points that are all 0 or not finite.

    Claim: NC-9. Source: arXiv 2209.08554, from public re-implementations, which differ.

    Example:
        >>> peeled_sensitivities([[1.0], [1.0], [1.0], [1.0]])[0].round(3)
        array([1.   , 0.5  , 0.333, 0.25 ])
    """
    p = np.atleast_2d(nm.finite("points", points))
    rank = int(np.linalg.matrix_rank(p))
    if rank == 0:
        raise ValueError("points must not all be 0")
    if len(p) < 2 * rank * rank:
        return np.ones(len(p)), True
    shares, left, beaten = np.zeros(len(p)), np.flatnonzero(np.abs(p).max(axis=1)), 0.0
    while len(left):
        chosen, factor = linf_coreset(p[left])
        shares[left[chosen]] = min(1.0, 1 / (1 + beaten) * (1 + 1e-9))
        beaten += 1 / factor
        left = np.delete(left, chosen)
    return shares, False
