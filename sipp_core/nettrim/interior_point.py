"""An interior-point method for Net-Trim's program, restricted to candidate weights and ceilings.

ADMM soon tells which weights are 0 and which ceilings matter, and then takes long for the last
digits. What is left is small: per neuron its candidate weights u (bounds -t <= u <= t, sum of t
least) under its candidate ceilings B u <= v, all neurons together under one ball. Newton's matrix
is block diagonal but for the ball, one border. Mehrotra's predictor-corrector; neurons of
like sizes are padded to one shape, so that every step is a few batched products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sipp_core.nettrim.program import Program

STEP = 0.995
ALIKE = 8  # neurons a group, padded to its largest


@dataclass(frozen=True, eq=False)
class Point:
    """A primal and dual point of the whole program."""

    weights: Tensor  # (M, N) float64 U
    multipliers: Tensor  # (M, P) float64 Lambda
    iterations: int  # of the interior-point method


class Grams:
    """Gram matrices over the ball's inputs of each neuron, kept from one round to the next."""

    def __init__(self, program: Program) -> None:
        self.program, self._whole = program, program.inputs.T @ program.inputs
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, neuron: int, chosen: Tensor) -> Tensor:
        """The matrix (s, s) of chosen weights, ascending."""
        if neuron in self._kept:
            columns, gram = self._kept[neuron]
            place = torch.searchsorted(columns, chosen).clamp(max=len(columns) - 1)
            if len(columns) and torch.equal(columns[place], chosen):
                return gram[place][:, place]
        mine, gram = self.program.inside[neuron], self._whole[chosen][:, chosen]
        few = mine if 2 * int(mine.sum()) <= len(mine) else ~mine
        some = self.program.inputs[few][:, chosen]
        gram = some.T @ some if few is mine else gram - some.T @ some
        self._kept[neuron] = chosen, gram
        return gram


@dataclass(frozen=True, eq=False)
class _Group:
    """Neurons of like sizes; s weights and k ceilings each, after padding."""

    neurons: Tensor  # (m,) which
    gram: Tensor  # (m, s, s) over the ball's inputs
    facing: Tensor  # (m, k, s) inputs of the ceilings


@dataclass(frozen=True, eq=False)
class _Rows:
    """The restricted program: s weights and k ceilings a neuron, after padding."""

    columns: Tensor  # (M, s) which weight
    live: Tensor  # (M, s) 1 if no padding
    priced: Tensor  # (M, s) 1 if it counts in the objective
    rows: Tensor  # (M, k) which input
    held: Tensor  # (M, k) 1 if no padding
    groups: tuple[_Group, ...]
    pull: Tensor  # (M, s) X Y^T over the ball's inputs
    ceilings: Tensor  # (M, k)
    energy: float  # ||Y||^2 over the ball
    eps: float

    def inward(self, u: Tensor) -> Tensor:
        """Each neuron's Gram matrix times its weights, (M, s)."""
        product = torch.zeros_like(u)
        for group in self.groups:
            s = group.gram.shape[2]
            product[group.neurons, :s] = _apply(group.gram, u[group.neurons, :s])
        return product

    def facing(self, u: Tensor) -> Tensor:
        """Outputs at the ceilings' inputs, (M, k)."""
        product = torch.zeros_like(self.ceilings)
        for group in self.groups:
            k, s = group.facing.shape[1:]
            product[group.neurons, :k] = _apply(group.facing, u[group.neurons, :s])
        return product

    def back(self, v: Tensor) -> Tensor:
        """The transposed product: what multipliers (M, k) of the ceilings pull, (M, s)."""
        product = torch.zeros_like(self.pull)
        for group in self.groups:
            k, s = group.facing.shape[1:]
            product[group.neurons, :s] = _apply(group.facing.mT, v[group.neurons, :k])
        return product


