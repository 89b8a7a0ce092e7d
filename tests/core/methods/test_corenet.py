"""CoreNet, + and ++: vacuous said so with its factors, dead neurons, the best of tau."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate, prune
from sipp_core.methods import CoreNet, corenet
from sipp_core.pruning.plan import draw_many
from tests.core.conftest import layer_table


def network(seed: int = 0) -> nn.Sequential:
    """Three layers; some hidden neurons never fire, one of them with a positive bias."""
    rng = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(20, 12), nn.ReLU(), nn.Sequential(nn.Linear(12, 10), nn.ReLU()), nn.Linear(10, 5)
    ).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
        net.get_parameter("0.bias")[[1, 4]] = -1e3
        net.get_parameter("0.weight")[4] = -1e3
        net.get_parameter("0.bias")[4] = (
            0.01  # dead because of its weights: without them it would fire
        )
        net.get_parameter("2.0.bias")[7] = -1e3
    return net


def inputs(n: int = 60, seed: int = 1) -> Tensor:
    return torch.rand(n, 20, generator=torch.Generator().manual_seed(seed)).double() + 0.1


def test_dead_neurons_are_those_whose_activation_is_zero_on_every_input() -> None:
    net, x = network(), inputs()
    dead = corenet.dead_neurons(net, calibrate(net, x))
    first = torch.relu(net[0](x))
    second = torch.relu(net[2](first))
    assert torch.equal(dead["0"], (first == 0).all(0)) and dead["0"][[1, 4]].all()
    assert torch.equal(dead["2.0"], (second == 0).all(0)) and bool(dead["2.0"][7])
    assert set(dead) == {"0", "2.0"}


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def test_where_edges_cannot_be_followed_no_neuron_is_called_dead() -> None:
    assert corenet.dead_neurons(Residual(), calibrate(Residual(), inputs())) == {}
    mixed = nn.Sequential(nn.Linear(20, 4).double(), nn.Softmax(1), nn.Linear(4, 2).double())
    assert corenet.dead_neurons(mixed, calibrate(mixed, inputs())) == {}


@pytest.mark.parametrize("method", ["corenet+", "corenet++"])
def test_removal_alone_changes_nothing_on_the_calibration_inputs(method: str) -> None:
    """The bound is vacuous here, so every living neuron is whole: what is left is removal."""
    net, x = network(), inputs()
    result = prune(net, x, method=method, eps=0.5, delta=0.1)
    assert result.vacuous
    # ++ judges what is dead by the inputs that it did not set aside.
    seen = x if method == "corenet+" else x[torch.arange(60) % 5 != 4]
    dead = corenet.dead_neurons(net, calibrate(net, seen))
    assert [report.removed for report in result.layers] == [
        int(dead["0"].sum()), int(dead["2.0"].sum()), 0
    ]  # fmt: skip
    for name, after in (("0", "2.0"), ("2.0", "3")):
        gone = dead[name]
        assert not result.model.get_parameter(f"{name}.weight")[gone].any()
        assert not result.model.get_parameter(f"{after}.weight")[:, gone].any()
        for key in (name, after):
            old, new = (m.get_parameter(f"{key}.bias") for m in (net, result.model))
            assert torch.equal(old, new)
    torch.testing.assert_close(result.model(seen), net(seen), rtol=1e-12, atol=1e-12)
    assert result.nnz_after < result.nnz_before


def test_plain_corenet_removes_no_neuron() -> None:
    result = prune(network(), inputs(), method="corenet", eps=0.5, delta=0.1)
    assert [report.removed for report in result.layers] == [0, 0, 0]
    # The incoming weights of dead neurons stay: only edges that never carried anything go.
    assert result.model.get_parameter("0.weight")[4].all()


def test_keeping_everything_removes_nothing() -> None:
    net = network()
    result = prune(net, inputs(), method="corenet+", keep=1.0)
    assert [report.removed for report in result.layers] == [0, 0, 0]
    assert torch.equal(result.model.get_parameter("0.weight"), net.get_parameter("0.weight"))
    assert not any("removed" in note for note in result.notes)


@pytest.mark.parametrize("method", ["corenet", "corenet+", "corenet++"])
def test_the_network_bound_is_vacuous_and_says_why(method: str) -> None:
    net, x = network(), inputs(100)
    result = prune(net, x, method=method, eps=0.3, delta=0.1)
    assert result.vacuous and result.bound == "corenet"
    note = next(note for note in result.notes if note.startswith("NW-5"))
    assert note.startswith("NW-5 vacuous:") and "ask for more draws than weights" in note
    for report in result.layers:
        assert f"{report.name}: worst mean Delta" in note
        assert (report.draws == 0).all()
        assert np.flatnonzero(report.eps_neuron).size <= report.removed
    assert "eps_l" in note and "draws for 20 weights a neuron" in note
    assert "A1 and A2" in result.holds_for and "NW-5" in result.claims


def test_the_note_names_the_factors_that_were_computed() -> None:
    net, x = network(), inputs()
    stats = calibrate(net, x)
    note = prune(net, x, method="corenet", eps=0.3, delta=0.1).notes[0]
    eta, eta_star = 12 + 10 + 5, 20
    hats = [sipp_theory.delta_hat(s.cancellation.numpy(), eta, eta_star, 0.1) for s in stats.layers]
    errors = sipp_theory.corenet_split(0.3, hats)
    for layer, error in zip(stats.layers, errors, strict=True):
        assert f"{layer.name}: worst mean Delta {float(layer.cancellation.max()):.4g}" in note
        assert f"eps_l {error:.2g}" in note


def test_a_neuron_with_output_zero_makes_the_factor_infinite() -> None:
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 1))
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(torch.tensor([[1.0, -1.0]]))
    result = prune(net, torch.ones(3, 2), method="corenet", eps=0.5, delta=0.1)
    assert result.vacuous and "worst mean Delta inf" in result.notes[0]
    # The second layer never got anything: its weight goes, the bias stays.
    assert result.layers[1].dead == 1 and result.layers[1].nnz_after == 0


def mean_errors(weight: np.ndarray, multiplier: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mean over T of |z^/z - 1| per sign and neuron, in loops."""
    result = np.zeros((2, len(weight)))
    for index, sign in enumerate((1, -1)):
        for neuron, row in enumerate(weight):
            mine = np.where(sign * row > 0, np.abs(row), 0.0)
            errors = []
            for a in points:
                z = float(mine @ a)
                errors.append(abs(float((mine * multiplier[neuron]) @ a) / z - 1) if z > 0 else 0.0)
            result[index, neuron] = np.mean(errors)
    return result


