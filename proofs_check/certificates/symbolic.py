"""The algebra of CT-1 to CT-8: binomial tails and beta laws, sequences, e-processes, bands."""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.logic.inference import satisfiable

import sipp_theory
from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, symbolic

p, q, delta = sp.symbols("p q delta", positive=True)
k, n = sp.symbols("k n", integer=True, positive=True)


def _mass(hits: sp.Expr, trials: sp.Expr, rate: sp.Expr) -> sp.Expr:
    return sp.binomial(trials, hits) * rate**hits * (1 - rate) ** (trials - hits)


def _symbols(names: str) -> Any:
    return sp.symbols(names)


@symbolic("CT-1", "CT-2")
def tail_is_beta(setting: Setting) -> None:
    """Pr(Bin(n, p) <= k) has derivative -p^k (1-p)^(n-k-1)/B(k+1, n-k), by induction on k."""
    c = sp.Symbol("c", positive=True)  # 1 - p, which moves against p

    def change(tail: sp.Expr) -> sp.Expr:
        return sp.diff(tail, p) - sp.diff(tail, c)

    def slope(hits: sp.Expr, choices: sp.Expr) -> sp.Expr:
        return -(n - hits) * choices * p**hits * c ** (n - hits - 1)

    equal(change(c**n), slope(sp.Integer(0), sp.Integer(1)), "k = 0")
    before = sp.Symbol("C", positive=True)  # C(n, k-1); C(n, k) is (n-k+1)/k times it
    choices = before * (n - k + 1) / k
    after = slope(k - 1, before) + change(choices * p**k * c ** (n - k))
    equal(after, slope(k, choices), "from k - 1 to k")
    one = sp.gamma(n + 1) / (sp.gamma(k + 1) * sp.gamma(n - k + 1))
    beta = sp.gamma(k + 1) * sp.gamma(n - k) / sp.gamma(n + 1)
    equal((n - k) * one * beta, sp.Integer(1), "(n-k) C(n,k) = 1/B(k+1, n-k)")


@symbolic("CT-1", "CT-2")
def tail_is_the_beta_integral(setting: Setting) -> Result:
    """The two sides of that identity as polynomials in p, for every k < n up to n = 8."""
    cases = 0
    for trials in range(1, 9):
        for hits in range(trials):
            tail = sum(_mass(sp.Integer(i), sp.Integer(trials), p) for i in range(hits + 1))
            density = sp.expand(q**hits * (1 - q) ** (trials - hits - 1))
            integral = sp.integrate(density, (q, p, 1)) / sp.integrate(density, (q, 0, 1))
            if sp.expand(tail - integral) != 0:
                raise Refuted(f"Pr(Bin({trials}, p) <= {hits}) is no beta integral")
            cases += 1
    return Result(cases=cases)


@symbolic("CT-1", "CT-3", "CT-8")
def lower_set(setting: Setting) -> None:
    """The bound fails for the counts 0 to c only, and these have probability at most alpha."""
    share = sp.Symbol("s", positive=True)  # p = s/(1+s) lies in (0, 1)
    rate = share / (1 + share)
    holds(rate**k * (1 - rate) ** n > 0, "each count adds a positive mass to the tail")
    equal(1 - rate, 1 / (1 + share), "1 - p > 0")
    # p lies above the bound at count i if and only if tail_i(p) < alpha, since the tail falls in p;
    # tails rise in i, so these are the counts up to some c, of probability tail_c(p) < alpha.
    tail, mass, gap = sp.symbols("tail mass gap", positive=True)
    alpha = tail + mass + gap
    holds(alpha - (tail + mass) > 0, "tail_(i+1) < alpha")
    holds(alpha - tail > 0, "and then tail_i < alpha as well")


@symbolic("CT-2")
def order_statistic(setting: Setting) -> None:
    """Pr(U_(r) <= t) = Pr(Bin(n, t) >= r) has the density of Beta(r, n-r+1) and rises in t."""
    r = sp.Symbol("r", integer=True, positive=True)
    one = sp.gamma(n + 1) / (sp.gamma(r) * sp.gamma(n - r + 2))  # C(n, r-1)
    beta = sp.gamma(r) * sp.gamma(n - r + 1) / sp.gamma(n + 1)
    # tail_is_beta at k = r - 1, with its sign turned by taking the upper tail.
    equal((n - r + 1) * one * beta, sp.Integer(1), "(n-r+1) C(n,r-1) = 1/B(r, n-r+1)")
    share, room = sp.symbols("s m", positive=True)
    rate = share / (1 + share)
    holds(rate ** (r - 1) / (1 + share) ** room > 0, "the density is positive: it rises in t")


