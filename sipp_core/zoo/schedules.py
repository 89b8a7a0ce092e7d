"""How a network is trained, as data, and the learning rate of each step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sipp_core.runtime.arguments import positive, whole

__all__ = ["Recipe", "learning_rate"]


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
        for name, known in (("optimizer", ("adam", "sgd")), ("precision", ("float32", "bfloat16"))):
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


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Learning rate of one step: a linear warm-up, then milestones or half a cosine down to zero.

    Args:
        recipe: how the network is trained.
        step: index of the step, from 0.
        per_epoch: steps an epoch, >= 1.

    Returns:
        The rate, >= 0; no unit.

    Raises:
        TypeError: a step that is no number.

    Example:
        >>> tenfold = Recipe(182, 128, 0.1, warm_up=0.0, milestones=(91, 136))
        >>> [round(learning_rate(tenfold, 391 * epoch, 391), 9) for epoch in (0, 90, 91, 136)]
        [0.1, 0.1, 0.01, 0.001]
    """
    steps = recipe.epochs * per_epoch
    warm_up = max(1, int(steps * recipe.warm_up)) if recipe.warm_up else 0
    if step < warm_up:
        return recipe.lr * (step + 1) / warm_up
    if recipe.milestones:
        return recipe.lr * 0.1 ** sum(step >= epoch * per_epoch for epoch in recipe.milestones)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
