"""Net-Trim's convex program of one layer (NT-1, NT-3), what a point of it is worth, and its dual.

    min  sum |U_mj|   subject to   sum over y_mp > 0 of (u_m . x_p - y_mp)^2 <= eps^2,
                                   u_m . x_p <= v_mp where y_mp = 0.

One ball for the whole layer, so the neurons are coupled by one multiplier. A layer without ReLU has
the ball over all entries and no ceilings. With a row of ones behind the inputs the bias is the last
column of U. Lagrangian duality: for Lambda (M, P) with Lambda <= 0 where y = 0 and
|Lambda X^T| <= 1 entrywise,

    <Lambda, Y> - eps ||Lambda||_F (both over y > 0) + <Lambda, V> (over y = 0)

is never above the least objective, so the gap between the two certifies a solution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sipp_core.runtime.arguments import first_nonfinite


@dataclass(frozen=True, eq=False)
class Program:
    """One layer's program.

    Attributes:
        inputs: (P, N) float64, a row of activations each; with a bias the last column is 1.
        targets: (M, P) float64 Y.
        ceilings: (M, P) float64 V; only entries outside `inside` count.
        inside: (M, P) bool, the entries of the ball: y > 0, or all for a layer without ReLU.
        eps: radius of the ball, in the outputs' unit, >= 0.
        prices: (N,) float64, 1 for a weight that counts in the objective, 0 for a free bias.
        start: (M, N) float64, the given weights: feasible by themselves (gamma >= 1).
        biased: whether the last column is the bias.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162, eq. 5 and 8.
    """

    inputs: Tensor
    targets: Tensor
    ceilings: Tensor
    inside: Tensor
    eps: float
    prices: Tensor
    start: Tensor
    biased: bool

    def at(self, eps: float) -> Program:
        """The same program with another radius."""
        return replace(self, eps=eps)


def objective(program: Program, weights: Tensor) -> float:
    """Sum of the absolute values of the weights that are priced.

    Args:
        program: the program.
        weights: (M, N) float64.

    Returns:
        The objective.

    Raises:
        RuntimeError: weights of another shape.

    Claim: NT-1. Source: [NT] arXiv 1611.05162.

    Example:
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.1)
        >>> objective(one, one.start)
        2.0
    """
    return float((weights.abs() * program.prices).sum())


def violations(program: Program, weights: Tensor) -> tuple[float, float]:
    """How far the layer is from its targets, and how far it stands above its ceilings.

    Args:
        program: the program.
        weights: (M, N) float64.

    Returns:
        ||U X - Y||_F over the ball's entries, to compare with eps, and ||max(U X - V, 0)||_F over
        the others, to compare with 0; both in the outputs' unit.

    Raises:
        RuntimeError: weights of another shape.

    Claim: NT-1. Source: [NT] arXiv 1611.05162.

    Example:
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.1)
        >>> violations(one, one.start)
        (0.0, 0.0)
    """
    outputs = weights @ program.inputs.T
    inside = torch.where(program.inside, outputs - program.targets, 0.0).norm()
    above = torch.where(program.inside, 0.0, (outputs - program.ceilings).clamp(min=0)).norm()
    return float(inside), float(above)


def lower_bound(program: Program, multipliers: Tensor) -> float:
    """A value that no feasible point goes below, from any multipliers (weak duality).

    They are made feasible first: cut at 0 outside the ball, balanced for a free bias, and each
    neuron's divided by the largest |Lambda X^T| if that is above 1.

    Claim: NT-1. Source: [OWN], Lagrangian duality.

    Example:
        >>> one = layer_program(torch.eye(2), None, torch.eye(2), eps=0.0)
        >>> lower_bound(one, torch.eye(2, dtype=torch.float64))
        2.0
    """
    inside, free = program.inside, program.prices == 0
    dual = torch.where(inside, multipliers, multipliers.clamp(max=0))
    if free.any():  # only a bias is free, whose input is 1: each neuron's multipliers add up to 0
        room = inside.sum(dim=1, keepdim=True)
        dual = torch.where(room > 0, dual, 0.0)
        dual = dual - torch.where(inside, dual.sum(dim=1, keepdim=True) / room.clamp(min=1), 0.0)
    slope = (dual @ program.inputs)[:, ~free].abs()
    if slope.shape[1]:
        dual = dual / slope.amax(dim=1, keepdim=True).clamp(min=1)
    ball = torch.where(inside, dual, 0.0)
    others = torch.where(inside, 0.0, dual)
    value = (ball * program.targets).sum() - program.eps * ball.norm()
    value = float(value + (others * program.ceilings).sum())
    return value if math.isfinite(value) else -math.inf


def layer_program(
    weight: Tensor,
    bias: Tensor | None,
    inputs: Tensor,
    *,
    eps: float,
    targets: Tensor | None = None,
    gamma: float | None = None,
    relu: bool = True,
    penalise_bias: bool = True,
) -> Program:
    """Write down the program of one layer.

    Without `targets` it is NT-1's: Y = max(W X, 0) and V = 0 (with relu=False Y = W X). With the
    original network's outputs as targets, while the inputs come from the pruned one, it is the
    cascade's of NT-3: V = W X, and eps = sqrt(gamma) ||W X - Y||_F over the ball's entries.

    Args:
        weight: (M, N) of the layer, finite.
        bias: (M,) or None.
        inputs: (P, N), at least one row, finite.
        eps: radius of the ball, >= 0; taken as it is unless gamma is given.
        targets: (M, P) target outputs (after ReLU, so >= 0, if relu).
        gamma: NT-3's inflation, >= 1; needs targets, and eps is then computed from it.
        relu: whether a ReLU follows.
        penalise_bias: whether |bias| counts in the objective, as in the paper; NT-2's bound for
            link-normalised layers needs it, if the normalisation counts the bias.

    Returns:
        The program, in float64 on the inputs' device.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, eps or gamma out of range.

    Claim: NT-1, NT-3. Source: [NT] arXiv 1611.05162.

    Example:
        >>> one = layer_program(torch.ones(1, 2), None, torch.eye(2), eps=0.5)
        >>> one.targets.tolist(), one.inside.tolist()
        ([[1.0, 1.0]], [[True, True]])
    """
    rows, start = _finite("inputs", inputs), _finite("weight", weight).to(inputs.device)
    if rows.ndim != 2 or start.ndim != 2 or rows.shape[1] != start.shape[1] or not len(rows):
        raise ValueError(
            "inputs must be (P, N) with P >= 1 and weight (M, N); found "
            f"{tuple(inputs.shape)} and {tuple(weight.shape)}"
        )
    prices = rows.new_ones(rows.shape[1])
    if bias is not None:
        shift = _finite("bias", bias).to(inputs.device)
        if shift.shape != start.shape[:1]:
            raise ValueError(f"bias must be ({len(start)},); found {tuple(shift.shape)}")
        rows = torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1)
        start = torch.cat([start, shift[:, None]], dim=1)
        prices = torch.cat([prices, prices.new_tensor([float(penalise_bias)])])
    outputs = start @ rows.T
    given = targets is not None
    if given:
        goal = _finite("targets", targets).to(inputs.device)
        if goal.shape != outputs.shape:
            raise ValueError(f"targets must be {tuple(outputs.shape)}; found {tuple(goal.shape)}")
        if relu and (goal < 0).any():
            raise ValueError(f"targets of a ReLU are never below 0; found {float(goal.min())}")
    else:
        goal = outputs.clamp(min=0) if relu else outputs
    inside = goal > 0 if relu else torch.ones_like(goal, dtype=torch.bool)
    ceilings = outputs if given else torch.zeros_like(outputs)
    if gamma is not None:
        if not (given and math.isfinite(gamma) and gamma >= 1):
            raise ValueError(
                f"gamma must be at least 1, so that the given weights are feasible, and comes with "
                f"targets; found {gamma!r}"
            )
        eps = math.sqrt(gamma) * float(torch.where(inside, outputs - goal, 0.0).norm())
    if not (math.isfinite(eps) and eps >= 0):
        raise ValueError(f"eps must be finite and at least 0; found {eps!r}")
    return Program(rows, goal, ceilings, inside, float(eps), prices, start, bias is not None)


def _finite(name: str, values: Tensor) -> Tensor:
    wide = values.detach().to(torch.float64)
    if (index := first_nonfinite(wide)) is not None:
        raise ValueError(f"{name} must be finite; found {float(wide[index])} at index {index}")
    return wide
