"""Methods that write new weights: what they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor, nn

from sipp_core import Calibration, calibrate
from sipp_core.methods import LowRank, Request, Rewrite
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.promise import dropped_errors
from sipp_core.pruning.table import Table, make_tables
from sipp_core.pruning.writing import rewrite, rewritten_errors


def table_of(module: nn.Module, rows: Tensor, factor: float = 1.0) -> Table:
    request = make_request(LowRank(), module, keep=0.5, coverage_factor=factor)
    return make_tables(request, calibrate(module, rows).layers)[0]


def request_and_calibration(model: nn.Module) -> tuple[Request, Calibration]:
    return make_request(LowRank(), model, keep=0.5), calibrate(model, torch.rand(4, 3))


def linear(weight: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data = torch.from_numpy(weight.copy())
    return layer


numbers = st.sampled_from([0.0, 0.25, -0.5, 1.0, -1.0, 3.0, -7.5, 100.0])


@given(
    old=hnp.arrays(np.float64, (3, 4), elements=numbers),
    new=hnp.arrays(np.float64, (3, 4), elements=numbers),
    rows=hnp.arrays(np.float64, (5, 4), elements=numbers),
)
def test_the_promise_of_new_weights_holds_on_every_calibration_input(
    old: np.ndarray, new: np.ndarray, rows: np.ndarray
) -> None:
    table = table_of(linear(old), torch.from_numpy(rows))
    eps = rewritten_errors(table, new).max(axis=0)
    for x in rows:
        for part in (np.maximum(x, 0), np.maximum(-x, 0)):
            size, moved = np.abs(old) @ part, np.abs((new - old) @ part)
            output = np.isfinite(eps)
            assert (moved[output] <= eps[output] * size[output] * (1 + 1e-12)).all()
            # Only a weight that woke up is promised nothing.
            assert ((old == 0) & (new != 0))[~output].any(axis=1).all()


@given(
    old=hnp.arrays(np.float64, (3, 4), elements=numbers),
    kept=hnp.arrays(np.bool_, (3, 4)),
    rows=hnp.arrays(np.float64, (5, 4), elements=numbers),
)
def test_dropping_weights_is_a_rewrite(old: np.ndarray, kept: np.ndarray, rows: np.ndarray) -> None:
    table = table_of(linear(old), torch.from_numpy(rows))
    np.testing.assert_allclose(
        rewritten_errors(table, np.where(kept, old, 0.0)),
        dropped_errors(table, kept), rtol=1e-13, atol=1e-15,
    )  # fmt: skip


def test_the_promise_is_attained() -> None:
    # One weight grows by half, one shrinks by half; inputs that reach one of them only.
    old, rows = np.array([[2.0, 4.0]]), torch.eye(2, dtype=torch.float64)
    table = table_of(linear(old), rows)
    eps = rewritten_errors(table, np.array([[3.0, 2.0]]))
    assert eps[0, 0] == pytest.approx(0.5) and eps[1, 0] == 0
    wide = table_of(linear(old), rows, factor=3.0)
    # No factor C makes it worse than the largest change of a weight.
    assert rewritten_errors(wide, np.array([[3.0, 2.0]]))[0, 0] == pytest.approx(0.5)


def test_a_weight_that_wakes_up_is_promised_nothing_unless_its_input_is_silent() -> None:
    old = np.array([[1.0, 0.0, 0.0]])
    rows = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    table = table_of(linear(old), rows)
    assert rewritten_errors(table, np.array([[1.0, 0.5, 0.0]])).max() == np.inf
    assert rewritten_errors(table, np.array([[1.0, 0.0, 0.5]])).max() == 0


def test_a_bias_that_moves_ends_the_promise_of_its_neuron() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    weight = model[0].get_parameter("weight").detach().double().numpy()
    bias = model[0].get_parameter("bias").detach().double().numpy()
    expected = Rewrite("0", weight, bias=bias + np.array([0.0, 1.0]))
    result = rewrite(*request_and_calibration(model), [expected])
    assert result.reports[0].eps_neuron.tolist() == [0.0, np.inf]
    assert result.model.get_parameter("0.bias").tolist() == [bias[0], np.float32(bias[1] + 1)]


def test_a_weight_outside_its_dtype_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    with pytest.raises(ValueError, match=r"layer '0': a new weight leaves the range of torch.floa"):
        rewrite(*request_and_calibration(model), [Rewrite("0", np.full((2, 3), 1e300))])
