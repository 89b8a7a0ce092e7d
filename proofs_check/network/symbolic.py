"""How relative errors compose through a network, NW-1 to NW-3, by induction over the layers."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic

E, U = sp.symbols("epsilon u", nonnegative=True)
D, P = sp.symbols("Delta P", positive=True)
T, V, G = sp.symbols("t v g", nonnegative=True)


def _never_negative(difference: Any, step: str) -> None:
    """Derive that an expression of symbols with known signs is >= 0, from its factors."""
    holds(sp.Ge(sp.factor(sp.expand(difference)), 0), step)


@symbolic("NW-1")
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


@symbolic("NW-1")
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


@symbolic("NW-1")
def relu_keeps_errors_up_to_one(setting: Setting) -> None:
    """ReLU keeps a relative error of at most 1, phi((1+r) z) = (1+r) phi(z) for r in [-1, 1]."""
    z, r = sp.Symbol("z", nonnegative=True), sp.Symbol("r", nonnegative=True)
    factor = r  # 1 + (the relative error), in [0, 2]
    equal(sp.Max(0, factor * z), factor * sp.Max(0, z), "an active neuron")
    equal(sp.Max(0, -factor * z), factor * sp.Max(0, -z), "a neuron that is off stays off")


@symbolic("NW-1")
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


@symbolic("NW-2", "NW-3")
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


@symbolic("NW-2", "NW-3")
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


@symbolic("NW-2", "NW-3")
def product_below_exponential(setting: Setting) -> None:
    """1 + t <= e^t, so prod(1 + t_l) <= exp(sum t_l)."""
    equal(sp.diff(sp.exp(T) - 1 - T, T), sp.exp(T) - 1, "the difference has derivative e^t - 1")
    holds((sp.exp(T) - 1 - T).subs(T, 0) >= 0, "it starts at 0")
    holds(sp.diff(sp.exp(T) - 1, T) > 0, "its derivative rises")
    slope: Any = sp.exp(T) - 1
    equal(slope.subs(T, 0), sp.Integer(0), "from 0, so the difference never falls")


@symbolic("NW-2")
def half_of_eps_is_enough(setting: Setting) -> None:
    """NW-2: t_l = eps/(2L) adds up to eps/2, and e^(eps/2) <= 1 + eps on (0, 1]."""
    count = sp.Symbol("L", positive=True, integer=True)
    equal(count * E / (2 * count), E / 2, "the sum of L equal t_l")
    gap = 1 + E - sp.exp(E / 2)
    holds(sp.diff(gap, E, 2) < 0, "the gap is concave in eps")
    equal(gap.subs(E, 0), sp.Integer(0), "and 0 at eps = 0")
    holds(gap.subs(E, 1) > 0, "and above 0 at eps = 1, so nowhere below 0 between")


@symbolic("NW-3")
def all_of_eps_is_spent(setting: Setting) -> None:
    """NW-3: with sum t_l = ln(1+eps), u_L <= exp(sum t_l) - 1 = eps, and u_l <= eps <= 1 before."""
    total, part = sp.log(1 + E), sp.Symbol("r", nonnegative=True)
    equal(sp.exp(total) - 1, E, "u_L <= exp(ln(1+eps)) - 1")
    rest: Any = sp.exp(part + T) - sp.exp(part)
    equal(rest.subs(T, 0), sp.Integer(0), "no error is added at t = 0")
    holds(sp.diff(rest, T) > 0, "earlier layers have smaller sums, so smaller errors")


@symbolic("NW-3")
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


@symbolic("NW-3")
def samples_against_corenet(setting: Setting) -> None:
    """NW-3 needs (eps/(2 ln(1+eps)))^2 of NW-2's samples: 1/4 as eps falls to 0, .52 at eps = 1."""
    count = sp.Symbol("L", positive=True, integer=True)
    eps = sp.Symbol("epsilon", positive=True)
    share = ((eps / (2 * count)) / (sp.log(1 + eps) / count)) ** 2
    equal(share, (eps / (2 * sp.log(1 + eps))) ** 2, "the squares of the t_l")
    equal(sp.limit(share, eps, 0), sp.Rational(1, 4), "the limit that THEORY quotes")
    holds(abs(share.subs(eps, 1) - sp.Rational(5203, 10000)) < sp.Rational(1, 10**4), "at eps = 1")


