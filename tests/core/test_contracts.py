"""The contracts that users and outside checks rely on, as the design words them."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sipp_core
import sipp_theory


def dense() -> tuple[nn.Module, Tensor, Tensor]:
    return (
        nn.Sequential(nn.Linear(30, 40), nn.ReLU(), nn.Linear(40, 4)),
        torch.rand(120, 30),
        torch.rand(200, 30),
    )


def images() -> tuple[nn.Module, Tensor, Tensor]:
    return (
        nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4)),
        torch.rand(60, 1, 8, 8),
        torch.rand(200, 1, 8, 8),
    )


CASES = {"dense": dense, "images": images}
REQUIRED = ("sipp-rand", "sipp-det", "sipp-hybrid", "sipp-poisson", "corenet", "corenet+",
            "corenet++")  # fmt: skip
BASELINES = ("magnitude", "uniform", "random", "wanda", "snip", "svd", "nettrim", "filters-det",
             "filters-rand", "entry-l1")  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_sensitivity_is_out_by_in_for_activations_of_any_sign() -> None:
    weight, activations = torch.randn(3, 5), torch.randn(7, 5)
    s = sipp_core.empirical_sensitivity(weight, activations)
    assert isinstance(s, Tensor) and s.shape == (3, 5)


@pytest.mark.parametrize("case", CASES)
def test_budget_and_guarantee_mode_save_and_certify(case: str, tmp_path: Path) -> None:
    model, calibration, inputs = CASES[case]()
    result = sipp_core.prune(model, calibration, method="sipp-hybrid", keep=0.1, seed=0)
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    assert result.nnz_after == pytest.approx(0.1 * weights, rel=0.05)
    promised = sipp_core.prune(model, calibration, method="sipp-poisson", eps=0.1, delta=0.05)
    for pruned in (result, promised):
        assert isinstance(pruned.model, nn.Sequential)
        for layer in pruned.layers:
            assert isinstance(layer.name, str) and isinstance(layer.eps, float)
            assert isinstance(layer.nnz_before, int) and isinstance(layer.nnz_after, int)
            assert 0 < layer.nnz_after <= layer.nnz_before
    assert all(layer.eps <= 0.1 for layer in promised.layers)
    path = result.save(tmp_path / "pruned.safetensors")
    assert sipp_core.load(path, model).nnz_after == result.nnz_after

    cert = sipp_core.certify(model, result.model, inputs, delta=0.05, confidence=0.99)
    assert isinstance(cert.eps, float) and cert.eps > 0
    assert (cert.n, cert.kind) == (200, "CT-2") and "fresh inputs" in cert.holds_for


@pytest.mark.parametrize("case", CASES)
def test_calibration_is_a_tensor_a_loader_or_pairs(case: str) -> None:
    model, x, _ = CASES[case]()
    data = TensorDataset(x, torch.zeros(len(x)))
    ways = [x, DataLoader(data, batch_size=16), [(x[:10], 0), (x[10:], 1)], (b for b in x.split(9))]
    pruned = [sipp_core.prune(model, way, method="sipp-rand", keep=0.2).model for way in ways]
    states = [m.state_dict() for m in pruned]
    assert all(torch.equal(states[0][k], s[k]) for s in states for k in s)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", (*REQUIRED, *BASELINES))
def test_every_method_of_the_contract_prunes(case: str, method: str, tmp_path: Path) -> None:
    model, x, _ = CASES[case]()
    assert method in sipp_core.METHODS
    # SNIP alone looks at classes.
    calibration = [(x, torch.arange(len(x)) % 4)] if method == "snip" else x
    if case == "images" and method == "nettrim":
        with pytest.raises(ValueError, match="layer '0' is a Conv2d: Net-Trim is for nn.Linear"):
            sipp_core.prune(model, calibration, method=method, keep=0.3)
        return
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = sipp_core.prune(model, calibration, method=method, keep=0.3, seed=0)
    assert 0 < result.nnz_after < result.nnz_before
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    again = sipp_core.load(result.save(tmp_path / "net"), model)
    assert torch.equal(again.model(x), result.model(x))


@pytest.mark.parametrize("case", CASES)
def test_a_method_is_an_object_and_its_name_is_short_for_the_default_one(case: str) -> None:
    model, x, _ = CASES[case]()
    by_mean = sipp_core.prune(model, x, method=sipp_core.methods.SippDet(rank="mean"), keep=0.1)
    named, default = (
        sipp_core.prune(model, x, method=method, keep=0.1)
        for method in ("sipp-det", sipp_core.methods.SippDet())
    )
    assert all(torch.equal(named.masks[k], default.masks[k]) for k in named.masks)
    assert any(not torch.equal(named.masks[k], by_mean.masks[k]) for k in named.masks)
    assert by_mean.method == named.method == "sipp-det"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["sipp-rand", "sipp-hybrid", "sipp-poisson", "corenet++"])
def test_one_seed_is_one_network_at_any_batch_size(case: str, method: str) -> None:
    model, x, _ = CASES[case]()
    states = [
        sipp_core.prune(model, x, method=method, keep=0.3, seed=7, batch_size=size)
        .model.state_dict()
        for size in (1, 256)
    ]  # fmt: skip
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


@pytest.mark.parametrize("case", CASES)
def test_a_weight_that_is_not_finite_is_refused_by_name(case: str) -> None:
    model, x, _ = CASES[case]()
    weight = model.get_parameter("0.weight")
    index = len(weight) - 1, weight[0].numel() - 1  # of the layer as a matrix
    with torch.no_grad():
        weight.flatten(1)[index] = torch.nan
    words = rf"layer '0' has a weight that is not finite: nan at index \({index[0]}, {index[1]}\)"
    with pytest.raises(ValueError, match=words):
        sipp_core.prune(model, x, method="sipp-hybrid", keep=0.1)


def test_sample_sizes_and_errors_have_the_arguments_of_the_contract() -> None:
    sums = np.array([1.0, 4.0, 9.0])
    for kind in ("bernstein", "kl"):
        m = sipp_theory.sample_size(
            kind, sensitivity_sum=sums, eps=0.1, delta=0.05, coverage_factor=1.0
        )
        assert m.shape == (3,) and m.dtype == np.float64
        eps = sipp_theory.error(kind, sensitivity_sum=sums, m=m, delta=0.05)
        assert (eps <= 0.1).all()
    paper = sipp_theory.sample_size(
        "corenet", sensitivity_sum=sums, eps=0.1, delta=0.05, eta=410, eta_star=784
    )
    log = np.log(410 * 784) * np.log(8 * 410 / 0.05)
    assert np.array_equal(paper, np.ceil(8 * sums * log / 0.1**2))
    g, q = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]), np.array([0.4, 0.4, 0.2])
    for kind in ("cramer", "exact"):
        m = sipp_theory.sample_size(kind, shares=g, probabilities=q, eps=0.1, delta=0.05)
        assert m >= 1
        assert sipp_theory.error(kind, shares=g, probabilities=q, m=m, delta=0.05) <= 0.1


def test_no_keyword_swallows_a_theorems_constant() -> None:
    for function in (
        sipp_core.prune, sipp_core.certify, sipp_core.sparsest, sipp_core.calibrate,
        sipp_core.empirical_sensitivity, sipp_theory.sample_size, sipp_theory.error,
    ):  # fmt: skip
        kinds = {p.kind for p in inspect.signature(function).parameters.values()}
        assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, fresh = dense()
    result = sipp_core.prune(model, x, method="corenet", eps=0.5, delta=0.1)
    sipp_core.certify(model, result.model, fresh)
    assert capsys.readouterr() == ("", "")
