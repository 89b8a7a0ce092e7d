"""prune: a new model of the same class, reproducible, on budget, and every refusal by name."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune
from torch.utils.data import DataLoader, TensorDataset

from sipp_core import PruneResult, calibrate, prune
from sipp_core.zoo import models
from tests.core.conftest import PLANNED, expected_nonzeros, for_method

CERTAIN = ("sipp-det", "magnitude", "wanda", "snip")
# They choose without looking at the data, so they may keep what no input reaches.
BLIND = ("random", "entry-uniform", "entry-l1", "entry-l2", "entry-mixture")
MATRICES = {"dense": ("0", "2", "4"), "images": ("0", "2", "5")}


class Images(nn.Sequential):
    """A class of its own, with an attribute that a copy must keep."""

    label = "mine"


def build(kind: str, seed: int = 0) -> nn.Module:
    if kind == "dense":
        net = nn.Sequential(
            nn.Linear(40, 60), nn.ReLU(), nn.Linear(60, 30), nn.ReLU(), nn.Linear(30, 10)
        )
    else:
        net = Images(
            nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten(),
            nn.Linear(128, 10),
        )  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.3)
    return net


def calibration(kind: str, seed: int = 1) -> Tensor:
    shape = (200, 40) if kind == "dense" else (60, 2, 8, 8)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def same_bytes(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def flags(model: nn.Module) -> list[bool]:
    return [m.training for m in model.modules()]


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("keep", [0.1, 0.5])
@pytest.mark.parametrize("method", PLANNED)
@pytest.mark.parametrize("kind", MATRICES)
def test_budget_mode(kind: str, method: str, keep: float, scope: str) -> None:
    model, x = build(kind), calibration(kind)
    model.get_submodule("1").eval()
    original, modes = copy.deepcopy(model), flags(model)
    result = prune(model, for_method(method, x), method=method, keep=keep, scope=scope, seed=3)
    assert same_bytes(model, original) and flags(model) == modes
    assert type(result.model) is type(model) and result.model is not model
    assert flags(result.model) == modes
    assert getattr(result.model, "label", None) == getattr(model, "label", None)
    assert [report.name for report in result.layers] == list(MATRICES[kind])

    sizes = [report.shape[0] * report.shape[1] for report in result.layers]
    wanted = (
        [np.rint(keep * n) for n in sizes] if scope == "layer" else [np.rint(keep * sum(sizes))]
    )
    expected = [expected_nonzeros(plan) for plan in result.plans]
    expected = expected if scope == "layer" else [sum(expected)]
    if method == "corenet++":
        # Choosing among candidates favours those with more distinct weights; the plan asks for
        # less, so that what is chosen meets the budget.
        left = [report.nnz_after for report in result.layers]
        left = left if scope == "layer" else [sum(left)]
        for found, options in zip(left, wanted, strict=True):
            assert 0.85 * options - 3 <= found <= 1.03 * options + 3
    else:
        pairs = 2 * sum(report.shape[0] for report in result.layers)
        for found, options in zip(expected, wanted, strict=True):
            exact = method in (*CERTAIN, "sipp-recentred", "sipp-poisson", "random")
            # Else draws are whole numbers a pair: off by half a weight each at the very most.
            assert abs(found - options) <= (
                1e-6 * options if exact else min(pairs / 2, 0.1 * options + 2)
            )
        # Each weight is kept or not: the count strays less than that of independent coins.
        spread = 6 * math.sqrt(sum(wanted) / 4)
        assert abs(result.nnz_after - sum(expected)) <= spread

    for report, plan in zip(result.layers, result.plans, strict=True):
        old = model.get_parameter(f"{report.name}.weight").detach().flatten(1)
        new = result.model.get_parameter(f"{report.name}.weight").detach().flatten(1)
        bias = f"{report.name}.bias"
        assert torch.equal(result.model.get_parameter(bias), model.get_parameter(bias))
        assert report.nnz_before == int((old != 0).sum())
        assert report.nnz_after == int((new != 0).sum()) == int(report.budgets.sum())
        assert torch.equal(result.masks[report.name].flatten(1), new != 0)
        assert bool((new * old >= 0).all())  # no sign ever turns
        for sign, mask in enumerate((old > 0, old < 0)):
            assert report.budgets[sign].tolist() == ((new != 0) & mask).sum(1).tolist()
        if method in (*CERTAIN, "random"):
            assert torch.equal(new[new != 0], old[new != 0])
        planned = np.where(report.sensitivity_sum > 0, plan.eps, 0).max()
        # What float32 rounds of the new weights comes on top.
        rounding = 0 if method in (*CERTAIN, "random") else 2**-24 * (1 + planned)
        assert planned <= report.eps == report.eps_neuron.max() <= planned + rounding
    assert (result.keep, result.scope, result.method, result.seed) == (keep, scope, method, 3)
    assert (result.nnz_before, result.inputs) == (sum(sizes), len(x))
    assert result.kept == result.nnz_after / sum(sizes)


@pytest.mark.parametrize("method", PLANNED)
@pytest.mark.parametrize("kind", MATRICES)
def test_keeping_everything_is_the_identity(kind: str, method: str) -> None:
    model, x = build(kind), calibration(kind)
    for scope in ("layer", "global"):
        result = prune(model, for_method(method, x), method=method, keep=1.0, scope=scope)
        assert same_bytes(result.model, model) and not result.vacuous
        assert result.nnz_after == result.nnz_before
        assert all(report.eps == 0 for report in result.layers)


@pytest.mark.parametrize("method", PLANNED)
def test_the_seed_decides_every_draw(method: str) -> None:
    model, x = build("dense"), calibration("dense")
    torch.rand(3)  # where the global generators stand must not matter
    state = torch.get_rng_state()
    first = prune(model, for_method(method, x), method=method, keep=0.2, seed=5)
    np.random.rand(3)
    cut = [for_method(method, part) for part in x.split(17)]
    cut = [pair for part in cut for pair in part] if method == "snip" else cut
    again = prune(model, cut, method=method, keep=0.2, seed=5)
    other = prune(model, for_method(method, x), method=method, keep=0.2, seed=6)
    assert same_bytes(first.model, again.model)
    # The hybrid drops wherever that promises more, here everywhere.
    certain = (*CERTAIN, "sipp-recentred", "sipp-hybrid")
    assert same_bytes(first.model, other.model) == (method in certain)
    assert torch.equal(torch.get_rng_state(), state)
    numpy_seed: Any = np.int64(5)
    assert prune(model, for_method(method, x), method=method, keep=0.2, seed=numpy_seed).seed == 5


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("method", ["sipp-rand", "sipp-det", "sipp-poisson"])
def test_masks_on_request_are_torchs_own(kind: str, method: str) -> None:
    model, x = build(kind), calibration(kind)
    plain = prune(model, x, method=method, keep=0.2, seed=1)
    masked = prune(model, x, method=method, keep=0.2, seed=1, masks=True)
    for report in masked.layers:
        module = masked.model.get_submodule(report.name)
        buffers, parameters = dict(module.named_buffers()), dict(module.named_parameters())
        assert torch.equal(buffers["weight_mask"] != 0, masked.masks[report.name])
        assert "weight_orig" in parameters and "weight" not in parameters
        weight = plain.model.get_parameter(f"{report.name}.weight")
        assert torch.equal(buffers["weight_mask"] * parameters["weight_orig"], weight)
    assert torch.equal(masked.model(x), plain.model(x))
    for report in masked.layers:
        torch_prune.remove(masked.model.get_submodule(report.name), "weight")
    assert same_bytes_by_name(masked.model, plain.model)


def same_bytes_by_name(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_masked_weights_stay_pruned_in_training() -> None:
    model, x = build("dense"), calibration("dense")
    result = prune(model, x, method="sipp-hybrid", keep=0.2, masks=True)
    optimizer = torch.optim.SGD(result.model.parameters(), lr=0.1)
    result.model(x).square().mean().backward()
    optimizer.step()
    result.model(x)
    for name, mask in result.masks.items():
        weight = result.model.get_submodule(name).weight
        assert isinstance(weight, Tensor) and not weight[~mask].any()


def test_only_the_chosen_layers_change() -> None:
    model, x = build("dense"), calibration("dense")
    result = prune(model, x, method="sipp-det", keep=0.3, layers=["2"])
    assert [report.name for report in result.layers] == ["2"] and list(result.masks) == ["2"]
    for name in ("0.weight", "4.weight"):
        assert torch.equal(result.model.get_parameter(name), model.get_parameter(name))


def test_a_model_that_is_itself_a_layer() -> None:
    result = prune(nn.Linear(40, 5), calibration("dense"), method="sipp-rand", keep=0.5)
    assert isinstance(result.model, nn.Linear) and result.layers[0].name == ""


def test_gradients_and_frozen_parameters_of_the_original_stay() -> None:
    model, x = build("dense"), calibration("dense")
    model.get_parameter("2.weight").requires_grad_(False)
    model.forward(x).sum().backward()
    grad = model.get_parameter("0.weight").grad
    assert grad is not None
    before = grad.clone()
    result = prune(model, x, method="sipp-rand", keep=0.5)
    assert torch.equal(grad, before) and not model.get_parameter("2.weight").requires_grad
    assert not result.model.get_parameter("2.weight").requires_grad
    assert result.model.get_parameter("0.weight").requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_said_and_kept(dtype: torch.dtype) -> None:
    model, x = build("dense").to(dtype), calibration("dense").to(dtype)
    result = prune(model, x, method="sipp-hybrid", keep=0.2)
    assert all(p.dtype == dtype for p in result.model.parameters())
    assert any("float32: 0, 2, 4" in note for note in result.notes)
    assert not any("float32" in n for n in prune(model.float(), x.float(), method="sipp-det",
                                                 keep=0.2).notes)  # fmt: skip


def test_a_weight_that_would_leave_half_precision_is_refused() -> None:
    model = nn.Sequential(nn.Linear(400, 1)).half()
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(6e4)
    x = torch.full((4, 400), 1e-4, dtype=torch.float16)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="layer '0': a new weight leaves .*float16"):
        prune(model, x, method="sipp-poisson", keep=0.05)
    assert same_bytes(model, before)


# ---- rows of zeros, dead neurons, repeats ------------------------------------------------------


@pytest.mark.parametrize("method", PLANNED)
def test_zero_rows_dead_neurons_and_dead_inputs(method: str) -> None:
    model, x = build("dense"), calibration("dense")
    with torch.no_grad():
        model.get_parameter("0.weight")[4] = 0  # a row of zeros
        model.get_parameter("0.weight")[5] = model.get_parameter("0.weight")[5].abs()
        model.get_parameter("2.weight")[:, :] *= (torch.arange(60) == 7) | (
            torch.arange(30)[:, None] != 3
        )  # neuron 3 listens to neuron 7 alone,
        model.get_parameter("0.bias")[7] = -1e3  # which never fires
    x = x.clone()
    x[:, 0] = 0
    settings: list[dict[str, Any]] = [{"keep": 0.2}, {"eps": 0.9, "delta": 0.2}]
    for setting in settings[: 1 if method == "random" else 2]:
        result = prune(model, for_method(method, x), method=method, **setting)
        # CoreNet+ adds the hidden neurons whose activation is 0 throughout.
        extra = [report.removed for report in result.layers]
        assert method in ("corenet+", "corenet++") or extra == [0, 0, 0]
        assert 1 <= result.layers[0].dead <= 1 + extra[0]
        assert 1 <= result.layers[1].dead <= 1 + extra[1] and result.layers[1].shape == (30, 60)
        assert result.layers[1].nnz_before == 29 * 60 + 1
        new = result.model.get_parameter("2.weight")
        assert torch.isfinite(result.model(x)).all()
        gone = not new[3].any()
        assert gone or method in BLIND
        note = next(note for note in result.notes if "no calibration input reached" in note)
        assert f"'0': {result.layers[0].dead}" in note and f"'2': {result.layers[1].dead}" in note
        assert "were removed" not in note or gone
        if "eps" in setting and method not in BLIND:
            assert not result.model.get_parameter("0.weight")[:, 0].any()


def test_removing_what_never_fired_is_exact_on_the_calibration_set() -> None:
    model, x = build("dense").double(), calibration("dense").double()
    x[:, :5] = 0
    result = prune(model, x, method="sipp-rand", eps=1e-4, delta=0.01)
    with torch.no_grad():
        first = torch.relu(model.get_submodule("0")(x))
        second = torch.relu(model.get_submodule("2")(first))
    silent = [int((a == 0).all(0).sum()) for a in (first, second)]
    gone = 5 * 60 + silent[0] * 30 + silent[1] * 10
    assert result.vacuous and result.nnz_after == result.nnz_before - gone
    torch.testing.assert_close(result.model(x), model(x), rtol=1e-12, atol=1e-12)


def test_repeated_inputs_are_noted() -> None:
    x = calibration("dense")
    result = prune(build("dense"), torch.cat([x, x[:7]]), method="sipp-det", keep=0.5)
    assert (result.inputs, result.distinct) == (207, 200)
    assert any("7 calibration inputs are repeats" in note for note in result.notes)


def test_budget_mode_is_vacuous_where_a_neuron_is_promised_nothing() -> None:
    model, x = build("dense"), calibration("dense")
    thin = prune(model, x, method="sipp-rand", keep=0.05)
    assert thin.vacuous and any(report.vacuous_neurons for report in thin.layers)
    thick = prune(model, x, method="sipp-det", keep=0.98)
    assert not thick.vacuous and all(report.eps < 1 for report in thick.layers)


def test_the_summary_is_json() -> None:
    import json

    result = prune(build("dense"), calibration("dense"), method="sipp-hybrid", keep=0.1)
    again = json.loads(json.dumps(result.summary()))
    assert again["method"] == "sipp-hybrid" and again["nnz_after"] == result.nnz_after
    assert [layer["name"] for layer in again["layers"]] == ["0", "2", "4"]
    assert set(result.versions) == {"sipp-theory", "torch", "numpy"}


def test_progress_is_told() -> None:
    seen: list[str] = []
    prune(
        build("dense"), calibration("dense"), method="sipp-poisson", eps=0.5, delta=0.1,
        progress=lambda done, total, what: seen.append(what),
    )  # fmt: skip
    assert set(seen) == {"calibrate", "allocate"}


# ---- bad input ---------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "sip"}, ValueError, "method must be one of sipp-det.*found 'sip'"),
        ({}, ValueError, "either keep=.* or eps=.*found keep=None, eps=None"),
        ({"keep": 0.1, "eps": 0.1}, ValueError, r"either keep=.*keep=0\.1, eps=0\.1"),
        ({"keep": 0.0}, ValueError, r"keep must lie in \(0, 1\]; found 0\.0"),
        ({"keep": 1.1}, ValueError, r"keep must lie in \(0, 1\]; found 1\.1"),
        ({"keep": -0.1}, ValueError, r"keep must lie in \(0, 1\]; found -0\.1"),
        ({"keep": NAN}, ValueError, r"keep must lie in \(0, 1\]; found nan"),
        ({"keep": True}, TypeError, "keep must be a number; found True"),
        ({"keep": "10%"}, TypeError, "keep must be a number; found '10%'"),
        ({"eps": 0.1}, ValueError, "guarantee mode needs delta="),
        ({"eps": 0.0, "delta": 0.1}, ValueError, r"eps must lie in \(0, 1\); found 0\.0"),
        ({"eps": 1.0, "delta": 0.1}, ValueError, r"eps must lie in \(0, 1\); found 1\.0"),
        ({"eps": NAN, "delta": 0.1}, ValueError, r"eps must lie in \(0, 1\); found nan"),
        ({"eps": 0.1, "delta": 0}, ValueError, r"delta must lie in \(0, 1\); found 0"),
        ({"eps": 0.1, "delta": 1.0}, ValueError, r"delta must lie in \(0, 1\); found 1\.0"),
        ({"eps": 0.1, "delta": "a"}, TypeError, "delta must be a number; found 'a'"),
        ({"keep": 0.1, "scope": "net"}, ValueError, "scope must be 'layer' or 'global'.*'net'"),
        ({"keep": 0.1, "bound": "clt"}, ValueError, "bound must be one of corenet.*found 'clt'"),
        ({"keep": 0.1, "seed": -1}, ValueError, "seed must be at least 0; found -1"),
        ({"keep": 0.1, "seed": 1.5}, TypeError, r"seed must be an integer; found 1\.5"),
        (
            {"keep": 0.1, "bound": "exact", "points": 0},
            ValueError,
            "points must be at least 1; found 0",
        ),
        (
            {"keep": 0.1, "points": 9},
            ValueError,
            "'sipp-rand' .*looks at no activation rows.*points=9",
        ),
        ({"keep": 0.1, "batch_size": 0}, ValueError, "batch_size must be at least 1; found 0"),
        ({"keep": 0.1, "coverage_factor": 0.5}, ValueError, "coverage_factor must be at least 1"),
        ({"keep": 0.1, "coverage_factor": NAN}, ValueError, "coverage_factor .*found nan"),
        ({"keep": 0.1, "coverage_factor": "2"}, TypeError, "coverage_factor must be a number"),
        (
            {"keep": 0.1, "bound": "exact", "coverage_factor": 2.0},
            ValueError,
            "'exact' takes no coverage_factor: it speaks of calibration rows only",
        ),
        (
            {"keep": 0.1, "method": "sipp-poisson", "bound": "corenet"},
            ValueError,
            "'sipp-poisson' takes bound='bernstein' or .*; found 'corenet'",
        ),
        (
            {"eps": 0.1, "delta": 0.1, "method": "random"},
            ValueError,
            "'random' does not use eps=0.1; it takes .*keep",
        ),
        (
            {"keep": 0.1, "method": "snip"},
            ValueError,
            r"calibration batch 0 has no targets.*found Tensor.*\[\(inputs, targets\)\]",
        ),
        ({"keep": 0.1, "layers": ["9"]}, ValueError, "'9' matches no layer"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_looked_at(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    model = build("dense")
    before = copy.deepcopy(model)
    arguments = {"method": "sipp-rand"} | arguments
    with pytest.raises(error, match=message):
        prune(model, calibration("dense"), **arguments)
    assert same_bytes(model, before) and flags(model) == flags(before)


def spoil(x: Tensor, value: float) -> Tensor:
    x = x.clone()
    x[17, 3] = value
    return x


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (spoil(calibration("dense"), NAN), ValueError, "layer '0' .*not finite: nan at row 17"),
        (spoil(calibration("dense"), math.inf), ValueError, "not finite: inf at row 17, input 3"),
        (torch.zeros(0, 40), ValueError, "calibration is empty"),
        ([], ValueError, "calibration is empty"),
        (torch.ones(3, 41), ValueError, r"layer '0' got .*\(3, 41\); .*must be 40"),
        (torch.ones(3, 40).long(), TypeError, "layer '0' received torch.int64"),
        (torch.ones(3, 40).double(), ValueError, "cannot run on calibration .*float64"),
        (None, TypeError, "calibration must be a tensor, a mapping"),
    ],
)
def test_bad_calibration_is_named_and_the_model_untouched(
    inputs: Any, error: type[Exception], message: str
) -> None:
    model = build("dense")
    before = copy.deepcopy(model)
    with pytest.raises(error, match=message):
        prune(model, inputs, method="sipp-rand", keep=0.1)
    assert same_bytes(model, before) and flags(model) == flags(before)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_interrupting_leaves_the_model_alone() -> None:
    def interrupt(done: int, total: int, what: str) -> None:
        if what == "allocate":
            raise KeyboardInterrupt

    model = build("dense")
    before = copy.deepcopy(model)
    with pytest.raises(KeyboardInterrupt):
        prune(model, calibration("dense"), method="sipp-rand", eps=0.5, delta=0.1,
              progress=interrupt)  # fmt: skip
    assert same_bytes(model, before) and flags(model) == flags(before)


@pytest.mark.gpu
@pytest.mark.parametrize("method", PLANNED)
def test_a_gpu_prunes_alike(method: str) -> None:
    model, x = build("dense"), calibration("dense")
    here: PruneResult = prune(model, for_method(method, x), method=method, keep=0.3)
    there = prune(copy.deepcopy(model).to("cuda"), for_method(method, x), method=method, keep=0.3)
    assert next(there.model.parameters()).is_cuda
    assert abs(here.nnz_after - there.nnz_after) <= 0.02 * here.nnz_after


# ---- a calibration made beforehand --------------------------------------------------------------


@pytest.mark.parametrize("method", ["sipp-rand", "sipp-det", "sipp-poisson", "corenet+"])
def test_a_ready_calibration_prunes_to_the_same_bits(method: str) -> None:
    net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    inputs = torch.rand(64, 12, generator=torch.Generator().manual_seed(1))
    ready = calibrate(net, inputs)
    first = prune(net, inputs, method=method, keep=0.5, seed=3)
    again = prune(net, ready, method=method, keep=0.5, seed=3)
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_a_calibration_that_does_not_fit_is_refused() -> None:
    net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
    inputs = torch.rand(64, 12, generator=torch.Generator().manual_seed(1))
    ready = calibrate(net, inputs)
    with pytest.raises(ValueError, match=r"lacks what method 'sipp-det' .*points=1024"):
        prune(net, ready, method="sipp-det", eps=0.3, delta=0.1, bound="exact")
    with pytest.raises(ValueError, match=r"lacks what method 'corenet\+\+' .*validation_every=5"):
        prune(net, calibrate(net, inputs, points=9), method="corenet++", keep=0.5)
    for method, statistic in (("wanda", "energy"), ("snip", "gradients")):
        with pytest.raises(ValueError, match=f"lacks what method '{method}'.*{statistic}"):
            prune(net, ready, method=method, keep=0.5)
    with pytest.raises(ValueError, match="settled when the calibration was made"):
        prune(net, ready, method="sipp-det", keep=0.5, layers=["0"])
    with torch.no_grad():
        next(net.parameters())[0, 0] += 1
    with pytest.raises(ValueError, match="another network, or its weights have changed"):
        prune(net, ready, method="sipp-det", keep=0.5)


@pytest.mark.parametrize("method", ["sipp-hybrid", "sipp-poisson"])
@pytest.mark.parametrize("name", ["lenet-300-100", "lenet-5"])
def test_the_saved_file_is_the_same_for_any_batch_size(
    name: str, method: str, tmp_path: Path
) -> None:
    model, count = models.build(name, seed=1), 270  # two forward passes
    x = torch.rand(count, *models.input_shape(name), generator=torch.Generator().manual_seed(2))
    files = []
    for size in (1, 7, 256):
        given = DataLoader(TensorDataset(x), batch_size=size)
        result = prune(model, given, method=method, keep=0.2, seed=5, batch_size=size)
        files.append(result.save(tmp_path / f"{size}").read_bytes())
    assert files[0] == files[1] == files[2]


def test_weights_that_no_input_reached_are_counted_and_placed() -> None:
    """On images of one pixel, all of a 3x3 kernel but its middle meets padding."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].bias.fill_(5.0)  # type: ignore[union-attr, operator]
    x = torch.rand(20, 2, 1, 1) + 0.1
    result = prune(model, x, method="sipp-det", keep=0.5)
    notes = [note for note in result.notes if "reached 64 weights" in note]
    assert len(notes) == 1 and notes[0].endswith(": 0 64 of 72")
    assert result.layers[0].nnz_after <= 8
    everywhere = prune(model[3], torch.rand(20, 4) + 0.1, method="sipp-det", keep=0.5)
    assert not any("no calibration input reached" in note for note in everywhere.notes)
