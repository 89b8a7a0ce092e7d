"""The probabilities behind NW-4 to NW-6, and NW-7's triangle inequality."""

from __future__ import annotations

import sympy as sp

from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal, holds

ETA, STAR = sp.symbols("eta eta_s", positive=True)
DELTA = sp.Symbol("delta", positive=True)
LAM = sp.Symbol("lambda", positive=True)
LOG = sp.log(8 * ETA * STAR / DELTA)
SHARE = DELTA / (8 * ETA * STAR)


@check("NW-4")
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


@check("NW-4")
def fresh_piece_of_kappa(setting: Setting) -> None:
    """Kappa's second piece: a fresh Delta passes E Delta + it with at most delta/(8 eta eta*)."""
    piece = sp.sqrt(2 * LAM) * sp.sqrt(2 * LAM) * LOG
    equal(piece, 2 * LAM * LOG, "the piece")
    equal(sp.exp(-piece / (2 * LAM)), SHARE, "its tail e^(-t/(2 lam))")
    # The tail is the exponential one beyond lam: 2 ln(8 x) > 1 with x = eta eta*/delta > 1.
    above = sp.Symbol("x", nonnegative=True)
    holds(2 * sp.log(8) > 1, "at eta eta*/delta = 1")
    holds(sp.diff(2 * sp.log(8 * (1 + above)), above) > 0, "and it rises from there")


@check("NW-4")
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


@check("NW-4")
def sum_over_a_layer(setting: Setting) -> None:
    """Both pieces over the neurons of a layer no wider than eta* add up to delta/(4 eta)."""
    width = sp.Symbol("w", positive=True)
    equal((SHARE + SHARE) * STAR, DELTA / (4 * ETA), "eta* neurons, two events each")
    # eta* leaves the output width out (THEORY, section 0): a wider last layer is not covered so.
    equal((SHARE + SHARE) * width / (DELTA / (4 * ETA)), width / STAR, "a layer of width w")
    equal((SHARE + SHARE) * ETA, DELTA / (4 * STAR), "all neurons at once: delta/(4 eta*)")


@check("NW-4")
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


@check("NW-5")
def failure_chain(setting: Setting) -> None:
    """CoreNet's chain, two signs at 3 delta/(8 eta), Delta^ at delta/(4 eta): 2*(3/8) + 1/4 = 1."""
    total = 2 * sp.Rational(3, 8) + sp.Rational(1, 4)
    equal(total, sp.Integer(1), "2*(3/8) + 1/4")
    equal(ETA * (2 * 3 * DELTA / (8 * ETA) + DELTA / (4 * ETA)), DELTA, "over all neurons")


@check("NW-5")
def constant_32(setting: Setting) -> None:
    """NW-5's 32 is SP-2's 8 at NW-2's error eps_l = eps/(2 L prod Delta): 32 = 8*2^2."""
    eps, layers, growth, s, k, log = sp.symbols("epsilon L P S K c", positive=True)
    own = eps / (2 * layers * growth)
    equal(8 * s * k * log / own**2, 32 * layers**2 * growth**2 * s * k * log / eps**2, "the size")


@check("NW-6")
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


@check("NW-6")
def gaussian_tail(setting: Setting) -> None:
    """For a Gaussian z of width sigma, t Pr(1/|z| > t) tends to 2 f(0) = sqrt(2/pi)/sigma."""
    t, sigma = sp.symbols("t sigma", positive=True)
    small = sp.Symbol("x", positive=True)
    tail = sp.erf(1 / (t * sigma * sp.sqrt(2)))
    density = 1 / (sp.sqrt(2 * sp.pi) * sigma)
    limit = sp.limit(tail.subs(t, 1 / small) / small, small, 0, "+")
    equal(limit, 2 * density, "c = 2 f(0)")


@check("NW-6")
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


@check("NW-7")
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


@check("NW-7")
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