def _packed(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the true entries of each row, padded to the longest, and which are no padding."""
    most = max(int(mask.sum(dim=1).max()), 1)
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)[:, :most]
    return order, mask.gather(1, order).to(torch.float64)


def _restricted(grams: Grams, weights: Tensor, ceilings: Tensor) -> _Rows:
    program = grams.program
    x = program.inputs
    columns, live = _packed(weights)
    rows, held = _packed(ceilings)
    held = held.clone()
    groups = []
    for neurons in weights.sum(dim=1).argsort().split(ALIKE):
        s, k = (max(int(part[neurons].sum(dim=1).max()), 1) for part in (weights, ceilings))
        across, down = columns[neurons, :s], rows[neurons, :k]
        facing = x[down[:, :, None], across[:, None, :]]
        facing = facing * held[neurons, :k, None] * live[neurons, None, :s]
        # An input that is 0 on all candidates cannot move: 0 <= v says nothing of them.
        held[neurons, :k] *= (facing != 0).any(dim=2)
        gram = facing.new_zeros(len(neurons), s, s)
        for part, neuron in zip(gram, neurons.tolist(), strict=True):
            chosen = columns[neuron, : int(live[neuron].sum())]
            part[: len(chosen), : len(chosen)] = grams.of(neuron, chosen)
        groups.append(_Group(neurons, gram, facing))
    targets = torch.where(program.inside, program.targets, 0.0)
    pull = (targets @ x).gather(1, columns) * live
    high = torch.where(held > 0, program.ceilings.gather(1, rows), 1.0)
    priced = program.prices[columns] * live
    energy = float(targets.square().sum())
    return _Rows(
        columns, live, priced, rows, held, tuple(groups), pull, high, energy, program.eps
    )  # fmt: skip


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]


def _solve(factors: Sequence[tuple[Tensor, Tensor]], vector: Tensor) -> Tensor:
    """Solve for all neurons, from the factors of each group."""
    solved = torch.zeros_like(vector)
    for neurons, factor in factors:
        s = factor.shape[2]
        # Several times faster than cholesky_solve for one right side.
        right = vector[neurons, :s, None]
        half = torch.linalg.solve_triangular(factor, right, upper=False)
        solved[neurons, :s] = torch.linalg.solve_triangular(factor.mT, half, upper=True)[:, :, 0]
    return solved


def _dot(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum())


@dataclass(eq=False)
class _Iterate:
    """Slacks and multipliers: t - u, t + u, v - B u and the ball's."""

    u: Tensor
    low: Tensor
    high: Tensor
    room: Tensor
    ball: float
    z_low: Tensor
    z_high: Tensor
    z_room: Tensor
    z_ball: float

    def pairs(self) -> tuple[tuple[Tensor, Tensor], ...]:
        return (self.low, self.z_low), (self.high, self.z_high), (self.room, self.z_room)

    def complementarity(self) -> float:
        return sum(_dot(s, z) for s, z in self.pairs()) + self.ball * self.z_ball


def _begin(r: _Rows, program: Program, point: Point, mu: float) -> _Iterate:
    """Take over an approximate solution, moved off the boundary by mu."""
    u = point.weights.gather(1, r.columns) * r.live
    slope = (point.multipliers @ program.inputs).gather(1, r.columns).clamp(-0.98, 0.98)
    z_low, z_high = (1 + slope) / 2, (1 - slope) / 2
    priced = r.priced > 0
    half = u.abs() + mu / torch.minimum(z_low, z_high)
    low = torch.where(priced, half - u, 1.0)
    high = torch.where(priced, half + u, 1.0)
    force = (-point.multipliers.gather(1, r.rows)).clamp(min=0)
    space = r.ceilings - r.facing(u)
    typical = float(space.abs().mean()) or 1.0
    room = torch.where(r.held > 0, space.clamp(min=math.sqrt(mu * typical)), 1.0)
    z_room = torch.maximum(force, mu / room) * r.held
    ball_dual = torch.where(program.inside, point.multipliers, 0.0).norm()
    z_ball = float(ball_dual) / r.eps if r.eps > 0 else 1.0
    z_ball = max(z_ball, 1e-12)
    spare = (r.eps**2 - _misfit(r, u, r.inward(u))) / 2
    return _Iterate(
        u, low, high, room, max(spare, mu / z_ball), z_low * r.priced, z_high * r.priced, z_room,
        z_ball,
    )  # fmt: skip


def _misfit(r: _Rows, u: Tensor, inward: Tensor) -> float:
    """||U X - Y||_F^2 over the ball; `inward` is the Gram matrices' product with u."""
    return max(_dot(u, inward) - 2 * _dot(r.pull, u) + r.energy, 0.0)


@dataclass(frozen=True, eq=False)
class _Newton:
    """Newton's matrix at one iterate, factorised, and what every step from there needs."""

    r: _Rows
    at: _Iterate
    d_low: Tensor
    d_high: Tensor
    both: Tensor
    d_room: Tensor
    factors: Sequence[tuple[Tensor, Tensor]]  # of each group
    gradient: Tensor
    border: Tensor
    gap: Tensor  # (M, k) by which the ceilings' slacks are off
    spare: float  # by which the ball's is

    def toward(self, products: tuple[Tensor, Tensor, Tensor, float], bend: float) -> _Iterate:
        """The step to given products of slack and multiplier, to first order.

        `bend` is what the ball's constraint curves along the step.
        """
        r, at = self.r, self.at
        e_low = (products[0] / at.low - at.z_low) * r.priced
        e_high = (products[1] / at.high - at.z_high) * r.priced
        e_room = (products[2] / at.room - at.z_room - self.d_room * self.gap) * r.held
        lean = torch.where(r.priced > 0, (self.d_low - self.d_high) / self.both, 0.0)
        rest = at.z_low - at.z_high + at.z_ball * self.gradient
        rest = rest + r.back(at.z_room + e_room)
        rest = rest + e_low - e_high - lean * (e_low + e_high)
        along = _solve(self.factors, -rest * r.live)
        off = self.spare - bend
        d_ball = at.z_ball / at.ball
        e_ball = products[3] / at.ball - at.z_ball - d_ball * off
        across = _dot(self.gradient, self.border)
        z_ball = (e_ball + d_ball * _dot(self.gradient, along)) / (1 + d_ball * across)
        u = along - z_ball * self.border
        half = torch.where(r.priced > 0, (e_low + e_high) / self.both, 0.0) + lean * u
        low, high = (half - u) * r.priced, (half + u) * r.priced
        moved = r.facing(u)
        return _Iterate(
            u, low, high, self.gap - moved, off - _dot(self.gradient, u),
            e_low - self.d_low * low, e_high - self.d_high * high, e_room + self.d_room * moved,
            z_ball,
        )  # fmt: skip


def _factorised(r: _Rows, at: _Iterate) -> _Newton:
    free = (r.live > 0) & (r.priced == 0)
    d_low, d_high = at.z_low / at.low, at.z_high / at.high
    both = (d_low + d_high).clamp(min=1e-300)
    d_room = at.z_room / at.room
    factors = []
    for group in r.groups:
        k, s = group.facing.shape[1:]
        mine = group.neurons
        weighed = group.facing.mT * d_room[mine, None, :k]
        matrix = torch.baddbmm(group.gram, weighed, group.facing, beta=at.z_ball)
        sums = both[mine, :s]
        diagonal = 4 * d_low[mine, :s] * d_high[mine, :s] / sums
        diagonal = torch.where(r.priced[mine, :s] > 0, diagonal, 1.0)
        tiny = 1e-12 * matrix.diagonal(dim1=1, dim2=2).mean(dim=1, keepdim=True) + 1e-300
        diagonal = torch.where(free[mine, :s], tiny.expand_as(diagonal), diagonal)
        matrix.diagonal(dim1=1, dim2=2).add_(diagonal)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if info.any():
            scale = matrix.diagonal(dim1=1, dim2=2).amax(dim=1, keepdim=True)
            matrix.diagonal(dim1=1, dim2=2).add_(1e-11 * scale)
            factor, info = torch.linalg.cholesky_ex(matrix)
        factors.append((mine, factor))
    inward = r.inward(at.u)
    gradient = inward - r.pull
    gap = (r.ceilings - r.facing(at.u) - at.room) * r.held
    spare = (r.eps**2 - _misfit(r, at.u, inward)) / 2 - at.ball
    border = _solve(factors, gradient)
    return _Newton(r, at, d_low, d_high, both, d_room, factors, gradient, border, gap, spare)


def _longest(at: _Iterate, step: _Iterate) -> float:
    """Longest step that keeps every slack and multiplier at or above 0, at most 1."""
    ends = [1.0]
    values = (at.low, at.high, at.room, at.z_low, at.z_high, at.z_room)
    moves = (step.low, step.high, step.room, step.z_low, step.z_high, step.z_room)
    for value, move in zip(values, moves, strict=True):
        ends.append(float(torch.where(move < 0, -value / move, math.inf).min()))
    for value, move in ((at.ball, step.ball), (at.z_ball, step.z_ball)):
        ends.append(-value / move if move < 0 else math.inf)
    return min(ends)


def _moved(at: _Iterate, step: _Iterate, by: float) -> _Iterate:
    names = ("u", "low", "high", "room", "ball", "z_low", "z_high", "z_room", "z_ball")
    return _Iterate(*(getattr(at, name) + by * getattr(step, name) for name in names))


def solve_restricted(
    grams: Grams,
    point: Point,
    weights: Tensor,
    ceilings: Tensor,
    *,
    accuracy: float,
    mu: float,
    iterations: int = 60,
) -> Point:
    """Solve the program over candidate weights (all others 0) and candidate ceilings.

    Shapes: weights (M, N) bool, ceilings (M, P) bool.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = layer_program(torch.ones(1, 1), None, torch.ones(1, 1), eps=0.5)
        >>> start = Point(one.start, torch.ones_like(one.targets), 0)
        >>> all_of_it = torch.ones(1, 1, dtype=torch.bool)
        >>> grams = Grams(one)
        >>> point = solve_restricted(
        ...     grams, start, all_of_it, ~all_of_it, accuracy=1e-8, mu=0.1
        ... )
        >>> round(float(point.weights), 6), round(float(point.multipliers), 6)
        (0.5, 1.0)
    """
    program = grams.program
    r = _restricted(grams, weights, ceilings)
    at = _begin(r, program, point, mu)
    count = 2 * int(r.priced.sum()) + int(r.held.sum()) + 1
    turn = 0
    for turn in range(1, iterations + 1):  # noqa: B007
        mean = at.complementarity() / count
        newton = _factorised(r, at)
        zero = torch.zeros_like(at.low)
        guess = newton.toward((zero, zero, torch.zeros_like(at.room), 0.0), 0.0)
        ahead = _moved(at, guess, _longest(at, guess))
        aim = mean * min(max((ahead.complementarity() / count / mean) ** 3, 1e-8), 0.5)
        products = (
            aim - guess.low * guess.z_low,
            aim - guess.high * guess.z_high,
            aim - guess.room * guess.z_room,
            aim - guess.ball * guess.z_ball,
        )
        step = newton.toward(products, _dot(guess.u, r.inward(guess.u)) / 2)
        length = _longest(at, step)
        new = _moved(at, step, length if length == 1 else STEP * length)
        if not math.isfinite(new.complementarity()) or length < 1e-8:
            break
        at = new
        size = _dot(at.u.abs(), r.priced)
        if length > 0.9 and at.complementarity() <= accuracy * max(size, 1e-300):
            break
    solution = torch.zeros_like(point.weights).scatter_(1, r.columns, at.u * r.live)
    outputs = torch.zeros_like(program.targets)
    outputs.scatter_add_(1, r.rows, -at.z_room * r.held)
    off = at.z_ball * (program.targets - solution @ program.inputs.T)
    return Point(solution, torch.where(program.inside, off, outputs), turn)
