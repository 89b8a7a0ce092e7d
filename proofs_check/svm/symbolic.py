"""The algebra behind SV-0 to SV-12."""

from __future__ import annotations

import itertools
from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, symbolic

A, R, t, L, nu, eta, theta = sp.symbols("A R t L nu eta theta", positive=True)


@symbolic("SV-0")
def gap_term_by_term(setting: Setting) -> Result:
    """F - D = ||w - v||^2/2 + sum [c h - a (1 - m)], v = sum a y x, for all signs of 3 points."""
    w: Any = sp.symbols("w1:3", real=True)
    b = sp.Symbol("b", real=True)
    x: Any = [sp.symbols(f"x{i}_1:3", real=True) for i in range(3)]
    c, h = sp.symbols("c1:4", positive=True), sp.symbols("h1:4", nonnegative=True)
    cases = 0
    for y in itertools.product((-1, 1), repeat=3):
        if abs(sum(y)) == 3:
            continue
        free = sp.symbols("a1:3", nonnegative=True)
        # sum a y = 0 settles the last one.
        a = [*free, -y[2] * (free[0] * y[0] + free[1] * y[1])]
        v = [sum(a[i] * y[i] * x[i][k] for i in range(3)) for k in range(2)]
        slack = [1 - y[i] * (x[i][0] * w[0] + x[i][1] * w[1] + b) for i in range(3)]
        primal: Any = sum(s**2 for s in w) / 2 + sum(c[i] * h[i] for i in range(3))
        dual = sum(a) - sum(s**2 for s in v) / 2
        gap: Any = sum((w[k] - v[k]) ** 2 for k in range(2)) / 2
        gap += sum(c[i] * h[i] - a[i] * slack[i] for i in range(3))
        equal(primal - dual, gap, f"the gap at labels {y}")
        cases += 1
    return Result(cases=cases)


@symbolic("SV-1")
def steepest_ray(setting: Setting) -> None:
    """t/(t^2/2 - A R t + 2 A) is stationary at 2 sqrt(A), where it is phi*."""
    curve: Any = t / (t**2 / 2 - A * R * t + 2 * A)
    peak = 2 * sp.sqrt(A)
    slope: Any = sp.diff(curve, t)
    equal(slope.subs(t, peak), sp.Integer(0), "the derivative at the peak")
    stated = 1 / (sp.sqrt(A) * (2 - sp.sqrt(A) * R))
    equal(curve.subs(t, peak), stated, "phi* where sqrt(A) R <= 1")
    equal((t / (t**2 / 2)).subs(t, 2 / R), R, "phi* where the kink comes first")


@symbolic("SV-1")
def crossing_the_floor(setting: Setting) -> None:
    """The larger root of t^2/2 - A R t + 2 A = F_lb is A R + sqrt(A^2 R^2 - 4 A + 2 F_lb)."""
    root = A * R + sp.sqrt(A**2 * R**2 - 4 * A + 2 * L)
    equal(root**2 / 2 - A * R * root + 2 * A, L, "the crossing")


@symbolic("SV-2")
def any_penalty(setting: Setting) -> None:
    """F at C is C times F at C = 1 of the points sqrt(C) x, at w/sqrt(C): opt becomes opt/C."""
    C = sp.Symbol("C", positive=True)
    w, x, b, u = sp.symbols("w x b u", real=True)
    scaled = w / sp.sqrt(C)
    margin = scaled * (sp.sqrt(C) * x) + b
    equal(w**2 / 2 + C * u * margin, C * (scaled**2 / 2 + u * (w * x + b)), "the objective")


@symbolic("SV-3")
def from_everywhere_to_the_minimiser(setting: Setting) -> None:
    """F(w_C) (1 - eps) <= F_C(w_C) <= F_C(w*) <= (1 + eps) F*: the excess is 2 eps/(1 - eps)."""
    eps = sp.Symbol("eps", positive=True)
    equal((1 + eps) / (1 - eps) - 1, 2 * eps / (1 - eps), "the excess")


@symbolic("SV-4")
def variances_add_up(setting: Setting) -> None:
    """Two levels of inclusion: f^2 (1/(p q) - 1) is the sum of what each level adds."""
    f, p, q = sp.symbols("f p q", positive=True)
    first = f**2 * (1 / p - 1)
    second = p * (f / p) ** 2 * (1 / q - 1)  # it is there with probability p
    equal(first + second, f**2 * (1 / (p * q) - 1), "the variance")


@symbolic("SV-5")
def share_of_the_rest(setting: Setting) -> None:
    """The share c h/(lam h + c h) is 1/(1 + lam/c)."""
    c, h, lam = sp.symbols("c h lam", positive=True)
    equal(c * h / (lam * h + c * h), 1 / (1 + lam / c), "the sensitivity")


@symbolic("SV-6")
def weak_duality(setting: Setting) -> None:
    """||w||^2/2 - <w, v> is at least -||v||^2/2, so that F - nu h_i >= sum a - nu - ||v||^2/2."""
    w, v = sp.symbols("w v", real=True)
    equal(w**2 / 2 - w * v + v**2 / 2, (w - v) ** 2 / 2, "a square")


