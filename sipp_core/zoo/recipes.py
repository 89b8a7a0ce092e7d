"""How the reference networks are trained: recipes as data, the papers' own and short ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sipp_core.runtime.arguments import positive, whole

__all__ = ["SCHEDULES", "Recipe", "learnable", "learning_rate", "recipe"]

SCHEDULES = ("short", "paper")
"""Kinds of recipe that `recipe` knows. Claim: none (plumbing)."""

_OPTIMIZERS, _PRECISIONS = ("adam", "sgd"), ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long, how fast and on what versions of the inputs to train a model.

    Attributes:
        epochs: passes over the training inputs, >= 1.
        batch_size: inputs a step, >= 1.
        lr: peak learning rate, > 0; no unit.
        optimizer: "adam" or "sgd".
        momentum: of sgd, in [0, 1); 0 with adam.
        nesterov: whether sgd looks ahead; needs a momentum.
        weight_decay: factor of the weights that is added to their gradients, >= 0.
        warm_up: share of the steps over which the rate rises from 0 to lr, in [0, 1).
        milestones: epochs after which the rate is multiplied by 0.1, ascending; empty for half a
            cosine from lr down to 0.
        crop: zeros around an image of which a random part of the old size is taken, >= 0.
        flip: whether images are mirrored left to right with probability 1/2.
        precision: "float32", or "bfloat16" for products in mixed precision.
        channels_last: whether convolutions see channels as the innermost axis, which is faster on
            many processors and rounds otherwise.

    Raises:
        ValueError: a value out of range, or one that does not go with the others.
        TypeError: a value of a wrong type.

    Claim: none (plumbing).

    Example:
        >>> Recipe(epochs=20, batch_size=64, lr=0.002).optimizer
        'adam'
    """

    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "adam"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    warm_up: float = 0.05
    milestones: tuple[int, ...] = ()
    crop: int = 0
    flip: bool = False
    precision: str = "float32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        whole("epochs", self.epochs, 1)
        whole("batch_size", self.batch_size, 1)
        positive("lr", self.lr)
        whole("crop", self.crop, 0)
        for name, known in (("optimizer", _OPTIMIZERS), ("precision", _PRECISIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}; found {getattr(self, name)!r}"
                )
        for name in ("momentum", "warm_up"):
            _within(name, getattr(self, name), 1.0)
        _within("weight_decay", self.weight_decay, math.inf)
        if self.optimizer == "adam" and (self.momentum or self.nesterov):
            raise ValueError("momentum and nesterov are for optimizer='sgd'; adam has its own")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0; found 0")
        last = 0
        for epoch in self.milestones:
            whole("milestones", epoch, 1, self.epochs)
            if epoch <= last:
                raise ValueError(f"milestones must ascend; found {self.milestones}")
            last = epoch


