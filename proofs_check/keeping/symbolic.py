"""The algebra behind SP-6, SP-7, SP-9, SP-10 and SP-12: dropping, joined promises, measuring."""

from __future__ import annotations

import sympy as sp

from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.registry import Setting, symbolic


@symbolic("SP-6")
def dropped_part(setting: Setting) -> None:
    """Dropping loses a share of z in [0, G_D], and G_D is at most the sum of the sensitivities."""
    kept, lost = sp.symbols("a d", positive=True)
    share = lost / (kept + lost)
    equal((kept + lost - kept) / (kept + lost), share, "(z - z^)/z is the dropped share")
    holds(share >= 0, "a share is not negative")
    equal(1 - share, kept / (kept + lost), "nor above 1")
    # Induction over the dropped weights, at the row where the maximum is attained: s_j = g_j + t_j.
    sum_g, slack, g, t = sp.symbols("A B g t", nonnegative=True)
    gap = (sum_g + slack + g + t) - (sum_g + g)
    equal(gap, slack + t, "one weight more adds s_j - g_j(x)")
    holds(slack + t >= 0, "so the sum of sensitivities stays above")


@symbolic("SP-6")
def recentring_is_minimax(setting: Setting) -> None:
    """The factor 1/(1 - G/2) gives the worst error G/(2 - G); no other factor gives less."""
    kept = sp.Symbol("r", positive=True)  # r = 1 - G in (0, 1], G = 1 - r
    lost = sp.Symbol("G")
    factor, worst = 1 / (1 - lost / 2), (lost / 2) / (1 - lost / 2)
    equal(worst, lost / (2 - lost), "the closed form")
    equal(factor - 1, worst, "the error where nothing is lost")
    equal(1 - factor * (1 - lost), worst, "the error where all of G is lost")
    # z^/z = 1 - theta G in between: the error is affine in theta, from +worst to -worst.
    theta, more = sp.symbols("theta t", positive=True)
    equal(factor * (1 - theta * lost) - 1, worst * (1 - 2 * theta), "affine in between")
    equal((factor + more) - 1 - worst, more, "a larger factor errs more at one end")
    other = 1 - (factor - more) * (1 - lost) - worst
    equal(other, more * (1 - lost), "a smaller one at the other")
    holds(other.subs(lost, 1 - kept).simplify() >= 0, "by t (1 - G) >= 0")
    gain = (lost - lost / (2 - lost)).subs(lost, 1 - kept)
    equal(gain, (1 - kept) * kept / (1 + kept), "what recentring gains is G (1-G)/(2-G) >= 0")


@symbolic("SP-7")
def choice_costs_no_probability(setting: Setting) -> None:
    """The smaller promise is kept with drawing's own delta: the choice is made before any draw."""
    promise, more = sp.symbols("a t", nonnegative=True)
    drawn_fails, spare = sp.symbols("r s", nonnegative=True)
    delta = drawn_fails + spare  # drawing fails with probability r <= delta, dropping never
    for drawn, dropped, fails in (
        (promise, promise + more, drawn_fails),
        (promise + more, promise, sp.S.Zero),
    ):
        equal(sp.Min(drawn, dropped), promise, "what is taken promises the smaller error")
        holds(delta - fails >= 0, "and misses it at most as often as drawing may")