@symbolic("SV-6")
def both_families(setting: Setting) -> None:
    """Each family's nu solves sum a - nu = ||.||^2/2."""
    length = sp.Symbol("l", positive=True)
    at = 4 * eta / length**2
    equal(2 * at * eta, at**2 * length**2 / 2, "weight on the class means")
    p, square, total = sp.symbols("p s T", positive=True)
    w = sp.Symbol("w", real=True)
    root = -theta * w + sp.sqrt(theta**2 * w**2 + square * (2 * theta * total - theta**2 * p))
    root = root / square
    norm = theta**2 * p + 2 * theta * root * w + root**2 * square
    equal(theta * total, norm / 2, "weight on a dual point")


@symbolic("SV-7")
def reproduces_a_point(setting: Setting) -> None:
    """beta_j = g_j^2 z_j.G^-1 z_i/w_j has sum beta_j z_j = z_i, for 3 rows in the plane."""
    z: Any = [sp.Matrix(sp.symbols(f"z{j}_1:3", real=True)) for j in range(3)]
    g, w = sp.symbols("g1:4", positive=True), sp.symbols("w1:4", positive=True)
    G = sp.zeros(2, 2)
    for j in range(3):
        G += g[j] ** 2 / w[j] * z[j] * z[j].T
    beta = [g[j] ** 2 * (z[j].T * G.adjugate() * z[0])[0] / (w[j] * G.det()) for j in range(3)]
    for k in range(2):
        left: Any = sum(beta[j] * z[j][k] for j in range(3))
        whole: Any = sp.together(left)
        equal(whole, z[0][k], "an entry of the point")


@symbolic("SV-7")
def stays_within_the_slack(setting: Setting) -> None:
    """A multiplier moves by nu g^2 tau_i tau_j/w <= g where nu tau_i <= 1 and w >= g tau_j."""
    g, tau, more, less = sp.symbols("g tau m q", positive=True)
    # w = g tau + m; nu tau_i = 1/(1 + q).
    moved = g**2 * tau / ((1 + less) * (g * tau + more))
    left = sp.expand((1 + less) * (g * tau + more) - g * tau)
    equal(g - moved, g * left / ((1 + less) * (g * tau + more)), "what is left of the slack")
    holds(left > 0, "its numerator is a sum of positive terms")


@symbolic("SV-8", "SV-9")
def bounded_differences(setting: Setting) -> None:
    """McDiarmid with differences T/m gives half of delta at T sqrt(ln(2/delta)/(2 m))."""
    T, m, delta = sp.symbols("T m delta", positive=True)
    off = T * sp.sqrt(sp.log(2 / delta) / (2 * m))
    exponent = sp.simplify(-2 * off**2 / (m * (T / m) ** 2))
    equal(sp.expand_log(exponent, force=True), sp.expand_log(-sp.log(2 / delta), force=True), "it")


@symbolic("SV-9")
def residual_of_a_hinge(setting: Setting) -> None:
    """max(0, r) - psi r is max(0, r) for psi = 0 and max(0, -r) for psi = 1."""
    r = sp.Symbol("r", real=True)
    positive = (sp.Abs(r) + r) / 2
    equal(positive - r, (sp.Abs(r) - r) / 2, "the residual of an active point")


@symbolic("SV-10", "SV-12")
def multipliers_lift(setting: Setting) -> None:
    """a_i = a_G c_i/c_G have the sum a_G, the point a_G mu_G, and stay below c_i if a_G <= c_G."""
    c, x = sp.symbols("c1:4", positive=True), sp.symbols("x1:4", real=True)
    share = sp.Symbol("a", positive=True)
    total: Any = c[0] + c[1] + c[2]
    mean = sum(c[i] * x[i] for i in range(3)) / total
    lifted = [share * c[i] / total for i in range(3)]
    equal(lifted[0] + lifted[1] + lifted[2], share, "their sum")
    point: Any = sum(lifted[i] * x[i] for i in range(3))
    equal(point, share * mean, "their point")


@symbolic("SV-11")
def any_round_with_any_other(setting: Setting) -> None:
    """F_k - D_l = (F_k - F*) + (F* - D_l), both >= 0: the best of each kind certify together."""
    best, above, below = sp.symbols("F p q", nonnegative=True)
    holds((best + above) - (best - below) >= 0, "the gap")
    equal((best + above) - (best - below), above + below, "its two parts")


@symbolic("SV-12")
def kernel_of_a_feature_map(setting: Setting) -> None:
    """||sum a y phi||^2 = (a y)^T K (a y) with K = Phi Phi^T, for 3 points in the plane."""
    phi: Any = sp.Matrix(3, 2, sp.symbols("p:6", real=True))
    s: Any = sp.Matrix(sp.symbols("s1:4", real=True))
    v = phi.T * s
    equal((v.T * v)[0], (s.T * phi * phi.T * s)[0], "the square")
