"""Net-Trim: both solvers agree, degenerate layers survive, and a network keeps what is promised."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sipp_core.nettrim.admm import factorise, initial, iterate
from sipp_core.nettrim.network import retrim
from sipp_core.nettrim.program import Program, layer_program, lower_bound
from sipp_core.nettrim.reference import solve_cvxpy
from sipp_core.nettrim.relu import followed_by_relu
from sipp_core.nettrim.solution import feasible
from sipp_core.nettrim.solver import path, solve, trim, trim_to

double = torch.float64


def drawn(points: int, fan: int, out: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    dice = torch.Generator().manual_seed(seed)
    weight = torch.randn(out, fan, generator=dice, dtype=double)
    bias = 0.2 * torch.randn(out, generator=dice, dtype=double)
    return weight, bias, torch.randn(points, fan, generator=dice, dtype=double).clamp(min=0)


def program(
    points: int, fan: int, out: int, relu: bool = True, penalise_bias: bool = True
) -> Program:
    layer = drawn(points, fan, out)
    one = layer_program(*layer, eps=0.0, relu=relu, penalise_bias=penalise_bias)
    return one.at(0.1 * float(one.targets.norm()))


@pytest.mark.parametrize(
    ("points", "fan", "named"),
    [
        (30, 6, {}),
        (5, 12, {}),
        (30, 6, {"relu": False}),
        (30, 6, {"penalise_bias": False}),
        (1, 3, {}),
    ],
)
def test_the_fast_solver_agrees_with_cvxpy(points: int, fan: int, named: dict[str, bool]) -> None:
    one = program(points, fan, 4, **named)
    fast, slow = solve(one), solve_cvxpy(one)
    assert fast.objective == pytest.approx(slow.objective, rel=1e-4)
    for result in (fast, slow):
        assert feasible(one, joined(result.weight, result.bias))
    assert 0 <= fast.gap <= 1e-5
    assert fast.nnz <= int((one.start[:, :-1] != 0).sum())


def joined(weight: Tensor, bias: Tensor | None) -> Tensor:
    assert bias is not None
    return torch.cat([weight, bias[:, None]], dim=1)


def test_a_cascades_program_agrees_with_cvxpy() -> None:
    weight, bias, rows = drawn(30, 6, 4)
    expected = (rows @ weight.T + bias).clamp(min=0).T
    moved = rows + 0.1 * drawn(30, 6, 4, seed=1)[2]
    one = layer_program(weight, bias, moved, eps=0.0, targets=expected, gamma=1.2)
    assert feasible(one, one.start)
    assert solve(one).objective == pytest.approx(solve_cvxpy(one).objective, rel=1e-4)


def test_dead_neurons_rows_of_zeros_and_a_radius_that_allows_all() -> None:
    weight, _, rows = drawn(20, 5, 3)
    weight[0] = -weight[0].abs()  # never above 0 on inputs that are never below it
    rows[:4] = 0
    result = trim(weight, None, rows, eps=0.2)
    assert result.bias is None and not result.weight[0].any() and result.gap <= 1e-5
    everything = trim(weight, None, rows, eps=1e6)
    assert everything.nnz == 0 and everything.objective == everything.gap == 0


def test_factors_agree_for_more_and_for_fewer_inputs_than_weights() -> None:
    for points in (3, 20):
        one = program(points, 6, 2)
        x = one.inputs
        exact = torch.linalg.inv(2 * torch.eye(7, dtype=double) + 0.3 * x.T @ x)
        assert torch.allclose(factorise(one)(2.0, 0.3), exact, atol=1e-12)


def test_a_warm_start_is_worth_iterations() -> None:
    one = program(40, 8, 5)
    inverse = factorise(one)
    cold = iterate(one, initial(one), inverse, iterations=3000, tolerance=1e-7)
    again = iterate(one, cold, inverse, iterations=3000, tolerance=1e-7)
    assert again.iterations - cold.iterations < cold.iterations / 3


def test_along_a_path_the_objective_falls() -> None:
    one = program(40, 8, 5)
    result = path(one, [one.eps * k for k in (0.5, 1, 2, 4)])
    values = [each.objective for each in result]
    assert values == sorted(values, reverse=True)
    assert result[-1].objective == pytest.approx(solve(one.at(4 * one.eps)).objective, rel=1e-4)


@pytest.mark.parametrize(("place", "share"), [(0, 0.0316), (7, 0.003)])
def test_weights_set_to_exact_zeros_keep_a_small_ball(place: int, share: float) -> None:
    """What is cut off a nearly singular program's solution may move it out of the ball."""
    rng = torch.Generator().manual_seed(place)
    inputs = torch.rand(6, 12, generator=rng).double() + 0.05
    weight = torch.randn(1, 12, generator=rng).double().abs()
    radius = share * float((inputs @ weight.T).norm())
    trimmed = trim(weight, None, inputs, eps=radius, relu=False, tolerance=1e-3)
    assert trimmed.gap <= 1e-3 and trimmed.constraint <= radius * (1 + 1e-6)
    assert trimmed.nnz == int((trimmed.weight.abs() > 1e-7 * trimmed.weight.abs().max()).sum())


