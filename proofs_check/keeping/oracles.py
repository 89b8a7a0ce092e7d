"""SP-6, SP-7, SP-9 and SP-10 against 50 digits and brute force."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import torch
from torch import nn

import sipp_theory
from proofs_check.instances import trained
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.methods import SippDet, SippRecentred
from sipp_core.pruning import draw, prune
from sipp_core.runtime import generator

STREAM = 61
SHARES = (0.0, 1e-30, 1e-16, 1e-3, 0.1, 0.25, 0.5, 0.75, 0.999999, 1.0)


@oracle("SP-6")
def recentring_digits(setting: Setting) -> Result:
    """Recentring's factor and error at 50 digits, and the worst error found by trying factors."""
    for share in SHARES:
        got = sipp_theory.recentring(share)
        with mpmath.workdps(DIGITS):
            half = mpmath.mpf(share) / 2
            close(float(got.factor), 1 / (1 - half), {"G": share})

            def worst(factor: Any, lost: Any = 2 * half) -> Any:
                return max(abs(factor * (1 - lost) - 1), abs(factor - 1))

            # Of the factor as rounded: a G too small to move it from 1 is not halved.
            close(float(got.error), worst(mpmath.mpf(float(got.factor))), {"G": share},
                  safe="above")  # fmt: skip
            for step in range(-200, 201):
                factor = (1 + mpmath.mpf(step) / 400) / (1 - half)
                if worst(factor) < half / (1 - half) * (1 - mpmath.mpf(10) ** -15):
                    raise Refuted(f"factor {factor} beats recentring({share})")
        for cover in (1.0, 1.7, 4.0):
            for recentred in (False, True):
                computed = float(sipp_theory.deterministic_error(share, cover, recentred))
                with mpmath.workdps(DIGITS):
                    lost = min(mpmath.mpf(1), mpmath.mpf(share) * mpmath.mpf(cover))
                    covered = float(sipp_theory.deterministic_error(share, cover))
                    rounded = mpmath.mpf(float(sipp_theory.recentring(covered).factor))
                    worse = max(rounded - 1, 1 - rounded * (1 - lost))
                    truth = max(worse, lost / (2 - lost)) if recentred else lost
                    at = {"G": share, "C": cover, "recentred": recentred}
                    close(computed, truth, at, safe="above")
    return Result(cases=len(SHARES) * 407)


@oracle("SP-6")
def fewest_by_brute_force(setting: Setting) -> Result:
    """The fewest weights that promise eps, and the best set of each size, among all subsets."""
    cases, saved = 0, 0
    for trial in range(60 if setting.full else 8):
        rng = generator(setting.seed, STREAM, 1, trial)
        raw = rng.integers(1, 60, size=(3, 6))
        g = raw / raw.sum(axis=1, keepdims=True)
        s = g.max(axis=0)
        exact = [[Fraction(float(x)) for x in row] for row in g]
        tops = [max(row[j] for row in exact) for j in range(6)]
        lost: list[Fraction] = []
        order = np.argsort(-s, kind="stable")
        for size in range(7):
            best = min(
                sum((tops[j] for j in range(6) if j not in kept), Fraction(0))
                for kept in itertools.combinations(range(6), size)
            )
            gone = [int(j) for j in order[size:]]
            if sum((tops[j] for j in gone), Fraction(0)) != best:
                raise Refuted(f"{size} most sensitive weights of {s.tolist()} are not the best set")
            lost.append(max(sum((row[j] for j in gone), Fraction(0)) for row in exact))
            mask = sipp_theory.keep_most_sensitive(s, size)
            close(float(sipp_theory.dropped_share(g, mask)), _high(lost[-1]), {"g": g.tolist()},
                  safe="above")  # fmt: skip
            close(float(sipp_theory.dropped_share_bound(s, mask)), _high(min(best, Fraction(1))),
                  {"s": s.tolist()}, safe="above")  # fmt: skip
        for eps in (0.0317, 0.2113, 0.4967):  # no shares of whole numbers tie with these
            for recentred in (False, True):
                limit = Fraction(2 * eps / (1 + eps)) if recentred else Fraction(eps)
                truth = next(size for size in range(7) if lost[size] <= limit)
                computed = sipp_theory.deterministic_size(s, eps, recentred=recentred, shares=g)
                plain = sipp_theory.deterministic_size(s, eps, recentred=recentred)
                if computed != truth or plain < truth:
                    raise Refuted(
                        f"deterministic_size({s.tolist()}, {eps}, recentred={recentred}, "
                        f"shares={g.tolist()}) = {computed:g} (by the sum {plain:g}); truth {truth}"
                    )
                cases, saved = cases + 1, saved + int(plain - computed)
    return Result(f"the maximum over rows keeps {saved} weights fewer than the sum", cases)