@symbolic("SP-9")
def signs_add_up(setting: Setting) -> None:
    """Errors of the two signs add up to eps z~, or to the sharper form where they differ."""
    plus, minus, eps = sp.symbols("p n epsilon", positive=True)
    # |e| <= eps z of a sign is e = (2u - 1) eps z with u in [0, 1]; v = 1 - u is then in [0, 1].
    u, v, x, y = sp.symbols("u v x y", nonnegative=True)
    error = (u - v) * eps * plus - (x - y) * eps * minus
    whole = {u: 1 - v, x: 1 - y}
    for side, name in ((1, "above"), (-1, "below")):
        spare = eps * (plus + minus) - side * error
        parts = (2 * v * plus + 2 * (1 - y) * minus, 2 * (1 - v) * plus + 2 * y * minus)
        equal(spare.subs(whole), eps * parts[(1 - side) // 2], f"nothing is lost {name}")
    value, ratio = sp.symbols("z Delta", positive=True)
    solved = sp.solve([plus + minus - ratio * value, plus - minus - value], [plus, minus])
    equal(solved[plus], value * (ratio + 1) / 2, "the larger part is |z| (Delta + 1)/2")
    equal(solved[minus], value * (ratio - 1) / 2, "the smaller |z| (Delta - 1)/2")
    small, more = sp.symbols("a t", nonnegative=True)
    sharp = (small + more) * (ratio + 1) / 2 + small * (ratio - 1) / 2
    swapped = small * (ratio + 1) / 2 + (small + more) * (ratio - 1) / 2
    equal(sharp - swapped, more, "the worse sign belongs to the larger part")
    equal(sharp.subs(more, 0), small * ratio, "equal errors give eps Delta")
    first, second, both = sp.symbols("d1 d2 d12", nonnegative=True)
    holds(first + second - (first + second - both) >= 0, "the failure probabilities add up")


@symbolic("SP-10")
def enough_candidates(setting: Setting) -> None:
    """With tau = ln(4/delta)/ln(10/9), (9/10)^tau = delta/4 exactly; a larger tau gives less."""
    delta = sp.Symbol("delta", positive=True)
    tau, more = sp.symbols("tau t", positive=True)
    ratio = sp.Rational(9, 10)
    needed = sp.log(4 / delta) / sp.log(1 / ratio)
    exponent = sp.expand_log(needed * sp.log(ratio), force=True)
    equal(exponent, sp.expand_log(sp.log(delta / 4), force=True), "ln (9/10)^tau = ln(delta/4)")
    equal(ratio**tau - ratio ** (tau + more), ratio**tau * (1 - ratio**more), "falls in tau")
    holds(sp.log(ratio) < 0, "since ln(9/10) < 0")


@symbolic("SP-10")
def mean_of_one_candidate(setting: Setting) -> None:
    """One candidate of m draws has an expected mean error over T of at most sqrt((M-1)/m)."""
    largest, m = sp.symbols("M m", positive=True)
    value, weight, t = sp.symbols("T q t", nonnegative=True)
    # E T^2 <= M E T = M term by term, T = M - t with t >= 0; and the mean is 1.
    spare = (weight * value * (largest - value)).subs(largest, value + t)
    equal(spare, weight * value * t, "M T - T^2 = T (M - T)")
    holds(weight * value * t >= 0, "so the variance of one draw is at most M - 1")
    equal(m * (largest - 1) / m**2, (largest - 1) / m, "and of the mean of m, (M - 1)/m")
    # Jensen twice, over T and over the draws: a variance is not negative.
    a, b, share = sp.symbols("a b w", nonnegative=True)
    mean = share * a + (1 - share) * b
    gap = share * a**2 + (1 - share) * b**2 - mean**2
    equal(gap, share * (1 - share) * (a - b) ** 2, "a mean of squares exceeds the squared mean")


@symbolic("SP-8", "SP-10")
def markov(setting: Setting) -> None:
    """A number >= 0 exceeds lambda times its mean with probability at most 1/lambda (Markov)."""
    lam, tau = sp.symbols("lambda tau", positive=True)
    # A share p of mean at least lam E and a rest >= 0 have a mean of at least p lam E.
    chance, mean, above, rest = sp.symbols("p E y z", nonnegative=True)
    total = chance * (lam * mean + above) + rest
    equal(total - chance * lam * mean, chance * above + rest, "E >= p lambda E")
    holds(chance * above + rest >= 0, "so that p <= 1/lambda")
    equal((1 / lam).subs(lam, sp.Rational(10, 9)), sp.Rational(9, 10), "1/lambda = 9/10")
    # Independent candidates: the best exceeds it if all of them do; one more multiplies by p.
    single = sp.Symbol("q", positive=True)
    equal(single**tau * single, single ** (tau + 1), "tau candidates miss with probability q^tau")


@symbolic("SP-10")
def chebyshev_needs_half(setting: Setting) -> None:
    """By Chebyshev the square of 9/10 stands for it: half the candidates meet the same promise."""
    lam, largest, m = sp.symbols("lambda M m", positive=True)
    square = (largest - 1) / m
    # (mean_T |e|)^2 <= mean_T e^2 (Jensen above), whose expectation is at most (M-1)/m: Markov.
    equal(square / (lam**2 * square), lam**-2, "it exceeds lambda^2 (M-1)/m in at most 1/lambda^2")
    delta = sp.Symbol("delta", positive=True)
    half = sp.log(4 / delta) / (2 * sp.log(sp.Rational(10, 9)))
    exponent = sp.expand_log(half * sp.log(sp.Rational(81, 100)), force=True)
    equal(sp.expand_log(exponent, force=True), sp.expand_log(sp.log(delta / 4), force=True),
          "(81/100)^(tau/2) = delta/4")  # fmt: skip


@symbolic("SP-10")
def dead_neurons(setting: Setting) -> None:
    """The rate e with N (1-e)^n = beta is 1 - (beta/N)^(1/n); rarer failures cost less."""
    beta, number, n, e = sp.symbols("beta N n e", positive=True)
    root = 1 - (beta / number) ** (1 / n)
    equal(number * (1 - root) ** n, beta, "the root")
    q, t = sp.symbols("q t", positive=True)
    # A neuron alive more often than e, (1 - e') = q with q + t = 1 - e, is dead on S less often.
    holds(sp.diff((q + t) ** n, t) > 0, "(1-e)^n falls in e")
    equal(sp.diff((1 - e) ** n, e), -n * (1 - e) ** (n - 1), "its slope")
    first, second, both = sp.symbols("d1 d2 d12", nonnegative=True)
    holds(first + second - (first + second - both) >= 0, "union over the neurons looked at")


@symbolic("SP-10")
def union_over_candidates(setting: Setting) -> None:
    """Whichever candidate is chosen, one of tau fails at x with probability at most tau delta."""
    delta, both = sp.symbols("delta B", nonnegative=True)
    tau = sp.Symbol("tau", integer=True, positive=True)
    # Induction: Pr(A or B) = Pr(A) + Pr(B) - Pr(A and B) with Pr(A) = tau delta - t.
    t = sp.Symbol("t", nonnegative=True)
    union = (tau * delta - t) + delta - both
    equal((tau + 1) * delta - union, t + both, "one candidate more adds at most delta")
    holds(t + both >= 0, "so the sum stays above")


@symbolic("SP-12")
def charge_for_rounding(setting: Setting) -> None:
    """What float64 may hide is added to the error and taken from z~: the quotient is no smaller."""
    exact, size, sums, gamma = sp.symbols("e z s gamma", positive=True)
    # The computed error is e - u gamma s, and the computed z~ is z (1 + v gamma), u, v in [-1, 1].
    hidden, other = sp.symbols("x y", nonnegative=True)
    charged = exact - (1 - hidden) * gamma * sums + gamma * sums
    equal(charged - exact, hidden * gamma * sums, "the charged error is no less than e")
    below = size - size * (1 + (1 - other) * gamma) * (1 - gamma)
    equal(below, size * (gamma**2 + other * gamma * (1 - gamma)), "z~ (1 - gamma) is no more")
    # The sum s of the magnitudes of the terms, by the largest ratio R = |d_j/w_j| + t_j.
    ratio, w1, w2, a1, a2 = sp.symbols("R w1 w2 a1 a2", nonnegative=True)
    t1, t2 = sp.symbols("t1 t2", nonnegative=True)
    terms = (ratio - t1) * w1 * a1 + (ratio - t2) * w2 * a2
    spare = ratio * (w1 * a1 + w2 * a2) - terms
    equal(spare, t1 * w1 * a1 + t2 * w2 * a2, "sum |d_j a_j| <= R z~")
    holds(t1 * w1 * a1 + t2 * w2 * a2 >= 0, "by terms that are not negative")


@symbolic("SP-12")
def maximum_over_rows(setting: Setting) -> None:
    """The largest of the rows' errors holds at each row, whichever weights are looked at."""
    row, more, size = sp.symbols("r t z", nonnegative=True)
    worst = row + more
    equal(worst * size - row * size, more * size, "eps z~ - |z^ - z| = t z~")
    holds(more * size >= 0, "where the row's own error r is t below the largest")
