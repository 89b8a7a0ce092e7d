"""Reference networks, one record each: how it is built, what it learns and by which recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from sipp_core.zoo import architectures
from sipp_core.zoo.schedules import Recipe


@dataclass(frozen=True, eq=False)
class Network:
    """A reference network.

    Attributes:
        name: what it is called everywhere.
        number: how a compressed file names it; never given to another.
        input_shape: of one input, without the batch axis.
        layers: makes the module; its weights are drawn afterwards.
        recipes: how it is trained, by data set and then by schedule; empty if it stays untrained.
        pretrained: the data set that the weights in the package have learnt; None without such.
    """

    name: str
    number: int
    input_shape: tuple[int, ...]
    layers: Callable[[], nn.Module]
    recipes: Mapping[str, Mapping[str, Recipe]] = field(default_factory=dict)
    pretrained: str | None = None


_LENET = Recipe(
    epochs=50, batch_size=64, lr=0.01, optimizer="sgd", momentum=0.9, weight_decay=1e-4,
    warm_up=0.0, milestones=(30, 45),
)  # fmt: skip
_RESNET = Recipe(
    epochs=182, batch_size=128, lr=0.1, optimizer="sgd", momentum=0.9, nesterov=True,
    weight_decay=1e-4, warm_up=0.0, milestones=(91, 136), crop=4, flip=True,
)  # fmt: skip
# One cycle: few epochs, a high rate, a stronger decay to match (Smith and Topin 2019).
_ONE_CYCLE = Recipe(
    epochs=12, batch_size=128, lr=0.2, optimizer="sgd", momentum=0.9, nesterov=True,
    weight_decay=5e-4, warm_up=0.2, crop=4, flip=True, precision="bfloat16", channels_last=True,
)  # fmt: skip
_CAFFE = Recipe(epochs=4, batch_size=128, lr=1e-3, precision="bfloat16", channels_last=True)
_GREY, _COLOUR = (1, 28, 28), (3, 32, 32)


def _lenets(mnist: Recipe, fashion: Recipe) -> dict[str, dict[str, Recipe]]:
    """Short recipes on both data sets, beside the papers' common one."""
    return {
        name: {"short": short, "paper": _LENET}
        for name, short in (("mnist", mnist), ("fashion-mnist", fashion))
    }


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            "lenet-300-100", 1, (784,), lambda: architectures.dense(784, 300, 100, 10),
            _lenets(Recipe(15, 128, 2e-3), Recipe(15, 128, 1e-3)),
        ),
        Network(
            "digits-mlp", 2, (64,), lambda: architectures.dense(64, 128, 64, 10),
            {"digits": {"short": Recipe(40, 64, 3e-3)}},
        ),
        Network(
            "lenet-5", 3, _GREY, lambda: architectures.lenet((6, 16), 2, 400, 120, 84, 10),
            _lenets(Recipe(4, 128, 3e-3), Recipe(8, 128, 3e-3)), pretrained="mnist",
        ),
        Network(
            "lenet-5-caffe", 9, _GREY, lambda: architectures.lenet((20, 50), 0, 800, 500, 10),
            {"mnist": {"short": _CAFFE, "paper": _LENET}},
        ),
        Network("vgg-small", 4, _COLOUR, lambda: architectures.vgg(32, 64, 128)),
        Network(
            "resnet-20", 5, _COLOUR, lambda: architectures.resnet(20),
            {"cifar10": {"short": _ONE_CYCLE, "paper": _RESNET}}, pretrained="cifar10",
        ),
        Network("vit-tiny", 6, _COLOUR, architectures.vit_tiny),
    )
}  # fmt: skip
"""Every reference network by its name."""
