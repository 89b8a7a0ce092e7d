"""Net-Trim for one layer: ADMM to find which weights and ceilings matter, then exact to the gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sipp_core.nettrim.admm import State, factorise, initial, iterate
from sipp_core.nettrim.interior_point import Grams, Point, solve_restricted
from sipp_core.nettrim.program import Program, layer_program
from sipp_core.nettrim.scaling import centred, scaled
from sipp_core.nettrim.solution import Trimmed, Unsolved, answer, certified, feasible
from sipp_core.runtime.arguments import positive, whole

# ADMM goes only so far before the exact solver takes over; less far does not name the candidates.
FIRST = 2e-3
ROUNDS = 12
# How far a round goes: complementarity relative to the objective. The first only tells which
# weights may be left out, those whose subgradient is not above NEAR.
ROUGH, EXACT, NEAR = 1e-3, 1e-9, 0.9
# Weights whose subgradient ADMM puts above this may turn out nonzero. A candidate too many costs
# little; one too few costs a whole round.
LIKELY = 0.6
# A round adds no more ceilings than this to a neuron; most then hold by themselves.
CEILINGS = 48


def solve(
    program: Program, *, tolerance: float = 1e-5, iterations: int = 5000, state: State | None = None
) -> Trimmed:
    """Solve one program to a certified gap.

    Args:
        program: the program.
        tolerance: largest relative gap, > 0.
        iterations: most iterations of ADMM, >= 1.
        state: of a nearby program, to start from.

    Returns:
        The solution: feasible to 1e-6, with a gap of at most `tolerance`.

    Raises:
        Unsolved: the gap was not reached; the message says how near it came.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162; the solver is [OWN].

    Example:
        >>> one = layer_program(torch.tensor([[1.0, 0.01]]), None, torch.eye(2), eps=0.1)
        >>> trimmed = solve(one)
        >>> trimmed.weight.round(decimals=3).tolist(), trimmed.gap < 1e-5
        ([[0.901, 0.0]], True)
    """
    tolerance, most = positive("tolerance", tolerance), whole("iterations", iterations, 1)
    zero = torch.zeros_like(program.start)
    if feasible(program, zero):
        return answer(program, zero, 0.0, state or initial(scaled(program).program), 0)
    if program.eps == 0:
        raise ValueError(
            "eps is 0: the program is an equation, whose solutions no interior-point method "
            "approaches; give a positive eps, or keep the layer as it is"
        )
    other = scaled(program)
    inverse = factorise(other.program)
    now = state if state is not None else initial(other.program)
    goal, newton, spent, best = FIRST, 0, 0, math.inf
    while spent < most:
        before = now.iterations
        now = iterate(
            other.program, now, inverse, iterations=min(500, most - spent), tolerance=goal
        )
        spent += now.iterations - before
        point, weights, gap = _finish(other.program, now, tolerance)
        newton += point.iterations
        if gap <= tolerance:
            return answer(program, other.back(weights), gap, now, newton)
        best = min(best, gap)
        goal /= 10
    raise Unsolved(
        f"Net-Trim's solver reached a relative gap of {best:.1e}, not {tolerance:.1e}, in {spent} "
        "iterations; allow more iterations, or a larger tolerance"
    )


def _finish(program: Program, state: State, tolerance: float) -> tuple[Point, Tensor, float]:
    """Solve over the candidates that ADMM names, and add missing ones until the gap is small."""
    point = Point(state.weights.double(), state.multipliers, 0)
    outside = ~program.inside
    weights = (point.weights != 0) | (state.slopes.abs() > LIKELY) | (program.prices == 0)
    ceilings = _near_ceilings(program, point, weights)
    best, gap, total = point.weights, math.inf, 0
    size = float(program.start.abs().mean())
    mu = 0.003 * size
    grams = Grams(program)
    for turn in range(ROUNDS):
        accuracy = EXACT if turn else ROUGH
        point = solve_restricted(grams, point, weights, ceilings, accuracy=accuracy, mu=mu)
        total += point.iterations
        best, gap = certified(program, point.weights, point.multipliers)
        if turn and not math.isfinite(gap) and feasible(program, point.weights):
            # A ball near 0 feels zeros that are not exact: solve for the other weights alone.
            point = solve_restricted(
                grams, point, best != 0, ceilings, accuracy=EXACT, mu=1e-4 * size
            )
            total += point.iterations
            best, gap = certified(program, point.weights, point.multipliers)
        slopes = (point.multipliers @ program.inputs).abs()
        above = (point.weights @ program.inputs.T - program.ceilings) * outside
        more_weights = ~weights & (slopes > 1 + tolerance / 100)
        more_ceilings = ~ceilings & (above > 1e-9 * float(program.targets.abs().max()))
        if turn == 0:
            weights = weights & ((slopes > NEAR) | (program.prices == 0))
        elif gap <= tolerance or not (more_weights.any() or more_ceilings.any()):
            break
        # The worst of each neuron are enough, ties by index: the others follow, or come next.
        worst = above.topk(min(above.shape[1], CEILINGS), dim=1).indices
        weights = weights | more_weights
        ceilings = ceilings | (more_ceilings & torch.zeros_like(outside).scatter(1, worst, True))
        mu = 1e-4 * size
    return replace(point, iterations=total), best, gap


def _near_ceilings(program: Program, point: Point, weights: Tensor) -> Tensor:
    """Ceilings that press or nearly do, in each neuron no more than it has candidate weights."""
    outside = ~program.inside
    slack = program.ceilings - point.weights @ program.inputs.T
    typical = torch.where(outside, slack.abs(), 0.0).mean(dim=1, keepdim=True)
    near = outside & ((point.multipliers < 0) | (slack < 0.03 * typical))
    # A neuron of s weights has at most s ceilings that bind, but for ties.
    force = point.multipliers.amin(dim=1, keepdim=True).clamp(max=-1e-300)
    rank = torch.where(point.multipliers < 0, -1 - point.multipliers / force, slack)
    order = torch.where(near, rank, math.inf).argsort(dim=1).argsort(dim=1)
    return near & (order < weights.sum(dim=1, keepdim=True))


def trim(
    weight: Tensor,
    bias: Tensor | None,
    inputs: Tensor,
    *,
    eps: float,
    targets: Tensor | None = None,
    gamma: float | None = None,
    relu: bool = True,
    penalise_bias: bool = True,
    tolerance: float = 1e-5,
    iterations: int = 5000,
    state: State | None = None,
) -> Trimmed:
    """Retrain one layer to be sparse: least sum of |weights| at an output error of at most eps.

    Always solvable: the given weights are feasible. See `layer_program` for the program and what
    targets and gamma do (the cascade).

    Args:
        weight: (M, N).
        bias: (M,) or None.
        inputs: (P, N) activations.
        eps: ||Y^ - Y||_F allowed, in the outputs' unit, >= 0.
        targets: (M, P) target outputs; by default those of the layer itself.
        gamma: eps^2 is then gamma times the given weights' own squared error (NT-3).
        relu: whether a ReLU follows.
        penalise_bias: whether |bias| counts in the objective, as in the paper.
        tolerance: largest relative duality gap.
        iterations: most iterations of ADMM.
        state: warm start, from another eps of the same layer.

    Returns:
        The trimmed layer.

    Raises:
        ValueError: arguments that do not fit; see `layer_program`.
        Unsolved: the gap was not reached.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162; the solver is [OWN].

    Example:
        >>> trimmed = trim(torch.tensor([[1.0, 0.01]]), None, torch.eye(2), eps=0.1)
        >>> trimmed.nnz, round(trimmed.objective, 4)
        (1, 0.9005)
    """
    program = layer_program(
        weight, bias, inputs, eps=eps, targets=targets, gamma=gamma, relu=relu,
        penalise_bias=penalise_bias,
    )  # fmt: skip
    return solve(program, tolerance=tolerance, iterations=iterations, state=state)


def path(program: Program, radii: Sequence[float], *, tolerance: float = 1e-5) -> list[Trimmed]:
    """Solve for several radii, each from the solution of the one before.

    Args:
        program: the program; its own eps is not used.
        radii: eps values, each > 0; neighbours that are near make warm starts worth most.
        tolerance: largest relative gap.

    Returns:
        One solution a radius, in the given order.

    Raises:
        ValueError: a radius that is not above 0.
        Unsolved: a gap was not reached.

    Claim: NT-1. Source: [NT] arXiv 1611.05162.

    Example:
        >>> one = layer_program(torch.tensor([[1.0, 0.3]]), None, torch.eye(2), eps=0.0)
        >>> [trimmed.nnz for trimmed in path(one, [0.1, 0.5])]
        [2, 1]
    """
    solutions: list[Trimmed] = []
    state: State | None = None
    for radius in radii:
        solutions.append(
            solve(program.at(positive("radii", radius)), tolerance=tolerance, state=state)
        )
        state = solutions[-1].state
    return solutions


def trim_to(program: Program, keep: int, *, steps: int = 12, tolerance: float = 1e-3) -> Trimmed:
    """Find the eps on the path whose number of nonzero weights is just within a budget.

    Bisection on ln eps between 1e-3 ||Y||_F and ||Y||_F, with warm starts. The number of nonzeros
    does not always fall as eps grows; the best solution seen is returned. Where the budget is not
    spent at the least eps, which is so if the bias is most of the output, the search goes on with a
    free bias and eps relative to what no bias accounts for.

    Args:
        program: the program; its own eps is not used.
        keep: most nonzero weights, the bias not counted, >= 0.
        steps: solutions looked at in each search, >= 1.
        tolerance: largest relative gap of each.

    Returns:
        The solution with the most nonzeros that are not more than `keep`, of several the one with
        the least error; U = 0 if there is none.

    Raises:
        TypeError, ValueError: keep or steps out of range.

    Claim: NT-1. Source: [NT] arXiv 1611.05162; the search is [OWN].

    Example:
        >>> one = layer_program(torch.tensor([[1.0, 0.3]]), None, torch.eye(2), eps=0.0)
        >>> trim_to(one, 1).nnz
        1
    """
    budget, turns = whole("keep", keep, 0), whole("steps", steps, 1)
    size = _ball_norm(program)
    if size == 0 or budget == 0:
        return solve(program.at(max(size, 1e-300) * (1 + 1e-9)))
    best, spent = _searched(program, budget, turns, tolerance)
    if spent or not program.biased:
        return best
    other = centred(program)
    if _ball_norm(other.program) <= 1e-9 * size:  # a constant, to the rounding of its numbers
        return best
    trimmed, _ = _searched(other.program, budget, turns, tolerance)
    weights = (
        trimmed.weight
        if trimmed.bias is None
        else torch.column_stack([trimmed.weight, trimmed.bias])
    )
    back = answer(
        program.at(trimmed.eps), other.back(weights), trimmed.gap, trimmed.state, trimmed.newton
    )
    return max(best, back, key=_rank)


def _searched(program: Program, budget: int, turns: int, tolerance: float) -> tuple[Trimmed, bool]:
    """The best solution of a bisection, and whether some eps needed more than the budget."""
    size = _ball_norm(program)
    low, high = math.log(1e-3 * size), math.log(size)
    best = solve(program.at(size * (1 + 1e-9)), tolerance=tolerance)
    state: State | None = None
    spent = False
    for _ in range(turns):
        middle = (low + high) / 2
        trimmed = solve(program.at(math.exp(middle)), tolerance=tolerance, state=state)
        state = trimmed.state
        spent = spent or trimmed.nnz >= budget
        if trimmed.nnz > budget:
            low = middle
        else:
            high = middle
            best = max(best, trimmed, key=_rank)
        if trimmed.nnz == budget:
            break
    return best, spent


def _ball_norm(program: Program) -> float:
    return float(torch.where(program.inside, program.targets, 0.0).norm())


def _rank(trimmed: Trimmed) -> tuple[int, float]:
    """More weights are better, and of as many a smaller error."""
    return trimmed.nnz, -math.hypot(trimmed.constraint, trimmed.overshoot)
