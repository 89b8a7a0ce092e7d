"""ES-5 at 50 digits and on a law whose truth is known; ES-6 by all orders of the points."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import Any

import mpmath
import numpy as np
import torch
from scipy import special, stats

import sipp_core
import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.runtime import generator

# The code keeps 1e-12 of beta in hand, which moves the root by up to 1e-12/ln(1/beta).
ROOT = 1e-11
# Its two sides are compared in logarithms of size up to 1e3, with 1e-13 and more in hand.
JUDGED = 1e-9
BETAS = (0.3, 0.05, 1e-3, 1e-9)


def _tail(d: int, n: int, e: Any) -> Any:
    """Pr(Bin(n, e) < d), term by term."""
    return mpmath.fsum(mpmath.binomial(n, i) * e**i * (1 - e) ** (n - i) for i in range(d))


@oracle("ES-5")
def a_priori_root(setting: Setting) -> Result:
    """The a-priori bound is the root of the binomial tail, at 50 digits and never below it."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for n, d in ((5, 1), (20, 1), (50, 7), (300, 60), (500, 20), (200, 199)):
            for beta in BETAS:
                computed = mpmath.mpf(float(sipp_theory.scenario_violation(n, d, beta)))
                # The tail falls strictly (symbolic): the root is between the two.
                if not _tail(d, n, computed) <= beta < _tail(d, n, computed * (1 - ROOT)):
                    raise Refuted(
                        f"scenario_violation({n}, {d}, {beta}) = {computed} is not the root"
                    )
                cases += 1
    for n, d, edge in ((1, 0, 0), (4, 4, 1), (3, 9, 1), (0, 1, 1)):
        close(float(sipp_theory.scenario_violation(n, d, 0.1)), edge, {"n": n, "d": d})
    return Result(cases=cases + 4)


@oracle("ES-5")
def wait_and_judge_root(setting: Setting) -> Result:
    """The a-posteriori bound is 1 - t, t the root of the equation as printed, at 50 digits."""
    cases = 0
    with mpmath.workdps(DIGITS):
        for n, k in ((1, 0), (10, 0), (10, 9), (60, 7), (150, 60)):
            terms = [mpmath.binomial(m, k) for m in range(n, k - 1, -1)]
            for beta in BETAS:
                low, high = mpmath.mpf(0), mpmath.mpf(1)
                for _ in range(160):
                    t = (low + high) / 2
                    left = mpmath.mpf(beta) / (n + 1) * mpmath.polyval(terms, t)
                    low, high = (t, high) if left > terms[0] * t ** (n - k) else (low, t)
                computed = float(sipp_theory.wait_and_judge_violation(n, k, beta))
                close(computed, 1 - low, {"n": n, "k": k, "beta": beta}, "above", JUDGED)
                cases += 1
    return Result(cases=cases)


@oracle("ES-5")
def points_are_least(setting: Setting) -> Result:
    """The number of points is the least n whose binomial tail, by scipy.stats, is at most beta."""
    cases = 0
    for d, e, beta in ((1, 0.1, 0.05), (20, 0.05, 0.01), (300, 0.2, 1e-6), (235_200, 0.05, 0.01)):
        n = float(sipp_theory.scenario_points(d, e, beta))
        # Pr(Bin(n, e) < d); the code leaves 1e-12 of beta, no more than a point.
        if not stats.binom.cdf(d - 1, n, e) <= beta < stats.binom.cdf(d - 1, n - 2, e):
            raise Refuted(f"scenario_points({d}, {e}, {beta}) = {n}")
        cases += 1
    return Result(cases=cases)


@oracle("ES-5")
def support_by_counting(setting: Setting) -> Result:
    """The support counts the points that some maximum comes from, ties to the first point."""
    rng = generator(setting.seed, 71, 1)
    for _ in range(40):
        n, d = (int(v) for v in rng.integers(1, 9, 2))
        table = rng.integers(0, 4, (n, d)) / 4.0
        points = set()
        for column in table.T.tolist():
            if max(column) > 0:
                points.add(column.index(max(column)))
        if float(sipp_theory.scenario_support(table)) != len(points):
            raise Refuted(f"scenario_support({table.tolist()}), counted {len(points)}")
    return Result(cases=40)


@oracle("ES-5")
def exact_law(setting: Setting) -> Result:
    """Independent uniform coordinates: the uncovered mass that beta leaves, by its exact law."""
    # 1 - V = prod U_(n), and -ln of a maximum of n uniform numbers is exponential of rate n.
    pairs, lines = [], []
    for n, d, beta in ((500, 20, 0.05), (200, 5, 0.05), (1000, 200, 0.05), (5000, 392, 0.01)):
        bound = float(sipp_theory.scenario_violation(n, d, beta))
        truth = -float(np.expm1(-special.gammainccinv(d, beta) / n))
        if bound < truth:
            raise Refuted(f"n = {n}, d = {d}, beta = {beta}: bound {bound}, exact {truth}")
        pairs.append((bound, truth))
        lines.append(f"{bound:.4f} for {truth:.4f} at n = {n}, d = {d}")
    return Result("; ".join(lines), cases=4, promised=pairs[0][0], needed=pairs[0][1])


