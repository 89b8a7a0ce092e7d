"""From a fraction to plans, and from plans to multipliers; CoreNet++'s overshoot is mended here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from sipp_core.methods import corenet
from sipp_core.pruning import budget, by_mean, planning
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.promise import Table
from sipp_core.runtime.numbers import Float, generator
from sipp_core.sensitivity.calibrate import Calibration

# CoreNet++ sets every 5th calibration input aside to choose candidates on.
VALIDATION_EVERY = 5
# It plans again while what it chose exceeds the budget by more than this share of it.
OVERSHOOT = 0.01
MENDING_PASSES = 3

Layer = TypeVar("Layer")


def by_budget(
    tables: list[Table], method: str, asked: Sequence[float], mean: bool = False
) -> list[LayerPlan]:
    """Plan for a fraction per layer, or for one fraction of all layers together.

    Claim: AL-1. Source: [SP] arXiv 1910.05422.
    """
    if all(fraction == 1 for fraction in asked):
        return [
            planning.base_plan(t, probability=(t.weight != 0).astype(np.float64)) for t in tables
        ]
    rule = by_mean.BY_MEAN[method] if mean else budget.RULES[method]
    plans: list[LayerPlan] = []
    for group, fraction in zip(_scopes(tables, len(asked)), asked, strict=True):
        size = sum(t.weight.size for t in group)
        plans += rule(group, max(1.0, float(np.rint(fraction * size))))
    return plans


def _scopes(layers: list[Layer], count: int) -> list[list[Layer]]:
    return [layers] if count == 1 else [[layer] for layer in layers]


def mended(
    plans: list[LayerPlan], tables: list[Table], stats: Calibration, method: str,
    asked: Sequence[float], delta: float, seed: int,
) -> list[LayerPlan]:  # fmt: skip
    """Ask for less until the candidates that are chosen leave what was asked for.

    A candidate with more distinct weights tends to have the smaller error, so choosing the best of
    several prefers it and overshoots the budget that a single draw meets in expectation. Each
    rehearsal throws dice of its own: SP-10 speaks of a plan that was settled before its draws.

    Claim: SP-10. Source: [OWN], an observation.
    """
    fractions = list(asked)
    for rehearsal in range(1, MENDING_PASSES + 1):
        multipliers = sample(plans, tables, stats, delta, seed, True, rehearsal)
        left = [
            sum(np.count_nonzero(m) for m in group) / sum(m.size for m in group)
            for group in _scopes(multipliers, len(asked))
        ]
        if all(x <= a * (1 + OVERSHOOT) for x, a in zip(left, asked, strict=True)):
            break
        fractions = [f * min(1.0, a / x) for f, a, x in zip(fractions, asked, left, strict=True)]
        plans = by_budget(tables, method, fractions)
    return plans


def sample(
    plans: Sequence[LayerPlan], tables: Sequence[Table], stats: Calibration, delta: float,
    seed: int, amplified: bool, *rehearsal: int,
) -> list[Float]:  # fmt: skip
    """Draw every layer once, or choose each pair's best candidate on the inputs set aside.

    Shapes: returns (out, fan_in).

    Claim: SP-1, SP-8, SP-10. Source: [SP] arXiv 1910.05422, [CN] arXiv 1804.05345, [OWN].
    """
    if not amplified:
        return [draw(plan, generator(seed, index, 0)) for index, plan in enumerate(plans)]
    result = []
    for index, (plan, table) in enumerate(zip(plans, tables, strict=True)):
        held_out = stats.validation.get(plan.name)
        if held_out is None or held_out.shape[1] == 0:
            raise ValueError(
                f"corenet++ sets every {VALIDATION_EVERY}th calibration input aside to choose "
                f"candidates on; found only {stats.inputs} inputs"
            )
        points = held_out.numpy()
        result.append(corenet.best_of(plan, table.weight, points, delta, seed, index, *rehearsal))
    return result