@symbolic("CT-2")
def points_needed(setting: Setting) -> None:
    """The largest error is a tolerance limit if and only if n >= ln(alpha)/ln(1-delta)."""
    rate, level, more = sp.symbols("h A t", positive=True)  # 1 - delta = e^-h, alpha = e^-A
    tail = sp.exp(-rate) ** (level / rate + more)
    equal(sp.powsimp(sp.expand_power_exp(tail)), sp.exp(-level) * sp.exp(-rate * more),
          "(1-delta)^n = alpha (1-delta)^t at n = ln(alpha)/ln(1-delta) + t")  # fmt: skip
    holds(-rate * more < 0, "below alpha for t > 0")
    holds((-rate * more).subs(more, -more) > 0, "above alpha for t < 0")


@symbolic("CT-3", "CT-8")
def fixed_sequence_logic(setting: Setting) -> Result:
    """If any false network is accepted, the first false one has passed: by induction, all cases."""
    passes, false = _symbols("passes false")
    # After some networks: all passed; none is false; a false one was accepted; first false passed.
    accepted, none, error, first = _symbols("accepted none error first")

    def invariant(a: Any, o: Any, e: Any, f: Any) -> Any:
        return sp.And(
            sp.Implies(e, f), sp.Implies(o, sp.Not(sp.Or(e, f))), sp.Implies(sp.And(a, ~o), f)
        )

    start = invariant(sp.true, sp.true, sp.false, sp.false)
    if start != sp.true:
        raise Refuted("the invariant does not hold before the first network")
    goes_on = sp.And(accepted, passes)
    following = invariant(
        goes_on,
        sp.And(none, ~false),
        sp.Or(error, sp.And(false, goes_on)),
        sp.Or(first, sp.And(none, false, passes)),
    )
    counter = satisfiable(sp.And(invariant(accepted, none, error, first), ~following))
    if counter:
        raise Refuted(f"fixed sequence: {counter}")
    # A procedure that goes on after a failure accepts whatever passes; the same step then breaks.
    careless = invariant(
        passes,
        sp.And(none, ~false),
        sp.Or(error, sp.And(false, passes)),
        sp.Or(first, sp.And(none, false, passes)),
    )
    if not satisfiable(sp.And(invariant(accepted, none, error, first), ~careless)):
        raise Refuted("the argument would prove a procedure without its stop as well")
    return Result(
        "and the argument fails, as it should, for a procedure without the stop", cases=64
    )


@symbolic("CT-4")
def one_step(setting: Setting) -> None:
    """A point multiplies the evidence by 1 on average at p = delta, by at most 1 below it."""
    hit, miss = q / delta, (1 - q) / (1 - delta)
    equal(delta * hit + (1 - delta) * miss, sp.Integer(1), "the mean ratio at p = delta")
    mean = p * hit + (1 - p) * miss
    excess = (p - delta) * (q - delta) / (delta * (1 - delta))
    equal(mean - 1, excess, "the mean ratio at any p")
    u, w, room = sp.symbols("u w room", positive=True)  # p = delta - u, q = delta + w
    holds((-u * w / (delta * room)) < 0, "p < delta < q: below 1")
    for side in (1, -1):
        moved = excess.subs({p: delta - side * u, q: delta + side * w}, simultaneous=True)
        equal(moved, -u * w / (delta * (1 - delta)), "p on one side of delta, q on the other")


@symbolic("CT-4")
def expectation_is_one(setting: Setting) -> Result:
    """E has mean exactly 1 at p = delta, as a rational function of delta, for n up to 7."""
    cases = 0
    for side in ((delta, 1), (0, delta)):
        for trials in range(8):
            mean = sp.Integer(0)
            for hits in range(trials + 1):
                likelihood = sp.expand(q**hits * (1 - q) ** (trials - hits))
                mean += sp.binomial(trials, hits) * sp.integrate(likelihood, (q, *side))
            equal(mean / (side[1] - side[0]), sp.Integer(1), f"n = {trials}, q in {side}")
            cases += 1
    return Result(cases=cases)