def _high(value: Fraction) -> Any:
    with mpmath.workdps(DIGITS):
        return mpmath.mpf(value.numerator) / value.denominator


@oracle("SP-6")
def network_keeps_the_promise(setting: Setting) -> Result:
    """Every neuron of a network pruned by dropping keeps its promise at every calibration input."""
    sums, truths, promises, cases = [], [], [], 0
    for name in trained.names(setting):
        tables = trained.tables(setting, name)
        budget = 0.4 * sum(int((t.weight != 0).sum()) for t in tables)
        for rule in (SippDet(), SippRecentred()):
            for table, plan in zip(tables, rule.by_budget(tables, budget), strict=True):
                multiplier = draw(plan, generator(setting.seed, STREAM, 2))
                for sign, neuron in np.argwhere((table.total > 0) & ~plan.whole):
                    columns = table.sign(sign)[neuron]
                    g = table.shares(int(sign), int(neuron), columns)
                    seen = float(np.abs(g @ multiplier[neuron, columns] - 1).max())
                    promised = float(plan.eps[sign, neuron])
                    cases += 1
                    if seen > promised * (1 + 1e-9) + 1e-12:
                        raise Refuted(f"{name}, {plan.name}, neuron {neuron}, sign {sign}: error "
                                      f"{seen!r}, promised {promised!r}")  # fmt: skip
                    if not rule.recentred:
                        gone = table.sensitivity[neuron, columns & (plan.probability[neuron] == 0)]
                        sums.append(min(1.0, float(gone.sum())))
                        truths.append(seen)
                        promises.append(promised)
    ratio = np.array(sums) / np.array(truths)
    return Result(
        f"{np.median(ratio):.2f} times the error seen is promised by SP's sum (median; "
        f"{ratio.max():.2f} at most), {np.median(np.divide(promises, truths)):.4f} by the "
        "maximum over inputs",
        cases, promised=float(np.median(sums)), needed=float(np.median(truths)),
    )  # fmt: skip


@oracle("SP-6")
def stored_weights_keep_the_promise(setting: Setting) -> Result:
    """What a dtype rounds of recentred weights is promised too, by exact sums over each input."""
    dtypes, cases = (torch.bfloat16, torch.float16, torch.float32), 0
    for dtype, fan_in in itertools.product(dtypes, (3, 40)):
        rng = torch.Generator().manual_seed(setting.seed)
        rows = torch.rand(6, fan_in, generator=rng).to(dtype)
        layer = nn.Linear(fan_in, 8, bias=False, dtype=dtype)
        layer.weight.data = torch.randn(8, fan_in, generator=rng).to(dtype)
        result = prune(layer, rows, method=SippRecentred(), keep=0.8, bound="exact")
        new = result.model.get_parameter("weight")
        for neuron, eps in enumerate(result.layers[0].eps_neuron.tolist()):
            old, held = ([Fraction(w) for w in net[neuron].tolist()] for net in (layer.weight, new))
            for x in rows.tolist():
                a = [Fraction(v) for v in x]
                terms = [(abs(w * b), (v - w) * b) for w, v, b in zip(old, held, a, strict=True)]
                size, moved = (sum(part, Fraction(0)) for part in zip(*terms, strict=True))
                if abs(moved) > Fraction(eps) * size:
                    raise Refuted(f"{dtype}, fan-in {fan_in}, neuron {neuron}: error "
                                  f"{float(abs(moved) / size)!r}, promised {eps!r}")  # fmt: skip
                cases += 1
    return Result(cases=cases)