def _within(name: str, value: float, below: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; found {value!r}")
    if not 0 <= value < below:
        raise ValueError(f"{name} must lie in [0, {below:g}); found {value}")


_RESNET = Recipe(
    epochs=182, batch_size=128, lr=0.1, optimizer="sgd", momentum=0.9, nesterov=True,
    weight_decay=1e-4, warm_up=0.0, milestones=(91, 136), crop=4, flip=True,
)  # fmt: skip
_LENET = Recipe(
    epochs=50, batch_size=64, lr=0.01, optimizer="sgd", momentum=0.9, weight_decay=1e-4,
    warm_up=0.0, milestones=(30, 45),
)  # fmt: skip
# One cycle: few epochs, a high rate, a stronger decay to match (Smith and Topin 2019).
_ONE_CYCLE = Recipe(
    epochs=12, batch_size=128, lr=0.2, optimizer="sgd", momentum=0.9, nesterov=True,
    weight_decay=5e-4, warm_up=0.2, crop=4, flip=True, precision="bfloat16", channels_last=True,
)  # fmt: skip
_SHORT: dict[tuple[str, str], Recipe] = {
    ("digits-mlp", "digits"): Recipe(epochs=40, batch_size=64, lr=3e-3),
    ("lenet-300-100", "mnist"): Recipe(epochs=15, batch_size=128, lr=2e-3),
    ("lenet-300-100", "fashion-mnist"): Recipe(epochs=15, batch_size=128, lr=1e-3),
    ("lenet-5", "mnist"): Recipe(epochs=4, batch_size=128, lr=3e-3),
    ("lenet-5", "fashion-mnist"): Recipe(epochs=8, batch_size=128, lr=3e-3),
    ("lenet-5-caffe", "mnist"): Recipe(
        epochs=4, batch_size=128, lr=1e-3, precision="bfloat16", channels_last=True
    ),
    ("resnet-20", "cifar10"): _ONE_CYCLE,
}
_PAPER: dict[tuple[str, str], Recipe] = {
    ("lenet-300-100", "mnist"): _LENET,
    ("lenet-300-100", "fashion-mnist"): _LENET,
    ("lenet-5", "mnist"): _LENET,
    ("lenet-5", "fashion-mnist"): _LENET,
    ("lenet-5-caffe", "mnist"): _LENET,
    ("resnet-20", "cifar10"): _RESNET,
}


def recipe(model_name: str, dataset_name: str, schedule: str = "short") -> Recipe:
    """Training recipe of a built-in model on a built-in data set.

    The papers' schedules are those of the pruning experiments, [SP] and its successors: MNIST with
    SGD 0.01, momentum 0.9, decay 1e-4, batches of 64, 50 epochs, the rate divided by 10 after 30
    and 45; CIFAR-10 with rate 0.1, batches of 128, decay 1e-4, 182 epochs, divided after 91 and
    136, Nesterov's momentum 0.9, random crops of 4 pixels and mirroring. The short ones are for two
    cores: minutes, half an hour for ResNet-20, where a cycle of few epochs replaces the 182.

    Args:
        model_name: a name from `sipp_core.models.NAMES`.
        dataset_name: a name from `sipp_core.datasets.NAMES`.
        schedule: "short", or "paper" for the published one.

    Returns:
        The recipe.

    Raises:
        ValueError: there is none, because the model does not fit the data set, or an unknown
            schedule.

    Claim: none (plumbing). Source: [SP] arXiv 1910.05422 (schedules); He et al. 2016, arXiv
        1512.03385 (crops and mirroring).

    Example:
        >>> recipe("lenet-300-100", "mnist").batch_size
        128
        >>> recipe("resnet-20", "cifar10", "paper").milestones
        (91, 136)
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; found {schedule!r}")
    recipes = _SHORT if schedule == "short" else _PAPER
    found = recipes.get((model_name, dataset_name))
    if found is None:
        known = ", ".join(f"{model} on {data}" for model, data in recipes)
        raise ValueError(
            f"no {'recipe' if schedule == 'short' else 'recipe of a paper'} for {model_name!r} on "
            f"{dataset_name!r}; there are: {known}"
        )
    return found


def learnable(model_name: str) -> tuple[str, ...]:
    """Data sets that there is a short recipe for.

    Args:
        model_name: a name from `sipp_core.models.NAMES`.

    Returns:
        Their names; none for a model that nobody has tried to train.

    Claim: none (plumbing).

    Example:
        >>> learnable("lenet-5"), learnable("vit-tiny")
        (('mnist', 'fashion-mnist'), ())
    """
    return tuple(data for model, data in _SHORT if model == model_name)


def learning_rate(asked: Recipe, step: int, per_epoch: int) -> float:
    """Learning rate of one step: a linear warm-up, then milestones or half a cosine down to zero.

    Args:
        asked: the recipe.
        step: index of the step, from 0.
        per_epoch: steps an epoch, >= 1.

    Returns:
        The rate, >= 0; no unit.

    Claim: none (plumbing).

    Example:
        >>> paper = recipe("resnet-20", "cifar10", "paper")
        >>> [round(learning_rate(paper, 391 * epoch, 391), 9) for epoch in (0, 90, 91, 136)]
        [0.1, 0.1, 0.01, 0.001]
    """
    steps = asked.epochs * per_epoch
    warm_up = max(1, int(steps * asked.warm_up)) if asked.warm_up else 0
    if step < warm_up:
        return asked.lr * (step + 1) / warm_up
    if asked.milestones:
        return asked.lr * 0.1 ** sum(step >= epoch * per_epoch for epoch in asked.milestones)
    return asked.lr * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
