"""The algebra behind AL-4, AL-5 and AL-6: a first-order step, least squares, weights on no path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic


def _sum(terms: Iterable[Any]) -> Any:
    """The sum as an expression, that of no terms too."""
    return sp.Add(*terms)


def _squares(terms: Iterable[Any]) -> Any:
    """The sum of squares."""
    return _sum(term**2 for term in terms)


@symbolic("AL-4")
def first_order_step(setting: Setting) -> None:
    """Taking a share t of w_ij moves h by t w a J to first order, relative to ||h|| as claimed."""
    t, w, a, e = sp.symbols("t w a e", real=True)
    # Any two smooth outputs up to the second order in z = z_0 + e; the slopes are J.
    values = sp.symbols("h1 h2 J1 J2 H1 H2", real=True)
    outputs: list[Any] = [values[k] + values[k + 2] * e + values[k + 4] * e**2 for k in (0, 1)]
    changes = [sp.expand((h.subs(e, -t * w * a) - h.subs(e, 0)) / t) for h in outputs]
    size = _squares(h.subs(e, 0) for h in outputs)
    relative = _squares(changes) / size
    slopes = _squares(sp.diff(h, e).subs(e, 0) for h in outputs)
    equal(relative.subs(t, 0), w**2 * a**2 * slopes / size, "(w a)^2 ||J||^2/||h||^2 as t -> 0")


@symbolic("AL-4")
def positions_and_patches(setting: Setting) -> None:
    """Of uncorrelated patches the mean adds up coherently, the rest incoherently."""
    count = 3
    j = sp.symbols(f"J0:{count}", real=True)
    d = sp.symbols(f"d0:{count}", real=True)
    mean, variance, w, shift = sp.symbols("A V w c", real=True)

    def expected(value: sp.Expr) -> sp.Expr:
        """Expectation over deviations d_p of mean 0 and variance V, uncorrelated."""
        polynomial = sp.Poly(sp.expand(value), *d)
        return _sum(
            (
                k * (variance if max(powers) == 2 else int(not any(powers)))
                for powers, k in polynomial.terms()
            )
        )

    together, outgoing = _sum(j) ** 2, _squares(j)
    moved = _sum(x * (mean + e) for x, e in zip(j, d, strict=True))
    equal(expected(moved**2), together * mean**2 + outgoing * variance, "coh A^2 + inc V")
    refitted = _sum(x * (w * (mean + e) - shift) for x, e in zip(j, d, strict=True))
    loss = expected(refitted**2)
    equal(loss, together * (w * mean - shift) ** 2 + w**2 * outgoing * variance, "with a bias")
    equal(loss.subs(shift, w * mean), w**2 * outgoing * variance, "least at c = w A: V alone")
    equal((together * mean**2 + outgoing * variance).subs(dict(zip(j[1:], (0, 0), strict=True))),
          j[0] ** 2 * (mean**2 + variance), "at one position, J^2 E a^2")  # fmt: skip


@symbolic("AL-4")
def marginals(setting: Setting) -> None:
    """The mean of a product misses the product of the means by a covariance, 0 for one input."""
    p, q, a, b = sp.symbols("p q a b", real=True)
    gap = (p * a + q * b) / 2 - (p + q) / 2 * (a + b) / 2
    equal(gap, (p - q) * (a - b) / 4, "over two inputs the gap is their covariance")
    equal(gap.subs({q: p, b: a}), sp.Integer(0), "no gap where the inputs are one")


@symbolic("AL-4")
def centred_scores(setting: Setting) -> None:
    """Unit vectors minus their mean measure the norm of centred scores; so do random signs."""
    k = 3
    centring = sp.eye(k) - sp.ones(k, k) / k
    j = sp.Matrix(sp.symbols(f"J0:{k}", real=True))
    probes = [centring[:, i] for i in range(k)]
    total = _squares(sp.Matrix.hstack(*probes).T * j)
    equal(total, ((centring * j).T * (centring * j))[0], "sum of <r, J>^2 is ||P J||^2")
    # Independent signs: e_i e_j has the mean 1 for i = j and 0 otherwise.
    signs = sp.symbols(f"e0:{k}", real=True)
    product: Any = (sp.Matrix([signs]) * centring * j)[0]
    square = sp.Poly(sp.expand(product**2), *signs)
    mean = _sum(c for powers, c in square.terms() if max(powers) == 2)
    equal(mean, ((centring * j).T * (centring * j))[0], "the mean over signs is ||P J||^2")


@symbolic("AL-5")
def normal_equations(setting: Setting) -> None:
    """Away from the normal equations' solution the ridge objective grows by a square."""
    ridge = sp.diag(*sp.symbols("d0:2", positive=True))
    rows = sp.Matrix(3, 2, sp.symbols("a0:6", real=True))
    z = sp.Matrix(sp.symbols("z0:3", real=True))
    w, w0, v = (sp.Matrix(sp.symbols(f"{name}0:2", real=True)) for name in ("w", "u", "v"))

    def objective(at: sp.Matrix) -> sp.Expr:
        residual, away = rows * at - z, at - w0
        return (residual.T * residual)[0] + (away.T * ridge * away)[0]

    normal = (rows.T * rows + ridge) * w - rows.T * z - ridge * w0
    moved = rows * v
    growth = (moved.T * moved)[0] + (v.T * ridge * v)[0]
    equal(objective(w + v) - objective(w), growth + 2 * (v.T * normal)[0],
          "Q(w + v) - Q(w) = ||A v||^2 + <v, D v> where the normal equations hold")  # fmt: skip
    holds(_squares((*moved, *v)) >= 0, "which is no less than 0")


