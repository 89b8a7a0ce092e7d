"""CT-8 on networks: draws of their own for each input, budgets in draws or in weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import sipp_core
from sipp_core.methods import CoreNet, CoreNetPlusPlus, Method
from sipp_core.runtime import fingerprint


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def test_failures_are_those_of_the_binomial_law() -> None:
    net = nn.Linear(2, 1, bias=False).double()
    torch.nn.init.ones_(net.weight)
    inputs = torch.eye(2).double()
    held = inputs[torch.arange(2000) % 2] * torch.linspace(1.1, 2, 2000)[:, None].double()
    result = sipp_core.least_budget(net, inputs, held, eps=0.5, delta=0.9, draws=(10.0,))
    law: Any = stats.binom(10, 0.5)
    truth = 2 * float(law.cdf(2))
    assert stats.binomtest(result.failures[0], result.n, truth).pvalue > 1e-3
    assert result.unit == "draws" and result.budget == 10
    assert result.theorem is not None and result.theorem > 1000


def test_default_path_starts_where_the_calibration_says(net: nn.Module) -> None:
    inputs = torch.rand(400, 6)
    before = fingerprint(net)
    result = sipp_core.least_budget(net, inputs[:100], inputs[100:], eps=0.5, delta=0.2)
    assert fingerprint(net) == before
    assert not result.vacuous and result.failure <= 0.2
    ratios = np.divide(result.budgets[:-1], result.budgets[1:])
    assert ratios == pytest.approx(2.0, rel=0.1)
    assert result.theorem is not None and result.theorem > result.budget
    assert "NW-5" in result.sentence() and "CT-8" in result.sentence()
    again = sipp_core.least_budget(net, inputs[:100], inputs[100:], eps=0.5, delta=0.2)
    assert again == result
    assert result.summary()["sentence"] == result.sentence()


@pytest.mark.parametrize("method", ["sipp-poisson", "magnitude", "sipp-network", CoreNetPlusPlus()])
def test_any_method_by_weights(net: nn.Module, method: str | Method) -> None:
    inputs = torch.rand(90, 6)
    result = sipp_core.least_budget(
        net, inputs[:40], inputs[40:], eps=0.9, delta=0.4, confidence=0.9, method=method,
        keeps=(1.0, 0.2),
    )  # fmt: skip
    assert result.unit == "share" and result.failures[0] == 0 and result.theorem is None
    assert result.kept <= 45


def test_corenet_by_weights_is_possible_too(net: nn.Module) -> None:
    inputs = torch.rand(90, 6)
    result = sipp_core.least_budget(
        net, inputs[:40], inputs[40:], eps=0.9, delta=0.4, method=CoreNet(), keeps=(1.0, 0.5)
    )
    assert result.unit == "share"


def test_nothing_proved_is_said(net: nn.Module) -> None:
    inputs = torch.rand(90, 6)
    result = sipp_core.least_budget(
        net, inputs[:40], inputs[40:], eps=0.01, delta=0.1, draws=(20.0, 10.0)
    )
    assert result.vacuous and result.kept == float("inf") and len(result.budgets) == 1
    assert result.sentence().startswith("Not proved")


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({"draws": (4.0,), "keeps": (0.5,)}, "not both"),
        ({"draws": (4.0,), "method": "sipp-poisson"}, "keeps="),
        ({"draws": (4.0, 8.0)}, "strictly decreasing"),
        ({"keeps": (1.5,)}, "strictly decreasing"),
        ({"keeps": ()}, "strictly decreasing"),
        ({"eps": 0.0, "keeps": (0.5,)}, "eps"),
    ],
)
def test_refusals(net: nn.Module, named: dict[str, Any], why: str) -> None:
    inputs = torch.rand(90, 6)
    with pytest.raises(ValueError, match=why):
        sipp_core.least_budget(
            net, inputs[:40], inputs[40:], **dict[str, Any](eps=0.5, delta=0.1) | named
        )


def test_calibration_inputs_are_not_fresh(net: nn.Module) -> None:
    inputs = torch.rand(40, 6)
    with pytest.raises(ValueError, match="were calibration inputs"):
        sipp_core.least_budget(net, inputs, inputs, eps=0.5, delta=0.1, keeps=(1.0,))
    result = sipp_core.least_budget(
        net, inputs, inputs, eps=0.5, delta=0.1, keeps=(1.0,), allow_repeats=True
    )
    assert result.failures == (0,)
