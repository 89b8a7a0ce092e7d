"""One entry of the ledger: what is claimed, by whom, under what, and which code computes it."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proofs_check.ledger.registry import Body


@dataclass(frozen=True)
class Step:
    """One step of a proof.

    Attributes:
        says: the step, prose with LaTeX between dollars.
        proved_by: the symbolic check that derives it, None if no machine did.
        why_not: where `proved_by` is None, why it is not done by machine (a cited theorem, a
            measure-theoretic step).
    """

    says: str
    proved_by: Body | None = None
    why_not: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim of the ledger.

    Attributes:
        id: as in THEORY.md, "SP-3"; assumptions are "A1", "A2", "A-iid", ...
        name: what the field calls it.
        statement: prose with LaTeX between dollars.
        plain: the same for a reader who is no theorist, one sentence.
        source: paper with version and number.
        assumptions: ids of the assumptions that the statement itself needs.
        depends: ids of the claims that its proof uses.
        computes: the functions that compute it; for an assumption those that measure it.
        steps: of its proof.
        probabilistic: whether it promises a probability, so that it must have coverage.
        use_instead: id of a sharper claim for the same question, "" if none.
    """

    id: str
    name: str
    statement: str
    plain: str
    source: str
    assumptions: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    computes: tuple[Callable[..., Any], ...] = ()
    steps: tuple[Step, ...] = ()
    probabilistic: bool = False
    use_instead: str = ""

    @property
    def family(self) -> str:
        """Letters that the id begins with: "SP" of "SP-3", "A" of "A1"."""
        return "".join(itertools.takewhile(str.isalpha, self.id))


def public_name(function: Callable[..., Any]) -> str:
    """The name that a reader imports a function by: "sipp_theory.bernstein_size"."""
    name = function.__name__
    for package in ("sipp_theory", "sipp_core"):
        if getattr(importlib.import_module(package), name, None) is function:
            return f"{package}.{name}"
    return f"{function.__module__}.{name}"
