"""Context models: probabilities learnt from what was coded so far; nothing of them is sent.

A pair counts how often a decision was 0 and 1 in its context, in units of 1/`SEEN`; hints are the
weights of a logistic regression, Gaussian and updated after each decision. Whole numbers and plain
arithmetic only, so that the reader, on any machine, learns what the writer learnt.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from sipp_core.compression.loops import (
    LONGEST,
    SEEN,
    START,
    Hints,
    Pairs,
    adapt,
    code_choice,
    code_number,
)
from sipp_core.compression.range_coder import Coder

# How much a pair is trusted that another tensor hands on.
TRUST = 12 * SEEN
# Variance that what a hint learnt in one tensor has in the next.
DOUBT = 0.02
# Contexts of a number: its length so far, and then its first bit by its length.
LENGTHS = 2 * (LONGEST + 1)
# The most decisions that a number takes.
NUMBER = 2 * LONGEST


class ContextModels:
    """Adaptive models of decisions: pairs and hints by the name of their contexts."""

    def __init__(self) -> None:
        self._pairs: dict[Hashable, Pairs] = {}
        self._hints: dict[Hashable, Hints] = {}

    def pairs(self, name: Hashable, count: int, start: int = -1) -> Pairs:
        """The pairs of some contexts, to be learnt in place; new ones start from equal counts."""
        if name not in self._pairs:
            self._pairs[name] = np.full((count, 2), start, np.int64)
        return self._pairs[name]

    def hints(self, name: Hashable, means: Any, variances: Any) -> Hints:
        """The hints of a name, to be learnt in place; new ones have these means and variances."""
        if name not in self._hints:
            hints = np.empty((np.size(variances), 2))
            hints[:, 0], hints[:, 1] = means, variances
            self._hints[name] = hints
        return self._hints[name]

    def copy(self) -> ContextModels:
        """A copy that learns on its own."""
        contexts = ContextModels()
        contexts._pairs = {name: pairs.copy() for name, pairs in self._pairs.items()}
        contexts._hints = {name: hints.copy() for name, hints in self._hints.items()}
        return contexts

    def aged(self) -> ContextModels:
        """A copy that trusts what it learnt no more than so far."""
        contexts = self.copy()
        for pairs in contexts._pairs.values():
            totals = pairs.sum(axis=1, keepdims=True)
            if totals.max() > TRUST:
                shrunk = np.maximum(1, pairs * TRUST // np.maximum(totals, 1))
                np.copyto(pairs, shrunk, where=totals > TRUST)
        for hints in contexts._hints.values():
            hints[hints[:, 1] >= 0, 1] += DOUBT
        return contexts

    def learned(self, other: ContextModels) -> ContextModels:
        """What others have learnt, and of the rest what these have; arrays are shared."""
        contexts = ContextModels()
        contexts._pairs = _newest(self._pairs, other._pairs)
        contexts._hints = _newest(self._hints, other._hints)
        return contexts


def _newest(old: dict[Hashable, Any], new: dict[Hashable, Any]) -> dict[Hashable, Any]:
    known = {name: old.get(name, values) for name, values in new.items()}
    return old | {k: np.where(v[:, 1:] >= 0, v, known[k]) for k, v in new.items()}


def chance(coder: Coder, contexts: ContextModels, name: Hashable, value: int) -> int:
    """Code a decision of that name."""
    decision = adapt(*coder.room(1), contexts.pairs(name, 1)[0], value, START, START)
    coder.check()
    return decision


def choose(coder: Coder, contexts: ContextModels, name: Hashable, value: int, count: int) -> int:
    """Code one of so many options."""
    option = code_choice(*coder.room(count), contexts.pairs(name, count - 1), value)
    coder.check()
    return option


def number(coder: Coder, contexts: ContextModels, name: Hashable, value: int) -> int:
    """Code a whole number >= 0 of any size."""
    result = code_number(*coder.room(NUMBER), contexts.pairs((name, "number"), LENGTHS), value)
    coder.check()
    return result
