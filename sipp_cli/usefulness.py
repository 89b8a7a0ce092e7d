"""Whether a pruned network is of use: accuracy where it is known, else what its outputs do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sipp_cli import networks

if TYPE_CHECKING:
    from sipp_core import PruneResult
    from sipp_core.zoo import Dataset

# What is taken with a budget unless another method is named, and advised where that one fails.
USUAL = "sipp-network"
# Accuracy that a pruned network may lose, or classes that may change, before it counts as broken.
BROKEN = 0.2
# Where outputs are no classes: their error, of their size, on half of the calibration inputs.
BROKEN_ERROR = 0.5
# Prunings that look for the share of the weights at which it is of use.
BISECTIONS = 4


@dataclass(frozen=True)
class Usefulness:
    """What is measured of a whole pruned network.

    Attributes:
        accuracy: test accuracy before and after, where inputs and classes are known to fit.
        changed: share of calibration inputs whose class is another, where outputs are classes.
        error: median of |h^ - h|/|h| over the calibration inputs.
    """

    accuracy: dict[str, float] | None = None
    changed: float | None = None
    error: float | None = None

    @property
    def broken(self) -> bool:
        """Whether the network is of no use."""
        if self.accuracy is not None:
            return self.accuracy["after"] <= self.accuracy["before"] - BROKEN
        if self.changed is not None:
            return self.changed >= BROKEN
        return self.error is not None and self.error >= BROKEN_ERROR

    def loss(self) -> str:
        """What was lost, in words."""
        if self.accuracy is not None:
            before, after = self.accuracy["before"], self.accuracy["after"]
            return f"test accuracy fell from {before:.1%} to {after:.1%}"
        if self.changed is not None:
            return f"its class is another on {self.changed:.1%} of the calibration inputs"
        return f"on half of the calibration inputs its output is off by {self.error:.0%} or more"

    def rest(self) -> str:
        """The figure of `loss` by itself."""
        if self.accuracy is not None:
            return f"{self.accuracy['after']:.1%}"
        return f"{self.error:.0%}" if self.changed is None else f"{self.changed:.1%}"

    def moved(self) -> str | None:
        """What the outputs do on the calibration inputs, in a sentence."""
        if self.error is None:
            return None
        classes = "" if self.changed is None else f", and the class of {self.changed:.1%} changes"
        return (
            f"On the calibration inputs the output is off by {self.error:.1%} of its size in the "
            f"median{classes} (measured)."
        )


def measured(
    network: networks.Network, result: PruneResult, given: Any, data: Dataset | None, **how: Any
) -> Usefulness:
    """Hold both networks against each other; `how` says what of their outputs counts."""
    import numpy as np

    from sipp_core.certificates import output_errors
    from sipp_core.zoo import accuracy

    right, changed, error = None, None, None
    if data is not None and network.built_in:
        right = {
            when: accuracy(model, data.test_inputs, data.test_targets)
            for when, model in (("before", network.model), ("after", result.model))
        }
    # What `prune` takes may answer with what is not to be compared.
    with contextlib.suppress(ValueError, TypeError):
        errors, classes = output_errors(network.model, result.model, given, **how)
        error, changed = float(np.median(errors)), float(classes.mean()) if len(classes) else None
    return Usefulness(right, changed, error)


def useful(
    keep: float, look: Callable[[float], Usefulness]
) -> tuple[float, Usefulness] | None:  # fmt: skip
    """The least share that bisection finds to give a network of use, and what it is like."""
    broken, sound, best = keep, 1.0, None
    for _ in range(BISECTIONS):
        middle = round((broken + sound) / 2, 2)
        if not broken < middle < sound:
            break
        seen = look(middle)
        if seen.broken:
            broken = middle
        else:
            sound, best = middle, (middle, seen)
    return best


def warning(seen: Usefulness, enough: tuple[float, Usefulness] | None, method: str) -> str:
    """What the first line says of a network that is of no use."""
    advice = "Keep more weights"
    if enough is not None:
        advice = f"--keep {enough[0]:g} gives {enough[1].rest()}"
    other = "" if method == USUAL else f"; or take --method {USUAL}"
    return f"This network is broken: {seen.loss()}. {advice}{other}."
