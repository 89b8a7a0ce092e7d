"""Every mutation of the families, and the ways to weaken a function that families share."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from proofs_check.ledger.mutation import Function, Mutation
from proofs_check.ledger.registry import modules


@cache
def all_mutations() -> dict[str, Mutation]:
    """Every mutation by name, "mutations.<family>.<name>"."""
    mutations: dict[str, Mutation] = {}
    for module in modules():
        for mutation in getattr(module, "MUTATIONS", ()):
            name = f"mutations.{module.__name__.split('.')[-2]}.{mutation.name}"
            if name in mutations:
                raise ValueError(f"mutation {name!r} is defined twice")
            mutations[name] = mutation
    return mutations


def divided(by: float) -> Function:
    """The same size, divided and rounded up."""
    return lambda size: lambda *given, **named: np.ceil(size(*given, **named) / by)


def scaled(by: float) -> Function:
    """The same number, multiplied."""
    return lambda original: lambda *given, **named: original(*given, **named) * by


def fields_scaled(**factors: float) -> Function:
    """The same record with some of its numbers multiplied."""

    def wrong(original: Function) -> Function:
        def record(*given: object, **named: object) -> object:
            right = original(*given, **named)
            return replace(right, **{name: getattr(right, name) * k for name, k in factors.items()})

        return record

    return wrong
