"""Scores: how far two networks' answers to one input are apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar

import torch
from torch import Tensor

UserScore = Callable[[Tensor, Tensor], Tensor]


class Score(ABC):
    """How far the answers of two networks to the same inputs are apart, one number an input.

    Attributes:
        label: in words, with the unit.
        event: whether the number is 0 or 1 for outputs (n, classes): then the share of inputs on
            which it happens is what is certified.

    Claim: none (the score of THEORY section 5).

    Example:
        >>> find_score("top-k:3")
        TopK(dim=None, k=3)
    """

    label: ClassVar[str]
    event: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """Name and parameters, as the command line takes them."""

    @property
    def unit(self) -> str:
        """The label with its parameters."""
        return self.label

    @abstractmethod
    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """Compare (n, ...) float64 answers of both networks; (n,) numbers."""

    def happens(self, shape: Sequence[int]) -> bool:
        """Whether it is an event for outputs of that shape."""
        return self.event and len(shape) == 2


@dataclass(frozen=True)
class RelativeL2(Score):
    """|f^(x) - f(x)|_2 / |f(x)|_2; 0 where both are 0, infinite where only f(x) is."""

    label = "relative L2 output error"

    @property
    def name(self) -> str:
        """Its one name."""
        return "relative-l2"

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """The ratio, (n,)."""
        before, after = before.flatten(1), after.flatten(1)
        distance = (after - before).norm(dim=1)
        return torch.where(distance == 0, 0.0, distance / before.norm(dim=1))


@dataclass(frozen=True)
class OfClasses(Score):
    """A score of class scores: of (n, classes), or of each position along another dimension.

    Attributes:
        dim: dimension of the classes; by default 1 of (n, classes), and required for outputs of
            more dimensions. Positions of one input count as one draw, by their mean.
    """

    dim: int | None = field(default=None, kw_only=True)

    @property
    def name(self) -> str:
        """Name with the dimension behind an @."""
        return self._word() + ("" if self.dim is None else f"@{self.dim}")

    @abstractmethod
    def _word(self) -> str:
        """Name without the dimension."""

    @abstractmethod
    def _each(self, before: Tensor, after: Tensor) -> Tensor:
        """Compare (n, positions, classes); (n, positions)."""

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """The mean over the positions, (n,)."""
        if before.ndim < 2 or (before.ndim > 2 and self.dim is None):
            raise ValueError(
                f"{self._word()!r} compares class scores, but outputs have shape "
                f"{tuple(before.shape)}: say which dimension holds the classes, as in "
                f"'{self._word()}@1'"
            )
        dim = 1 if self.dim is None else self.dim
        known = -before.ndim <= dim < before.ndim and dim % before.ndim > 0
        if not known or before.shape[dim] < 2:
            raise ValueError(
                f"{self.name!r}: dimension {dim} of outputs of shape {tuple(before.shape)} holds "
                "no two classes"
            )
        before, after = (
            t.movedim(dim, -1).reshape(len(t), -1, t.shape[dim]) for t in (before, after)
        )
        return self._each(before, after).double().mean(dim=1)


@dataclass(frozen=True)
class ClassChange(OfClasses):
    """Whether the predicted class changes; of positions the share that change.

    Attributes:
        dim: as in `OfClasses`.
    """

    label = "change of the predicted class"
    event = True

    def _word(self) -> str:
        return "class-change"

    def _each(self, before: Tensor, after: Tensor) -> Tensor:
        return before.argmax(-1) != after.argmax(-1)


@dataclass(frozen=True)
class TopK(OfClasses):
    """Whether the original's class is no longer among the k highest scores of the other network.

    Attributes:
        dim: as in `OfClasses`.
        k: how many, from 1; ties count against the class.
    """

    k: int = 5
    label = "loss of the predicted class from the k highest"
    event = True

    @property
    def unit(self) -> str:
        """The label with the number."""
        return f"loss of the predicted class from the {self.k} highest"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"top-k needs k of at least 1; found {self.k!r}")

    def _word(self) -> str:
        return f"top-k:{self.k}"

    def _each(self, before: Tensor, after: Tensor) -> Tensor:
        if self.k >= after.shape[-1]:
            raise ValueError(f"{self.name!r}: there are only {after.shape[-1]} classes")
        mine = after.gather(-1, before.argmax(-1, keepdim=True))
        return (after >= mine).sum(-1) > self.k


@dataclass(frozen=True)
class SoftmaxKL(OfClasses):
    """KL divergence of the softmax outputs, sum p log(p/q), in nats.

    Attributes:
        dim: as in `OfClasses`.
    """

    label = "KL divergence of the softmax outputs, nats"

    def _word(self) -> str:
        return "kl"

    def _each(self, before: Tensor, after: Tensor) -> Tensor:
        first, second = before.log_softmax(-1), after.log_softmax(-1)
        return (first.exp() * (first - second)).sum(-1).clamp(min=0.0)


@dataclass(frozen=True)
class Custom(Score):
    """A user's function of both networks' outputs."""

    function: UserScore
    label = "the user's score"

    @property
    def name(self) -> str:
        """The function's own name."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    def __call__(self, before: Tensor, after: Tensor) -> Tensor:
        """What the function returns, (n,)."""
        values = self.function(before, after)
        if not isinstance(values, Tensor) or values.shape != before.shape[:1]:
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(
                f"score {self.name!r} must return one number an input, ({len(before)},); "
                f"found {shape}"
            )
        return values.detach().double().cpu()


SCORES: dict[str, type[Score]] = {
    "relative-l2": RelativeL2, "class-change": ClassChange, "top-k": TopK, "kl": SoftmaxKL,
}  # fmt: skip


def find_score(score: str | Score | UserScore) -> Score:
    """Return the score that is meant.

    Args:
        score: an object, a function (before, after) -> (n,), or a name: "relative-l2",
            "class-change", "top-k:K", "kl", the last three with @DIM for the dimension of the
            classes in outputs of more than two dimensions.

    Returns:
        The score.

    Raises:
        ValueError: no such name, or a parameter that it does not have.

    Claim: none (the score of THEORY section 5).

    Example:
        >>> find_score("class-change@1").name
        'class-change@1'
    """
    if isinstance(score, Score):
        return score
    if not isinstance(score, str):
        return Custom(score)
    rest, _, dim = score.partition("@")
    word, _, number = rest.partition(":")
    given = {name: int(text) for name, text in (("k", number), ("dim", dim)) if text.isdigit()}
    kind = SCORES.get(word)
    known = {field.name for field in fields(kind)} if kind else set()  # type: ignore[arg-type]
    whole = (not number or "k" in given) and (not dim or "dim" in given)
    if kind is None or not whole or not set(given) <= known:
        raise ValueError(
            f"score must be one of {', '.join(SCORES)} (top-k:5, and class-change@1 where "
            f"dimension 1 holds the classes of each position); found {score!r}"
        )
    return kind(**given)
