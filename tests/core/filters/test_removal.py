"""Removing filters: the smaller model is the masked one, budgets and promises hold, refusals."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import sipp_theory
from sipp_core import PruneResult, certify, load, prune_filters
from sipp_core.filters.graph import channel_graph, example_of
from sipp_core.filters.result import Channels, FilterReport
from sipp_core.filters.sensitivity import channel_sensitivity
from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.network.patches import rows
from sipp_core.network.structure import narrow
from sipp_core.zoo import models

METHODS = ("filters-det", "filters-rand")
SMALL = ("residual", "branches", "written", "tokens", "padded", "three")
BUILT = ("lenet-300-100", "lenet-5", "vgg-small", "resnet-20", "vit-tiny")


def channels(result: PruneResult) -> Channels:
    """What became of the channels of the network."""
    assert result.channels is not None
    return result.channels


def channel_reports(result: PruneResult) -> list[FilterReport]:
    """What became of the channels of each layer."""
    reports = [layer.channels for layer in result.layers]
    assert all(report is not None for report in reports)
    return [report for report in reports if report is not None]


def masked(model: nn.Module, result: PruneResult) -> nn.Module:
    """The given model at its full size, consumers' weights multiplied as the result says."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for layer in channel_reports(result):
            weight = weight_of(other.get_submodule(layer.name))
            if weight.shape[1] == len(layer.multiplier):
                shape = (1, -1, *[1] * (weight.ndim - 2))
                weight.mul_(torch.from_numpy(layer.multiplier).to(weight.dtype).view(shape))
    return other


def built(name: str) -> tuple[nn.Module, Tensor]:
    model = models.build(name, seed=1).double().eval()
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.copy_(torch.randn(len(module.running_mean), generator=generator))
            nn.init.normal_(module.bias, generator=generator)
    shape = (4, *models.input_shape(name))
    return model, torch.rand(shape, generator=generator, dtype=torch.float64)