@symbolic("AL-5")
def intercept_by_centring(setting: Setting) -> None:
    """The best bias is mean z - w mean a; what is left is the objective of centred rows."""
    n = 3
    a, z = sp.symbols(f"a0:{n}", real=True), sp.symbols(f"z0:{n}", real=True)
    w, b = sp.symbols("w b", real=True)
    loss = _squares(w * x + b - y for x, y in zip(a, z, strict=True)) / n
    best = _sum(z) / n - w * _sum(a) / n
    equal(loss - loss.subs(b, best), (b - best) ** 2, "another bias adds (b - b*)^2")
    mean, target = _sum(a) / n, _sum(z) / n
    centred = _squares(w * (x - mean) - y + target for x, y in zip(a, z, strict=True)) / n
    equal(loss.subs(b, best), centred, "what is left has centred rows")
    gram = _squares(a) / n - mean**2
    cross = _sum(x * y for x, y in zip(a, z, strict=True)) / n - mean * target
    equal(_squares(x - mean for x in a) / n, gram, "centred Gram matrix from sums")
    equal(_sum((x - mean) * (y - target) for x, y in zip(a, z, strict=True)) / n, cross,
          "centred products from sums")  # fmt: skip


@symbolic("AL-6")
def weights_on_no_path(setting: Setting) -> None:
    """Where all weights out of a neuron are 0, so is J; a constant input has no variance."""
    w, a, v = sp.symbols("w a V", real=True)
    j = sp.symbols("J0:3", real=True)
    outgoing = sp.symbols("u0:3", real=True)
    slope = sp.Symbol("phi", real=True)
    back = slope * _sum(u * x for u, x in zip(outgoing, j, strict=True))
    equal(back.subs(dict.fromkeys(outgoing, 0)), sp.Integer(0), "J = phi' sum u_k J_k = 0")
    score = w**2 * (back**2 * (a**2 + v))
    equal(score.subs(dict.fromkeys(outgoing, 0)), sp.Integer(0), "so the score is 0")
    # An input that is c at one row and c + d at another; the bias takes w c.
    b, c, d = sp.symbols("b c d", real=True)
    rows = (c, c + d)
    variance = _squares(rows) / 2 - (_sum(rows) / 2) ** 2
    equal(variance, d**2 / 4, "no variance only where it is constant")
    for row in rows:
        equal((w * row + b) - (b + w * c), w * (row - c), "without w, b + w c misses w (a - c)")
