"""Networks, planning tables and calibrations that the tests of several folders share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core import PruneResult, calibrate, prune
from sipp_core.pruning.method import registered
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import Planned
from sipp_core.pruning.table import Table, make_table
from sipp_core.zoo import datasets, models, training

PLANNED = {name: method for name, method in registered().items() if isinstance(method, Planned)}
MASKS = ("magnitude", "random", "wanda", "snip")
EPS, DELTA = 0.5, 0.1


class Residual(nn.Module):
    """A stem, one block with a sum, and a head behind a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.outer = (
            nn.Conv2d(3, 6, 3, padding=1),
            nn.Conv2d(6, 5, 3, padding=1),
            nn.Conv2d(5, 6, 3, padding=1),
        )
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + self.norm(self.outer(F.gelu(self.inner(x))))
        return self.head(F.relu(x).mean(dim=(2, 3)))


class Branches(nn.Module):
    """Two branches put side by side, a depthwise convolution, and a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)
        self.depth = nn.Conv2d(9, 18, 2, groups=9)
        self.norm, self.mix = nn.BatchNorm2d(18), nn.Conv2d(18, 6, 1)
        self.head = nn.Linear(6 * 2 * 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), torch.sigmoid(self.right(x))], dim=1)
        x = F.max_pool2d(self.mix(self.norm(self.depth(x)).relu()), 2)
        return self.head(x.reshape(x.size(0), -1))


class Written(nn.Module):
    """A view with a number in it, a gate, and a learnt offset of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv1d(2, 4, 3), nn.Conv1d(2, 4, 3)
        self.offset = nn.Parameter(torch.rand(1, 4, 1))
        self.hidden, self.head = nn.Linear(4 * 5, 7), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)) * torch.sigmoid(self.gate(x)) + self.offset
        return self.head(torch.tanh(self.hidden(x.view(-1, 20))) * 2)


class Tokens(nn.Module):
    """Tokens through a dense pair behind a LayerNorm, as in a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(3, 6), nn.LayerNorm(6)
        self.up, self.down = nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x + self.down(F.gelu(self.up(self.norm(x))))


class Padded(nn.Module):
    """A shortcut that pads channels with zeros, and one that takes some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 7, 1)
        self.last, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.wide(F.relu(x)) + F.pad(x, (0, 0, 0, 0, 1, 3))
        return self.head(F.adaptive_avg_pool2d(self.last(x[:, 2:5]), 1).flatten(1))


class Three(nn.Module):
    """A three-dimensional convolution and a dropout, as functions of nn modules only."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(2, 5, 2), nn.BatchNorm3d(5, affine=False), nn.LeakyReLU(), nn.Dropout3d(),
            nn.MaxPool3d(2), nn.Conv3d(5, 4, 1), nn.Flatten(), nn.PReLU(), nn.Linear(4, 5),
            nn.ELU(), nn.Linear(5, 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


NETWORKS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, (3, 6, 6)),
    "branches": (Branches, (3, 7, 7)),
    "written": (Written, (2, 7)),
    "tokens": (Tokens, (4, 3)),
    "padded": (Padded, (2, 4, 4)),
    "three": (Three, (2, 3, 3, 3)),
}


Network = Callable[[str, int], tuple[nn.Module, Tensor]]


@pytest.fixture(scope="session")
def channel_network() -> Network:
    """Make a network of NETWORKS by its name and a seed."""
    return network


def network(name: str, seed: int) -> tuple[nn.Module, Tensor]:
    """A network in float64 and eval mode, norms as after training, and inputs for it."""
    torch.manual_seed(seed)
    kind, shape = NETWORKS[name]
    model = kind().double().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            for parameter in module.parameters():
                nn.init.normal_(parameter)
    return model, torch.randn(6, *shape, dtype=torch.float64)


def for_method(method: str, x: Tensor) -> Any:
    """What a method is calibrated on: SNIP needs classes, here those of a fixed rule."""
    return [(x, (x.flatten(1).sum(1) * 7).long() % 3)] if method == "snip" else x


def layer_table(out: int, fan_in: int, n: int, seed: int, bound: str = "bernstein") -> Table:
    """Table of a random layer; some weights are 0, one input never fires, neuron 0 has one sign."""
    rng = torch.Generator().manual_seed(seed)
    module = nn.Linear(fan_in, out, dtype=torch.float64)
    x = torch.rand(n, fan_in, generator=rng, dtype=torch.float64) ** 2
    with torch.no_grad():
        module.weight.copy_(torch.randn(out, fan_in, generator=rng))
        module.weight[:, 3] = 0
        module.weight[0].abs_()
    x[:, 1] = 0
    pairs = [(x, torch.rand(n, out, generator=rng, dtype=torch.float64))]
    stats = calibrate(module, pairs, points=10 * n, statistics={"energy", "gradients"}).layers[0]
    return make_table(
        stats, delta=0.1, coverage_factor=1.0, bound=bound, eta=out, eta_star=max(fan_in, out),
        seed=(0, seed),
    )  # fmt: skip


def layer_tables() -> list[Table]:
    """Two of them."""
    return [layer_table(12, 40, 30, 0), layer_table(9, 30, 30, 1)]


def promised_network() -> tuple[nn.Sequential, Tensor]:
    """A network on which guarantee mode leaves weights out, and its calibration inputs."""
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(300, 6), nn.Sigmoid(), nn.Linear(6, 4)).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.1)
        net.get_parameter("0.weight")[2].abs_()
        net.get_parameter("0.weight")[3] = 0
    return net, torch.rand(30, 300, generator=rng).double() ** 2 + 0.02


@cache
def promised(method: str, bound: str) -> PruneResult:
    """That network, pruned with the promise EPS."""
    net, x = promised_network()
    return prune(net, x, method=method, bound=bound, eps=EPS, delta=DELTA)


@pytest.fixture(scope="session")
def trained_lenet(mnist_dir: Path) -> tuple[nn.Module, datasets.Dataset]:
    """LeNet-300-100 after two epochs of real MNIST."""
    data = datasets.load("mnist", data_dir=mnist_dir)
    model = models.build("lenet-300-100", seed=0)
    training.train(model, data, training.Recipe(2, 128, 2e-3))
    return model, data


def expected_nonzeros(plan: LayerPlan) -> float:
    """Expected number of weights that a draw of the plan keeps (SP-1, SP-8)."""
    total = 0.0
    for index in (0, 1):
        drawn = plan.draws[index] > 0
        q = plan.draw_probabilities(index)
        with np.errstate(divide="ignore"):
            kept = -np.expm1(plan.draws[index][:, None] * np.log1p(-np.minimum(q, 1.0)))
        mask = plan.sign(index)
        total += float(np.where(mask & drawn[:, None], kept, 0.0).sum())
        total += float(np.where(mask & ~drawn[:, None], plan.probability, 0.0).sum())
    return total
