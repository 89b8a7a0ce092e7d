"""Steps of proofs, derived by sympy; `equal` and `holds` are the two ways to derive one."""

from __future__ import annotations

from typing import Any

import sympy as sp

from proofs_check.ledger.evidence import Refuted, Unproved


def equal(left: sp.Expr, right: sp.Expr, step: str) -> None:
    """Derive an identity."""
    difference = sp.simplify(sp.expand(left - right))
    if difference == 0:
        return
    free = sorted(difference.free_symbols, key=str)
    for number in range(1, 6):
        # Rational points of mixed size; symbols that must be whole or positive are at all of them.
        point: dict[Any, Any] = {s: number + 2 * i if s.is_integer else sp.Rational(number, 3) + i
                 for i, s in enumerate(free)}  # fmt: skip
        gap = sp.N(difference.subs(point), 30)
        if gap.is_number and abs(gap) > sp.Float("1e-20"):
            raise Refuted(f"{step}: sides differ by {sp.N(gap, 6)} at {point}")
    raise Unproved(f"{step}: left is {difference}, which sympy does not reduce to 0")


def holds(condition: object, step: str) -> None:
    """Derive that a condition is true whatever its symbols are, under their assumptions."""
    simplified = sp.simplify(condition) if isinstance(condition, sp.Basic) else condition
    if simplified in (True, sp.true):
        return
    if simplified in (False, sp.false):
        raise Refuted(f"{step}: false")
    raise Unproved(f"{step}: sympy leaves {simplified}")
