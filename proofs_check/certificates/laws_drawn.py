"""CT-8 on drawn outputs and counts: what moves a budget, and which way."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

NUMBERS = st.lists(st.floats(-100, 100), min_size=1, max_size=6)


@law("CT-8")
def leaving_is_relative(setting: Setting) -> Result:
    """An output that leaves does so at every smaller eps, and at any scale, sign and order."""

    @given(NUMBERS, st.integers(0, 2**32 - 1), st.floats(0.01, 0.9), st.floats(0.01, 0.9))
    def law(values: list[float], seed: int, one: float, other: float) -> None:
        rng = np.random.default_rng(seed)
        small, large = sorted((one, other))
        before = np.array([values])
        after = before * (1 + rng.uniform(-1, 1, before.shape))
        leaves = sipp_theory.leaves_entrywise
        assert leaves(before, after, small)[0] >= leaves(before, after, large)[0]
        order = rng.permutation(before.shape[1])
        again = leaves(-4 * before[:, order], -4 * after[:, order], small)
        assert again[0] == leaves(before, after, small)[0]
        assert not leaves(before, before, small)[0]

    return hold(setting, law, examples=60)


@law("CT-8")
def budgets_are_monotone(setting: Setting) -> Result:
    """More failures never prove less, what is proved keeps delta, and the search stops in time."""

    @given(
        st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 5),
        st.floats(0.02, 0.5), st.sampled_from([0.5, 0.9, 0.99]),
    )  # fmt: skip
    def law(counts: list[int], place: int, delta: float, confidence: float) -> None:
        budgets = 2.0 ** np.arange(len(counts), 0, -1)
        n = 120
        result = sipp_theory.least_budget(counts, budgets, n, delta, confidence)
        more = list(counts)
        more[place % len(counts)] += 1
        worse = sipp_theory.least_budget(more, budgets, n, delta, confidence)
        assert worse.budget >= result.budget
        assert worse.index <= result.index
        if result.index < 0:
            assert result.budget == np.inf and result.failure == 1
            return
        assert result.budget == budgets[result.index]
        assert result.failure <= delta * (1 + 1e-9)
        cut = sipp_theory.least_budget(
            counts[: result.index + 1], budgets[: result.index + 1], n, delta, confidence
        )
        assert cut == result

    return hold(setting, law, examples=80)


@law("CT-8")
def order_of_the_budgets(setting: Setting) -> Result:
    """Nothing after the first budget that is not proved has any say."""

    @given(st.lists(st.integers(0, 30), min_size=2, max_size=6), st.integers(0, 30))
    def law(counts: list[int], other: int) -> None:
        budgets = np.arange(len(counts), 0, -1.0)
        result = sipp_theory.least_budget(counts, budgets, 100, 0.1, 0.9)
        assume(result.index < len(counts) - 2)
        changed = [*counts[: result.index + 2], *(other for _ in counts[result.index + 2 :])]
        assert sipp_theory.least_budget(changed, budgets, 100, 0.1, 0.9) == result

    return hold(setting, law, examples=40)