def test_the_best_of_tau_is_the_best_and_never_worse_than_the_first() -> None:
    net, x = network(), inputs()
    result = prune(net, x, method="corenet++", keep=0.3, seed=4)
    tau = int(sipp_theory.candidates(0.05))
    assert any(f"tau = {tau} candidates" in note for note in result.notes)
    stats = calibrate(net, x, validation_every=5, points=1024, seed=4)
    strictly = 0
    for index, (plan, layer) in enumerate(zip(result.plans, stats.layers, strict=True)):
        weight = layer.layer.weight.numpy()
        points = stats.validation[plan.name][0].numpy()
        candidates = list(draw_many(plan, 4, index, tau))
        errors = np.stack([mean_errors(weight, c, points) for c in candidates])
        new = result.model.get_parameter(f"{plan.name}.weight").detach().numpy()
        chosen = np.divide(new, weight, out=np.zeros_like(new), where=weight != 0)
        found = mean_errors(weight, chosen, points)
        assert (found <= errors[0] + 1e-12).all()
        np.testing.assert_allclose(found, errors.min(axis=0), atol=1e-12)
        strictly += int((found < errors[0] - 1e-9).sum())
    assert strictly > 10


def test_candidates_need_inputs_set_aside() -> None:
    with pytest.raises(ValueError, match="every 5th calibration input aside.*found only 4 inputs"):
        prune(network(), inputs(4), method="corenet++", keep=0.5)


def test_its_own_bound_is_the_only_one_in_network_mode() -> None:
    with pytest.raises(ValueError, match="'corenet' .*own network-wide bound.*SippRand"):
        prune(network(), inputs(), method="corenet", eps=0.5, delta=0.1, bound="kl")


