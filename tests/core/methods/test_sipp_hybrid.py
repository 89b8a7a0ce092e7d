"""The hybrid promises no more than the better of its parts."""

from __future__ import annotations

import pytest

from tests.core.conftest import PLANNED, layer_tables


@pytest.mark.parametrize("size", [20, 60, 150, 400])
def test_the_hybrid_promises_no_more_error_than_its_parts(size: float) -> None:
    group = layer_tables()
    total = {
        name: sum(float(p.eps.sum()) for p in PLANNED[name].by_budget(group, size))
        for name in ("sipp-hybrid", "sipp-det", "sipp-rand")
    }
    assert total["sipp-hybrid"] <= min(total["sipp-det"], total["sipp-rand"]) * (1 + 1e-12)