ETA, STAR = sp.symbols("eta eta_s", positive=True)
DELTA = sp.Symbol("delta", positive=True)
LAM = sp.Symbol("lambda", positive=True)
LOG = sp.log(8 * ETA * STAR / DELTA)
SHARE = DELTA / (8 * ETA * STAR)


@symbolic("NW-4")
def chernoff_of_subexponential(setting: Setting) -> None:
    """Chernoff: E e^(sX) <= e^(s^2 lam^2/2) for s <= 1/lam gives Pr(X > t) <= e^(-t/(2 lam))."""
    t, s, more = sp.symbols("t s m", positive=True)
    exponent = s**2 * LAM**2 / 2 - s * t
    equal(sp.solve(sp.diff(exponent, s), s)[0], t / LAM**2, "the best s where t <= lam")
    equal(exponent.subs(s, t / LAM**2), -(t**2) / (2 * LAM**2), "the tail there")
    # Beyond lam the best s allowed is 1/lam; t = lam + m.
    rest = -t / (2 * LAM) - exponent.subs(s, 1 / LAM)
    equal(rest, t / (2 * LAM) - sp.Rational(1, 2), "what e^(-t/(2 lam)) gives away")
    holds(sp.simplify(rest.subs(t, LAM + more)) > 0, "t > lam: the tail is e^(-t/(2 lam)) at most")


@symbolic("NW-4")
def fresh_piece_of_kappa(setting: Setting) -> None:
    """Kappa's second piece: a fresh Delta passes E Delta + it with at most delta/(8 eta eta*)."""
    piece = sp.sqrt(2 * LAM) * sp.sqrt(2 * LAM) * LOG
    equal(piece, 2 * LAM * LOG, "the piece")
    equal(sp.exp(-piece / (2 * LAM)), SHARE, "its tail e^(-t/(2 lam))")
    # The tail is the exponential one beyond lam: 2 ln(8 x) > 1 with x = eta eta*/delta > 1.
    above = sp.Symbol("x", nonnegative=True)
    holds(2 * sp.log(8) > 1, "at eta eta*/delta = 1")
    holds(sp.diff(2 * sp.log(8 * (1 + above)), above) > 0, "and it rises from there")


@symbolic("NW-4")
def mean_piece_of_kappa(setting: Setting) -> None:
    """Kappa's first piece, sqrt(2 lam): mean over |S| = 2 lam ln(...) points, if eta eta* >= e."""
    points = 2 * LAM * LOG  # ln(eta eta*) ln(8 eta eta*/delta), lam = ln(eta eta*)/2
    t = sp.sqrt(2 * LAM)
    quadratic, linear = points * t**2 / (2 * LAM**2), points * t / (2 * LAM)
    equal(quadratic, 2 * LOG, "where t <= lam the exponent is twice the logarithm")
    equal(linear, sp.sqrt(2 * LAM) * LOG, "where t > lam it is sqrt(2 lam) times the logarithm")
    # At least the logarithm in both cases if 2 lam = ln(eta eta*) >= 1.
    more = sp.Symbol("m", nonnegative=True)
    equal(sp.sqrt(1 + more).subs(more, 0), sp.Integer(1), "2 lam = 1, that is eta eta* = e")
    holds(sp.diff(sp.sqrt(1 + more), more) > 0, "and beyond it either is enough")
    holds(sp.sqrt(sp.log(2)) < 1, "at eta eta* = 2 it falls short: the condition is needed")
    equal(sp.exp(-LOG), SHARE, "and then the mean is short with at most delta/(8 eta eta*)")


