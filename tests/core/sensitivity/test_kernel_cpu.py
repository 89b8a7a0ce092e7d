"""The CPU kernel against torch's own operations (bit for bit) and against the numpy reference."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate, empirical_sensitivity
from sipp_core.sensitivity import kernel, kernel_cpu

SIZES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    # Around the ends of lanes, blocks of rows, spans and pieces.
    st.tuples(
        st.sampled_from([1, 31, 32, 33, 65]),
        st.sampled_from([1, 2, 127, 128, 129, 257]),
        st.sampled_from([1, 2, 127, 128, 129, 511, 513, 640]),
    ),
)
KINDS = ("plain", "sparse", "levels", "duplicates", "wide", "subnormal", "dead", "one sign")
DTYPES = (torch.float32, torch.float64)


def layer(kind: str, sizes: tuple[int, int, int], seed: int, dtype: torch.dtype) -> list[Tensor]:
    """Weights, both denominators' inverses and non-negative activations of one kind."""
    rng = np.random.default_rng(seed)
    out, fan_in, n = sizes
    weight, rows = rng.normal(size=(out, fan_in)), np.abs(rng.normal(size=(n, fan_in)))
    if kind == "sparse":
        weight[rng.random(weight.shape) < 0.5] = 0
        rows[rng.random(rows.shape) < 0.8] = 0
    elif kind == "levels":  # many ties, and values at the very ends of the levels
        weight, rows = np.sign(weight) * 2.0, rng.integers(0, 9, rows.shape) / 8
    elif kind == "duplicates":
        rows = rows[rng.integers(0, max(1, n // 3), n)]
    elif kind == "wide":
        weight *= 10.0 ** rng.uniform(-9, 8, weight.shape)
        rows *= 10.0 ** rng.uniform(-9, 8, rows.shape)
    elif kind == "subnormal":
        rows[rng.random(rows.shape) < 0.3] = 1e-40 if dtype == torch.float32 else 1e-310
    elif kind == "dead":
        rows[:, rng.random(fan_in) < 0.5] = 0
        rows[rng.random(n) < 0.5] = 0
        weight[0] = 0
    elif kind == "one sign":
        weight = -np.abs(weight)
    w, a = torch.from_numpy(weight).to(dtype), torch.from_numpy(rows).to(dtype)
    z = torch.stack([a @ w.clamp(min=0).T, a @ (-w).clamp(min=0).T])
    return [w, torch.where(z > 8 / torch.finfo(dtype).max, 1 / z, 0.0), a]


def both(
    weight: Tensor, inverse: Tensor, rows: Tensor, support: bool, cuts: int = 1
) -> tuple[kernel.Accumulator, kernel.Accumulator]:
    """What the kernel finds in a stream of `cuts` batches, and torch in one."""
    origin = torch.arange(len(rows)) + 10
    fast = kernel.new_accumulator(weight, support)
    for part in torch.arange(len(rows)).chunk(cuts):
        kernel.update_maxima(
            fast, weight, inverse[:, part], rows[part], origin[part] if support else None
        )
    slow = kernel.new_accumulator(weight, support)
    kernel.maxima_in_chunks(slow, weight, inverse, rows, origin if support else None)
    return fast, slow


@given(st.sampled_from(KINDS), SIZES, st.sampled_from(DTYPES), st.integers(1, 4), st.integers(0))
def test_maxima_are_torchs_bit_for_bit_in_one_batch_or_many(
    kind: str, sizes: tuple[int, int, int], dtype: torch.dtype, cuts: int, seed: int
) -> None:
    fast, slow = both(*layer(kind, sizes, seed, dtype), support=False, cuts=cuts)
    assert torch.equal(fast.maximum, slow.maximum)
    assert float(fast.maximum.max()) <= 1


@given(st.sampled_from(KINDS), SIZES, st.sampled_from(DTYPES), st.integers(1, 4), st.integers(0))
def test_the_first_row_that_attains_a_maximum_sets_it(
    kind: str, sizes: tuple[int, int, int], dtype: torch.dtype, cuts: int, seed: int
) -> None:
    fast, slow = both(*layer(kind, sizes, seed, dtype), support=True, cuts=cuts)
    assert torch.equal(fast.maximum, slow.maximum)
    assert fast.argmax is not None and slow.argmax is not None
    assert torch.equal(fast.argmax, slow.argmax)
    assert torch.equal(fast.argmax >= 0, fast.maximum > 0)


def test_inputs_of_minus_zero_have_no_share() -> None:
    rows = torch.tensor([[0.0], [-0.0]])
    (stats,) = calibrate(nn.Linear(1, 2, bias=False), rows, statistics={"mean"}).layers
    assert stats.mean is not None and stats.mean.tolist() == [[0.0], [0.0]]
    assert stats.sensitivity.tolist() == [[0.0], [0.0]] and stats.live.tolist() == [[0, 0], [0, 0]]


def test_which_of_equal_rows_is_first_written_out() -> None:
    weight, rows = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0], [2.0, 6.0], [3.0, 1.0]])
    acc = kernel.new_accumulator(weight, support=True)
    kernel.update(acc, weight, rows, torch.tensor([7, 8, 9]))
    kernel.update(acc, weight, rows, torch.tensor([1, 2, 3]))
    assert acc.maximum.tolist() == [[0.75, 0.75]]
    assert acc.argmax is not None and acc.argmax.tolist() == [[9, 7]]


