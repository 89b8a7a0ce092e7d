"""NC-8 and NC-8r: neurons' largest shares over a cone of inputs, and when no coreset can exist.

Over all of R^d, or over x >= 0 where the inputs come out of ReLUs; a bias is one more coordinate.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

Cone = Literal["all", "nonnegative"]
# What the solver's tolerance may have cost a sensitivity.
GUARD = 1 + 1e-7


def cone_sensitivities(
    incoming: ArrayLike, weights: ArrayLike, cone: Cone = "nonnegative"
) -> Float:
    """Largest share of each ReLU neuron in a positive sum, over all inputs of a cone (NC-8).

    s_j = sup_x w_j relu(p_j.x)/sum_q w_q relu(p_q.x), which is w_j over the value of one linear
    program: min sum_q w_q t_q with t >= 0, t_q >= p_q.x, p_j.x = 1, x in the cone. Draws with
    pr = s/S have SP-3's error with M = S at every input of the cone.

    Args:
        incoming: (n, d) weights p; a bias as one more column.
        weights: (n,) w >= 0; for a layer max_i |w_i(p)|.
        cone: "nonnegative" for x >= 0, "all" for every x.

    Returns:
        (n,) float64 in [0, 1], raised by the solver's tolerance; 0 for a neuron that no input of
        the cone switches on or that weighs nothing. 1 where the program did not end: nothing is
        known there.

    Raises:
        ValueError: a negative weight, an unknown cone, or shapes that do not fit.

    Claim: NC-8. Source: [OWN].

    Example:
        >>> cone_sensitivities([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [1.0, 1.0, 1.0]).round(3)
        array([0.5, 0.5, 0.5])
    """
    from scipy import optimize, sparse  # here: they are long to import

    p, w = np.atleast_2d(nm.finite("incoming", incoming)), nm.at_least("weights", weights, 0.0)
    n, d = p.shape
    if w.shape != (n,):
        raise ValueError(f"weights has shape {w.shape}, incoming {p.shape}: one weight a neuron")
    if cone not in ("all", "nonnegative"):
        raise ValueError(f"cone must be 'all' or 'nonnegative'; found {cone!r}")
    live = np.flatnonzero(w)
    shares = np.zeros(n)
    if live.size == 0:
        return shares
    # Each t_q - p_q.x >= 0; the share does not change with the scale of w.
    q, v = p[live], w[live] / w.max()
    below = sparse.csr_array(sparse.hstack([q, -sparse.eye_array(len(live))]))
    cost = np.concatenate([np.zeros(d), v])
    low = 0.0 if cone == "nonnegative" else None
    bounds = [(low, None)] * d + [(0.0, None)] * len(live)
    for place, j in enumerate(live):
        size = float(np.abs(q[place]).max())
        if size == 0 or (cone == "nonnegative" and q[place].max() <= 0):
            continue
        equal = np.concatenate([q[place] / size, np.zeros(len(live))])[None]
        done = optimize.linprog(
            cost, A_ub=below, b_ub=np.zeros(len(live)), A_eq=equal, b_eq=[1.0], bounds=bounds,
            method="highs",
        )  # fmt: skip
        if done.status == 0 and done.fun > 0:
            shares[j] = min(1.0, v[place] * size / done.fun * GUARD)
        else:
            shares[j] = 1.0
    return shares


def isolating_input(incoming: ArrayLike, bias: ArrayLike, index: int) -> Float:
    """An input at which one neuron alone is on, so that its share is 1 (NC-8r).

    If the p are linearly independent there is x with p_j.x + b_j = 1 and p_q.x + b_q = -1 for all
    others: no coreset without neuron j is multiplicative at every input, for no j. This is every
    hidden layer with no more neurons than inputs, in general position.

    Args:
        incoming: (n, d) weights p, without biases.
        bias: (n,) biases, or 0.
        index: j.

    Returns:
        (d,) float64 x.

    Raises:
        ValueError: rows that are linearly dependent, so that there need not be such an input.

    Claim: NC-8r. Source: [OWN].

    Example:
        >>> isolating_input([[1.0, 0.0], [1.0, 1.0]], 0.0, 0)
        array([ 1., -2.])
    """
    p = np.atleast_2d(nm.finite("incoming", incoming))
    b = np.broadcast_to(nm.finite("bias", bias), p.shape[:1])
    if np.linalg.matrix_rank(p) < len(p):
        raise ValueError(
            f"the {len(p)} rows of incoming are linearly dependent (rank "
            f"{np.linalg.matrix_rank(p)}): no input need isolate a neuron; see cone_sensitivities"
        )
    target = np.full(len(p), -1.0)
    target[index] = 1.0
    return np.asarray(np.linalg.lstsq(p, target - b, rcond=None)[0], np.float64)


def sign_ratio(incoming: ArrayLike, weights: ArrayLike) -> float:
    """How much of sum w |p.x| a sum of ReLUs may lack: mu = sup sum w|p.x|/sum w relu(p.x).

    mu = 2 + 1/v, v = min{sum w relu(p.x) : (sum w p).x = -1}, one linear program. Where it is
    finite s_j <= mu times the l1 sensitivity, so that a multiplicative coreset exists; it is
    infinite iff some input switches all neurons off but not all to 0.

    Args:
        incoming: (n, d) weights p.
        weights: (n,) w > 0.

    Returns:
        mu >= 2, raised by the solver's tolerance; +inf where no coreset smaller than all need
        exist.

    Raises:
        ValueError: a weight that is not above 0, or shapes that do not fit.

    Claim: NC-8r. Source: [OWN].

    Example:
        >>> sign_ratio([[1.0], [-1.0]], [1.0, 1.0]), sign_ratio([[1.0]], [1.0])
        (2.0, inf)
    """
    from scipy import optimize

    p, w = np.atleast_2d(nm.finite("incoming", incoming)), nm.finite("weights", weights)
    if w.shape != p.shape[:1] or (w <= 0).any():
        raise ValueError("weights must be above 0, one a neuron")
    n, d = p.shape
    total = w @ p
    if np.abs(total).max() <= 1e-12 * (w @ np.abs(p)).max():
        return 2.0
    done = optimize.linprog(
        np.concatenate([np.zeros(d), w]),
        A_ub=np.hstack([p, -np.eye(n)]), b_ub=np.zeros(n),
        A_eq=np.concatenate([total, np.zeros(n)])[None], b_eq=[-1.0],
        bounds=[(None, None)] * d + [(0.0, None)] * n, method="highs",
    )  # fmt: skip
    if done.status != 0 or done.fun <= 1e-9:
        return np.inf
    return float((2 + 1 / done.fun) * GUARD)