@pytest.mark.parametrize("keep", [0, 7, 20])
def test_a_budget_is_met_and_nearly_spent(keep: int) -> None:
    result = trim_to(program(40, 8, 5), keep, steps=8)
    assert result.nnz <= keep and result.nnz >= keep - 4


def test_weak_duality_for_any_multipliers_even_with_a_free_bias() -> None:
    one = program(20, 5, 3, penalise_bias=False)
    best = solve(one).objective
    dice = torch.Generator().manual_seed(4)
    for scale in (0.01, 1.0, 30.0):
        drawn_at = scale * torch.randn(3, 20, generator=dice, dtype=double)
        assert lower_bound(one, drawn_at) <= best * (1 + 1e-6)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"eps": -1.0}, "eps must be finite"),
        ({"eps": 1.0, "gamma": 0.5}, "gamma must be at least 1"),
        ({"eps": 1.0, "gamma": 1.5}, "comes with targets"),
        ({"eps": 1.0, "targets": torch.ones(2, 2)}, "targets must be"),
        ({"eps": 1.0, "targets": -torch.ones(3, 4)}, "never below 0"),
        ({"eps": 0.0}, "eps is 0"),
        ({"eps": 1.0, "tolerance": 0.0}, "tolerance"),
    ],
)
def test_bad_arguments_are_refused_by_name(named: dict[str, float], words: str) -> None:
    weight, bias, rows = drawn(4, 5, 3)
    with pytest.raises(ValueError, match=words):
        trim(weight, bias, rows, **named)  # pyright: ignore[reportArgumentType]


def test_what_is_not_finite_is_refused_with_its_index() -> None:
    weight, bias, rows = drawn(4, 5, 3)
    rows[2, 1] = torch.nan
    with pytest.raises(ValueError, match=r"inputs must be finite; found nan at index \(2, 1\)"):
        trim(weight, bias, rows, eps=0.1)


def test_a_gap_that_is_not_reached_is_an_error() -> None:
    weight, bias, rows = drawn(40, 8, 5)
    with pytest.raises(RuntimeError, match="relative gap"):
        trim(weight, bias, rows, eps=1.0, tolerance=1e-300, iterations=2)


def test_a_solver_of_cvxpy_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import cvxpy

    one = program(5, 3, 2)
    with pytest.raises(ValueError, match="solver must be one of"):
        solve_cvxpy(one, solver="ECOS")
    monkeypatch.setattr(cvxpy.Problem, "status", "infeasible")
    with pytest.raises(RuntimeError, match="CLARABEL found no optimum: its status is 'infeasible'"):
        solve_cvxpy(one)

    def broken(*_: object, **__: object) -> None:
        raise cvxpy.SolverError("out of luck")

    monkeypatch.setattr(cvxpy.Problem, "solve", broken)
    with pytest.raises(RuntimeError, match="CLARABEL failed: out of luck"):
        solve_cvxpy(one)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3)
    )  # fmt: skip


def errors(model: nn.Sequential, other: nn.Module, inputs: Tensor) -> list[float]:
    assert isinstance(other, nn.Sequential)
    result, a, b = [], inputs.double(), inputs.double()
    for one, two in zip(copy.deepcopy(model).double(), copy.deepcopy(other).double(), strict=True):
        a, b = one(a), two(b)
        if isinstance(one, nn.ReLU) or one.out_features == 3:
            result.append(float((a - b).detach().norm()))
    return result


