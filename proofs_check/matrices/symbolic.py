"""The algebra behind MS-1 to MS-5: moments of a draw, Bernstein's inverse, laws compared."""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, symbolic


def _sum(*terms: sp.Expr) -> sp.Expr:
    return sp.Add(*terms)


s, t, var, span, log, alpha = sp.symbols("s t v R L alpha", positive=True)
SIZES = sp.symbols("a1:4", positive=True)
CHANCES = sp.symbols("p1:4", positive=True)


@symbolic("MS-1")
def exponent_of_a_mean(setting: Setting) -> None:
    """Variance sigma^2/s and range R/s in Tropp's exponent give that of the statement."""
    tropp = -(t**2) / 2 / (var / s + (span / s) * t / 3)
    equal(tropp, -(t**2) * s / (2 * var + 2 * span * t / 3), "the exponent")


@symbolic("MS-1")
def error_inverts(setting: Setting) -> None:
    """The promised error solves t^2 s = L (2 sigma^2 + 2 R t/3), so the bound there is delta."""
    b = span * log / 3
    error = (b + sp.sqrt(b**2 + 2 * var * log * s)) / s
    equal(error**2 * s, log * (2 * var + 2 * span * error / 3), "the quadratic at its root")


@symbolic("MS-1")
def error_falls(setting: Setting) -> None:
    """The size that an error needs falls as the error grows."""
    size = log * (2 * var + 2 * span * t / 3) / t**2
    holds(sp.diff(size, t) < 0, "d size/d error < 0")


@symbolic("MS-2")
def moments_of_a_draw(setting: Setting) -> Result:
    """E X = A and E Z Z^T = diag(sum a^2/p) - A A^T for every 2 x 3 matrix and law, columns too."""
    a: Any = sp.Matrix(2, 3, sp.symbols("a:2:3", real=True))
    p: Any = sp.Matrix(2, 3, sp.symbols("p:2:3", positive=True))
    # The last chance is what the others leave.
    rest = 1 - _sum(*(p[k] for k in range(5)))
    p[1, 2] = rest
    mean, rows, columns = sp.zeros(2, 3), sp.zeros(2, 2), sp.zeros(3, 3)
    for i, j in itertools.product(range(2), range(3)):
        draw = sp.zeros(2, 3)
        draw[i, j] = a[i, j] / p[i, j]
        z = draw - a
        mean, rows, columns = mean + p[i, j] * draw, rows + p[i, j] * z * z.T, (
            columns + p[i, j] * z.T * z
        )  # fmt: skip
    by_row = sp.diag(*(sum(a[i, j] ** 2 / p[i, j] for j in range(3)) for i in range(2)))
    by_column = sp.diag(*(sum(a[i, j] ** 2 / p[i, j] for i in range(2)) for j in range(3)))
    pairs = [(mean, a), (rows, by_row - a * a.T), (columns, by_column - a.T * a)]
    cases = 0
    for derived, stated in pairs:
        for left, right in zip(derived, stated, strict=True):
            equal(left, right, "an entry of the moments")
            cases += 1
    return Result(cases=cases)


@symbolic("MS-3")
def mixture_is_no_worse(setting: Setting) -> None:
    """An entry's |a|/p and a^2/p under the mixture are at most those of its parts, rescaled."""
    first, second, size = sp.symbols("q r a", positive=True)
    part, other = sp.symbols("alpha beta", positive=True)  # they add up to 1
    mixed = part * first + other * second
    for power in (1, 2):
        holds(sp.simplify(size**power / (part * first) - size**power / mixed) > 0, "l1's part")
        holds(sp.simplify(size**power / (other * second) - size**power / mixed) > 0, "l2's part")


@symbolic("MS-3")
def l1_has_the_least_range(setting: Setting) -> None:
    """The mean of |a|/p under p is ||A||_1, the range of l1: no maximum is below its mean."""
    total = _sum(*SIZES)
    equal(_sum(*(p * a / p for p, a in zip(CHANCES, SIZES, strict=True))), total, "the mean")
    for a in SIZES:
        equal(a / (a / total), total, "l1's |a|/p")


@symbolic("MS-3")
def l1_has_the_least_mean_square(setting: Setting) -> None:
    """(sum a^2/p)(sum p) - (sum a)^2 is a sum of squares over products, and l1 makes it 0."""
    squares = _sum(*(a**2 / p for p, a in zip(CHANCES, SIZES, strict=True)))
    gap = _sum(
        *(
            (SIZES[i] * CHANCES[j] - SIZES[j] * CHANCES[i]) ** 2 / (CHANCES[i] * CHANCES[j])
            for i, j in itertools.combinations(range(3), 2)
        )
    )
    equal(squares * _sum(*CHANCES) - _sum(*SIZES) ** 2, gap, "Cauchy's inequality with its gap")
    total = _sum(*SIZES)
    l1 = dict(zip(CHANCES, (a / total for a in SIZES), strict=True))
    equal(gap.subs(l1, simultaneous=True), sp.Integer(0), "no gap under l1")
    # One entry's estimate is a Bin(s, p)/(s p): its variance is a^2 (1 - p)/(s p).
    size, chance = SIZES[0], CHANCES[0]
    equal((size / (s * chance)) ** 2 * s * chance * (1 - chance),
          (size**2 / chance - size**2) / s, "the mean square of one entry")  # fmt: skip


@symbolic("MS-4")
def image_of_a_unit_vector(setting: Setting) -> None:
    """Sum sigma_i^2 c_i^2 with sum c_i^2 = 1 exceeds the least sigma^2 by terms >= 0."""
    least = sp.Symbol("sigma", nonnegative=True)
    more = sp.symbols("d1:4", nonnegative=True)
    c = sp.symbols("c1:5", real=True)
    values = [least + d for d in more] + [least]
    image = _sum(*(v**2 * x**2 for v, x in zip(values, c, strict=True)))
    excess = _sum(*((2 * least * d + d**2) * x**2 for d, x in zip(more, c[:3], strict=True)))
    equal(image - least**2 * _sum(*(x**2 for x in c)), excess, "the excess over sigma_{r+1}^2")
    holds(excess >= 0, "no term is negative")


@symbolic("MS-5")
def what_is_dropped(setting: Setting) -> Result:
    """Whatever support a 2 x 2 matrix keeps, what it drops is no less than the smallest entries."""
    d, c, b, a = (sp.Symbol("d", nonnegative=True), *sp.symbols("x y z", nonnegative=True))
    ranked = [d + c + b + a, d + c + b, d + c, d]  # falling
    cases = 0
    for kept in range(4):
        for support in itertools.combinations(range(4), kept):
            lost = [ranked[k] for k in range(4) if k not in support]
            tail = ranked[kept:]
            gap = sp.expand(sum(v**2 for v in lost) - sum(v**2 for v in tail))
            holds(all(x >= 0 for x in sp.Poly(gap, a, b, c, d).coeffs()), "the sum of squares")
            top = sp.Poly(sp.expand(lost[0] - tail[0]), a, b, c, d).coeffs()
            holds(all(x >= 0 for x in top), "the largest entry")
            cases += 2
    return Result(cases=cases)
