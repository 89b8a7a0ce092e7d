"""Threads of linear algebra: one inside, the user's again outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sipp_core.runtime import one_thread
from sipp_theory import solve_svm
from sipp_theory.numeric.threads import FEW_PRODUCTS, blas_threads_for, one_blas_thread


def threads() -> set[int]:
    """Threads of numpy's and scipy's linear algebra; other packages may bring their own."""
    return {
        one["num_threads"]
        for one in threadpool_info()
        if one["user_api"] == "blas"
        and {"numpy.libs", "scipy.libs"} & set(Path(one["filepath"]).parts)
    }


def test_one_inside_and_the_users_again_outside() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        for block in (one_blas_thread, one_thread):
            with block():
                assert threads() == {1}
            assert threads() == {2}
        with pytest.raises(RuntimeError, match="inside"), one_blas_thread():
            raise RuntimeError("inside")
        assert threads() == {2}


def test_small_products_take_one_and_large_ones_the_users() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        with blas_threads_for(FEW_PRODUCTS - 1):
            assert threads() == {1}
        with blas_threads_for(FEW_PRODUCTS):
            assert threads() == {2}


def test_a_small_machine_is_solved_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set[int]()
    solve = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda *a: (seen.update(threads()), solve(*a))[1])
    rng = np.random.default_rng(0)
    with threadpool_limits(limits=2, user_api="blas"):
        solve_svm(rng.normal(size=(60, 40)), np.where(np.arange(60) % 2, 1, -1), 1.0)
    assert seen == {1}
