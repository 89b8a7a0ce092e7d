"""GN-1 and GN-2 at their edges: nothing pruned, nothing left, infinite factors, coarse levels."""

import numpy as np
import pytest

from sipp_theory import compression_bound, corenet_generalization

GIVEN = {
    "largest_output": 1.0, "gamma": 2.0, "margin_loss": 0.03, "n": 60_000.0, "weights": 266_200.0,
    "biases": 0.0, "delta": 0.05, "failure": 1e-5, "eta": 3.0, "eta_star": 784.0,
}  # fmt: skip


def test_choices_cost_their_logarithm():
    given = {"margin_loss": 0.1, "exceptions": 0.02, "n": 500, "delta": 0.05}
    one = compression_bound(parameters=3, levels=4, choices=8, **given)
    other = compression_bound(parameters=9, levels=2, **given)
    assert one == pytest.approx(float(other), rel=1e-14)
    free = compression_bound(parameters=0, levels=4, **given)
    assert free == pytest.approx(0.12 + np.sqrt(np.log(20) / 1000))


@pytest.mark.parametrize("name", ["margin_loss", "exceptions"])
def test_shares_are_checked(name):
    given = {"margin_loss": 0.1, "exceptions": 0.0, "parameters": 3, "levels": 2, "n": 9,
             "delta": 0.1}  # fmt: skip
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0, 1\]; found 1.5"):
        compression_bound(**given | {name: 1.5})
    with pytest.raises(ValueError, match="levels must be at least 1; found 0.0"):
        compression_bound(**given | {"levels": 0})


def test_a_network_that_can_be_pruned():
    """One layer without cancellation: NW-5 keeps 16,428 of 266,200 weights; 1.9 all the same."""
    result = corenet_generalization([[1.5] * 3], [1.0], **GIVEN)
    assert result.parameters == result.size.nnz < result.weights
    assert result.exceptions == 0 and result.position_nats > 0
    nats = result.value_nats + result.position_nats + result.other_nats
    assert result.penalty == pytest.approx(np.sqrt(nats / 120_000))
    assert result.bound == pytest.approx(0.03 + result.penalty) and result.vacuous
    # The factors explain the penalty up to whole numbers of draws.
    assert 2 * np.log2(result.penalty) == pytest.approx(result.log2_penalty, abs=1e-3)


def test_exceptions_are_whole_points():
    none = corenet_generalization([[1.5] * 3], [1.0], **GIVEN | {"failure": 1.6e-5})
    some = corenet_generalization([[1.5] * 3], [1.0], **GIVEN | {"failure": 4e-5})
    assert none.exceptions == 0 and some.exceptions == 2 / 60_000


def test_a_network_that_cannot_be_pruned_is_coded_whole():
    sums, ratios = [[9.0] * 300, [9.0] * 100, [5.0] * 10], [1499.0, 235.0, 79.0]
    real = GIVEN | {"largest_output": 10.0, "gamma": 1.0, "eta": 410.0}
    result = corenet_generalization(sums, ratios, **real)
    assert result.parameters == result.weights and result.position_nats == result.exceptions == 0
    assert result.largest_factor == "mean Delta^2" and result.log2_penalty > 60
    whole = compression_bound(margin_loss=0.03, exceptions=0, parameters=266_200, levels=2.0**32,
                              n=60_000, delta=0.05, choices=266_201)  # fmt: skip
    assert result.bound == pytest.approx(float(whole)) and result.vacuous
    endless = corenet_generalization(sums, [np.inf, 2.0, 2.0], **real)
    assert endless.size.vacuous and endless.bound == result.bound
    assert endless.largest_factor == "mean Delta^2" and endless.log2_penalty == np.inf


def test_biases_cost_what_their_values_cost():
    none, ten = (
        corenet_generalization([[1.5] * 3], [1.0], **GIVEN | {"biases": b}) for b in (0.0, 10.0)
    )
    assert ten.value_nats - none.value_nats == pytest.approx(320 * np.log(2))
    assert ten.position_nats == none.position_nats and ten.bound > none.bound


def test_levels_that_are_too_coarse_promise_nothing():
    fine = corenet_generalization([[1.5] * 3], [1.0], **GIVEN, levels=16, rounding=0.1)
    coarse = corenet_generalization([[1.5] * 3], [1.0], **GIVEN, levels=2, rounding=0.9)
    assert np.isfinite(fine.bound)
    assert coarse.bound == np.inf and coarse.vacuous


def test_a_dead_network_has_nothing_to_code():
    result = corenet_generalization([[0.0] * 3], [1.0], **GIVEN)
    assert result.parameters == result.value_nats == result.position_nats == 0
    assert not result.vacuous


@pytest.mark.parametrize("name", ["largest_output", "gamma", "weights", "failure", "n", "delta"])
def test_refusals(name):
    with pytest.raises(ValueError, match=f"{name} must be .*found 0.0"):
        corenet_generalization([[1.5] * 3], [1.0], **GIVEN | {name: 0.0})
