"""Two spirals in the plane, one inside the other: the toy data of Net-Trim's example."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sipp_core.zoo import Dataset

TURNS, NOISE = 1.5, 0.01


def two_spirals(count: int, seed: int) -> Dataset:
    """Draw points of two spirals, in [0, 1] x [0, 1].

    An arm has radius t and angle 3 pi t for t in [0.1, 1], the second is turned by half a circle;
    each coordinate is off by a normal error of 0.01. What the paper drew is not published with its
    numbers, so this is a set of the same kind.
    """
    rng = torch.Generator().manual_seed(seed)
    targets = torch.arange(2).repeat_interleave(count)
    return Dataset(
        name="spirals", train_inputs=_points(targets, rng), train_targets=targets,
        test_inputs=_points(targets, rng), test_targets=targets, num_classes=2,
        description="two spirals of one and a half turns, drawn here",
    )  # fmt: skip


def _points(targets: Tensor, rng: torch.Generator) -> Tensor:
    along = 0.1 + 0.9 * torch.rand(len(targets), generator=rng)
    angle = 2 * math.pi * TURNS * along + math.pi * targets
    clean = torch.stack([angle.cos(), angle.sin()], dim=1) * along[:, None]
    noisy = clean + NOISE * torch.randn(clean.shape, generator=rng)
    return ((noisy + 1.1) / 2.2).clamp(0, 1)
