"""How relative errors compose through a network, NW-1 to NW-3, by induction over the layers."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal, holds

E, U = sp.symbols("epsilon u", nonnegative=True)
D, P = sp.symbols("Delta P", positive=True)
T, V, G = sp.symbols("t v g", nonnegative=True)


def _never_negative(difference: Any, step: str) -> None:
    """Derive that an expression of symbols with known signs is >= 0, from its factors."""
    holds(sp.Ge(sp.factor(sp.expand(difference)), 0), step)


@check("NW-1")
def sign_of_a_neuron(setting: Setting) -> None:
    """One sign: activations within 1 +- u and draws within 1 +- eps are off by u + eps + u eps."""
    grown = U + E + U * E
    equal((1 + U) * (1 + E) - 1, grown, "the largest that both errors together add")
    _never_negative(
        grown - (1 - (1 - U) * (1 - E)), "what they take away is no more than what they add"
    )
    # Where u or eps passes 1 the lower factor is cut at 0: then z^s is lost whole, and no more.
    above = sp.Symbol("a", nonnegative=True)
    _never_negative(grown.subs(U, 1 + above) - 1, "beyond u = 1 losing all of z^s is no more")
    _never_negative(grown.subs(E, 1 + above) - 1, "beyond eps = 1 losing all of z^s is no more")


@check("NW-1")
def both_signs_and_bias(setting: Setting) -> None:
    """Both signs: their errors add up to at most Delta |z + b| times the error of one sign."""
    plus, minus, total = sp.symbols("p n s", positive=True)
    up, down = sp.symbols("x y", real=True)
    bias = sp.Symbol("b", real=True)
    equal(
        (plus * (1 + up) - minus * (1 + down) + bias) - (plus - minus + bias),
        plus * up - minus * down,
        "the exact bias leaves the error of z",
    )
    # |p x - n y| <= (p + n) g for |x|, |y| <= g: linear in x and in y, so the corners decide.
    for x in (-G, G):
        for y in (-G, G):
            _never_negative((plus + minus) * G - (plus * x - minus * y), f"corner {x}, {y}")
    ratio = (plus + minus) / total + T  # total is |z + b|, t >= 0 what the floor at 1 adds
    _never_negative(ratio * G * total - (plus + minus) * G, "the error relative to |z + b|")


@check("NW-1")
def relu_keeps_errors_up_to_one(setting: Setting) -> None:
    """ReLU keeps a relative error of at most 1, phi((1+r) z) = (1+r) phi(z) for r in [-1, 1]."""
    z, r = sp.Symbol("z", nonnegative=True), sp.Symbol("r", nonnegative=True)
    factor = r  # 1 + (the relative error), in [0, 2]
    equal(sp.Max(0, factor * z), factor * sp.Max(0, z), "an active neuron")
    equal(sp.Max(0, -factor * z), factor * sp.Max(0, -z), "a neuron that is off stays off")


@check("NW-1")
def bias_and_relu_are_needed(setting: Setting) -> None:
    """Refuted: NW-1 with |z| for |z + b| (z=1, b=-.99), and NW-1 through ReLU beyond u = 1."""
    eps, bias = sp.Rational(1, 100), sp.Rational(-99, 100)
    moved = (sp.Max(0, (1 + eps) + bias) - sp.Max(0, 1 + bias)) / sp.Max(0, 1 + bias)
    equal(moved, sp.Integer(1), "one percent off in z is a hundred percent off in the activation")
    holds(moved > eps * 1, "more than NW-1 would say with Delta = z~/|z| = 1")
    equal(moved, eps * (1 / abs(1 + bias)), "and just what it says with Delta = z~/|z + b| = 100")
    # z+ = 1, z- = 1.01: off before, awake when both signs are one percent off.
    minus = sp.Rational(101, 100)
    equal(sp.Max(0, 1 - minus), sp.Integer(0), "a neuron that is off")
    holds(sp.Max(0, (1 + eps) - minus * (1 - eps)) > 0, "is woken by an error of Delta eps > 1")
    holds((1 + minus) / (minus - 1) * eps > 1, "its error is beyond 1 indeed")


@check("NW-2", "NW-3")
def one_layer_of_the_split(setting: Setting) -> None:
    """One layer: v_l = u_l prod_{k>l} Delta_k obeys 1 + v_l <= (1 + v_{l-1})(1 + t_l)."""
    # P = prod_{k>l} Delta_k and D = Delta_l, both 1 + something.
    more, most = sp.symbols("d e", nonnegative=True)
    own, later = 1 + more, 1 + most
    before = V / (own * later)  # u_{l-1}
    eps = T / (own * later)
    after = own * (before + eps + before * eps) * later
    equal(after, V + T + V * T / (own * later), "v_l in terms of v_{l-1} and t_l")
    _never_negative(
        sp.together((1 + V) * (1 + T) - (1 + after)), "and at most (1 + v_{l-1})(1 + t_l) - 1"
    )
    _never_negative(V - before, "u_{l-1} <= v_{l-1}, so a bound of v_l is one of u_l")


@check("NW-2", "NW-3")
def product_by_induction(setting: Setting) -> None:
    """Induction: sum t_l prod_{k>l}(1+t_k) = prod(1+t_l) - 1, which bounds v_L."""
    equal(1 * T, sp.Add(1, T) - 1, "base: one layer")
    product = sp.Symbol("Pi", positive=True)
    # A further layer multiplies every old term by 1 + t and adds its own t.
    equal((product - 1) * (1 + T) + T, product * (1 + T) - 1, "step: one layer more")
    layers = sp.symbols("t1:6", nonnegative=True)
    total = sum(t * sp.prod([1 + s for s in layers[index + 1 :]]) for index, t in enumerate(layers))
    whole: Any = sp.prod([1 + t for t in layers])
    equal(sp.sympify(total), whole - 1, "five layers written out")


@check("NW-2", "NW-3")
def product_below_exponential(setting: Setting) -> None:
    """1 + t <= e^t, so prod(1 + t_l) <= exp(sum t_l)."""
    equal(sp.diff(sp.exp(T) - 1 - T, T), sp.exp(T) - 1, "the difference has derivative e^t - 1")
    holds((sp.exp(T) - 1 - T).subs(T, 0) >= 0, "it starts at 0")
    holds(sp.diff(sp.exp(T) - 1, T) > 0, "its derivative rises")
    slope: Any = sp.exp(T) - 1
    equal(slope.subs(T, 0), sp.Integer(0), "from 0, so the difference never falls")


@check("NW-2")
def half_of_eps_is_enough(setting: Setting) -> None:
    """NW-2: t_l = eps/(2L) adds up to eps/2, and e^(eps/2) <= 1 + eps on (0, 1]."""
    count = sp.Symbol("L", positive=True, integer=True)
    equal(count * E / (2 * count), E / 2, "the sum of L equal t_l")
    gap = 1 + E - sp.exp(E / 2)
    holds(sp.diff(gap, E, 2) < 0, "the gap is concave in eps")
    equal(gap.subs(E, 0), sp.Integer(0), "and 0 at eps = 0")
    holds(gap.subs(E, 1) > 0, "and above 0 at eps = 1, so nowhere below 0 between")


@check("NW-3")
def all_of_eps_is_spent(setting: Setting) -> None:
    """NW-3: with sum t_l = ln(1+eps), u_L <= exp(sum t_l) - 1 = eps, and u_l <= eps <= 1 before."""
    total, part = sp.log(1 + E), sp.Symbol("r", nonnegative=True)
    equal(sp.exp(total) - 1, E, "u_L <= exp(ln(1+eps)) - 1")
    rest: Any = sp.exp(part + T) - sp.exp(part)
    equal(rest.subs(T, 0), sp.Integer(0), "no error is added at t = 0")
    holds(sp.diff(rest, T) > 0, "earlier layers have smaller sums, so smaller errors")


@check("NW-3")
def cube_roots_are_cheapest(setting: Setting) -> None:
    """NW-3: t_l proportional to A_l^(1/3) minimises sum A_l/t_l^2, by Lagrange and a tangent."""
    a, s, t, mu = sp.symbols("A s t mu", positive=True)
    stationary = sp.solve(sp.diff(a / t**2 + mu * t, t), t)
    equal(
        sum((x for x in stationary if x.is_positive), sp.Integer(0)),
        (2 * a / mu) ** sp.Rational(1, 3),
        "Lagrange: t_l is a common factor times A_l^(1/3)",
    )
    # The tangent at s lies below the curve; A/s^3 is the same for all l, so the tangents' linear
    # terms cancel in the sum over l when sum t = sum s.
    gap = a / t**2 - (a / s**2 - 2 * a / s**3 * (t - s))
    equal(gap, a * (t - s) ** 2 * (2 * t + s) / (s**3 * t**2), "curve above tangent")
    common = sp.Symbol("c", positive=True)
    equal(
        (a / s**3).subs(s, common * a ** sp.Rational(1, 3)), common**-3, "one slope for all layers"
    )


@check("NW-3")
def samples_against_corenet(setting: Setting) -> None:
    """NW-3 needs (eps/(2 ln(1+eps)))^2 of NW-2's samples: 1/4 as eps falls to 0, .52 at eps = 1."""
    count = sp.Symbol("L", positive=True, integer=True)
    eps = sp.Symbol("epsilon", positive=True)
    share = ((eps / (2 * count)) / (sp.log(1 + eps) / count)) ** 2
    equal(share, (eps / (2 * sp.log(1 + eps))) ** 2, "the squares of the t_l")
    equal(sp.limit(share, eps, 0), sp.Rational(1, 4), "the limit that THEORY quotes")
    holds(abs(share.subs(eps, 1) - sp.Rational(5203, 10000)) < sp.Rational(1, 10**4), "at eps = 1")
