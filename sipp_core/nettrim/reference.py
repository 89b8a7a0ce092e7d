"""Net-Trim's program as it stands, in cvxpy: the slow solver that the fast one is held against."""

from __future__ import annotations

import math

import numpy as np
import torch

from sipp_core.nettrim.program import Program
from sipp_core.nettrim.scaling import scaled
from sipp_core.nettrim.solution import Trimmed, Unsolved, answer

SOLVERS = ("CLARABEL", "SCS")


def solve_cvxpy(program: Program, *, solver: str = "CLARABEL") -> Trimmed:
    """Solve one program by a general convex solver.

    Zeros are those of the solver, cut at 1e-7 of the largest weight.

    Args:
        program: the program; for small layers, as every (neuron, input) pair is a constraint.
        solver: "CLARABEL" or "SCS"; no other is tried if it fails.

    Returns:
        The solution; its gap is NaN, as no certificate of ours is computed.

    Raises:
        ValueError: an unknown solver.
        Unsolved: the solver failed, or its status is not "optimal"; the message has the status.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162, eq. 5 and 8.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = layer_program(torch.tensor([[1.0, 0.01]]), None, torch.eye(2), eps=0.1)
        >>> solve_cvxpy(one).weight.round(decimals=3).tolist()
        [[0.901, 0.0]]
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}; found {solver!r}")
    import cvxpy as cp

    other = scaled(program)
    one, inside = other.program, program.inside.cpu().numpy()
    x, y, v = (t.cpu().numpy() for t in (one.inputs, one.targets, one.ceilings))
    weights = cp.Variable(tuple(program.start.shape))
    outputs = weights @ x.T
    limits: list[cp.Constraint] = []
    if inside.any():
        limits.append(cp.norm(outputs[inside] - y[inside]) <= one.eps)
    if not inside.all():
        limits.append(outputs[~inside] <= v[~inside])
    prices = np.broadcast_to(program.prices.cpu().numpy(), program.start.shape)
    problem = cp.Problem(cp.Minimize(cp.sum(cp.multiply(prices, cp.abs(weights)))), limits)
    try:
        problem.solve(solver=solver)
    except cp.SolverError as error:
        raise Unsolved(f"cvxpy's solver {solver} failed: {error}") from error
    if problem.status != cp.OPTIMAL or weights.value is None:
        raise Unsolved(
            f"cvxpy's solver {solver} found no optimum: its status is {problem.status!r}"
        )
    solution = torch.from_numpy(np.asarray(weights.value, np.float64)).to(program.inputs.device)
    return answer(program, other.back(solution), math.nan, solver=solver)
