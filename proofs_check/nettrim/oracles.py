"""NT-1 to NT-4 against cvxpy, its own optimality conditions and 50 digits."""

from __future__ import annotations

import copy

import mpmath
import numpy as np
import torch
from torch import nn

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result, Unavailable
from proofs_check.ledger.registry import Setting, oracle
from sipp_core.nettrim import program as nettrim_program
from sipp_core.nettrim import reference, retrim, solver
from sipp_core.runtime import generator

STREAM = 82


def _programs(setting: Setting) -> list[nettrim_program.Program]:
    """More and fewer inputs than weights, rows of zeros, dead neurons, with and without ReLU."""
    programs = []
    for number in range(12 if setting.full else 4):
        rng = generator(setting.seed, STREAM, number)
        fan, out, points = ((6, 4, 15), (9, 3, 6))[number % 2]
        rows = np.maximum(rng.normal(size=(points, fan)), 0)
        rows[0] = 0
        weight = rng.normal(size=(out, fan))
        weight[0] = -np.abs(weight[0])
        bias = torch.from_numpy(0.2 * rng.normal(size=out)) if number % 4 < 2 else None
        relu = number % 3 != 2
        program = nettrim_program.layer_program(
            torch.from_numpy(weight), bias, torch.from_numpy(rows), eps=0.0, relu=relu
        )
        programs.append(program.at(0.1 * float(program.targets.norm())))
    return programs


@oracle("NT-1")
def optimum_by_cvxpy(setting: Setting) -> Result:
    """The fast solver's objective is cvxpy's to 1e-4, and both points are feasible to 1e-6."""
    worst = 0.0
    programs = _programs(setting)
    for program in programs:
        fast = solver.solve(program)
        try:
            slow = reference.solve_cvxpy(program)
        except ImportError as error:
            raise Unavailable(f"cvxpy: {error}") from error
        gap = abs(fast.objective / slow.objective - 1)
        size = float(program.targets.norm())
        if gap > 1e-4 or max(f.constraint / program.eps - 1 for f in (fast, slow)) > 1e-6:
            raise Refuted(f"{fast.objective!r} against cvxpy's {slow.objective!r}: {program}")
        if max(fast.overshoot, slow.overshoot) > 1e-6 * size:
            raise Refuted(f"ceilings overshot by {fast.overshoot}, {slow.overshoot}: {program}")
        worst = max(worst, gap)
    return Result(f"largest relative difference {worst:.1e}", cases=len(programs))


@oracle("NT-1")
def dual_certificate(setting: Setting) -> Result:
    """No multipliers give a bound above a feasible point; those of the solution come up to it."""
    cases, worst = 0, 0.0
    for number, program in enumerate(_programs(setting)):
        rng = generator(setting.seed, STREAM, 500 + number)
        best = solver.solve(program)
        worst = max(worst, best.gap)
        if not best.gap <= 1e-5:
            raise Refuted(f"strong duality leaves a gap of {best.gap}")
        for scale in 10.0 ** rng.uniform(-3, 2, 20):
            drawn = torch.from_numpy(scale * rng.normal(size=tuple(program.targets.shape)))
            bound = nettrim_program.lower_bound(program, drawn)
            if bound > best.objective * (1 + 1e-6):
                raise Refuted(f"a bound of {bound} above an objective of {best.objective}")
            cases += 1
    return Result(f"largest gap {worst:.1e}", cases=cases)


@oracle("NT-1", "NT-2", "NT-3")
def errors_at_50_digits(setting: Setting) -> Result:
    """The composed errors at 50 digits, never below the exact ones."""
    rng = generator(setting.seed, STREAM, 1000)
    cases = 60
    with mpmath.workdps(DIGITS):
        for _ in range(cases):
            eps, norms = 10.0 ** rng.uniform(-6, 6, 4), 10.0 ** rng.uniform(-3, 3, 4)
            gammas = 1 + rng.gamma(1, 1, 3)
            at = {"eps": eps.tolist(), "norms": norms.tolist(), "gammas": gammas.tolist()}
            one, two = map(mpmath.mpf, eps[:2].tolist())
            root = mpmath.sqrt(one**2 + two**2)
            close(float(sipp_theory.retrim_error(eps[0], eps[1])), root, at, safe="above")
            total, chain = mpmath.mpf(0), one
            for layer in range(4):
                total = mpmath.mpf(float(norms[layer])) * total + mpmath.mpf(float(eps[layer]))
            close(float(sipp_theory.parallel_error(eps, norms)[-1]), total, at, safe="above")
            for gamma, norm in zip(gammas, norms[1:], strict=True):
                chain *= mpmath.sqrt(mpmath.mpf(float(gamma))) * mpmath.mpf(float(norm))
            computed = float(sipp_theory.cascade_error(eps[0], gammas, norms[1:])[-1])
            close(computed, chain, at, safe="above")
    return Result(cases=3 * cases)


@oracle("NT-4")
def samples_at_50_digits(setting: Setting) -> Result:
    """Samples and failure at 50 digits, never below the exact ones."""
    rng = generator(setting.seed, STREAM, 2000)
    cases = 60
    with mpmath.workdps(DIGITS):
        for _ in range(cases):
            n = int(rng.integers(2, 2000))
            s, mu = int(rng.integers(0, n + 1)), float(1 + rng.gamma(1, 2))
            exact = (11 * s + 7) * mpmath.mpf(mu) * mpmath.log(n)
            computed = float(sipp_theory.recovery_samples(s, n, mu))
            at = {"s": s, "N": n, "mu": mu}
            if not exact <= computed <= mpmath.ceil(exact * (1 + mpmath.mpf("1e-13"))):
                raise Refuted(f"recovery_samples is {computed}, the least {exact} at {at}")
            failure = float(sipp_theory.recovery_failure(computed, s, n))
            truth = mpmath.exp(mpmath.log(n) - mpmath.mpf(computed) / (11 * s + 7))
            close(failure, min(truth, mpmath.mpf(1)), at, safe="above")
    return Result(cases=2 * cases)


@oracle("NT-1")
def stored_weights_are_reported(setting: Setting) -> Result:
    """A layer's error in a network of few digits is that of the weights as it holds them."""
    cases = 0
    rng = torch.Generator().manual_seed(setting.seed)
    # Rounding may lower an error too: several networks of each.
    for dtype in (torch.bfloat16, torch.float16, torch.float32) * 4:
        net = nn.Linear(9, 4)
        net.weight.data = torch.randn(4, 9, generator=rng)
        net.bias.data = torch.randn(4, generator=rng)
        net, rows = net.to(dtype), torch.rand(30, 9, generator=rng).to(dtype)
        new = retrim(net, rows, eps=0.05)
        wide = [copy.deepcopy(each).double() for each in (net, new.model)]
        with torch.no_grad():
            truth = float((wide[1](rows.double()) - wide[0](rows.double())).norm())
        reported = new.layers[""].constraint
        if reported < truth * (1 - 1e-6):
            raise Refuted(f"{dtype}: ||Y^ - Y|| is {truth!r}, reported as {reported!r}")
        cases += 1
    return Result(cases=cases)
