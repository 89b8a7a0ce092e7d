"""The planning table: the failure probability is shared by what can fail at one input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sipp_core import calibrate
from sipp_core.pruning import make_table


def parts(weights: list[float], inputs: Tensor, groups: int = 1) -> list[float]:
    """0.12 over the delta of each neuron of a layer that has one weight row throughout."""
    layer = nn.Conv1d(len(weights) * groups, 2 * groups, 1, groups=groups, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights).expand(2 * groups, -1)[:, :, None])
    statistics = calibrate(layer, inputs[:, :, None].double()).layers[0]
    table = make_table(
        statistics, delta=0.12, coverage_factor=1.0, bound="kl", eta=2, eta_star=4
    )  # fmt: skip
    assert (table.delta[0] == table.delta[1]).all()
    return (0.12 / table.delta[0]).round(9).tolist()


@pytest.mark.parametrize(
    ("weights", "row", "expected"),
    [
        ([1.0, 2.0], [1.0, 1.0], 1),
        ([1.0, -2.0], [1.0, 1.0], 2),
        ([1.0, 2.0], [1.0, -1.0], 2),
        ([1.0, 2.0], [-1.0, -1.0], 1),
        ([1.0, -2.0], [1.0, -1.0], 2),
        ([1.0, -2.0, 1.0, -2.0], [1.0, 1.0, -1.0, -1.0], 4),
        ([1.0, -2.0, 1.0, 0.0], [1.0, 1.0, -1.0, -1.0], 3),
        ([1.0, -2.0], [0.0, 0.0], 1),
    ],
)
def test_delta_is_shared_by_signs_and_halves_that_fire(
    weights: list[float], row: list[float], expected: int
) -> None:
    rows = torch.tensor([row])
    assert parts(weights, rows) == [expected] * 2
    # A second group that sees no signed row pays for its own halves only.
    both = torch.cat([rows, rows.abs()], dim=1)
    alone = parts(weights, rows.abs())[0]
    assert parts(weights, both, groups=2) == [expected] * 2 + [alone] * 2


def test_signs_that_come_in_different_inputs_count_too() -> None:
    assert parts([1.0, 2.0], torch.tensor([[1.0, 0.0], [0.0, -1.0]])) == [2, 2]
