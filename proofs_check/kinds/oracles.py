"""Numbers against an independent way to get them: 50 digits, enumeration, convex solver, force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import mpmath

from proofs_check.ledger.evidence import Refuted

DIGITS = 50
TOLERANCE = 1e-12


def close(
    computed: float,
    truth: object,
    at: Mapping[str, object],
    safe: Literal["above", "below", "either"] = "either",
    relative: float = TOLERANCE,
) -> None:
    """Compare a float64 result with the truth, and see that it errs on the safe side."""
    exact = mpmath.mpf(truth)
    given = mpmath.mpf(computed)
    if mpmath.isinf(exact) or mpmath.isinf(given) or mpmath.isnan(given):
        agree = given == exact
    else:
        agree = abs(given - exact) <= relative * abs(exact)
        agree &= not (safe == "above" and given < exact)
        agree &= not (safe == "below" and given > exact)
    if not agree:
        raise Refuted(
            f"found {computed!r}, truth {mpmath.nstr(exact, 20)} (safe side: {safe}) at {dict(at)}"
        )
