"""What a call names of a pruning: its method, and how many inputs it calibrates on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sipp_cli import render

if TYPE_CHECKING:
    from torch import nn

    from sipp_core.methods import Method


class ArgumentsValid(Exception):
    """Raised when all arguments have been validated, before the first input is read."""


class NoInputs:
    """Calibration inputs for a call that is to be checked alone."""

    def __iter__(self) -> Iterator[Any]:
        """Raise ArgumentsValid: `prune` reads inputs after all checks."""
        raise ArgumentsValid


# Calibration inputs, at least, of a method that solves for weights on them.
HELD_INPUTS = 512


def method_of(name: str, settings: list[str], ranking: str | None = None) -> Method:
    """The method of that name with the parameters that --set gives, or --ranking of old."""
    from sipp_core.methods import find_method, variant

    rule, values = find_method(name), {}
    if ranking is not None:
        render.note(f"--ranking goes in the next release; write --set rank={ranking}")
        # What was the default says nothing of a method that does not rank.
        if ranking != "max" or "rank" in rule.settings():
            values["rank"] = ranking
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE; found {setting!r}")
        values[key] = value
    return variant(rule, values)


def calibration_size(
    choice: str | None, available: int, model: nn.Module, layers: list[str] | None, delta: float,
    holds: bool,
) -> tuple[int | None, str | None]:  # fmt: skip
    """How many inputs of a data set to calibrate on, and why, where no number was given."""
    if choice is not None:
        return (None if choice == "all" else _whole(choice)), None
    from sipp_core.pruning import calibration_need

    size, eta, widest = calibration_need(model, layers, delta)
    why = f"ES-4 under A1, for {eta:,} neurons of at most {widest:,} inputs and delta = {delta:g}"
    if holds and size < HELD_INPUTS:
        size, why = HELD_INPUTS, "the method solves for weights on them"
    if size >= available:
        return None, None
    return (
        size,
        f"{size:,} of {available:,} calibration inputs: {why}; --calibration-size says more",
    )


def _whole(choice: str) -> int:
    try:
        return int(choice)
    except ValueError:
        raise ValueError(f"--calibration-size must be a number or all; found {choice!r}") from None
