"""The algebra behind SP-1 to SP-5x: drawing weights with replacement."""

from __future__ import annotations

import sympy as sp

from proofs_check.registry import Setting, check
from proofs_check.symbolic import equal


@check("SP-3")
def bernstein_inverse(setting: Setting) -> None:
    """The error that SP-3 promises for m draws solves Bernstein's equation for m exactly."""
    m, log, variance, largest = sp.symbols("m L v b", positive=True)
    linear = largest * log / (3 * m)
    error = linear + sp.sqrt(linear**2 + 2 * variance * log / m)
    asked = (2 * variance + sp.Rational(2, 3) * largest * error) * log
    equal(m * error**2, asked, "m eps^2 = (2 v + 2 b eps/3) L at the error promised")
