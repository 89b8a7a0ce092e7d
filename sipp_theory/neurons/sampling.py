"""NC-1 to NC-5: neurons drawn with replacement stand for all of a layer's, whatever the input.

Draw q with pr(p) = max_i |w_i(p)| h_p/t, h_p a bound on |act(z_p) - mid_p| over the region (or, as
the paper has it, on act(z_p) itself), t their sum, and multiply its outgoing weights by
N_q/(m pr(q)): every draw lies in [-t, t] at every next neuron. A channel of a convolution is one
draw, its |w| summed over the kernel offsets (NC-5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.neurons.regions import rounding
from sipp_theory.numeric import checks as nm
from sipp_theory.numeric.checks import Float

# Guard of the errors below: a square root, a logarithm and some products.
GUARD = 1 + 1e-14


def _loads(outgoing: ArrayLike, half_width: ArrayLike) -> tuple[Float, Float]:
    """(n,) max_i sum_v |w_i(p, v)| h_p, and h."""
    w = nm.finite("outgoing", outgoing)
    half = nm.at_least("half_width", half_width, 0.0)
    if w.ndim < 2 or half.shape != w.shape[1:2]:
        raise ValueError(
            f"outgoing must be (k, n) or (k, n, offsets) with half_width (n,); found {w.shape} and "
            f"{half.shape}"
        )
    size = np.abs(w).reshape(*w.shape[:2], -1).sum(axis=2).max(axis=0)
    return size * half * (1 + rounding(w[0, 0].size + 1)), half


def neuron_mass(outgoing: ArrayLike, half_width: ArrayLike) -> Float:
    """Mass t of a layer's neurons: no draw moves a next neuron by more.

    t = sum_p max_i sum_v |w_i(p, v)| h_p.

    Args:
        outgoing: (k, n) weights of the next layer's k neurons, or (k, n, offsets) of its filters.
        half_width: (n,) h_p >= 0: half the range of the neuron's value over the region (NC-1g), or
            the largest value, phi(beta ||p||) (NC-1 without the correction).

    Returns:
        float64 t >= 0, rounded up, in the unit of the next layer's pre-activations.

    Raises:
        ValueError: shapes that do not fit, or numbers that are negative or not finite.

    Claim: NC-1, NC-1g, NC-5. Source: [MU] arXiv 1907.04018, arXiv 2008.08316; [OWN].

    Example:
        >>> float(neuron_mass([[1.0, -2.0], [0.5, 1.0]], [1.0, 3.0]).round(6))
        7.0
    """
    loads, _ = _loads(outgoing, half_width)
    return np.asarray(loads.sum() * (1 + rounding(loads.size)))[()]


def neuron_probabilities(outgoing: ArrayLike, half_width: ArrayLike) -> Float:
    """Probability pr(p) of each neuron in one draw.

    pr(p) = max_i sum_v |w_i(p, v)| h_p/t.

    Args:
        outgoing: as in `neuron_mass`.
        half_width: likewise.

    Returns:
        (n,) float64 that add up to 1; all 0 where no neuron moves anything.

    Raises:
        ValueError: as `neuron_mass`.

    Claim: NC-1, NC-1g, NC-5. Source: [MU] arXiv 1907.04018, arXiv 2008.08316; [OWN].

    Example:
        >>> neuron_probabilities([[1.0, -1.0]], [1.0, 3.0])
        array([0.25, 0.75])
    """
    loads, _ = _loads(outgoing, half_width)
    total = loads.sum()
    return loads / total if total > 0 else loads


def neuron_draw(probabilities: ArrayLike, m: int, rng: np.random.Generator) -> Float:
    """Draw m neurons with replacement; what each one's outgoing weights are multiplied by.

    u(q)/w(q) = N_q/(m pr(q)), N_q how often q was drawn; m is fixed before, so the estimate is
    unbiased (`draws_for_distinct` gives an m for a number of neurons). Drawing until k distinct
    neurons were met is not (NC-4).

    Args:
        probabilities: (n,) of one draw.
        m: number of draws, >= 1.
        rng: numpy generator.

    Returns:
        (n,) float64 multipliers; 0 for neurons that were not drawn.

    Raises:
        ValueError: m below 1, or probabilities that do not add up to 1.

    Claim: NC-1, NC-4. Source: [MU] arXiv 1907.04018.

    Example:
        >>> neuron_draw([1.0, 0.0], 5, np.random.default_rng(0))
        array([1., 0.])
    """
    q = nm.at_least("probabilities", probabilities, 0.0)
    draws = int(nm.integer_at_least("m", m, 1))
    if q.ndim != 1 or abs(q.sum() - 1) > 1e-9:
        raise ValueError(f"probabilities must be (n,) and add up to 1; found {float(q.sum())!r}")
    edges = q.cumsum()
    picks = np.searchsorted(edges[:-1], rng.random(draws) * edges[-1], side="right")
    counts = np.bincount(picks, minlength=q.size)
    return np.divide(counts, draws * q, out=np.zeros(q.size), where=counts > 0)


def one_sign_error(mass: ArrayLike, m: ArrayLike, delta: ArrayLike) -> Float:
    """Error of m drawn neurons at one input, outgoing weights of one sign and act >= 0 (NC-1).

    t sqrt(ln(2/delta)/(2 m)): each draw lies in [0, t]. Over both signs at once the range is 2t,
    `neuron_error`; with this range the statement is false.

    Args:
        mass: t = sum_p |w(p)| phi(beta ||p||) of one sign, >= 0, any shape.
        m: draws, >= 1, broadcasts.
        delta: failure probability at one input, in (0, 1).

    Returns:
        float64 absolute error, rounded up.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: NC-1. Source: [MU] arXiv 1907.04018; Hoeffding 1963.

    Example:
        >>> float(one_sign_error(1.0, 200, 0.05).round(4))
        0.096
    """
    t, draws, log = _terms(mass, m, delta, 1)
    return _up(t * np.sqrt(log / (2 * draws)))


def neuron_error(mass: ArrayLike, m: ArrayLike, delta: ArrayLike, outputs: ArrayLike = 1) -> Float:
    """Error of m drawn neurons at one input, at all k next neurons at once (NC-1g).

    t sqrt(2 ln(2k/delta)/m): every draw lies in [-t, t], for any activation, bias and sign. With
    the half widths of `activation_range` and the next bias corrected by
    sum_p w_i(p) mid_p - sum_q u_i(q) mid_q.

    Args:
        mass: t of `neuron_mass`, >= 0, any shape.
        m: draws, >= 1, broadcasts.
        delta: failure probability at one input, in (0, 1).
        outputs: k >= 1, next neurons (times the positions that are meant, of a convolution).

    Returns:
        float64 absolute error, rounded up.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: NC-1, NC-1g, NC-5. Source: [OWN]; Hoeffding 1963.

    Example:
        >>> float(neuron_error(1.0, 200, 0.05).round(4))
        0.1921
    """
    t, draws, log = _terms(mass, m, delta, outputs)
    return _up(t * np.sqrt(2 * log / draws))


def neuron_size(relative: ArrayLike, delta: ArrayLike, outputs: ArrayLike = 1) -> Float:
    """Draws with which NC-1g's error is at most a fraction of the mass t.

    m = ceil(2 ln(2k/delta)/eps^2), error <= eps t.

    Args:
        relative: eps, error over t, in (0, 1), any shape.
        delta: failure probability at one input, in (0, 1).
        outputs: k >= 1, as in `neuron_error`.

    Returns:
        float64 whole number; vacuous for pruning where it is no less than the number of neurons.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: NC-1g. Source: [OWN]; Hoeffding 1963.

    Example:
        >>> float(neuron_size(0.5, 0.05, 10))
        48.0
    """
    eps = nm.probability("relative", relative)
    _, _, log = _terms(1.0, 1.0, delta, outputs)
    return nm.least_integer(lambda m: neuron_error(1.0, m, delta, outputs), 2 * log / eps**2, eps)


def ball_error(mass: ArrayLike, m: ArrayLike, delta: ArrayLike, constant: ArrayLike = 1.5) -> Float:
    """Error of m drawn ReLU neurons at every input of a ball at once, weights of one sign (NC-3).

    t (c/sqrt(m) + sqrt(ln(2/delta)/(2 m))), c = 3/2; c = 2 by contraction of the whole ReLU.

    Args:
        mass: t = sum_p |w(p)| beta ||p|| of one sign, >= 0; the ball is ||x|| <= beta, no biases.
        m: draws, >= 1, broadcasts.
        delta: failure probability of the whole ball, in (0, 1).
        constant: c, 3/2 or 2.

    Returns:
        float64 absolute error, rounded up.

    Raises:
        ValueError: an argument is out of range, a constant below 3/2 among them.

    Claim: NC-3. Source: [OWN]; Ledoux and Talagrand 1991; McDiarmid 1989.

    Example:
        >>> float(ball_error(1.0, 100, 0.05).round(4))
        0.2858
    """
    t, draws, log = _terms(mass, m, delta, 1)
    c = nm.at_least("constant", constant, 1.5)
    return _up(t * (c / np.sqrt(draws) + np.sqrt(log / (2 * draws))))


def region_error(
    outgoing: ArrayLike,
    incoming: ArrayLike,
    radius: ArrayLike,
    probabilities: ArrayLike,
    half_width: ArrayLike,
    m: ArrayLike,
    delta: ArrayLike,
    factor: float = 2.0,
) -> Float:
    """Error of m drawn neurons at every input of a box or ball at once, per next neuron (NC-3g).

    sum_v (c/sqrt(m)) sum_j r_j sqrt(sum_p w_i(p,v)^2 p_j^2/pr(p)) + R sqrt(ln(2k/delta)/(2m)), on a
    ball (c r/sqrt(m)) sqrt(sum_p w_i^2 ||p||^2/pr), R = max_p 2 sum_v |w_i(p,v)| h_p/pr(p); c = 2 L
    for an activation of Lipschitz constant L, 3/2 for ReLU. The next bias is corrected by the
    middles; what a bias adds is the same at every input and has mean 0, so it costs nothing here.
    Uncorrected, h_p is the largest |value|.

    Args:
        outgoing: (k, n) or (k, n, offsets).
        incoming: (n, d) weights p.
        radius: (d,) half widths of a box, or one number, the radius of a ball.
        probabilities: (n,) of one draw; 0 only where the neuron moves nothing.
        half_width: (n,) half the range of each neuron's value.
        m: draws, >= 1.
        delta: failure probability of the whole region and all k, in (0, 1).
        factor: c.

    Returns:
        (k,) float64 absolute error, rounded up; +inf where a neuron that matters cannot be drawn.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: NC-3g, NC-5. Source: [OWN]; Ledoux and Talagrand 1991; McDiarmid 1989.

    Example:
        >>> one = region_error([[1.0]], [[1.0]], [1.0], [1.0], [1.0], 100, 0.05, factor=1.5)
        >>> one.round(4)
        array([0.4216])
    """
    w = nm.finite("outgoing", outgoing)
    _, half = _loads(w, half_width)
    p, r = np.atleast_2d(nm.finite("incoming", incoming)), nm.at_least("radius", radius, 0.0)
    q = nm.in_unit("probabilities", probabilities)
    c = nm.at_least("factor", factor, 0.0)
    _, draws, log = _terms(1.0, m, delta, w.shape[0])
    w = w.reshape(*w.shape[:2], -1)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(q > 0, 1 / q, np.inf)
        shares = np.where(w != 0, w**2 * inverse[:, None], 0.0)
        span = np.abs(w).sum(axis=2) * 2 * half
        span = np.where(span > 0, span * inverse, 0.0).max(axis=1)
    lost = ~np.isfinite(shares).all(axis=(1, 2)) | ~np.isfinite(span)
    shares = np.where(np.isfinite(shares), shares, 0.0)
    if r.ndim:
        moments = np.einsum("knv,nd->kvd", shares, p * p)
        first = (np.sqrt(moments) * r).sum(axis=(1, 2))
    else:
        norms = (p * p).sum(axis=1)
        first = float(r) * np.sqrt(np.einsum("knv,n->kv", shares, norms)).sum(axis=1)
    total = c * first / np.sqrt(draws) + np.where(lost, 0.0, span) * np.sqrt(log / (2 * draws))
    guard = 1 + 4 * rounding(p.size + w[0].size)
    return np.where(lost, np.inf, _up(total * guard))


def mussay_size(
    mass: ArrayLike, eps: ArrayLike, delta: ArrayLike, dimension: ArrayLike, constant: ArrayLike
) -> Float:
    """Draws that the paper's theorem asks for to hold on the whole ball (NC-2).

    m = ceil(c (t/eps^2) (d ln t + ln(1/delta))). The paper gives no value of c, so this is a shape
    and not a promise: the constant must be given. NC-3 has constants, and no d.

    Args:
        mass: t >= 1.
        eps: absolute error > 0.
        delta: failure probability, in (0, 1).
        dimension: d >= 1, of the inputs.
        constant: c > 0.

    Returns:
        float64 whole number.

    Raises:
        ValueError: an argument is out of range; the message names it and the value.

    Claim: NC-2. Source: [MU] arXiv 1907.04018, theorem as recalled; constant not given.

    Example:
        >>> float(mussay_size(2.0, 1.0, 0.05, 10, constant=1.0))
        20.0
    """
    t = nm.at_least("mass", mass, 1.0)
    error, c = nm.finite("eps", eps), nm.finite("constant", constant)
    if (error <= 0).any() or (c <= 0).any():
        raise ValueError(f"eps and constant must be above 0; found {eps!r} and {constant!r}")
    d, failure = nm.at_least("dimension", dimension, 1.0), nm.probability("delta", delta)
    return np.ceil(c * t / error**2 * (d * np.log(t) - np.log(failure)) * GUARD)[()]


def network_error(weights: list[Float], errors: list[Float], lipschitz: float = 1.0) -> Float:
    """Error of a network pruned layer by layer, from the errors of its layers (NC-7).

    sum_l L^(number of activations above) |W^_L| ... |W^_(l+2)| D_l for every x of the region, if
    D_l bounds the error that dropping neurons of layer l makes at the next layer, over the range of
    the ORIGINAL layers below.

    Args:
        weights: pruned matrices (out, in) of the layers above the first error, in order; the error
            of entry l stands at the input of `weights[l]` behind one activation.
        errors: D_l, (in,) of `weights[l]` each, and last the error at the output itself.
        lipschitz: of the activation.

    Returns:
        (out,) float64 bound on |f - f^| at every output, rounded up.

    Raises:
        ValueError: as many errors as weights and one more are needed.

    Claim: NC-7. Source: [OWN]; telescoping over the networks pruned so far.

    Example:
        >>> network_error([np.eye(2)], [np.ones(2), np.zeros(2)]).round(6)
        array([1., 1.])
    """
    if len(errors) != len(weights) + 1:
        raise ValueError(
            f"{len(weights)} layers have {len(weights) + 1} errors, the output's last; found "
            f"{len(errors)}"
        )
    total = nm.at_least("errors[0]", errors[0], 0.0)
    for number, (weight, error) in enumerate(zip(weights, errors[1:], strict=True), 1):
        w = np.abs(nm.finite(f"weights[{number - 1}]", weight))
        own = nm.at_least(f"errors[{number}]", error, 0.0)
        total = (w @ total * lipschitz + own) * (1 + rounding(w.shape[1] + 2))
    return total


def _terms(
    mass: ArrayLike, m: ArrayLike, delta: ArrayLike, outputs: ArrayLike
) -> tuple[Float, Float, Float]:
    t = nm.at_least("mass", mass, 0.0)
    draws = nm.at_least("m", m, 1.0)
    failure = nm.probability("delta", delta)
    return t, draws, nm.log_over(2 * nm.at_least("outputs", outputs, 1.0), failure)


def _up(value: Float) -> Float:
    return np.where(value > 0, nm.up(value * GUARD), value)[()]