@oracle("SP-7")
def hybrid_grid(setting: Setting) -> Result:
    """The promise taken is the smaller one and is the named method's, on a grid with infinities."""
    grid = (0.0, 1e-300, 0.1, np.nextafter(0.1, 1), 1.0, 7.0, np.inf)
    for drawn, dropped in itertools.product(grid, grid):
        got = sipp_theory.hybrid_error(drawn, dropped)
        named = dropped if bool(got.deterministic) else drawn
        if not float(got.error) == named == min(drawn, dropped):
            raise Refuted(f"hybrid_error({drawn!r}, {dropped!r}) = {got}")
    return Result(cases=len(grid) ** 2)


@oracle("SP-9")
def signs_by_cases(setting: Setting) -> Result:
    """The joined error of two signs is the worst of all cases, at 50 digits."""
    cases = 0
    grid = (0.0, 1e-9, 0.1, 0.5, 3.0)
    for plus, minus in ((1.0, 0.0), (1.0, 0.999), (0.3, 2.0), (1e-20, 1e20), (7.0, 5.0)):
        with mpmath.workdps(DIGITS):
            value = mpmath.mpf(plus) - mpmath.mpf(minus)
            exact = (mpmath.mpf(plus) + mpmath.mpf(minus)) / abs(value)
            ratio = float(exact)
            parts = ((mpmath.mpf(ratio) + 1) / 2, (mpmath.mpf(ratio) - 1) / 2)
            for first, second in itertools.product(grid, grid):
                worst = max(
                    abs(s * a * parts[0] - t * b * parts[1])
                    for s in (-1, 1)
                    for t in (-1, 1)
                    for a, b in ((first, second), (second, first))
                )
                computed = float(sipp_theory.combine_signs(first, ratio, second))
                at = {"eps": first, "Delta": ratio, "eps_other": second}
                close(computed, worst, at, safe="above")
                cases += 1
            computed = float(sipp_theory.combine_signs(0.1, ratio))
            close(computed, mpmath.mpf(0.1) * mpmath.mpf(ratio), {"Delta": ratio}, safe="above")
    return Result(cases=cases)


@oracle("SP-10")
def candidates_digits(setting: Setting) -> Result:
    """The number of candidates is the least with (9/10)^tau <= delta/4, at 50 digits."""
    grid = (1e-300, 1e-30, 1e-6, 1e-3, 0.01, 0.05, 0.1, 0.5, 0.9, 1 - 2.0**-53)
    for delta in grid:
        tau = int(sipp_theory.candidates(delta))
        with mpmath.workdps(DIGITS):
            share, ratio = mpmath.mpf(delta) / 4, mpmath.mpf(9) / 10
            if not ratio**tau <= share < ratio ** (tau - 1):
                raise Refuted(f"candidates({delta!r}) = {tau}")
            half = int(mpmath.ceil(mpmath.log(share) / (2 * mpmath.log(ratio))))
        if half != (tau + 1) // 2:
            raise Refuted(f"Chebyshev asks for {half} candidates where Markov asks for {tau}")
    return Result("by Chebyshev half the candidates would do", cases=len(grid))


@oracle("SP-10")
def best_of_tau_digits(setting: Setting) -> Result:
    """What the best of tau promises, and the dead-neuron rate, at 50 digits, on the safe side."""
    cases = 0
    for total, m, tau, cover, lam in itertools.product(
        (1.0, 1.5, 9.0, 784.0), (1, 40, 10**9), (1, 5, 42), (1.0, 3.0), (10 / 9, 2.0)
    ):
        got = sipp_theory.best_of_tau(total, m, tau, cover, lam)
        with mpmath.workdps(DIGITS):
            spread = mpmath.sqrt((mpmath.mpf(cover) * mpmath.mpf(total) - 1) / m)
            at = {"S_sum": total, "m": m, "tau": tau, "C": cover, "lambda": lam}
            close(float(got.mean_error), mpmath.mpf(lam) * spread, at, safe="above")
            close(float(got.failure), mpmath.mpf(lam) ** -tau, at, safe="above")
        cases += 1
    for n, neurons, beta in itertools.product((1, 30, 10**6), (1, 410), (1e-9, 0.05)):
        computed = float(sipp_theory.dead_neuron_violation(n, beta, neurons))
        with mpmath.workdps(DIGITS):
            truth = 1 - (mpmath.mpf(beta) / neurons) ** (mpmath.mpf(1) / n)
            close(
                computed, truth, {"n": n, "beta": beta, "N": neurons}, safe="above", relative=1e-9
            )
        cases += 1
    return Result(cases=cases)
