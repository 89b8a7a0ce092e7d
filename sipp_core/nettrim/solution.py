"""What a solver of Net-Trim's program hands out: one layer's solution, and what certifies it.

Both solvers answer with the same record, and neither hands out a solution that is not feasible and
certified: `nettrim.solve` by the duality gap, `solve_cvxpy` by its solver's status.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sipp_core.nettrim.admm import State
from sipp_core.nettrim.program import Program, lower_bound, objective, violations

FEASIBLE = 1e-6
# Entries below this share of the largest are the interior's distance from an exact zero.
NOTHING = 1e-7


class Unsolved(ValueError, RuntimeError):
    """A program that was not solved to the tolerance."""


@dataclass(frozen=True, eq=False)
class Trimmed:
    """One trimmed layer, and what certifies it.

    Attributes:
        weight: (M, N) float64, with exact zeros.
        bias: (M,) float64, None where the layer has none.
        eps: radius of the ball.
        objective: sum of absolute values, the bias counted if it is penalised.
        gap: objective minus a certified lower bound of it, relative to the objective (0 where both
            are 0); NaN from a solver that gives no multipliers.
        constraint: ||U X - Y||_F over the ball's entries, at most eps (1 + 1e-6) before the weights
            are rounded to the layer's dtype.
        overshoot: ||max(U X - V, 0)||_F over the others, at most 1e-6 ||Y||_F.
        primal: primal residual of ADMM where it stopped, relative; NaN if it did not run.
        dual: dual residual likewise.
        iterations: of ADMM.
        newton: iterations of the interior-point method.
        nnz: nonzero weights, the bias not counted.
        solver: "admm", or the name of cvxpy's solver.
        state: warm start for another eps; None from cvxpy.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162.
    """

    weight: Tensor
    bias: Tensor | None
    eps: float
    objective: float
    gap: float
    constraint: float
    overshoot: float
    primal: float
    dual: float
    iterations: int
    newton: int
    nnz: int
    solver: str
    state: State | None


def feasible(program: Program, weights: Tensor) -> bool:
    """Whether a point meets the program's constraints up to 1e-6 of eps and of ||Y||_F.

    A ball of radius 0 is met to the rounding of the outputs.

    Args:
        program: the program.
        weights: (M, N) float64.

    Returns:
        True if it does.

    Raises:
        RuntimeError: weights of another shape.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.0)
        >>> feasible(one, one.start), feasible(one, 1.1 * one.start)
        (True, False)
    """
    inside, above = violations(program, weights)
    size = float(program.targets.norm())
    rounding = 1e-9 * max(size, float((program.start @ program.inputs.T).norm()))
    return inside <= program.eps * (1 + FEASIBLE) + rounding and above <= FEASIBLE * size + rounding


def certified(program: Program, weights: Tensor, multipliers: Tensor) -> tuple[Tensor, float]:
    """Clean weights and bound how far their objective is from the least one.

    Claim: NT-1. Source: [OWN], Lagrangian duality.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.0)
        >>> certified(one, one.start, torch.eye(2, dtype=torch.float64))[1]
        0.0
    """
    weights = cleaned(program, weights)
    if not feasible(program, weights):
        return weights, math.inf
    value = objective(program, weights)
    gap = max(value - lower_bound(program, multipliers), 0.0) / max(value, 1e-300)
    return weights, gap


def answer(
    program: Program,
    weights: Tensor,
    gap: float,
    state: State | None = None,
    newton: int = 0,
    solver: str = "admm",
) -> Trimmed:
    """Record a solver's point, with weights below 1e-7 of the largest set to exact zeros.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.0)
        >>> answer(one, one.start, 0.0).nnz
        2
    """
    weights = cleaned(program, weights)
    weight = weights[:, :-1] if program.biased else weights
    inside, above = violations(program, weights)
    return Trimmed(
        weight=weight.clone(),
        bias=weights[:, -1].clone() if program.biased else None,
        eps=program.eps,
        objective=objective(program, weights),
        gap=gap,
        constraint=inside,
        overshoot=above,
        primal=state.primal if state else math.nan,
        dual=state.dual if state else math.nan,
        iterations=state.iterations if state else 0,
        newton=newton,
        nnz=int((weight != 0).sum()),
        solver=solver,
        state=state,
    )


def as_stored(program: Program, done: Trimmed, weight: Tensor, bias: Tensor | None) -> Trimmed:
    """The record of a solution whose weights were rounded to a layer's dtype."""
    rounded = weight.detach().to(done.weight)
    weights = rounded
    if bias is not None:
        bias = bias.detach().to(rounded)
        weights = torch.cat([rounded, bias[:, None]], dim=1)
    inside, above = violations(program.at(done.eps), weights)
    return replace(
        done, weight=rounded, bias=bias, constraint=inside, overshoot=above,
        nnz=int((rounded != 0).sum()),
    )  # fmt: skip


def cleaned(program: Program, weights: Tensor) -> Tensor:
    """Set what is below 1e-7 of the largest weight to 0, an interior point's distance from it.

    A bias has another unit than the weights: it is no measure of theirs, nor they of it.

    Shapes: weights (M, N); returns (M, N).
    """
    size = weights.abs()
    large = torch.zeros_like(size)
    last = size.shape[1] - program.biased
    for part in (slice(0, last), slice(last, None)):
        if size[:, part].numel():
            large[:, part] = size[:, part].max()
    return torch.where(size > NOTHING * large, weights, 0.0)
