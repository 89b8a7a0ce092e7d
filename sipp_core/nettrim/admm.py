"""ADMM for Net-Trim's program: one factorisation for all neurons and all penalties.

The sparse U and the outputs Z are split from W: U = W, Z = W X, with a penalty for each of the two.
The W-step solves (p I + q X X^T) w = r for all neurons at once; from one eigendecomposition of the
smaller Gram matrix it costs two products whatever p and q are, so both can follow their residuals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sipp_core.nettrim.program import Program

# Above this many products an iteration single precision halves its time; its outcome only names
# candidates, which are solved for in float64 (see `interior_point`).
SINGLE_ABOVE = 10**7


@dataclass(frozen=True, eq=False)
class State:
    """Where ADMM stands; a warm start for a nearby program."""

    weights: Tensor  # (M, N) U, sparse
    outputs: Tensor  # (M, P) Z, inside the ball and below the ceilings
    weight_duals: Tensor  # (M, N), scaled by the penalty
    output_duals: Tensor  # (M, P), likewise
    weight_penalty: float  # p
    output_penalty: float  # q
    iterations: int = 0
    primal: float = math.inf  # larger of the two relative primal residuals
    dual: float = math.inf  # likewise

    @property
    def multipliers(self) -> Tensor:
        """Lambda of the outputs, float64."""
        return self.output_penalty * self.output_duals.double()

    @property
    def slopes(self) -> Tensor:
        """Subgradient of the objective at U, float64; |.| = 1 where U is not 0."""
        return -self.weight_penalty * self.weight_duals.double()


def factorise(program: Program) -> Callable[[float, float], Tensor]:
    """Decompose the smaller Gram matrix once."""
    x = program.inputs
    if x.shape[0] >= x.shape[1]:
        values, vectors = torch.linalg.eigh(x.T @ x)
        values = values.clamp(min=0)
        return lambda p, q: (vectors / (p + q * values)) @ vectors.T
    values, vectors = torch.linalg.eigh(x @ x.T)
    values, across = values.clamp(min=0), x.T @ vectors
    eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return lambda p, q: (eye - (across * (q / (p + q * values))) @ across.T) / p


def initial(program: Program) -> State:
    """Start at U = 0 and Z = Y, with penalties from the sizes of weights and inputs."""
    single = program.targets.numel() * program.inputs.shape[1] > SINGLE_ABOVE
    kind = torch.float32 if single else torch.float64
    size = float(program.start.abs().mean()) or 1.0
    energy = float(program.inputs.square().sum()) or 1.0
    outputs = torch.where(program.inside, program.targets, program.ceilings).to(kind)
    weights = torch.zeros_like(program.start, dtype=kind)
    return State(
        weights, outputs, torch.zeros_like(weights), torch.zeros_like(outputs), 1 / size,
        30 / (size * energy),
    )  # fmt: skip


def iterate(
    program: Program,
    state: State,
    inverse: Callable[[float, float], Tensor],
    *,
    iterations: int,
    tolerance: float,
    relaxation: float = 1.7,
) -> State:
    """Run ADMM until all four relative residuals are below the tolerance.

    Penalties follow the ratio of their own primal and dual residual, at ever longer intervals (a
    change at every iteration need not converge).
    """
    kind = state.weights.dtype
    x, targets, ceilings = (t.to(kind) for t in (program.inputs, program.targets, program.ceilings))
    size = max(program.eps, 1e-3 * float(program.targets.norm()), 1e-300)
    p, q = state.weight_penalty, state.output_penalty
    u, z, a, b = state.weights, state.outputs, state.weight_duals, state.output_duals
    matrix = inverse(p, q).to(kind)
    wait, primal, dual, done = 10, math.inf, math.inf, 0
    turn = wait
    for done in range(1, iterations + 1):
        w = (p * (u + a) + q * ((z + b) @ x)) @ matrix
        outputs = w @ x.T
        w_ahead = torch.lerp(u, w, relaxation)
        relaxed = torch.lerp(z, outputs, relaxation)
        u_old, z_old = u, z
        u = _shrink(w_ahead - a, program.prices.to(kind) / p)
        z = _project(relaxed - b, targets, ceilings, program)
        a = a + u - w_ahead
        b = b + z - relaxed
        if done != turn and done != iterations:
            continue
        turn = max(done + 10, math.ceil(1.3 * done))
        one = float((w - u).norm()) / max(float(u.norm()), float(w.norm()), 1e-300)
        two = float((outputs - z).norm()) / size
        three = float((u - u_old).norm()) / max(float(a.norm()), 1e-300)
        four = float((z - z_old).norm()) / max(float(b.norm()), 1e-300)
        primal, dual = max(one, two), max(three, four)
        if not math.isfinite(primal + dual) or max(primal, dual) <= tolerance:
            break
        grow, more = _balance(one, three), _balance(two, four)
        p, a, q, b = p * grow, a / grow, q * more, b / more
        if grow != 1 or more != 1:
            matrix = inverse(p, q).to(kind)
    return replace(
        state, weights=u, outputs=z, weight_duals=a, output_duals=b, weight_penalty=p,
        output_penalty=q, iterations=state.iterations + done, primal=primal, dual=dual,
    )  # fmt: skip


def _balance(primal: float, dual: float) -> float:
    """By how much a penalty should grow."""
    if not (primal > 0 and dual > 0):
        return 1.0
    grow = min(max(math.sqrt(primal / dual), 0.2), 5.0)
    return 1.0 if 0.7 < grow < 1.4 else grow


def _shrink(values: Tensor, by: Tensor) -> Tensor:
    return values - torch.minimum(torch.maximum(values, -by), by)


def _project(values: Tensor, targets: Tensor, ceilings: Tensor, program: Program) -> Tensor:
    """Nearest outputs inside the ball and below the ceilings."""
    off = torch.where(program.inside, values - targets, 0.0)
    norm = float(off.norm())
    if norm > program.eps:
        off = off * (program.eps / norm)
    return torch.where(program.inside, targets + off, torch.minimum(values, ceilings))