@symbolic("NW-4")
def sum_over_a_layer(setting: Setting) -> None:
    """Both pieces over the neurons of a layer no wider than eta* add up to delta/(4 eta)."""
    width = sp.Symbol("w", positive=True)
    equal((SHARE + SHARE) * STAR, DELTA / (4 * ETA), "eta* neurons, two events each")
    # eta* leaves the output width out (THEORY, section 0): a wider last layer is not covered so.
    equal((SHARE + SHARE) * width / (DELTA / (4 * ETA)), width / STAR, "a layer of width w")
    equal((SHARE + SHARE) * ETA, DELTA / (4 * STAR), "all neurons at once: delta/(4 eta*)")


@symbolic("NW-4")
def sharper_kappa(setting: Setting) -> None:
    """Chernoff at s = 1/lam alone halves kappa's second piece: lam (ln(8 eta eta*/delta) + 1/2)."""
    t = sp.Symbol("t", positive=True)
    tail = sp.exp(sp.Rational(1, 2) - t / LAM)
    equal(tail.subs(t, LAM * (LOG + sp.Rational(1, 2))), SHARE, "the tail at the sharper piece")
    more = sp.Symbol("m", positive=True)
    rest = 2 * LAM * sp.log(8 * (1 + more)) - LAM * (sp.log(8 * (1 + more)) + sp.Rational(1, 2))
    slack = sp.simplify(rest / LAM)
    holds(slack.subs(more, 0) > 0, "sharper at eta eta*/delta = 1")
    holds(sp.diff(slack, more) > 0, "and ever more so")


@symbolic("NW-5")
def failure_chain(setting: Setting) -> None:
    """CoreNet's chain, two signs at 3 delta/(8 eta), Delta^ at delta/(4 eta): 2*(3/8) + 1/4 = 1."""
    total = 2 * sp.Rational(3, 8) + sp.Rational(1, 4)
    equal(total, sp.Integer(1), "2*(3/8) + 1/4")
    equal(ETA * (2 * 3 * DELTA / (8 * ETA) + DELTA / (4 * ETA)), DELTA, "over all neurons")


@symbolic("NW-5")
def constant_32(setting: Setting) -> None:
    """NW-5's 32 is SP-2's 8 at NW-2's error eps_l = eps/(2 L prod Delta): 32 = 8*2^2."""
    eps, layers, growth, s, k, log = sp.symbols("epsilon L P S K c", positive=True)
    own = eps / (2 * layers * growth)
    equal(8 * s * k * log / own**2, 32 * layers**2 * growth**2 * s * k * log / eps**2, "the size")


@symbolic("NW-6")
def infinite_mean(setting: Setting) -> None:
    """A density >= c on [-h, h] gives Pr(1/|z| > t) >= 2c/t for t >= 1/h, and E 1/|z| infinite."""
    c, h, e, z, t = sp.symbols("c h e z t", positive=True)
    mass = sp.integrate(c, (z, -1 / t, 1 / t))
    equal(mass, 2 * c / t, "mass that the density puts at |z| < 1/t")
    mean = 2 * sp.integrate(c / z, (z, e, h))
    equal(mean, 2 * c * sp.log(h / e), "what z in (e, h) adds to the mean")
    holds(sp.Eq(sp.limit(2 * c * (sp.log(h) - sp.log(e)), e, 0, "+"), sp.oo), "it has no limit")
    # A larger z~ scales t: Pr(z~/|z| > t) >= Pr(1/|z| > t/least) where z~ >= least.
    least = sp.Symbol("m", positive=True)
    equal(mass.subs(t, t / least), 2 * c * least / t, "with z~ >= m near 0 the tail is 2 c m/t")