@oracle("ES-6")
def all_orders(setting: Setting) -> Result:
    """Over all orders of n + 1 points, tied or not, the last is the one maximum in 1/(n+1)."""
    cases, attained = 0, 0
    for values in ([1], [1, 2], [1, 1], [1, 2, 3], [1, 2, 2], [1, 2, 3, 4, 5], [1, 1, 1, 4, 4],
                   [0, 0, 0, 0, 7], [1, 2, 3, 4, 5, 6]):  # fmt: skip
        n = len(values) - 1
        orders = list(permutations(values))
        strict = Fraction(sum(o[-1] > max(o[:-1], default=0) for o in orders), len(orders))
        bound = Fraction(float(sipp_theory.exchangeable_violation(n)))
        if not strict <= bound <= Fraction(1, n + 1) * (1 + Fraction(1e-15)):
            raise Refuted(f"values {values}: probability {strict}, bound {float(bound)}")
        attained += strict == Fraction(1, n + 1)
        cases += 1
    return Result(f"attained in {attained} of {cases}", cases=cases, promised=1, needed=1)


@oracle("ES-5")
def points_for_a_network(setting: Setting) -> Result:
    """How many i.i.d. points ES-5 needs: one neuron, a layer, LeNet-300-100; beta = e = 0.05."""
    beta = violation = 0.05
    shapes = {
        "one sign of a first-layer neuron": 392,
        "a first-layer neuron": 784,
        "its first layer": 784 * 300,
        "LeNet-300-100": 784 * 300 + 300 * 100 + 100 * 10,
    }
    lines, dimensions, sizes = [], [], []
    for what, d in shapes.items():
        n = float(sipp_theory.scenario_points(d, violation, beta))
        # The bound's own order: d/e, from above.
        if not d / violation <= n <= 2 * d / violation + 200:
            raise Refuted(f"scenario_points({d}, {violation}, {beta}) = {n}")
        # Wait and judge promises the same from n points of which at most k matter.
        known = [k for k in (200, 1000, 3000) if k < d]
        after = ", ".join(f"{_judged(k, violation, beta):,} if k = {k:,}" for k in known)
        lines.append(
            f"{what} (d = {d:,}): {n:,.0f}" + (f"; seen afterwards {after}" if after else "")
        )
        dimensions.append(float(d))
        sizes.append(n)
    return Result(
        "; ".join(lines), cases=len(lines), series={"dimension": dimensions, "points": sizes}
    )


def _judged(support: int, violation: float, beta: float) -> int:
    """Least n with which wait and judge promises the violation at this k."""
    low, high = support, 400 * support
    while high - low > 1:
        middle = (low + high) // 2
        good = float(sipp_theory.wait_and_judge_violation(middle, support, beta)) <= violation
        low, high = (low, middle) if good else (middle, high)
    return high


@oracle("ES-5")
def support_of_a_trained_network(setting: Setting) -> Result:
    """What both forms of ES-5 promise a trained network: k is counted on its calibration points."""
    lines, series, beta = [], {}, 0.05
    for name in trained.names(setting):
        network = trained.network(setting, name)
        n = min(len(network.train), 4000)
        layers = sipp_core.calibrate(
            network.model, network.train[:n], statistics={"support"}
        ).layers
        for number, layer in enumerate(layers, 1):
            assert layer.support is not None and layer.support_total is not None
            weight, k = layer.layer.weight, layer.support.numpy()
            # The d of the theorem is fixed before the points are seen: dead weights count.
            d = torch.stack([(weight > 0).sum(1), (weight < 0).sum(1)]).numpy()
            if (k > d).any():
                raise Refuted(f"{name}, layer {number}: k = {k.max()} exceeds d = {d.max()}")
            live = k > 0
            before = sipp_theory.scenario_violation(n, d[live], beta)
            after = sipp_theory.wait_and_judge_violation(n, k[live], beta)
            whole = float(sipp_theory.wait_and_judge_violation(n, layer.support_total, beta))
            lines.append(
                f"{name} layer {number}, |S| = {n}: one sign of a neuron {np.median(before):.3g} a "
                f"priori (median d = {np.median(d[live]):.0f}), {np.median(after):.3g} afterwards "
                f"(k = {np.median(k[live]):.0f}); whole layer {whole:.3g} (k = "
                f"{layer.support_total:,} of d = {d.sum():,})"
            )
            series[f"{name} {number} a priori"] = np.sort(before).tolist()
            series[f"{name} {number} afterwards"] = np.sort(after).tolist()
    return Result("; ".join(lines), cases=len(lines), series=series)
