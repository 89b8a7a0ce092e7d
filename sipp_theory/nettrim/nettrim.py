"""Net-Trim's errors and sample count (NT-1 to NT-4): what retraining layer by layer promises.

All errors are Frobenius norms over the inputs that the layers were trimmed on: ||Y^ - Y||_F, in the
unit of the outputs. No statement about other inputs is made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.numeric import binomial
from sipp_theory.numeric import checks as numeric
from sipp_theory.numeric.checks import UNIT, Float

# A norm or an error that rounds to 0 must not turn a promise to exactly 0.
ROUNDING = 8 * UNIT


def retrim_error(eps: ArrayLike, overshoot: ArrayLike = 0.0) -> Float:
    """Error of one trimmed layer on the inputs it was trimmed on.

    U in C_eps(X, Y, 0) has ||max(U X, 0) - Y||_F <= eps: over y > 0 ReLU moves nothing further from
    a positive target, and where y = 0 the output is at most its ceiling 0. A solver's point that
    stands above its ceilings by `overshoot` gives sqrt(eps^2 + overshoot^2). A layer without ReLU
    has the ball over all entries, and the same promise.

    Args:
        eps: ||U X - Y||_F over the entries y > 0, >= 0; any shape.
        overshoot: ||max(U X, 0)||_F over the others, >= 0; broadcasts.

    Returns:
        float64 array, rounded up.

    Raises:
        ValueError: a value that is negative or not finite.

    Claim: NT-1. Source: [NT] arXiv 1611.05162; the overshoot [OWN].

    Example:
        >>> round(float(retrim_error(3.0, 4.0)), 9)
        5.0
    """
    ball = numeric.at_least("eps", eps, 0.0)
    above = numeric.at_least("overshoot", overshoot, 0.0)
    return np.where(above == 0, ball, numeric.up(np.hypot(ball, above)) * (1 + ROUNDING))[()]


def parallel_error(eps: ArrayLike, norms: ArrayLike = 1.0) -> Float:
    """Error after each layer when every layer is trimmed on the original network's activations.

    e_l <= n_l e_{l-1} + eps_l, n_l the spectral norm of the *trimmed* weights without bias (ReLU is
    1-Lipschitz, and a bias carries no error on). Link-normalised, ||W_l||_1 = 1 over all entries:
    the given weights are feasible, so ||W^_l||_1 <= 1, n_l <= 1 and e_l <= sum of eps_j. Before
    anything is trimmed n_l <= ||W_l||_1 is all that is known: neither the spectral nor the
    Frobenius norm of W_l bounds that of W^_l.

    Args:
        eps: (..., L) error that each layer adds, >= 0.
        norms: (..., L) n_l >= 0, or any larger norm of W^_l; 1 if link-normalised. The first is not
            used. Broadcasts.

    Returns:
        (..., L) float64 array, e_1..e_L, rounded up; +inf where float64 overflows.

    Raises:
        ValueError: no layer, or a value that is negative or not finite.

    Claim: NT-2. Source: [NT] arXiv 1611.05162, theorem 1; the spectral norm [OWN].

    Example:
        >>> parallel_error([1.0, 2.0], [9.0, 3.0]).round(9).tolist()
        [1.0, 5.0]
    """
    added, factors = _layers(eps=eps, norms=norms)
    result = np.empty(added.shape)
    before = np.zeros(added.shape[:-1])
    with np.errstate(over="ignore"):
        for layer in range(added.shape[-1]):
            carried = np.where(before == 0, 0.0, factors[..., layer] * before)
            exact = (carried == 0) | (added[..., layer] == 0) & (factors[..., layer] == 1)
            total = carried + added[..., layer]
            before = np.where(exact, total, total * (1 + ROUNDING))
            result[..., layer] = before
    return result


def parallel_split(error: ArrayLike, norms: ArrayLike, shares: ArrayLike | None = None) -> Float:
    """Radii eps_l whose composed error (NT-2) is within a given one.

    eps_l = t_l E / prod_{k>l} n_k with the shares t_l adding up to 1.

    Args:
        error: E > 0, target error of the last layer; any shape (...).
        norms: (..., L) n_l > 0, upper bounds of the spectral norms of the trimmed weights.
        shares: (..., L) t_l > 0, in proportion; equal if not given.

    Returns:
        (..., L) float64 array, rounded down.

    Raises:
        ValueError: a value that is not above 0, or shapes that do not fit.

    Claim: NT-2. Source: [NT] arXiv 1611.05162; the division is [OWN].

    Example:
        >>> parallel_split(6.0, [9.0, 3.0]).round(9).tolist()
        [1.0, 3.0]
    """
    target = binomial.positive("error", error)
    factors = binomial.positive("norms", norms)
    if factors.ndim == 0:
        raise ValueError(f"norms must have one entry a layer; found {norms!r}")
    parts = binomial.positive("shares", 1.0 if shares is None else shares)
    parts, factors = np.broadcast_arrays(parts, factors)
    later = np.cumprod(factors[..., ::-1], axis=-1)[..., ::-1] / factors
    each = parts / parts.sum(axis=-1, keepdims=True) * target[..., None] / later
    return each * (1 - 8 * UNIT * (factors.shape[-1] + 2))


def cascade_error(eps: ArrayLike, gammas: ArrayLike, norms: ArrayLike = 1.0) -> Float:
    """Error after each layer when every layer is trimmed on the pruned network's activations.

    With eps_l^2 = gamma_l sum_{y>0} (w.y^ - y)^2 and ceilings V = W_l Y^^(l-1) from layer 2 on:
    e_l <= sqrt(gamma_l) n_l e_{l-1}, n_l the spectral norm of the *original* W_l without bias.
    Where y = 0 the output is at most max(w.y^, 0) <= |w.(y^ - y)|, so both parts add up to
    gamma ||W (Y^^ - Y)||^2. The paper needs ||W_l||_F <= 1, which makes n_l <= 1. A last layer
    without ReLU has the ball over all entries, and the same bound. gamma below 1 is refused: the
    entries y = 0 do not shrink with it.

    Args:
        eps: eps_1 >= 0, error of the first layer, trimmed as in NT-1; any shape (...).
        gammas: (..., L-1) gamma_2..gamma_L >= 1; may be empty.
        norms: n_2..n_L >= 0, broadcasts with gammas; 1 under the paper's normalisation.

    Returns:
        (..., L) float64 array, e_1..e_L, rounded up.

    Raises:
        ValueError: gamma below 1, or a value that is negative or not finite.

    Claim: NT-3. Source: [NT] arXiv 1611.05162, theorem 2; the spectral norm [OWN].

    Example:
        >>> cascade_error(2.0, [4.0, 2.25]).round(9).tolist()
        [2.0, 4.0, 6.0]
    """
    first = numeric.at_least("eps", eps, 0.0)
    inflation = numeric.at_least("gammas", gammas, 1.0)
    if inflation.ndim == 0:
        raise ValueError(f"gammas must have one entry a layer from the second; found {gammas!r}")
    factors = numeric.at_least("norms", norms, 0.0)
    inflation, factors = np.broadcast_arrays(inflation, factors)
    exact = (inflation == 1) & (factors == 1)
    growth = np.sqrt(inflation) * factors * np.where(exact, 1.0, 1 + ROUNDING)
    shape = np.broadcast_shapes(first.shape, growth.shape[:-1])
    growth = np.broadcast_to(growth, (*shape, growth.shape[-1]))
    first = np.broadcast_to(first, shape)[..., None]
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.concatenate([first, first * np.cumprod(growth, axis=-1)], axis=-1)
    errors = np.where(first == 0, 0.0, errors)
    moved = np.concatenate([np.zeros_like(first, bool), np.cumsum(~exact, axis=-1) > 0], axis=-1)
    return np.where(moved, errors * (1 + ROUNDING), errors)


def recovery_samples(sparsity: ArrayLike, weights: ArrayLike, mu: ArrayLike) -> Float:
    """Gaussian inputs after which Net-Trim finds a sparse neuron again.

    P >= (11 s + 7) mu ln N independent standard normal inputs: min ||u||_1 over C_0 returns a
    neuron with s nonzero weights of N, with probability at least 1 - N^(1-mu).

    Args:
        sparsity: s, whole, from 0 to N.
        weights: N, whole, >= 2.
        mu: > 0; at mu <= 1 nothing is promised (`recovery_failure` is 1).

    Returns:
        float64 array of whole numbers P, rounded up.

    Raises:
        ValueError: a value out of range, s above N.

    Claim: NT-4. Source: [NT] arXiv 1611.05162, theorem 3.

    Example:
        >>> float(recovery_samples(3, 100, 2.0))
        369.0
    """
    s, n = _neuron(sparsity, weights)
    factor = binomial.positive("mu", mu)
    return np.ceil((11 * s + 7) * factor * np.log(n) * (1 + ROUNDING))[()]


def recovery_failure(samples: ArrayLike, sparsity: ArrayLike, weights: ArrayLike) -> Float:
    """Failure probability that NT-4 promises for a number of Gaussian inputs, the inverse in mu.

    N^(1-mu) at the mu with P = (11 s + 7) mu ln N: exp(ln N - P/(11 s + 7)).

    Args:
        samples: P, >= 0.
        sparsity: s, whole, from 0 to N.
        weights: N, whole, >= 2.

    Returns:
        float64 array, rounded up; 1 where nothing is promised.

    Raises:
        ValueError: a value out of range, s above N.

    Claim: NT-4. Source: [NT] arXiv 1611.05162, theorem 3.

    Example:
        >>> float(recovery_failure(369, 3, 100)) <= 0.01, float(recovery_failure(100, 3, 100))
        (True, 1.0)
    """
    s, n = _neuron(sparsity, weights)
    count = numeric.at_least("samples", samples, 0.0)
    exponent = np.log(n) - count / (11 * s + 7)
    slack = ROUNDING * (np.log(n) + count / (11 * s + 7) + 1)
    return np.minimum(numeric.up(np.exp(np.minimum(exponent, 0.0) + slack)), 1.0)[()]


def _neuron(sparsity: ArrayLike, weights: ArrayLike) -> tuple[Float, Float]:
    s = numeric.integer_at_least("sparsity", sparsity, 0)
    n = numeric.integer_at_least("weights", weights, 2)
    s, n = np.broadcast_arrays(s, n)
    if (s > n).any():
        raise ValueError(f"sparsity must not exceed weights; found {s.max():g} of {n.min():g}")
    return s, n


def _layers(**named: ArrayLike) -> tuple[Float, Float]:
    one, two = (numeric.at_least(name, value, 0.0) for name, value in named.items())
    if one.ndim == 0 or one.shape[-1] == 0:
        raise ValueError(f"{next(iter(named))} must have one entry a layer; found {one!r}")
    broadcast = np.broadcast_arrays(one, two)
    return broadcast[0], broadcast[1]
