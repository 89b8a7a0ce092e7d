"""Net-Trim finds the same network in any unit, and says where it leaves a layer without weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sipp_core import prune
from sipp_core.nettrim.program import Program, layer_program, objective, violations
from sipp_core.nettrim.reference import solve_cvxpy
from sipp_core.nettrim.scaling import centred, scaled
from sipp_core.nettrim.solver import solve, trim_to


def network() -> tuple[nn.Sequential, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 15), nn.ReLU(), nn.Linear(15, 4))
    return net, torch.rand(60, 20)


def in_units(net: nn.Sequential, weights: float) -> nn.Sequential:
    other = copy.deepcopy(net)
    for parameter in other.parameters():
        parameter.data.mul_(weights)
    return other


def error(net: nn.Module, pruned: nn.Module, x: Tensor) -> float:
    """Error of the outputs, relative to what is not the same for every input."""
    with torch.no_grad():
        before, after = net(x).double(), pruned(x).double()
    return float((after - before).norm() / (before - before.mean(dim=0)).norm())


@pytest.mark.parametrize(
    ("inputs", "weights"), [(1e-3, 1.0), (1e-6, 1.0), (1e3, 1.0), (1.0, 1e-5), (1.0, 1e6)]
)
def test_a_budget_leaves_a_network_that_works_in_any_unit(inputs: float, weights: float) -> None:
    net, x = network()
    net, x = in_units(net, weights), x * inputs
    result = prune(net, x, method="nettrim", keep=0.5)
    assert [layer.nnz_after for layer in result.layers] == pytest.approx([150, 30], rel=0.06)
    assert error(net, result.model, x) < 0.45 and not result.vacuous


def test_a_target_far_from_zero_is_met_to_its_own_spread() -> None:
    net, x = network()
    last = net[2] = nn.Linear(15, 1)
    nn.init.constant_(last.bias, 101325.0)
    nn.init.uniform_(last.weight, -50, 50)
    result = prune(net, x, method="nettrim", keep=0.9)
    assert error(net, result.model, x) < 0.1
    magnitude = prune(net, x, method="magnitude", keep=0.9)
    assert error(net, result.model, x) < error(net, magnitude.model, x)


def one_layer(inputs: float, outputs: float) -> Program:
    """A program whose weights are of the size outputs/inputs."""
    dice = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 6, generator=dice) * outputs / inputs
    bias = torch.randn(4, generator=dice) * outputs
    x = torch.rand(30, 6, generator=dice) * inputs
    one = layer_program(weight, bias, x, eps=0.0, penalise_bias=False)
    return one.at(0.1 * float(one.targets.norm()))


@pytest.mark.parametrize(("inputs", "outputs"), [(2.0**-30, 1.0), (1.0, 2.0**25), (8.0, 2.0**-40)])
def test_both_solvers_find_the_same_in_other_units(inputs: float, outputs: float) -> None:
    plain, other = one_layer(1.0, 1.0), one_layer(inputs, outputs)
    for result in (solve(other), solve_cvxpy(other)):
        assert result.objective * inputs / outputs == pytest.approx(
            solve(plain).objective, rel=1e-3
        )
        assert result.constraint <= other.eps * (1 + 1e-6)


def test_other_variables_are_the_same_program() -> None:
    one = one_layer(3e-4, 7e5)
    for variables in (scaled(one), centred(one)):
        other = variables.program
        weights = torch.randn_like(other.start)
        back = variables.back(weights)
        unit = one.eps / other.eps
        ours, theirs = violations(one, back), violations(other, weights)
        assert ours == pytest.approx([unit * value for value in theirs], rel=1e-9)
        assert torch.allclose(variables.back(other.start), one.start, rtol=1e-9)
    shrunk = scaled(one)
    unit = float(shrunk.factor[0])
    assert objective(one, shrunk.back(weights)) == unit * objective(shrunk.program, weights)


def test_of_as_many_weights_the_least_error_is_taken() -> None:
    # No weight fits but the bias: U = 0 has as few nonzeros, and loses the bias too.
    one = layer_program(torch.full((1, 3), 1e-9), torch.ones(1), torch.rand(9, 3), eps=0.0)
    result = trim_to(one, 1)
    assert result.bias is not None and float(result.bias) == pytest.approx(1, abs=1e-2)


def test_a_layer_without_weights_is_said_and_vacuous() -> None:
    net, x = network()
    result = prune(net, x, method="nettrim", keep=0.01)
    assert result.layers[1].nnz_after == 0 and result.vacuous
    assert any("layer '2' has no weight left" in note for note in result.notes)
