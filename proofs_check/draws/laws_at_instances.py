"""Laws of SP-5 and SP-5x, the bounds that know the shares at given inputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.draws.laws import WIDE_CHANCES, WIDE_TARGETS, instance
from proofs_check.instances.strategies import share_rows
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

KINDS = ("cramer", "exact")


def size_of(kind: str, g: np.ndarray, q: np.ndarray, eps: float, delta: float) -> float:
    """What a kind asks for."""
    return float(getattr(sipp_theory, f"{kind}_size")(g, q, eps, delta))


def error_of(kind: str, g: np.ndarray, q: np.ndarray, m: float, delta: float) -> float:
    """What a kind promises."""
    return float(getattr(sipp_theory, f"{kind}_error")(g, q, m, delta))


@law("SP-3", "SP-4", "SP-5", "SP-5x")
def ladder(setting: Setting) -> Result:
    """SP-5x <= SP-5 <= SP-4 <= SP-3 on S, in sizes and in errors, drawn by s/S."""

    @given(share_rows(points=4), WIDE_TARGETS, WIDE_CHANCES, st.integers(1, 60))
    def law(rows: np.ndarray, eps: float, delta: float, m: int) -> None:
        g, q, total = instance(rows)
        sizes = [size_of(kind, g, q, eps, delta) for kind in ("exact", "cramer")]
        sizes += [float(sipp_theory.kl_size(total, eps, delta))]
        sizes += [float(sipp_theory.bernstein_size(total, eps, delta))]
        # q = s/S is rounded, so a draw may exceed M by a rounding: one draw more at most.
        assert all(a <= b + 1 for a, b in pairwise(sizes)), sizes
        assert sizes[0] <= sizes[1], sizes
        errors = [error_of(kind, g, q, m, delta) for kind in ("exact", "cramer")]
        errors += [float(sipp_theory.kl_error(total, m, delta))]
        errors += [float(sipp_theory.bernstein_error(total, m, delta))]
        slack = 1 + 1e-9
        assert all(a <= b * slack + 1e-9 for a, b in pairwise(errors)), errors

    return hold(setting, law, examples=15)


@law("SP-5", "SP-5x")
def instance_bounds_are_inverse(setting: Setting) -> Result:
    """The size meets eps on every input and one draw less does not."""

    @given(share_rows(points=3, inputs=5), WIDE_TARGETS, WIDE_CHANCES)
    def law(rows: np.ndarray, eps: float, delta: float) -> None:
        g, q, _ = instance(rows)
        for kind in KINDS:
            m = size_of(kind, g, q, eps, delta)
            assert m == np.floor(m) >= 1, (kind, m)
            assert error_of(kind, g, q, m, delta) <= eps, (kind, m)
            assert m == 1 or error_of(kind, g, q, m - 1, delta) > eps, (kind, m)

    return hold(setting, law, examples=8)


@law("SP-5", "SP-5x")
def order_copies_and_dead_inputs_change_nothing(setting: Setting) -> Result:
    """Permuted weights, repeated or dead inputs, and a weight cut in two change no size."""

    @given(share_rows(points=3, inputs=5), WIDE_TARGETS, WIDE_CHANCES)
    def law(rows: np.ndarray, eps: float, delta: float) -> None:
        g, q, _ = instance(rows)
        halves = np.concatenate([g[:, :1] / 2, g[:, :1] / 2, g[:, 1:]], axis=1)
        halved = np.concatenate([q[:1] / 2, q[:1] / 2, q[1:]])
        for kind in KINDS:
            m = size_of(kind, g, q, eps, delta)
            # A sum in another order may round to the other side of a jump of a lattice law.
            near = {m - 1, m, m + 1}
            assert size_of(kind, np.vstack([g, g, 0 * g[:1]]), q, eps, delta) == m, kind
            assert size_of(kind, g[:, ::-1], q[::-1], eps, delta) in near, kind
            assert size_of(kind, halves, halved, eps, delta) in near, kind

    return hold(setting, law, examples=10)


@law("SP-5", "SP-5x")
def instance_bounds_are_monotone(setting: Setting) -> Result:
    """More inputs or a smaller delta never promise a smaller error, whatever the draws."""

    @given(share_rows(points=4, inputs=5), st.integers(1, 200), WIDE_CHANCES, st.floats(1, 9))
    def law(rows: np.ndarray, m: int, delta: float, more: float) -> None:
        g, q, _ = instance(rows)
        for kind in KINDS:
            error = error_of(kind, g, q, m, delta)
            assert error_of(kind, g[:1], q, m, delta) <= error * (1 + 1e-9) + 1e-12, kind
            # The grid of SP-5x pays for its rounding with a share of delta: some percent.
            slack = 1 + (1e-9 if kind == "cramer" else 0.02)
            looser = error_of(kind, g, q, m, min(0.9, delta * more))
            assert looser <= error * slack + 1e-12, (kind, looser, error)

    return hold(setting, law, examples=20)


@law("SP-5", "SP-5x")
def nothing_to_draw(setting: Setting) -> Result:
    """A constant estimate needs one draw, a sign that never fires none; no draw promises inf."""

    @given(share_rows(points=1, inputs=5), WIDE_TARGETS, WIDE_CHANCES)
    def law(rows: np.ndarray, eps: float, delta: float) -> None:
        g, q, _ = instance(rows)
        for kind in KINDS:
            assert size_of(kind, g, g[0] / g[0].sum(), eps, delta) == 1, kind
            assert size_of(kind, 0 * g, q, eps, delta) == 0, kind
            assert error_of(kind, g, q, 0, delta) == np.inf, kind
            assert error_of(kind, 0 * g, q, 0, delta) == 0, kind

    return hold(setting, law, examples=15)