def check_exact(model: nn.Module, x: Tensor, result: PruneResult) -> None:
    fresh = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        for inputs in (x, fresh):
            small, whole = result.model(inputs), masked(model, result)(inputs)
            assert small.shape == whole.shape
            assert (small - whole).abs().max() <= 1e-11 * whole.abs().max().clamp(min=1)
    loaded = narrow(model, channels(result).shapes)
    loaded.load_state_dict(result.model.state_dict())
    with torch.no_grad():
        assert torch.equal(loaded(x), result.model(x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMALL)
def test_the_smaller_model_is_the_masked_one(channel_network, name, method):
    for seed in range(4):
        model, x = channel_network(name, seed)
        result = prune_filters(model, x, method=method, keep=0.55, seed=seed)
        assert result.kept <= 0.55 and any(g.kept < g.units for g in channels(result).groups)
        check_exact(model, x, result)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", BUILT)
def test_the_smaller_reference_network_is_the_masked_one(name, method):
    model, x = built(name)
    result = prune_filters(model, x, method=method, keep=0.6)
    check_exact(model, x, result)
    assert result.kept <= 0.6
    assert channels(result).parameters_after < channels(result).parameters_before
    assert channels(result).multiply_adds_after < channels(result).multiply_adds_before


def test_what_a_removed_channel_would_have_made_of_its_bias_is_gone_too():
    """A filter of zeros with a bias still speaks after ReLU; a removed one does not."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).double()
    with torch.no_grad():
        net.get_parameter("0.weight").copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        net.get_parameter("0.bias").copy_(torch.tensor([0.0, 0.01]))
        net.get_parameter("2.weight").fill_(1.0)
    x = torch.ones(3, 2, dtype=torch.float64)
    result = prune_filters(net, x, method="filters-det", keep=0.5)
    gap = (net(x) - result.model(x)).detach()
    assert torch.allclose(gap, torch.tensor(0.01, dtype=torch.float64))
    assert gap.max() / 2.01 <= result.layers[1].eps <= 0.01 / 2.01 * (1 + 1e-9)


def preactivations(model: nn.Module, x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """A layer's rows (n, fan_in) on inputs x, and its weight matrix."""
    heard: list[Tensor] = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_pre_hook(lambda module, given: heard.append(given[0]))
    with torch.no_grad():
        model(x)
    handle.remove()
    return rows(PrunableLayer(name, layer, 1), heard[0])[0], weight_of(layer).detach().flatten(1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SMALL)
def test_promises_hold_on_every_calibration_input(channel_network, name, method):
    """|z^ - z| <= eps z~ at each consumer on its own inputs; vacuous ones of drawing left aside."""
    model, x = channel_network(name, 3)
    result = prune_filters(model, x, method=method, keep=0.7, delta=0.01, seed=1)
    for layer in channel_reports(result):
        if layer.before[1] != len(layer.multiplier) or layer.eps == 0:
            continue
        a, w = preactivations(model, x, layer.name)
        factor = np.repeat(layer.multiplier, w.shape[1] // len(layer.multiplier))
        if len(factor) != w.shape[1]:
            continue
        error = (a @ (w * (torch.from_numpy(factor) - 1)).T).abs()
        assert (error <= layer.eps * (a.abs() @ w.abs().T) + 1e-12).all(), layer.name


def test_sensitivities_are_those_of_the_worst_consumer(channel_network):
    model, x = channel_network("residual", 0)
    result = prune_filters(model, x, method="filters-det", keep=0.8)
    shared = next(g for g in channels(result).groups if len(g.producers) > 1)
    assert shared.consumers == ("inner", "head") and shared.units == 6
    each = []
    for name in shared.consumers:
        a, w = preactivations(model, x, name)
        each.append(channel_sensitivity(w, a, np.repeat(np.arange(6), w.shape[1] // 6)))
    assert np.allclose(shared.sensitivity, np.maximum(*each), atol=1e-12)
    # 5 filters x 36 patches x 2 signs behind ReLU, and 4 x 2 behind a mean of what ReLU lets pass.
    assert shared.events == 5 * 36 * 2 + 4 * 2
    assert np.isclose(shared.sensitivity_sum, shared.sensitivity.sum())


def test_guarantee_mode_keeps_the_fewest_channels():
    model, x = built("lenet-300-100")
    for eps in (0.05, 0.3):
        result = prune_filters(model, x, method="filters-det", eps=eps, delta=0.1)
        for group in channels(result).groups:
            assert group.eps <= eps
            order = np.sort(group.sensitivity)
            dropped = group.units - group.kept
            assert order[:dropped].sum() <= eps < order[: dropped + 1].sum()
        assert result.delta == 0.1 and not result.vacuous


def test_drawing_with_a_promise_is_vacuous_here_and_says_so():
    model, x = built("lenet-5")
    result = prune_filters(model, x, method="filters-rand", eps=0.1, delta=0.05)
    assert result.vacuous and result.notes[1].startswith("vacuous")
    assert all(g.draws == 0 and g.kept == g.units - g.dead for g in channels(result).groups)
    with torch.no_grad():
        assert torch.allclose(result.model(x), model(x), rtol=0, atol=1e-12)


def test_drawing_with_a_promise_where_channels_are_many():
    """10,000 equal channels: the bound asks for fewer draws than there are, and they meet it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 10_000, bias=False), nn.ReLU(), nn.Linear(10_000, 1)).double()
    with torch.no_grad():
        net.get_parameter("0.weight").fill_(1.0)
        net.get_parameter("2.weight").uniform_(0.9, 1.1)
        net.get_parameter("2.bias").zero_()
    x = torch.ones(1, 1, dtype=torch.float64)
    result = prune_filters(net, x, method="filters-rand", eps=0.1, delta=0.05)
    (group,) = channels(result).groups
    assert 0 < group.kept <= group.draws < 10_000 and not result.vacuous
    assert group.draws == sipp_theory.channel_bernstein_size(1.0, 0.1, 0.05, 2)
    assert abs(float((result.model(x) / net(x)).detach()) - 1) <= 0.1
    printed = prune_filters(net, x, method="filters-rand", eps=0.1, delta=0.05, bound="printed")
    assert channels(printed).groups[0].draws == sipp_theory.channel_size(1.0, 0.1, 0.05, 1)
    assert printed.claims == ("PF-1", "SP-1")


def test_looking_at_the_draws_before_their_number_is_settled_has_its_price():
    """In budget mode the promise holds for every number of draws that could have been chosen."""
    model, x = built("lenet-300-100")
    result = prune_filters(model, x, method="filters-rand", keep=0.5)
    for group in channels(result).groups:
        known = (group.sensitivity_sum, group.draws, result.delta)
        blind = sipp_theory.channel_bernstein_error(*known, group.events)
        assert blind < group.eps
        assert group.eps <= sipp_theory.channel_bernstein_error(*known, group.events * 400)


@pytest.mark.parametrize("keep", [0.3, 0.62, 0.9, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_budgets_are_met_from_below(method, keep):
    model, x = built("lenet-300-100")
    result = prune_filters(model, x, method=method, keep=keep)
    assert result.kept <= keep
    live = [g.units - g.dead for g in channels(result).groups]
    if method == "filters-det" and [g.kept for g in channels(result).groups] != live:
        # One more channel of the first layer has 784 + 100 weights.
        assert result.kept >= keep - 900 / 266_200
    assert all(layer.nnz_after <= layer.nnz_before for layer in result.layers)
    assert sum(int((weight_of(m) != 0).sum()) for m in result.model.modules()
               if isinstance(m, nn.Linear)) == result.nnz_after  # fmt: skip


@pytest.mark.parametrize("keep", [0.5, 0.1, 0.01])
def test_channels_alike_keeps_the_same_share_of_every_layer(keep):
    model = models.build("lenet-300-100")
    inputs = torch.rand(20, 784, generator=torch.Generator().manual_seed(0))
    result = prune_filters(model, inputs, method="filters-det", keep=keep, alike="channels")
    shares = [group.kept / group.units for group in channels(result).groups]
    assert len(shares) == 2
    # 100 neurons go in steps of .01, and one more removal would not have been needed.
    assert abs(shares[0] - shares[1]) <= 0.01 + 1e-9
    assert result.nnz_after <= keep * 266_200
    assert result.nnz_after > keep * 266_200 - 2 * 784 - 300 - 110
    for group, report in zip(channels(result).groups, channel_reports(result), strict=False):
        order = np.argsort(-group.sensitivity, kind="stable")
        assert set(report.kept_filters) == set(order[: group.kept])


def test_same_seed_same_bits_and_the_model_untouched(channel_network):
    model, x = channel_network("residual", 1)
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    first, again = (
        prune_filters(model, parts, method="filters-rand", keep=0.6, seed=4)
        for parts in (x, iter([x[:1], (x[1:], torch.zeros(5))]))
    )
    other = prune_filters(model, x, method="filters-rand", keep=0.6, seed=5)
    for k, v in first.model.state_dict().items():
        assert torch.equal(v, again.model.state_dict()[k])
    assert any(
        not np.array_equal(a.multiplier, b.multiplier)
        for a, b in zip(channel_reports(first), channel_reports(other), strict=True)
    )
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert model.training and first.model.training
    assert [n for n, _ in first.model.named_modules()] == [n for n, _ in model.named_modules()]


def test_what_a_residual_sum_joins_goes_together(channel_network):
    model, x = channel_network("residual", 0)
    result = prune_filters(model, x, method="filters-det", keep=0.5)
    by_name = {layer.name: layer for layer in channel_reports(result)}
    group = next(g for g in channels(result).groups if len(g.producers) > 1)
    assert not group.frozen and 0 < group.kept < group.units
    assert by_name["stem"].after[0] == by_name["outer"].after[0] == group.kept
    assert by_name["stem"].kept_filters.tolist() == by_name["outer"].kept_filters.tolist()
    assert by_name["inner"].after[1] == by_name["head"].after[1] == group.kept


class Grouped(nn.Module):
    """ResNeXt's block: a grouped convolution between two plain ones, inside a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.reduce = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 1)
        self.inner, self.norm = nn.Conv2d(8, 12, 3, padding=1, groups=4), nn.BatchNorm2d(12)
        self.expand, self.head = nn.Conv2d(12, 6, 1), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = torch.relu(self.norm(self.inner(torch.relu(self.reduce(x)))))
        return self.head((x + self.expand(y)).mean(dim=(2, 3)))


@pytest.mark.parametrize("method", ["filters-det", "filters-rand"])
def test_groups_of_a_convolution_shrink_alike(method, tmp_path):
    torch.manual_seed(0)
    model, x = Grouped().double(), torch.rand(9, 3, 5, 5, dtype=torch.float64)
    result = prune_filters(model, x, method=method, keep=0.5, seed=1)
    by_name = {layer.name: layer for layer in channel_reports(result)}
    inner = by_name["inner"]
    new = result.model.get_submodule("inner")
    assert new.groups == 4 and inner.after != inner.before == (12, 8)
    assert inner.after[0] % 4 == inner.after[1] % 4 == 0
    for kept, width in ((inner.kept_filters, 3), (by_name["reduce"].kept_filters, 2)):
        places = kept.reshape(4, -1) % width
        assert (places == places[0]).all()
    # What is left computes what the given network computes with the other weights at 0.
    masked = copy.deepcopy(model)
    with torch.no_grad():
        for name, layer in by_name.items():
            weight = weight_of(masked.get_submodule(name))
            factor = torch.from_numpy(layer.multiplier)
            if name == "inner":
                factor = factor.reshape(4, 1, 2).expand(4, 3, 2).reshape(12, 2)
            weight.mul_(factor.reshape(-1, weight.shape[1], *[1] * (weight.ndim - 2)))
    torch.testing.assert_close(result.model(x), masked(x))
    result.save(tmp_path / "net")
    again = load(tmp_path / "net", Grouped().double()).model
    torch.testing.assert_close(again(x), result.model(x))
    assert certify(model, again, torch.rand(100, 3, 5, 5, dtype=torch.float64)).n == 100


def test_shares_of_grouped_inputs_are_those_of_each_group_alone():
    torch.manual_seed(0)
    model, x = Grouped().double(), torch.rand(4, 3, 5, 5, dtype=torch.float64)
    result = prune_filters(model, x, method="filters-det", keep=0.8)
    group = next(g for g in channels(result).groups if g.consumers == ("inner",))
    with torch.no_grad():
        rows = torch.relu(model.reduce(torch.relu(model.stem(x))))
    best = np.zeros(2)
    for k in range(4):
        patches = F.unfold(rows[:, 2 * k : 2 * k + 2], 3, padding=1).transpose(1, 2).flatten(0, 1)
        weight = model.inner.weight[3 * k : 3 * k + 3].detach().flatten(1)
        best = np.maximum(best, channel_sensitivity(weight, patches, np.repeat(np.arange(2), 9)))
    assert np.allclose(group.sensitivity, best, atol=1e-12)


def test_only_chosen_layers_change():
    model, x = built("lenet-5")
    result = prune_filters(model, x, method="filters-det", keep=0.7, layers=["fc*"])
    assert {"conv1", "conv2"}.isdisjoint(channels(result).shapes)
    left_out = weight_of(result.model.get_submodule("conv2"))
    assert torch.equal(left_out, model.get_parameter("conv2.weight"))
    assert {g.producers for g in channels(result).groups} == {("fc1",), ("fc2",)}


def test_certificates_work_on_the_smaller_model():
    model, x = built("lenet-300-100")
    result = prune_filters(model, x, method="filters-det", keep=0.8)
    certificate = certify(model, result.model, torch.rand(120, 784, dtype=torch.float64))
    assert 0 < certificate.eps < np.inf
    with pytest.raises(ValueError, match="4 of 4 held-out inputs were calibration inputs"):
        certify(model, result.model, x)


def test_the_summary_is_plain():
    import json

    model, x = built("lenet-300-100")
    result = prune_filters(model, x, method="filters-det", keep=0.5)
    content = json.loads(json.dumps(result.summary()))
    assert content["kept"] == result.kept and content["shapes"]["fc3"] == list(
        channels(result).shapes["fc3"]
    )
    assert content["groups"][0]["producers"] == ["fc1"] and "fc3" in content["whole"]
    assert "with certainty" in result.holds_for


def test_dead_groups_and_half_precision():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        net.get_parameter("0.weight").fill_(-1.0)
        net.get_parameter("0.bias").zero_()
    for method in METHODS:
        result = prune_filters(net, torch.ones(4, 2), method=method, keep=1.0)
        assert channels(result).groups[0].kept == 1 and channels(result).groups[0].dead == 2
        assert torch.equal(result.model(torch.ones(4, 2)), net(torch.ones(4, 2)))
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).bfloat16()
    result = prune_filters(net, torch.rand(4, 4).bfloat16(), method="filters-rand", keep=0.5)
    assert weight_of(result.model.get_submodule("2")).dtype == torch.bfloat16


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) if x.sum() > 0 else self.a(x)


NET = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
FINE: dict[str, Any] = {"method": "filters-det", "keep": 0.9}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (
            {"method": "magnitude"},
            ValueError,
            "filters-det or filters-rand; found 'magnitude'",
        ),
        ({"keep": None}, ValueError, "give either keep=.* found keep=None, eps=None"),
        ({"eps": 0.1}, ValueError, "give either keep"),
        ({"keep": 1.5}, ValueError, r"keep must lie in \(0, 1\]; found 1.5"),
        ({"keep": True}, TypeError, "keep must be a number; found True"),
        ({"keep": None, "eps": 1.0}, ValueError, r"eps must lie in \(0, 1\); found 1.0"),
        ({"keep": None, "eps": 0.1, "method": "filters-rand"}, ValueError, "needs delta"),
        ({"delta": 0.0}, ValueError, r"delta must lie in \(0, 1\); found 0.0"),
        ({"coverage_factor": 0.5}, ValueError, "coverage_factor must be at least 1; found 0.5"),
        ({"bound": "kl"}, ValueError, "bound must be one of bernstein, printed; found 'kl'"),
        ({"alike": "bits"}, ValueError, "alike must be one of errors, channels; found 'bits'"),
        (
            {"alike": "channels", "keep": None, "eps": 0.1},
            ValueError,
            "filters that are dropped, with keep=",
        ),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"layers": ["x"]}, ValueError, "x"),
        ({"keep": 0.01}, ValueError, "keep=0.01 cannot be met: .* 4 of 12 .* at least 0.3333"),
    ],
)
def test_bad_arguments_are_refused_by_name(change, kind, words):
    with pytest.raises(kind, match=words):
        prune_filters(NET, torch.rand(4, 2), **(FINE | change))


def test_models_whose_graph_does_not_allow_it_are_refused():
    with pytest.raises(ValueError, match="Branching cannot be recorded .*='sipp-hybrid'"):
        prune_filters(Branching(), torch.rand(4, 2), **FINE)
    with pytest.raises(ValueError, match="no filter .* layer '': it is not called as a layer"):
        prune_filters(nn.Linear(2, 2), torch.rand(4, 2), **FINE)
    with pytest.raises(ValueError, match=r"layer '0' got an input of shape \(4, 3\)"):
        prune_filters(NET, torch.rand(4, 3), **FINE)


def test_example_has_two_inputs_and_the_graph_leaves_no_trace(channel_network):
    model, x = channel_network("branches", 0)
    modules = {name: id(m) for name, m in model.named_modules()}
    channel_graph(model, example_of(x[:1]))
    assert modules == {name: id(m) for name, m in model.named_modules()}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