@pytest.mark.parametrize("cascade", [False, True])
def test_a_network_keeps_what_is_promised_and_stays_as_it_was(cascade: bool) -> None:
    model, inputs = network(), torch.rand(40, 6)
    before = copy.deepcopy(model.state_dict())
    done = retrim(model, inputs, eps=0.1, cascade=cascade, gamma=1.2)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()) and model.training
    assert done.relu == {"0": True, "2": True, "4": False} and done.chained
    for result, promised in zip(errors(model, done.model, inputs), done.promised, strict=True):
        assert result <= promised * (1 + 1e-5)
    assert sum(one.nnz for one in done.layers.values()) < 9 * 6 + 9 * 7 + 7 * 3


def test_a_budget_per_layer() -> None:
    done = retrim(network(), torch.rand(40, 6), keep=0.5)
    for one in done.layers.values():
        assert one.nnz <= one.weight.numel() // 2


def test_what_feeds_a_relu_is_found_or_must_be_said() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            z = self.one(x)
            return self.two(torch.relu(z)) + z

    assert followed_by_relu(network(), ["0", "4"]) == {"0": True, "4": False}
    with pytest.raises(ValueError, match="'one' is read by a ReLU and by something else"):
        followed_by_relu(Both(), ["one", "two"])
    assert followed_by_relu(Both(), ["one", "two"], {"one": False}) == {"one": False, "two": False}
    with pytest.raises(ValueError, match="relu names layers that are not trimmed"):
        followed_by_relu(Both(), ["one"], {"three": True})

    class Branches(Both):
        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) if x.sum() > 0 else self.two(x)

    with pytest.raises(ValueError, match="cannot be traced"):
        followed_by_relu(Branches(), ["one", "two"])


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "either eps or keep"),
        ({"eps": 2.0}, "eps must lie in"),
        ({"keep": 2.0}, "keep must lie in"),
        ({"keep": 0.5, "cascade": True}, "a cascade takes eps"),
        ({"eps": 0.1, "gamma": 0.9}, "gamma must be at least 1"),
        ({"eps": 0.1, "solver": "simplex"}, "solver must be"),
        ({"keep": 0.1, "solver": "cvxpy"}, "warm starts"),
    ],
)
def test_bad_arguments_of_a_network_are_refused(named: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        retrim(network(), torch.rand(4, 6), **named)  # pyright: ignore[reportArgumentType]


def test_convolutions_are_refused_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(ValueError, match="layer '0' is a Conv2d"):
        retrim(model, torch.rand(3, 1, 4, 4), eps=0.1)
    done = retrim(model, torch.rand(30, 1, 4, 4), eps=0.1, layers=["!0"])
    assert list(done.layers) == ["3"]


def test_no_norm_of_the_given_weights_but_the_sum_bounds_the_trimmed_ones() -> None:
    """Why NT-2 takes the spectral norm of the trimmed weights: theirs can be the larger."""
    weight, rows = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.9]])
    result = trim(weight, None, rows, eps=0.01)
    assert float(result.weight.norm()) > 0.93 > float(weight.norm())
    assert float(result.weight.abs().sum()) <= float(weight.abs().sum())


def test_link_normalisation_must_count_the_bias() -> None:
    """Weights that add up to 1 beside a bias that does not: NT-2's plain sum is exceeded."""
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU()).double()
    with torch.no_grad():
        for layer, shift in ((model[0], 0.0), (model[2], 1.0)):
            assert isinstance(layer, nn.Linear)
            layer.weight.fill_(1.0)
            layer.bias.fill_(shift)
    done = retrim(model, torch.tensor([[2.0]], dtype=double), eps=0.1)
    plain = sum(one.eps for one in done.layers.values())
    at = torch.tensor([[2.0]], dtype=double)
    error = float((model(at) - done.model(at)).detach().abs())
    assert plain * 1.1 < error <= done.promised[-1] * (1 + 1e-6)


def test_a_looser_gap_is_kept_and_a_gap_of_nothing_refused() -> None:
    model, rows = network(), torch.rand(60, 6, generator=torch.Generator().manual_seed(1))
    rough, fine = (retrim(model, rows, eps=0.2, tolerance=gap) for gap in (0.05, 1e-6))
    assert all(layer.gap <= 0.05 for layer in rough.layers.values())
    assert all(layer.gap <= 1e-6 for layer in fine.layers.values())
    for name, layer in rough.layers.items():
        assert layer.objective <= fine.layers[name].objective / (1 - 0.05) + 1e-9
    with pytest.raises(ValueError, match="tolerance must be"):
        retrim(model, rows, eps=0.2, tolerance=0.0)
