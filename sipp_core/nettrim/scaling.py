"""Other variables for Net-Trim's program, in which its numbers are of order 1.

With x = a x', y = b y' and u = (b/a) u' the program is the same and its objective is (b/a) times
the other's; a and b are powers of two, so nothing is rounded. A free bias has a scale of its own,
as it costs nothing, and may be moved: u . x + c = u . (x - mean) + (c + u . mean).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sipp_core.nettrim.program import Program


@dataclass(frozen=True, eq=False)
class Variables:
    """A program in other variables, and the way back.

    Attributes:
        program: the program in these variables.
        factor: (N,) float64, each weight of the original is the other's times this.
        mean: (N,) float64, taken off the inputs; 0 where the bias is priced.
        level: (M,) float64, taken off the outputs.
    """

    program: Program
    factor: Tensor
    mean: Tensor
    level: Tensor

    def back(self, weights: Tensor) -> Tensor:
        """Weights of the original program, (M, N) float64."""
        weights = weights * self.factor
        if self.program.biased:
            weights[:, -1] += self.level - weights[:, :-1] @ self.mean[:-1]
        return weights


def scaled(program: Program) -> Variables:
    """Bring inputs and targets to order 1.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> one = scaled(layer_program(torch.eye(2), None, 4096 * torch.eye(2), eps=1.0))
        >>> one.program.inputs.tolist(), one.program.eps
        ([[1.0, 0.0], [0.0, 1.0]], 0.000244140625)
    """
    columns = program.inputs.shape[1] - program.biased
    a = _power(program.inputs[:, :columns], program.inputs.new_ones(()).bool())
    b = _power(program.targets, program.inside)
    scale = torch.full_like(program.prices, a)
    scale[program.prices == 0] = 1.0
    factor = b / scale
    other = replace(
        program,
        inputs=program.inputs / scale,
        targets=program.targets / b,
        ceilings=program.ceilings / b,
        eps=program.eps / b,
        start=program.start / factor,
    )
    return Variables(other, factor, torch.zeros_like(factor), factor.new_zeros(len(program.start)))


def centred(program: Program) -> Variables:
    """Leave the bias free and take out of the program what it alone accounts for.

    Outputs that are a large number and small differences from it lose the differences, in the
    solver's rounding and in a radius that is relative to ||Y||.

    Example:
        >>> from sipp_core.nettrim.program import layer_program
        >>> inputs = torch.tensor([[1.0], [3.0]])
        >>> one = layer_program(torch.ones(1, 1), torch.ones(1), inputs, eps=0.1, relu=False)
        >>> centred(one).program.targets.tolist()
        [[-1.0, 1.0]]
    """
    mean = program.inputs.mean(dim=0)
    mean[-1] = 0.0
    held = torch.where(program.inside, program.targets, 0.0).sum(dim=1)
    level = held / program.inside.sum(dim=1).clamp(min=1)
    prices, start = program.prices.clone(), program.start.clone()
    prices[-1] = 0.0
    start[:, -1] += start @ mean - level
    other = replace(
        program,
        inputs=program.inputs - mean,
        targets=torch.where(program.inside, program.targets - level[:, None], 0.0),
        ceilings=program.ceilings - level[:, None],
        prices=prices,
        start=start,
    )
    return Variables(other, torch.ones_like(prices), mean, level)


def _power(values: Tensor, where: Tensor) -> float:
    """The power of two nearest to the largest |value|, from which a typical one is not far."""
    largest = float(torch.where(where, values, 0.0).abs().max()) if values.numel() else 0.0
    return 2.0 ** round(math.log2(largest)) if largest > 0 else 1.0
