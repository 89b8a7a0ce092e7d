"""Two small networks with inputs and targets, for methods that look at more than sensitivity."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def seeded(model: nn.Module, seed: int = 0) -> nn.Module:
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return model


def dense() -> nn.Module:
    return seeded(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))).double()


def images() -> nn.Module:
    return seeded(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(),
            nn.Conv2d(4, 4, 2, groups=2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 9, 3),
        )
    ).double()  # fmt: skip


def inputs(kind: str, n: int = 11) -> Tensor:
    shape = (n, 6) if kind == "dense" else (n, 2, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()


BUILD = {"dense": dense, "images": images}
TARGETS = {
    "classes": torch.arange(11) % 3,
    "values": torch.linspace(-1, 1, 33).reshape(11, 3).double(),
}


def relu_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 3))


def rows(n: int = 40, seed: int = 0) -> Tensor:
    return torch.rand(n, 7, generator=torch.Generator().manual_seed(seed))
