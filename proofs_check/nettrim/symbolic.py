"""The algebra behind NT-1 to NT-4."""

from __future__ import annotations

import numpy as np
import sympy as sp

import sipp_theory
from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, symbolic

a, b, c = sp.symbols("a b c", nonnegative=True)
y = sp.Symbol("y", positive=True)


@symbolic("NT-1")
def relu_moves_no_further(setting: Setting) -> None:
    """ReLU brings no output further from a target above 0, whichever sign the output has."""
    # z = a >= 0 is kept; z = -a becomes 0, and the squared distance falls by a (a + 2 y).
    equal((-a - y) ** 2 - (0 - y) ** 2, a * (a + 2 * y), "what ReLU gains at z = -a")
    holds(a * (a + 2 * y) >= 0, "it is a gain")


@symbolic("NT-1")
def weak_duality(setting: Setting) -> None:
    """Objective minus dual value is a sum of four terms, none below 0."""
    # l1: |u| - (Lambda X) u = |u| (1 -+ slope); l2: Cauchy-Schwarz; l3: a ceiling's force.
    u, slope = sp.symbols("u s", nonnegative=True)
    equal(u - u * (1 - slope), u * slope, "a weight's term, slope 1 - s in its direction")
    p, q = sp.symbols("p q", real=True)
    v, w = sp.symbols("v w", real=True)
    equal(
        (p**2 + q**2) * (v**2 + w**2) - (p * v + q * w) ** 2, (p * w - q * v) ** 2,
        "the ball's term by Cauchy-Schwarz",
    )  # fmt: skip
    room, force = a, b
    equal(-force * (-room), room * force, "a ceiling's term: force times room")
    holds(room * force >= 0, "it is not below 0")


@symbolic("NT-2")
def relu_is_lipschitz(setting: Setting) -> None:
    """|max(z, 0) - max(z', 0)| <= |z - z'| in each of the cases of signs."""
    holds(sp.Abs(a - 0) <= a + b, "z = a, z' = -b")
    equal((a - b) ** 2 - (a - b) ** 2, sp.Integer(0), "both at least 0")
    holds((a + b) ** 2 - a**2 >= 0, "opposite signs, squared")


@symbolic("NT-2")
def recursion_unrolls(setting: Setting) -> Result:
    """e_l = n_l e_{l-1} + eps_l is the sum of products, in the algebra and in the code."""
    steps = sp.symbols("e1:6", positive=True)
    factors = sp.symbols("n1:6", positive=True)
    before = sp.Integer(0)
    for layer in range(5):
        before = factors[layer] * before + steps[layer]
        total = sum(
            (steps[j] * sp.prod(factors[j + 1 : layer + 1]) for j in range(layer + 1)),
            sp.Integer(0),
        )
        equal(before, total, f"layer {layer + 1}")
    eps, norms = [0.3, 2.0, 0.1], [7.0, 0.5, 4.0]
    computed = sipp_theory.parallel_error(eps, norms)
    truth = [0.3, 2.15, 8.7]
    if not np.allclose(computed, truth, rtol=1e-12):
        raise Refuted(f"parallel_error({eps}, {norms}) is {computed.tolist()}, not {truth}")
    return Result(cases=6)


@symbolic("NT-2", "NT-3")
def norms_are_ordered(setting: Setting) -> None:
    """The spectral norm is at most the Frobenius norm, and that at most the sum of |entries|."""
    # Squared singular values a, b: the largest is at most their sum, the squared Frobenius norm.
    holds(a + b - a >= 0, "spectral and Frobenius")
    equal((a + b + c) ** 2 - (a**2 + b**2 + c**2), 2 * (a * b + b * c + a * c), "F and sum")
    holds(2 * (a * b + b * c + a * c) >= 0, "the cross terms are not below 0")


@symbolic("NT-3")
def ceiling_of_the_given_weights(setting: Setting) -> None:
    """With w.y = -a <= 0 the pruned input's w.y^ = b overshoots by no more than it moved."""
    equal((b - (-a)) - b, a, "|w.y^ - w.y| - max(w.y^, 0) where w.y^ = b >= 0")
    holds(a >= 0, "it is not below 0")


@symbolic("NT-3")
def gamma_covers_both(setting: Setting) -> Result:
    """Gamma A + B <= gamma (A + B) for gamma >= 1; below 1 the entries y = 0 break it."""
    more = sp.Symbol("d", nonnegative=True)
    equal((1 + more) * (a + b) - ((1 + more) * a + b), more * b, "what is spare")
    holds(more * b >= 0, "it is not below 0")
    half = sp.Rational(1, 2)
    holds(half * 0 + 1 > half * (0 + 1), "gamma = 1/2, A = 0, B = 1: false")
    try:
        sipp_theory.cascade_error(1.0, [0.5])
    except ValueError:
        return Result(cases=1)
    raise Refuted("cascade_error(1.0, [0.5]) answers, where the bound is false")


@symbolic("NT-4")
def failure_inverts_samples(setting: Setting) -> Result:
    """N^(1-mu) at the mu that P stands for is exp(ln N - P/(11 s + 7)), also in the code."""
    n, p, s = sp.symbols("N P s", positive=True)
    mu = p / ((11 * s + 7) * sp.log(n))
    equal(sp.log(n) * (1 - mu), sp.log(n) - p / (11 * s + 7), "logarithm of the failure")
    for sparsity, weights, factor in ((0, 2, 1.5), (4, 50, 2.0), (20, 785, 3.0)):
        count = sipp_theory.recovery_samples(sparsity, weights, factor)
        failure = float(sipp_theory.recovery_failure(count, sparsity, weights))
        if not failure <= weights ** (1 - factor) * (1 + 1e-9):
            raise Refuted(f"s = {sparsity}, N = {weights}, mu = {factor}: failure {failure}")
    return Result(cases=3)
