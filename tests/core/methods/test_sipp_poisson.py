"""Poisson sampling: one rate for a budget, the least rate for a promise, less error than draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

import sipp_theory
from sipp_core import prune
from sipp_core.methods.sipp_poisson import _common_rate
from sipp_core.zoo import datasets
from tests.core.conftest import DELTA, EPS, promised


@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(1e-6, 1)),
    st.floats(0.01, 1),
)
def test_one_rate_meets_the_budget_exactly(s: np.ndarray, fraction: float) -> None:
    size = fraction * s.size
    rate = _common_rate(s, size)
    assert np.minimum(1, rate * s).sum() == pytest.approx(size, rel=1e-9)


def test_a_lower_inclusion_rate_would_break_the_promise() -> None:
    plan = promised("sipp-poisson", "bernstein").plans[0]
    for sign in (0, 1):
        for neuron in np.flatnonzero(~plan.whole[sign] & ~plan.dead[sign]):
            s = plan.scores[neuron, plan.sign(sign)[neuron]]
            p = plan.probability[neuron, plan.sign(sign)[neuron]]
            rate = float((p / s)[p < 1].max())
            delta = DELTA / (1 if plan.dead[:, neuron].any() else 2)
            assert sipp_theory.inclusion_error(s, rate, delta) <= EPS * (1 + 1e-9)
            assert sipp_theory.inclusion_error(s, rate * 0.999, delta) > EPS


def test_poisson_beats_multinomial_on_a_real_network(
    trained_lenet: tuple[nn.Sequential, datasets.Dataset],
) -> None:
    """Issue: at 10% and 20% of LeNet-300-100 kept, a smaller mean output error."""
    net, data = trained_lenet
    fresh = data.test_inputs[:2000]
    with torch.no_grad():
        truth = net(fresh)

        def error(method: str, keep: float, seed: int) -> tuple[float, int]:
            result = prune(
                net, data.train_inputs[:256], method=method, keep=keep, seed=seed, scope="layer"
            )
            distance = (result.model(fresh) - truth).norm(dim=1) / truth.norm(dim=1)
            return float(distance.mean()), result.nnz_after

        for keep in (0.1, 0.2):
            runs = {m: [error(m, keep, s) for s in range(4)] for m in ("sipp-rand", "sipp-poisson")}
            means = {m: np.mean([e for e, _ in result]) for m, result in runs.items()}
            kept = {m: np.mean([n for _, n in result]) for m, result in runs.items()}
            assert kept["sipp-poisson"] == pytest.approx(kept["sipp-rand"], rel=0.02)
            assert means["sipp-poisson"] < means["sipp-rand"]
