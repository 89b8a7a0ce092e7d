"""The two front doors: `sample_size` asks how many draws, `error` what so many draws promise.

The five kinds form a ladder, each never larger than the one before at coverage factor 1:
corenet (as printed), bernstein, kl, cramer, exact. The first three know one number of a neuron,
the last two its shares at given inputs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sipp_theory.draws import bernstein, chernoff_hoeffding, cramer, exact
from sipp_theory.numeric.checks import Float

KINDS = ("corenet", "bernstein", "kl", "cramer", "exact")

_NEEDS = {
    "corenet": ("sensitivity_sum", "eta", "eta_star"),
    "bernstein": ("sensitivity_sum",),
    "kl": ("sensitivity_sum",),
    "cramer": ("shares", "probabilities"),
    "exact": ("shares", "probabilities"),
}


def _check(kind: str, given: dict[str, ArrayLike | None], coverage_factor: ArrayLike) -> None:
    """Refuse an unknown kind, a missing argument, and one that the kind would silently ignore."""
    if kind not in _NEEDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; found {kind!r}")
    for name, value in given.items():
        if name in _NEEDS[kind] and value is None:
            raise ValueError(f"kind {kind!r} needs {name}")
        if name not in _NEEDS[kind] and value is not None:
            raise ValueError(f"kind {kind!r} takes no {name}; it needs {', '.join(_NEEDS[kind])}")
    takes_factor = kind in ("bernstein", "kl")
    if not takes_factor and not (isinstance(coverage_factor, int | float) and coverage_factor == 1):
        raise ValueError(
            f"kind {kind!r} takes no coverage_factor (CoreNet has K built in; the instance-exact "
            f"kinds speak of the given inputs only); found {coverage_factor!r}"
        )


def sample_size(
    kind: str,
    *,
    eps: ArrayLike,
    delta: ArrayLike,
    sensitivity_sum: ArrayLike | None = None,
    coverage_factor: ArrayLike = 1.0,
    eta: ArrayLike | None = None,
    eta_star: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
) -> Float | np.float64:
    """Draws with replacement that keep one sign of one neuron within 1 +- eps.

    The least m with error(kind, m) <= eps: "corenet" SP-2, "bernstein" SP-3, "kl" SP-4,
    "cramer" SP-5, "exact" SP-5x.

    Args:
        kind: which bound; see KINDS.
        eps: relative error, in (0, 1); one number for cramer and exact.
        delta: failure probability in (0, 1): of one neuron and sign at one input, but of the whole
            network for corenet, as its paper has it.
        sensitivity_sum: S_sum, 0 or >= 1, any shape (corenet, bernstein, kl).
        coverage_factor: C with g_j(x) <= C s_j, >= 1 (bernstein, kl); 1 on the calibration points.
        eta: number of neurons of the network (corenet).
        eta_star: widest layer, the input width included (corenet).
        shares: (n, k) g_j(x) of the k candidate weights at n inputs (cramer, exact).
        probabilities: (k,) q_j >= 0 that add up to 1 (cramer, exact).

    Returns:
        float64 whole numbers, broadcast over neurons; 0 for a dead neuron; +inf if none is enough.

    Raises:
        ValueError: an unknown kind, an argument that is missing, not taken, or out of range.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: [CN] 1804.05345, [SP] 1910.05422, [OWN].

    Example:
        >>> sample_size("bernstein", sensitivity_sum=[4.0, 9.0], eps=0.1, delta=0.05).tolist()
        [2288.0, 6099.0]
    """
    given = {
        "sensitivity_sum": sensitivity_sum,
        "eta": eta,
        "eta_star": eta_star,
        "shares": shares,
        "probabilities": probabilities,
    }
    _check(kind, given, coverage_factor)
    if kind == "corenet":
        assert sensitivity_sum is not None and eta is not None and eta_star is not None
        return bernstein.corenet_size(sensitivity_sum, eps, delta, eta, eta_star)
    if kind in ("bernstein", "kl"):
        assert sensitivity_sum is not None
        size = bernstein.bernstein_size if kind == "bernstein" else chernoff_hoeffding.kl_size
        return size(sensitivity_sum, eps, delta, coverage_factor)
    assert shares is not None and probabilities is not None
    instance_size = cramer.cramer_size if kind == "cramer" else exact.exact_size
    return instance_size(shares, probabilities, eps, delta)


def error(
    kind: str,
    *,
    m: ArrayLike,
    delta: ArrayLike,
    sensitivity_sum: ArrayLike | None = None,
    coverage_factor: ArrayLike = 1.0,
    eta: ArrayLike | None = None,
    eta_star: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
) -> Float | np.float64:
    """Relative error promised for m draws with replacement; the inverse of `sample_size` in eps.

    error(kind, m=sample_size(kind, eps)) <= eps, and one draw less would not do.

    Args:
        kind: which bound; see KINDS.
        m: number of draws, >= 0; one number for cramer and exact, whole for exact.
        delta: failure probability, as in `sample_size`.
        sensitivity_sum: S_sum, 0 or >= 1, any shape (corenet, bernstein, kl).
        coverage_factor: C with g_j(x) <= C s_j, >= 1 (bernstein, kl).
        eta: number of neurons of the network (corenet).
        eta_star: widest layer, the input width included (corenet).
        shares: (n, k) g_j(x) (cramer, exact).
        probabilities: (k,) q_j (cramer, exact).

    Returns:
        float64 errors, broadcast over neurons, rounded up; +inf at m = 0; vacuous from 1 on.

    Raises:
        ValueError: an unknown kind, an argument that is missing, not taken, or out of range.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x. Source: [CN] 1804.05345, [SP] 1910.05422, [OWN].

    Example:
        >>> bool(error("kl", sensitivity_sum=9.0, m=6_071, delta=0.05) <= 0.1)
        True
    """
    given = {
        "sensitivity_sum": sensitivity_sum,
        "eta": eta,
        "eta_star": eta_star,
        "shares": shares,
        "probabilities": probabilities,
    }
    _check(kind, given, coverage_factor)
    if kind == "corenet":
        assert sensitivity_sum is not None and eta is not None and eta_star is not None
        return bernstein.corenet_error(sensitivity_sum, m, delta, eta, eta_star)
    if kind in ("bernstein", "kl"):
        assert sensitivity_sum is not None
        closed = bernstein.bernstein_error if kind == "bernstein" else chernoff_hoeffding.kl_error
        return closed(sensitivity_sum, m, delta, coverage_factor)
    assert shares is not None and probabilities is not None
    instance_error = cramer.cramer_error if kind == "cramer" else exact.exact_error
    return instance_error(shares, probabilities, m, delta)
