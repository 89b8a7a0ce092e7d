"""Mutations: a weakened copy of the code under test, which the checks must refute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from proofs_check.ledger.registry import Body

OURS = ("sipp_theory", "sipp_core", "proofs_check")
Function = Callable[..., Any]


@dataclass(frozen=True)
class Mutation:
    """A weakened copy of one function.

    Attributes:
        claim: id of the claim that it breaks.
        name: of the mutation, unique in its module, "constant_halved".
        says: what is weakened, one sentence.
        target: the function.
        wrong: (original) -> the weakened function.
        by: the checks that must refute it, the cheapest first; one is enough.
    """

    claim: str
    name: str
    says: str
    target: Function
    wrong: Callable[[Function], Function]
    by: tuple[Body, ...]


@contextmanager
def substituted(original: Function, wrong: Callable[[Function], Function]) -> Iterator[None]:
    """Put another function in the place of one, wherever our packages have it by name."""
    other = wrong(original)
    places = [
        (module, name)
        for key, module in list(sys.modules.items())
        if key.partition(".")[0] in OURS
        for name, value in list(vars(module).items())
        if value is original
    ]
    for module, name in places:
        setattr(module, name, other)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, original)