@given(st.sampled_from(KINDS), SIZES, st.integers(0))
def test_float64_is_the_numpy_reference(kind: str, sizes: tuple[int, int, int], seed: int) -> None:
    weight, _, rows = layer(kind, sizes, seed, torch.float64)
    result = empirical_sensitivity(weight, rows).numpy()
    expected = sipp_theory.sensitivity(weight.numpy(), rows.numpy())
    np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("support", [False, True])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_and_pieces_change_no_bit(
    threads: int, support: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_ = layer("sparse", (70, 150, 600), 5, torch.float32)
    expected, _ = both(*given_, support=support)
    monkeypatch.setattr(kernel_cpu, "THREAD_PAIRS", 0)
    monkeypatch.setattr(kernel_cpu, "OUTPUTS", 32)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        result, _ = both(*given_, support=support)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(result.maximum, expected.maximum)
    if support:
        assert result.argmax is not None and expected.argmax is not None
        assert torch.equal(result.argmax, expected.argmax)


def test_threads_of_the_caller_may_run_side_by_side() -> None:
    weight, inverse, rows = layer("plain", (40, 50, 200), 1, torch.float32)
    expected, _ = both(weight, inverse, rows, support=False)
    result = [torch.zeros_like(weight) for _ in range(4)]
    callers = [
        threading.Thread(target=kernel_cpu.raise_maxima, args=(s, weight, inverse, rows))
        for s in result
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all(torch.equal(s, expected.maximum) for s in result)


def test_an_error_in_a_helper_is_raised_in_the_caller() -> None:
    def fail() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        kernel_cpu._side_by_side(fail, 2)


def test_weights_and_rows_of_any_layout() -> None:
    weight, _, rows = layer("plain", (33, 20, 40), 2, torch.float32)
    expected = empirical_sensitivity(weight, rows)
    assert torch.equal(empirical_sensitivity(weight.T.contiguous().T, rows), expected)
    wide = torch.zeros(40, 40)
    wide[:, ::2] = rows
    assert torch.equal(empirical_sensitivity(weight, wide[:, ::2]), expected)


def test_a_denominator_too_small_to_invert_gives_a_share_and_no_nan() -> None:
    weight = torch.tensor([[1e-160, 0.0, -1.0]], dtype=torch.float64)
    rows = torch.tensor([[1e-160, 1.0, 0.0]], dtype=torch.float64)
    for support in (False, True):
        acc = kernel.new_accumulator(weight, support, mean=True)
        kernel.update(acc, weight, rows, torch.zeros(1, dtype=torch.int64) if support else None)
        assert acc.maximum.tolist() == [[pytest.approx(1, rel=1e-15), 0.0, 0.0]]
        assert acc.total is not None and torch.isfinite(acc.total).all()


def test_a_stream_in_batches_is_one_batch() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 35), nn.ReLU(), nn.Linear(35, 4))
    x = torch.rand(300, 40)
    whole = calibrate(model, x, statistics={"support"}, forward_size=300)
    parts = calibrate(model, x.split(17), statistics={"support"}, forward_size=300)
    for a, b in zip(whole.layers, parts.layers, strict=True):
        assert torch.equal(a.sensitivity, b.sensitivity)
        assert a.support_total == b.support_total


def test_nothing_to_do_is_done() -> None:
    for shape in ((0, 3), (3, 0)):
        acc = kernel.new_accumulator(torch.ones(shape), support=False)
        kernel.update(acc, torch.ones(shape), torch.ones(2, shape[1]), None)
        assert acc.maximum.shape == shape