@symbolic("NW-6")
def gaussian_tail(setting: Setting) -> None:
    """For a Gaussian z of width sigma, t Pr(1/|z| > t) tends to 2 f(0) = sqrt(2/pi)/sigma."""
    t, sigma = sp.symbols("t sigma", positive=True)
    small = sp.Symbol("x", positive=True)
    tail = sp.erf(1 / (t * sigma * sp.sqrt(2)))
    density = 1 / (sp.sqrt(2 * sp.pi) * sigma)
    limit = sp.limit(tail.subs(t, 1 / small) / small, small, 0, "+")
    equal(limit, 2 * density, "c = 2 f(0)")


@symbolic("NW-6")
def mean_contradicts_a2(setting: Setting) -> None:
    """A2 needs E Delta and, with it, every moment; a tail c/t leaves none of order 1 or more."""
    c, start, t = sp.symbols("c a t", positive=True)
    # E Delta^k = int k t^(k-1) Pr(Delta > t) dt, at least the integral of k c t^(k-2).
    top, more = sp.symbols("T m", positive=True)
    part = sp.integrate(c / t, (t, start, top))
    holds(sp.Eq(sp.limit(part, top, sp.oo), sp.oo), "k = 1: grows as a logarithm")
    grown = sp.integrate((1 + more) * c * t ** (more - 1), (t, start, top))
    holds(sp.Eq(sp.limit(sp.expand(grown), top, sp.oo), sp.oo), "k = 1 + m: as a power")
    # A subexponential law has Var <= lam^2: the mgf's second derivative at 0 is at most lam^2.
    s = sp.Symbol("s", real=True)
    equal(sp.diff(sp.exp(s**2 * LAM**2 / 2), s, 2).subs(s, 0), LAM**2, "Var <= lam^2 under A2")


@symbolic("NW-7")
def triangle(setting: Setting) -> None:
    """W^a^ - W a = (W^ - W) a + W^ (a^ - a), written out for two rows and three columns."""
    old = sp.Matrix(2, 3, sp.symbols("w:6"))
    new = sp.Matrix(2, 3, sp.symbols("v:6"))
    a, b = sp.Matrix(sp.symbols("a:3")), sp.Matrix(sp.symbols("b:3"))
    for row in range(2):
        left = (new * b - old * a)[row]
        right = ((new - old) * a + new * (b - a))[row]
        equal(left, right, "the error of one pre-activation")
    # |x + sum v_j d_j| <= |x| + sum |v_j| |d_j|: linear in each sign, so one corner of each.
    v, d = sp.symbols("v d", nonnegative=True)
    x = sp.Symbol("x", nonnegative=True)
    for sign in (-1, 1):
        for turn in (-1, 1):
            holds(sp.Ge(sp.factor(x + v * d - (sign * x + turn * v * d)), 0), "triangle inequality")


@symbolic("NW-7")
def lipschitz(setting: Setting) -> None:
    """ReLU, tanh and the logistic function move at most as far as their argument."""
    x, y = sp.symbols("x y", nonnegative=True)
    gaps = [
        (x + y, sp.Max(x, 0) - sp.Max(-y, 0)),  # arguments on both sides of 0
        (sp.Abs(x - y), sp.Abs(sp.Max(x, 0) - sp.Max(y, 0))),
        (sp.Abs(x - y), sp.Abs(sp.Max(-x, 0) - sp.Max(-y, 0))),
    ]
    for argument, value in gaps:
        holds(sp.simplify(argument - value) >= 0, "ReLU")
    z, s = sp.Symbol("z", real=True), sp.Symbol("s", real=True)
    slope = sp.diff(sp.tanh(z), z)
    equal(slope, 1 - sp.tanh(z) ** 2, "the slope of tanh, in [0, 1]")
    logistic = 1 / (1 + sp.exp(-z))
    equal(sp.diff(logistic, z), logistic * (1 - logistic), "the slope of the logistic function")
    equal(s * (1 - s), sp.Rational(1, 4) - (s - sp.Rational(1, 2)) ** 2, "it is at most 1/4")
