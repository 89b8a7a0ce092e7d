"""Online logistic regression, so that many weak hints add up to one probability.

Each hint has a weight with a mean and a variance; after each decision both are updated by one step
of an extended Kalman filter with independent weights. A hint of small variance costs little when it
turns out to be worthless. Only + - * / and square roots of float64 numbers are used, one at a time:
these are rounded the same way on every machine.
"""

from __future__ import annotations

import math

from sipp_core.coding import WHOLE, Coder

# A hint: [mean, variance] of its weight.
Hint = list[float]

# exp(1/32), correctly rounded, as a literal: no machine's exp is trusted with it.
_ROOT = 1.0317434074991028
_PER_UNIT, _FARTHEST = 32, 14
SPREAD = 0.39269908169872414  # pi / 8


def _table() -> list[float]:
    """1 / (1 + exp(-x)) at x = 0, 1/32, ... by multiplication."""
    found, power = [], 1.0
    for _ in range(_PER_UNIT * _FARTHEST + 2):
        found.append(power / (1.0 + power))
        power *= _ROOT
    return found


_LOGISTIC = _table()


def logistic(x: float) -> float:
    """1 / (1 + exp(-x)) within 2e-5, the same on every machine."""
    place = min(abs(x), float(_FARTHEST)) * _PER_UNIT
    k = int(place)
    low = _LOGISTIC[k]
    found = low + (_LOGISTIC[k + 1] - low) * (place - k)
    return found if x >= 0 else 1.0 - found


def decide(coder: Coder, said: list[tuple[Hint, float]], value: int) -> int:
    """Code a decision in the light of hints, each of a size, which then learn from it."""
    mean = spread = 0.0
    for hint, size in said:
        mean += hint[0] * size
        spread += hint[1] * size * size
    one = int(logistic(mean / math.sqrt(1.0 + SPREAD * spread)) * WHOLE)
    found = coder.bit(value, min(max(one, 1), WHOLE - 1))
    sure = logistic(mean)
    steep = sure * (1.0 - sure)
    gain = 1.0 / (1.0 + steep * spread)
    wrong = (found - sure) * gain
    for hint, size in said:
        by = hint[1] * size
        hint[0] += by * wrong
        hint[1] -= by * by * steep * gain
    return found