def test_corenet_draws_in_proportion_to_the_sensitivity_sum() -> None:
    table = layer_table(12, 40, 30, 8)
    plan = CoreNet().by_budget([table], 100)[0]
    live = table.total > 0
    scale = plan.draws[live] / table.total[live]
    # ceil(scale S): one common scale fits all pairs.
    assert ((plan.draws[live] - 1) / table.total[live]).max() < scale.min() * (1 + 1e-9)
    assert not plan.whole.any()


def premises(net: nn.Module, x: Tensor, method: str = "corenet") -> str:
    """What keeps NW-5 from being claimed; "" if it is."""
    result = prune(net, x, method=method, eps=0.3, delta=0.1)
    claimed = "NW-5" in result.claims
    assert claimed == ("under assumptions A1 and A2" in result.holds_for)
    why = [note for note in result.notes if note.startswith("NW-5 is not claimed")]
    if claimed:
        assert not why
        return ""
    assert result.vacuous and result.holds_for.endswith(why[0])
    assert "each calibration input, per neuron" in result.holds_for
    assert result.claims[:4] == ("ES-1", "SP-9", "SP-1", "SP-2")
    return why[0]


@pytest.mark.parametrize("method", ["corenet", "corenet+", "corenet++"])
def test_the_network_theorem_is_claimed_with_its_premises_only(method: str) -> None:
    net, x = network(), inputs(100)
    assert premises(net, x, method) == ""
    needed = int(sipp_theory.calibration_size(27, 20, 0.1))
    assert f"it needs {needed} calibration inputs" in premises(net, x[:-40], method)
    assert "activations below 0 enter 0" in premises(net, x - 0.3, method)
    alone = nn.Linear(20, 4).double()
    assert premises(alone, x, method) == ""
    before = nn.Sequential(nn.Sigmoid(), nn.Linear(20, 4).double(), nn.ReLU(), nn.Dropout())
    assert premises(before, x, method) == ""


def test_all_premises_that_fail_are_named_at_once() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 4), nn.Tanh(), nn.Linear(4, 2)
    )
    why = premises(net, torch.randn(5, 2, 10))
    for part in (
        "not dense: 0", "no nn.Sequential", "below 0 enter 0, 3, 5", "5 were measured",
    ):  # fmt: skip
        assert part in why
    half = nn.Sequential(nn.Linear(20, 6), nn.ReLU(), nn.Sequential(nn.Softmax(1), nn.Linear(6, 2)))
    assert "with ReLU between" in premises(half.double(), inputs(100))
    left_out = prune(
        network(), inputs(100), method="corenet", eps=0.3, delta=0.1, layers=["0", "3"]
    )
    assert "NW-5" not in left_out.claims


@pytest.mark.parametrize("method", ["corenet+", "corenet++"])
def test_a_removed_neuron_that_something_reached_is_promised_nothing(method: str) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(torch.ones(3, 4))
        net.get_parameter("0.bias").copy_(torch.tensor([0.0, -9.0, 0.0]))
        net.get_parameter("0.weight")[2] = 0
    x = torch.rand(20, 4).double()
    report = prune(net, x, method=method, keep=0.9, delta=0.1).layers[0]
    # The second is off because of its bias; nothing ever reached the third.
    assert (report.removed, report.dead) == (2, 1)
    assert report.eps_neuron[1] == 1 and report.eps_neuron[2] == 0
    assert report.eps >= 1 and report.vacuous_neurons >= 1


def test_the_chosen_candidate_is_promised_at_delta_over_tau() -> None:
    """At a fresh input the choice fails up to tau times as often as one candidate (SP-10)."""
    net, x = network(), inputs()
    delta = 0.05
    tau = float(sipp_theory.candidates(delta))
    given = {"keep": 0.3, "bound": "bernstein", "seed": 4}
    result = prune(net, x, method="corenet++", delta=delta, **given)
    for plan, report in zip(result.plans, result.layers, strict=True):
        parts = (report.sensitivity_sum > 0).sum(axis=0)
        assert (plan.dead == (report.sensitivity_sum == 0)).all()
        live = (plan.draws > 0) & ~plan.whole
        eps = sipp_theory.bernstein_error(
            report.sensitivity_sum, np.maximum(plan.draws, 1),
            delta / tau / np.broadcast_to(np.maximum(parts, 1), live.shape),
        )  # fmt: skip
        assert live.any()
        np.testing.assert_array_equal(plan.eps[live], np.asarray(eps)[live])
