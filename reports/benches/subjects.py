"""What benchmarks work on: a setting, networks, inputs, and the kernel's own operands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from sipp_core.sensitivity import kernel
from sipp_core.zoo import datasets, models

T = TypeVar("T")
LENET, PIXELS, SIDE = "lenet-300-100", 784, 28
LIT = 0.19  # share of MNIST's pixels above 0


@dataclass(frozen=True)
class Setting:
    """Settings of a run.

    Attributes:
        scale: "full", "quick", or "tiny" for tests.
        seed: of all random numbers.
        data_dir: folder with MNIST; none if empty.
        device: of torch.
        threads: numbers of threads to measure with, ascending.
    """

    scale: str = "full"
    seed: int = 0
    data_dir: str = ""
    device: str = "cpu"
    threads: tuple[int, ...] = (1,)

    def size(self, tiny: T, quick: T, full: T) -> T:
        """What the scale asks for."""
        return {"tiny": tiny, "quick": quick, "full": full}[self.scale]

    def generator(self) -> torch.Generator:
        """A fresh generator of the setting's seed."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Problem:
    """Operands of the kernel for one layer.

    Attributes:
        weight: (out, fan_in).
        inverse: (2, n, out) 1/z, positive sign first.
        activations: (n, fan_in), non-negative.
    """

    weight: Tensor
    inverse: Tensor
    activations: Tensor

    @property
    def pairs(self) -> int:
        """Products of one weight and one input."""
        return self.weight.numel() * len(self.activations)


def problem(weight: Tensor, activations: Tensor) -> Problem:
    """Form the denominators of a layer."""
    z = torch.stack([activations @ part.clamp(min=0).T for part in (weight, -weight)])
    inverse = torch.where(z > 0, z.reciprocal(), torch.zeros_like(z))
    return Problem(weight.contiguous(), inverse, activations.contiguous())


def single(setting: Setting, out: int, fan_in: int, rows: int, lit: float = 1.0) -> Problem:
    """A random layer; a share `lit` of its activations is above 0."""
    generator = setting.generator()
    weight = torch.randn(out, fan_in, generator=generator)
    activations = torch.rand(rows, fan_in, generator=generator)
    if lit < 1:
        activations *= torch.rand(rows, fan_in, generator=generator) < lit
    return problem(weight, activations)


def lenet(setting: Setting) -> nn.Module:
    """LeNet-300-100 as it is before training: the kernel's work is the same."""
    return models.build(LENET, seed=setting.seed)


def through(model: nn.Module, inputs: Tensor) -> list[Problem]:
    """The kernel's operands for every Linear layer of a plain stack."""
    problems, x = [], inputs
    with torch.no_grad():
        for module in model.children():
            if isinstance(module, nn.Linear):
                problems.append(problem(module.weight.detach(), x))
            x = module(x)
    return problems


def digits(setting: Setting, count: int) -> tuple[Tensor, str]:
    """MNIST's training images if a folder has them, else synthetic ones as dark; and which."""
    if setting.data_dir:
        inputs = datasets.load("mnist", setting.data_dir).train_inputs
        return inputs[:count], "MNIST"
    generator = setting.generator()
    axis = torch.linspace(-1, 1, SIDE)
    # Ink lies in the middle: the chance of a pixel falls off towards the edges, as MNIST's does.
    bump = torch.exp(-3 * (axis[:, None] ** 2 + axis[None, :] ** 2)).flatten()
    chance = bump * (LIT / bump.mean())
    lit = torch.rand(count, PIXELS, generator=generator) < chance
    return torch.rand(count, PIXELS, generator=generator) * lit, "synthetic, as dark as MNIST"


def maxima(problems: list[Problem], chunked: bool = False) -> list[Tensor]:
    """Sensitivities of all layers by the kernel, or by torch in chunks."""
    way = kernel.maxima_in_chunks if chunked else kernel.update_maxima
    maxima_of = []
    for one in problems:
        acc = kernel.new_accumulator(one.weight, support=False)
        way(acc, one.weight, one.inverse, one.activations, None)
        maxima_of.append(acc.maximum)
    return maxima_of


def pairs(problems: list[Problem]) -> int:
    """Products of one weight and one input, in all layers."""
    return sum(one.pairs for one in problems)
