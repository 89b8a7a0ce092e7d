"""Laws of corruption: held-out inputs perturbed at random, each by draws of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sipp_core.runtime.batch import Given, shape_of
from sipp_core.runtime.numbers import Float, generator

STREAM = 91
Draw = Callable[[Float, float, np.random.Generator], Float]


def _gaussian(x: Float, amount: float, rng: np.random.Generator) -> Float:
    return x + amount * rng.standard_normal(x.shape)


def _uniform(x: Float, amount: float, rng: np.random.Generator) -> Float:
    return x + rng.uniform(-amount, amount, x.shape)


def _dropout(x: Float, amount: float, rng: np.random.Generator) -> Float:
    return np.where(rng.random(x.shape) < amount, 0.0, x)


def _scale(x: Float, amount: float, rng: np.random.Generator) -> Float:
    return x * rng.uniform(1 - amount, 1 + amount)


# The place of a law is part of its random stream: new ones go to the end.
LAWS: dict[str, tuple[Draw, str, float]] = {
    "gaussian": (_gaussian, "adds normal noise of that standard deviation", np.inf),
    "uniform": (_uniform, "adds noise uniform between minus and plus that", np.inf),
    "dropout": (_dropout, "sets each number to 0 with that probability", 1.0),
    "scale": (_scale, "multiplies the input by a factor within 1 +- that", 1.0),
}


@dataclass(frozen=True)
class Corruption:
    """A law by which each input is perturbed on its own, so that perturbed inputs stay i.i.d.

    Attributes:
        law: "gaussian", "uniform", "dropout" or "scale".
        amount: how much, > 0, in the inputs' unit (a probability for dropout).

    Claim: CT-7. Source: Hendrycks and Dietterich, ICLR 2019, for the question.

    Example:
        >>> Corruption("gaussian", 0.1).name
        'gaussian:0.1'
    """

    law: str
    amount: float

    def __post_init__(self) -> None:
        if (
            self.law not in LAWS
            or not 0 < self.amount <= LAWS[self.law][2]
            or self.amount == np.inf
        ):
            raise _unknown(f"{self.law}:{self.amount:g}")

    @property
    def name(self) -> str:
        """Law and amount, as the command line takes them."""
        return f"{self.law}:{self.amount:g}"

    def __call__(self, batch: Given, first: int, seed: int) -> Tensor:
        """Perturb the inputs of places first, first + 1, ...; (n, ...) floats.

        What is drawn depends on the seed, the law and an input's place, not on the batches.
        """
        if not isinstance(batch, Tensor) or not batch.is_floating_point():
            raise TypeError(f"{self.name} needs inputs of floats; found {shape_of(batch)}")
        number, draw = list(LAWS).index(self.law), LAWS[self.law][0]
        rows = batch.detach().double().cpu().numpy()
        moved = [
            draw(row, self.amount, generator(seed, STREAM, number, first + place))
            for place, row in enumerate(rows)
        ]
        return torch.from_numpy(np.stack(moved)).to(batch.dtype)


def find_corruption(given: str | Corruption) -> Corruption:
    """Return the law that "gaussian:0.1" and its like name.

    Args:
        given: a law, or its name and amount with a colon between.

    Returns:
        The law.

    Raises:
        ValueError: no such law, or an amount out of its range.

    Claim: CT-7. Source: Hendrycks and Dietterich, ICLR 2019, for the question.

    Example:
        >>> find_corruption("dropout:0.2").amount
        0.2
    """
    if isinstance(given, Corruption):
        return given
    law, _, amount = given.partition(":")
    try:
        return Corruption(law, float(amount))
    except ValueError:
        raise _unknown(given) from None


def _unknown(given: str) -> ValueError:
    laws = "; ".join(f"{name}:AMOUNT {amount}" for name, (_, amount, _) in LAWS.items())
    return ValueError(f"no corruption {given!r}; there are {laws}")
