"""Methods that write new weights: what they promise, truncated SVD, and networks of other shape."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sipp_core.pruning.job import Job
from sipp_core.pruning.rewriting import Rewrite, rewrite, rewritten_errors
from sipp_core.pruning.sampling import make_tables
from torch import Tensor, nn

from sipp_core import calibrate, certify, load, prune
from sipp_core.methods.low_rank import rank_for
from sipp_core.network.structure import Change, restructure
from sipp_core.pruning.promise import dropped_errors


def job(model: nn.Module, rows: Tensor, bound: str = "kl", factor: float = 1.0) -> Job:
    stats = calibrate(model, rows)
    return Job(
        model=model, stats=stats, inputs=None, method="svd", keep=0.5, eps=None, delta=0.05,
        scope="layer", bound=bound, coverage_factor=factor, seed=0,
        ranking="max", masks=False, progress=None,
    )  # fmt: skip


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
    (table,) = make_tables(job(linear(old), torch.from_numpy(rows)))
    eps = rewritten_errors(table, new).max(axis=0)
    for x in rows:
        for part in (np.maximum(x, 0), np.maximum(-x, 0)):
            size, moved = np.abs(old) @ part, np.abs((new - old) @ part)
            told = np.isfinite(eps)
            assert (moved[told] <= eps[told] * size[told] * (1 + 1e-12)).all()
            # Only a weight that woke up is promised nothing.
            assert ((old == 0) & (new != 0))[~told].any(axis=1).all()


@given(
    old=hnp.arrays(np.float64, (3, 4), elements=numbers),
    kept=hnp.arrays(np.bool_, (3, 4)),
    rows=hnp.arrays(np.float64, (5, 4), elements=numbers),
)
def test_dropping_weights_is_a_rewrite(old: np.ndarray, kept: np.ndarray, rows: np.ndarray) -> None:
    (table,) = make_tables(job(linear(old), torch.from_numpy(rows)))
    np.testing.assert_allclose(
        rewritten_errors(table, np.where(kept, old, 0.0)),
        dropped_errors(table, kept), rtol=1e-13, atol=1e-15,
    )  # fmt: skip


def test_the_promise_is_attained() -> None:
    # One weight grows by half, one shrinks by half; inputs that reach one of them only.
    old, rows = np.array([[2.0, 4.0]]), torch.eye(2, dtype=torch.float64)
    (table,) = make_tables(job(linear(old), rows))
    eps = rewritten_errors(table, np.array([[3.0, 2.0]]))
    assert eps[0, 0] == pytest.approx(0.5) and eps[1, 0] == 0
    (wide,) = make_tables(job(linear(old), rows, factor=3.0))
    # No factor C makes it worse than the largest change of a weight.
    assert rewritten_errors(wide, np.array([[3.0, 2.0]]))[0, 0] == pytest.approx(0.5)


def test_a_weight_that_wakes_up_is_promised_nothing_unless_its_input_is_silent() -> None:
    old = np.array([[1.0, 0.0, 0.0]])
    rows = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.float64)
    (table,) = make_tables(job(linear(old), rows))
    assert rewritten_errors(table, np.array([[1.0, 0.5, 0.0]])).max() == np.inf
    assert rewritten_errors(table, np.array([[1.0, 0.0, 0.5]])).max() == 0


def test_a_bias_that_moves_ends_the_promise_of_its_neuron() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    weight = model[0].get_parameter("weight").detach().double().numpy()
    bias = model[0].get_parameter("bias").detach().double().numpy()
    wanted = Rewrite("0", weight, bias=bias + np.array([0.0, 1.0]))
    result = rewrite(job(model, torch.rand(4, 3)), [wanted])
    assert result.reports[0].eps_neuron.tolist() == [0.0, np.inf]
    assert result.model.get_parameter("0.bias").tolist() == [bias[0], np.float32(bias[1] + 1)]


def test_a_weight_outside_its_dtype_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    with pytest.raises(ValueError, match=r"layer '0': a new weight leaves the range of torch.floa"):
        rewrite(job(model, torch.rand(4, 3)), [Rewrite("0", np.full((2, 3), 1e300))])


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5, bias=False))


def convolution() -> nn.Module:
    first = nn.Conv2d(4, 8, 3, stride=2, padding=1, padding_mode="circular", groups=2)
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(8, 6, (3, 2), dilation=2, padding="same"))


def line() -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 5, 4, padding=2, padding_mode="reflect"))


NETS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (dense, (12,)), (convolution, (4, 8, 6)), (line, (3, 9)),
    (lambda: nn.Conv3d(2, 4, 2), (2, 4, 3, 5)), (lambda: nn.Linear(6, 7), (6,)),
]  # fmt: skip


@pytest.mark.parametrize(("build", "shape"), NETS)
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.7])
def test_svd_is_the_best_matrix_of_its_rank(
    build: Callable[[], nn.Module], shape: tuple[int, ...], keep: float
) -> None:
    torch.manual_seed(0)
    model = build().double()
    inputs = torch.randn(7, *shape, dtype=torch.float64)
    before = copy.deepcopy(model.state_dict())
    result = prune(model, inputs, method="svd", keep=keep)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    best = copy.deepcopy(model)
    for report in result.layers:
        layer: Any = best.get_submodule(report.name)
        groups = getattr(layer, "groups", 1)
        matrix = layer.weight.detach().flatten(1).numpy()
        blocks = np.split(matrix, groups)
        out, fan_in = blocks[0].shape
        rank = rank_for(keep, out, fan_in)
        cut = []
        for block in blocks:
            u, sigma, v = np.linalg.svd(block)
            truncated = (u[:, :rank] * sigma[:rank]) @ v[:rank]
            cut.append(truncated)
            assert np.linalg.norm(block - truncated, 2) == pytest.approx(
                sigma[rank] if rank < len(sigma) else 0, abs=1e-12
            )
        layer.weight.data = torch.from_numpy(np.concatenate(cut)).reshape(layer.weight.shape)
        assert report.nnz_after == rank * (out + fan_in) * groups
        assert report.nnz_after <= keep * matrix.size or rank == 1
    torch.testing.assert_close(result.model(inputs), best(inputs), rtol=1e-9, atol=1e-9)
    numbers_left = sum(p.numel() for n, p in result.model.named_parameters() if "weight" in n)
    assert numbers_left == result.nnz_after


@pytest.mark.parametrize(("build", "shape"), NETS)
def test_a_low_rank_network_is_saved_and_certified_like_any_other(
    build: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    model, inputs = build(), torch.rand(40, *shape)
    model.train()
    result = prune(model, inputs, method="svd", keep=0.4)
    assert model.training and result.model.training
    again = load(result.save(tmp_path / "net.safetensors"), model)
    assert again.structure == result.structure and again.plans == () and again.masks == {}
    with torch.no_grad():
        assert torch.equal(again.model(inputs), result.model(inputs))
    assert result.save(tmp_path / "b").read_bytes() == again.save(tmp_path / "c").read_bytes()
    certificate = certify(model, again.model, torch.rand(50, *shape), delta=0.2, confidence=0.9)
    assert np.isfinite(certificate.eps)


def test_svd_says_so_where_one_rank_is_too_much() -> None:
    result = prune(nn.Linear(4, 4), torch.rand(3, 4), method="svd", keep=0.1)
    assert any("even rank 1 takes 8 numbers" in note for note in result.notes)
    assert result.nnz_after == 8


def test_svd_at_keep_1_is_the_network_itself() -> None:
    model, inputs = dense(), torch.rand(3, 12)
    result = prune(model, inputs, method="svd", keep=1.0)
    assert torch.equal(result.model(inputs), model(inputs))
    assert result.structure == () and not result.vacuous
    assert result.layers[0].whole == 9 and set(result.masks) == {"0", "2"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"eps": 0.1, "delta": 0.1}, "svd takes keep="),
        ({"keep": 0.5, "scope": "global"}, "svd takes keep="),
        ({"keep": 0.5, "masks": True}, "writes new weights, not masks"),
    ],
)
def test_what_svd_cannot_do_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prune(nn.Linear(4, 4), torch.rand(3, 4), method="svd", **arguments)


def test_rank_for_counts_the_numbers_of_both_factors() -> None:
    for out, fan_in, keep in ((300, 784, 0.1), (10, 10, 0.2), (7, 3, 0.5), (1, 5, 0.5)):
        rank = rank_for(keep, out, fan_in)
        assert rank * (out + fan_in) <= keep * out * fan_in or rank == 1
        if rank < min(out, fan_in):
            assert (rank + 1) * (out + fan_in) > keep * out * fan_in
    # 0.3 * 100 / 20 is 1.5 less than nothing in floating point: whole quotients are not lost.
    assert rank_for(0.6, 10, 10) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change("0", "folded", (2,)), "a change is one of low-rank, narrow; found 'folded'"),
        (Change("7", "low-rank", (2,)), "no layer '7'"),
        (Change("1", "low-rank", (2,)), "layer '1' is a ReLU"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        restructure(dense(), [change])


def test_a_saved_low_rank_network_refuses_another_architecture(tmp_path: Path) -> None:
    path = prune(dense(), torch.rand(3, 12), method="svd", keep=0.4).save(tmp_path / "net")
    with pytest.raises(ValueError, match="does not fit the model"):
        load(path, nn.Sequential(nn.ReLU(), nn.Linear(12, 9)))