@symbolic("CT-4")
def untruncated_fails(setting: Setting) -> Result:
    """The whole beta mixture is no evidence against p <= delta: without any violation it grows."""
    trials, rate = 100, sp.Rational(1, 10)
    # At p = 0 the count is 0 surely, and the mixture is int (1-q)^n dq/(1-delta)^n.
    mixture = sp.integrate((1 - q) ** n, (q, 0, 1), conds="none")
    mean = sp.simplify(mixture).subs(n, trials) / (1 - rate) ** trials
    holds(mean > 100, "its mean at p = 0 after 100 points is far above 1")
    truncated = sp.integrate((1 - q) ** n, (q, delta, 1), conds="none").subs(
        {n: trials, delta: rate}
    )
    holds(truncated / (1 - rate) / (1 - rate) ** trials < 1, "truncated to q > delta it is below 1")
    computed = float(sipp_theory.e_value(0, trials, 0.1))
    if not computed < 1:
        raise Refuted(f"e_value(0, {trials}, 0.1) = {computed!r}: evidence without a violation")
    return Result(
        f"mean {float(mean):.0f} at p = 0, n = 100, delta = 0.1; truncated {computed:.2g}"
    )


@symbolic("CT-5")
def pinned_poisson(setting: Setting) -> Result:
    """The recursion over counts is Pr(U_(r) >= b_r for all r), as polynomials, for n up to 4."""
    cases = 0
    for trials in range(1, 5):
        bounds = sp.symbols(f"b1:{trials + 1}", positive=True)
        points = sp.symbols(f"u1:{trials + 1}", positive=True)
        # Ordered points u1 < ... < un, each above its boundary; integrated from the last one down.
        inside: sp.Expr = sp.Integer(1)
        volume = sp.factorial(trials)
        for r in range(trials):  # u_r from b_r to u_(r+1), the last one to 1
            upper = points[r + 1] if r + 1 < trials else sp.Integer(1)
            inside = sp.expand(sp.integrate(inside, (points[r], bounds[r], upper)))
        # Counts: n! times the Poisson masses, whose exponentials multiply to one factor e^-n.
        mass: dict[int, sp.Expr] = {0: sp.Integer(1)}
        last = sp.Integer(0)
        for r, bound in enumerate((*bounds, sp.Integer(1))):
            step, most = bound - last, trials if r == trials else r
            mass = {
                count: sum((mass[j] * step ** (count - j) / sp.factorial(count - j)
                            for j in mass if j <= count), sp.Integer(0))
                for count in range(most + 1)
            }  # fmt: skip
            last = bound
        equal(sp.expand(volume * mass[trials]), sp.expand(volume * inside), f"n = {trials}")
        cases += 1
    return Result(cases=cases)


@symbolic("CT-5", "CT-7")
def union_of_levels(setting: Setting) -> None:
    """Levels alpha/G of G statements add up to alpha, whatever G, and each is at most alpha."""
    alpha, one, more = sp.symbols("alpha i m", positive=True)
    count = sp.Symbol("G", integer=True, positive=True)
    total: Any = sp.Sum(alpha / count, (one, 1, count)).doit()
    equal(total, alpha, "the sum of the levels")
    equal(alpha - alpha / (1 + more), alpha * more / (1 + more), "what a larger family takes away")
    holds(alpha * more / (1 + more) > 0, "a family of more than one costs something")


@symbolic("CT-6")
def drop_is_a_difference(setting: Setting) -> None:
    """Accuracy before minus accuracy after is Pr(right, wrong) - Pr(wrong, right)."""
    both, lost, won = _symbols("p11 p10 p01")
    equal((both + lost) - (both + won), lost - won, "inputs that both get right cancel")


@symbolic("CT-6")
def one_of_two_limits(setting: Setting) -> None:
    """p10 <= U and p01 >= L give p10 - p01 <= U - L, and the two failures have alpha together."""
    lost, won, spare, room, alpha = sp.symbols("p10 p01 s r alpha", positive=True)
    upper, lower = lost + spare, won - room
    equal((upper - lower) - (lost - won), spare + room, "U - L less the drop")
    holds(spare + room > 0, "the bound is above the drop where both limits hold")
    equal(alpha / 2 + alpha / 2, alpha, "levels")


@symbolic("CT-8")
def entry_within_its_factor(setting: Setting) -> None:
    """|f^ - f| <= eps |f| puts f^ between (1 - eps) f and (1 + eps) f, and no other number does."""
    size, eps, slack = sp.symbols("f eps g", positive=True)
    for sign in (1, -1):
        truth = sign * size
        for side in (1, -1):
            edge = truth + side * eps * size  # where |f^ - f| = eps |f|
            equal(edge, (1 + sign * side * eps) * truth, f"edge of f {sign:+d}, side {side:+d}")
            # A step outwards is beyond that edge by as much, so that the event has happened.
            holds(side * (edge + side * slack - edge) > 0, "a step outwards leaves")
