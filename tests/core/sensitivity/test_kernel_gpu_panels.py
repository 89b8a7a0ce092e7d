"""What the GPU kernel reads, laid out in one read, against torch's operations: bit for bit."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sipp_core import calibrate
from sipp_core.sensitivity import kernel_gpu
from sipp_core.sensitivity.operands import beyond, extreme, halves

Run = Callable[..., Any]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not made for this platform"
)
NARROW = (torch.float32, torch.bfloat16, torch.float16)
ODD = (0.0, -0.0, 1e-40, -1e-40, 1e-10, -1e-10, 3e4, -3e4, float("nan"), float("inf"),
       -float("inf"))  # fmt: skip


def panels(table: Tensor, width: int, rows: int) -> Tensor:
    """Panels (panels, padded n, width) of (n, columns)."""
    n, columns = table.shape
    across, down = -columns % width, -n % rows
    return F.pad(table, (0, across, 0, down)).unflatten(1, (-1, width)).movedim(1, 0).contiguous()


def activations(
    sizes: tuple[int, int, int], odd: tuple[float, ...], sign: str, layout: str,
    dtype: torch.dtype, seed: int,
) -> Tensor:  # fmt: skip
    """(groups, n, fan_in) of any sign, with odd values at some places."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=sizes)
    values = {"any": values, "none": np.abs(values), "all": -np.abs(values)}[sign]
    values[rng.random(sizes) < 0.3] = 0
    if odd:
        places = rng.random(sizes) < 0.05
        values[places] = rng.choice(odd, places.sum())
    rows = torch.from_numpy(values).to(dtype)
    if layout == "strided":
        wide = rows.new_full((sizes[0], 2 * sizes[1], sizes[2] + 3), 7.0)
        wide[:, ::2, : sizes[2]] = rows
        return wide[:, ::2, : sizes[2]]
    return rows.movedim(0, 1).contiguous().movedim(1, 0) if layout == "turned" else rows


@needs_triton
@settings(max_examples=30)
@given(
    st.tuples(
        st.sampled_from([1, 3]), st.sampled_from([1, 7, 63, 64, 65, 130]),
        st.sampled_from([1, 31, 32, 33, 64, 65, 100]),
    ),
    st.lists(st.sampled_from(ODD), max_size=3).map(tuple), st.sampled_from(["any", "none", "all"]),
    st.sampled_from(["plain", "strided", "turned"]), st.sampled_from(NARROW), st.booleans(),
    st.sampled_from([1, 32, 64]), st.integers(0, 99),
)  # fmt: skip
def test_rows_and_their_ends_are_torchs_bit_for_bit(
    interpreter: Run, sizes: tuple[int, int, int], odd: tuple[float, ...], sign: str, layout: str,
    dtype: torch.dtype, signed: bool, out: int, seed: int,
) -> None:  # fmt: skip
    rows = activations(sizes, odd, sign, layout, dtype, seed)
    laid, lows, highs, span = interpreter("pack", rows, out, signed)
    tile = kernel_gpu._edge(out), kernel_gpu._edge(sizes[2])
    exact = rows.float()
    finite = bool(exact.isfinite().all())
    for group, parts in enumerate(laid):
        assert len(parts) == 1 + signed
        for part, made in zip(halves(exact[group], signed), parts, strict=True):
            usual = panels(part, tile[1], kernel_gpu.ROWS[max(tile)])
            assert usual.shape == made.shape
            if finite or not signed:  # of what is no number nothing is computed
                assert np.array_equal(usual.numpy(), made.numpy(), equal_nan=True)
    assert finite == (-float("inf") < span[0] and span[1] < float("inf"))
    if not finite:
        return
    assert torch.equal(lows, exact.amin(dim=1).clamp(max=0))
    assert torch.equal(highs, exact.amax(dim=1).clamp(min=0))
    peak = max(-span[0], span[1])
    assert span[:2] == (min(0.0, float(exact.min())), max(0.0, float(exact.max())))
    assert beyond(peak, span[2]) == extreme(exact, peak)


@needs_triton
@settings(max_examples=30)
@given(
    st.tuples(st.sampled_from([1, 9, 33, 64]), st.sampled_from([1, 31, 33, 64, 65])),
    st.sampled_from([torch.float32, torch.float64]), st.booleans(), st.booleans(),
    st.integers(0, 99),
)  # fmt: skip
def test_denominators_are_inverted_and_laid_out_as_by_torch(
    interpreter: Run, sizes: tuple[int, int], dtype: torch.dtype, invert: bool, turned: bool,
    seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    n, out = sizes
    tiny = np.finfo("f4" if dtype == torch.float32 else "f8").smallest_subnormal
    values = np.abs(rng.normal(size=(2, n, out))) * 10.0 ** rng.uniform(-20, 20, (2, n, out))
    values[rng.random(values.shape) < 0.2] = 0
    z = torch.from_numpy(values).to(dtype)
    edge = 2.0 ** (-128 if dtype == torch.float32 else -1024)  # 1/z overflows from here down
    for k, value in enumerate((tiny, edge, np.nextafter(z.numpy().dtype.type(edge), 1), 1e-30)):
        z.view(-1)[k :: 2 * n * out] = float(value)
    if turned:
        z = z.movedim(0, 1).contiguous().movedim(1, 0)
    inverse = z.reciprocal().nan_to_num(posinf=0.0)
    wide = dtype == torch.float64
    tile = kernel_gpu._tile(out, 64, wide)
    rows = kernel_gpu.ROWS[max(tile)]
    plus, minus = inverse
    if wide:
        usual = torch.cat([panels(minus, tile[0], rows), panels(plus, tile[0], rows)], dim=2)
    else:
        plus, minus = plus.contiguous().view(torch.int32), minus.contiguous().view(torch.int32)
        both = torch.stack([minus, plus - minus], dim=2).view(torch.int64).squeeze(2)
        usual = panels(both, tile[0], rows)
    assert torch.equal(interpreter("choices", z if invert else inverse, tile, invert), usual)


def network(kind: str) -> tuple[nn.Module, Tensor]:
    """A network and inputs of one kind of range."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(40, 33), nn.ReLU(), nn.Linear(33, 20), nn.Tanh(), nn.Linear(20, 5)
    )
    x = torch.rand(70, 40)
    if kind == "conv":
        net = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(6, 33, 2),
            nn.Flatten(), nn.Linear(33 * 25, 3),
        )  # fmt: skip
        x = torch.rand(9, 4, 6, 6) - 0.2
    elif kind == "wide":
        x[3, 4] = 1e-12
    elif kind == "tokens":
        x = torch.rand(10, 7, 40)
    elif kind == "half":
        net, x = net.bfloat16(), x.bfloat16()
    elif kind == "turns signed":
        x[40:] -= 0.5
    elif kind == "turns plain":
        x[:40] -= 0.5
    return net, x


KINDS = ("plain", "tokens", "half", "wide", "turns signed", "turns plain", "conv")


@needs_triton
@pytest.mark.parametrize("kind", KINDS)
def test_calibration_measures_the_same_bits(interpreter: Run, kind: str) -> None:
    net, x = network(kind)
    usual = calibrate(net, x, forward_size=32).layers
    layers, calls = interpreter("calibrated", net, x, 0, forward_size=32)
    assert {"plain", "panels"} <= set(calls)
    assert ("span" in calls) == (kind == "conv")
    for one, (sensitivity, peaks, live, rows, cancellation) in zip(usual, layers, strict=True):
        assert torch.equal(one.sensitivity, sensitivity) and torch.equal(one.peaks, peaks)
        assert torch.equal(one.live, live) and one.rows == rows
        torch.testing.assert_close(one.cancellation, cancellation)


@needs_triton
def test_rows_that_wait_are_laid_out_when_they_are_folded(interpreter: Run) -> None:
    net, x = network("plain")
    usual = calibrate(net, x, forward_size=8).layers
    layers, calls = interpreter("calibrated", net, x, 2**23, forward_size=8)
    assert set(calls) == {"ends", "rows"} and calls.count("rows") < calls.count("ends")
    for one, measured in zip(usual, layers, strict=True):
        assert torch.equal(one.sensitivity, measured[0]) and torch.equal(one.peaks, measured[1])


@needs_triton
def test_other_statistics_take_their_own_ways(interpreter: Run) -> None:
    net, x = network("turns signed")
    usual = calibrate(net, x, statistics={"support", "mean"}, validation_every=3).layers
    layers, calls = interpreter(
        "calibrated", net, x, 0, statistics={"support", "mean"}, validation_every=3
    )
    assert "panels" not in calls and "rows" not in calls  # which row sets a maximum is asked for
    for one, measured in zip(usual, layers, strict=True):
        assert torch.equal(one.sensitivity, measured[0]) and torch.equal(one.peaks, measured[1])
    layers, calls = interpreter("calibrated", net, x, 0, statistics={"mean"})
    assert "panels" in calls
    usual = calibrate(net, x, statistics={"mean"}).layers
    assert all(torch.equal(a.sensitivity, b[0]) for a, b in zip(usual, layers, strict=True))


@needs_triton
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_by_name(interpreter: Run, value: float) -> None:
    net, x = network("plain")
    x[5, 6] = value
    with pytest.raises(ValueError, match="not finite: -?(nan|inf) at row 5, input 6"):
        interpreter("calibrated", net, x, 0)


def laid_out(interpreter: Run, **how: Any) -> list[Tensor]:
    """All that the kernels lay out of one case."""
    rows = activations((2, 70, 33), (), "any", "strided", torch.float32, 1)
    z = torch.rand(2, 40, 33, generator=torch.Generator().manual_seed(0))
    z[0, 0, 0] = 1e-30
    found = []
    for signed in (False, True):
        laid, lows, highs, span = interpreter("pack", rows, 33, signed, **how)
        found += [*(each for parts in laid for each in parts), lows, highs, torch.tensor(span)]
    return [*found, interpreter("choices", z, (32, 64), True, **how)]


@pytest.fixture(scope="module")
def right(interpreter: Run) -> list[Tensor]:
    """What the kernels without a mistake lay out, twice the same."""
    first, second = laid_out(interpreter), laid_out(interpreter)
    assert all(map(torch.equal, first, second))
    return first


@needs_triton
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mask=inside, other=0.0))\n    if PACK", "mask=inside, other=1.0))\n    if PACK"),
        ("number = tl.where(given == given, given, 0.0)", "number = given * 0"),
        ("tl.where(exact < 0, -exact, 0.0)", "tl.where(exact < 0, exact, 0.0)"),
        ("tl.where(exact > 0, exact, 0.0)", "exact"),
        ("tl.min(number, axis=0))", "tl.min(number, axis=0) * 0)"),
        ("tl.max(number, axis=0))", "tl.max(number, axis=0) * 0)"),
        ("(group.to(tl.int64) * tl.num_programs(0) + panel) * padded", "panel * padded"),
        ("group.to(tl.int64) * to_group", "0"),
        ("[:, None] * to_row + j[None, :]\n", "[:, None] * columns + j[None, :]\n"),
        ("tl.store(choice + row * WIDTH + k, both", "tl.store(choice + row * WIDTH + k, step"),
        ("minus = tl.load(source + to_sign", "minus = tl.load(source"),
        ("z > (5.562684646268003e-309 if WIDE else 2.938735877055719e-39)", "z > 1e-20"),
        ("(step << 32)", "(step << 31)"),
    ],
)  # fmt: skip
def test_a_layout_with_a_mistake_is_noticed(
    interpreter: Run, right: list[Tensor], old: str, new: str
) -> None:
    wrong = laid_out(interpreter, changes=((old, new),))
    assert not all(map(torch.equal, right, wrong))


def test_where_the_kernel_does_not_serve_nothing_is_laid_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = torch.rand(1, 5, 4)
    assert kernel_gpu.pack(rows, 3, False, True) is None  # no GPU
    monkeypatch.setattr(kernel_gpu, "available", lambda device: True)
    assert kernel_gpu.pack(rows.double(), 3, False, True) is None
    assert kernel_gpu.pack(rows.movedim(1, 2), 3, False, True) is None
    assert kernel_gpu.pack(rows[:, :0], 3, False, True) is None
    assert kernel_gpu.fits(torch.empty(1, 65535 * 32, device="meta"))
    assert not kernel_gpu.fits(torch.empty(1, 65535 * 32 + 1, device="meta"))


# ---- on a GPU -----------------------------------------------------------------------------------


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("signed", [False, True])
def test_a_gpu_lays_rows_out_as_torch_does(dtype: torch.dtype, signed: bool) -> None:
    rows = activations((2, 1001, 77), (-0.0, 1e-40, 1e-10), "any", "strided", dtype, 0)
    packed = kernel_gpu.pack(rows.cuda(), 300, signed, panels=True)
    assert packed is not None and packed.panels is not None
    exact = rows.float()
    for group, parts in enumerate(packed.panels):
        for part, made in zip(halves(exact[group], signed), parts, strict=True):
            assert torch.equal(made.cpu(), panels(part, made.shape[2], made.shape[1]))
    assert torch.equal(packed.lows.cpu(), exact.amin(dim=1).clamp(max=0))
    assert torch.equal(packed.highs.cpu(), exact.amax(dim=1).clamp(min=0))
    least = exact.abs()[exact != 0].min()
    assert packed.span == (float(exact.min()), float(exact.max()), float(least))


@pytest.mark.gpu
@needs_triton
def test_a_gpu_inverts_as_torch_does() -> None:
    z = torch.rand(2, 1001, 77) * 10.0 ** torch.randint(-45, 38, (2, 1001, 77))
    z[:, ::7] = 0
    for invert in (False, True):
        given_ = z if invert else z.reciprocal().nan_to_num(posinf=0.0)
        plus, minus = z.reciprocal().nan_to_num(posinf=0.0).view(torch.int32)
        both = torch.stack([minus, plus - minus], dim=2).view(torch.int64).squeeze(2)
        found = kernel_gpu._choices(given_.cuda(), (64, 64), invert)
        assert torch.equal(found.cpu(), panels(both, 64, kernel_gpu.ROWS[64]))


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_calibrates_the_same_bits_as_without_the_kernel(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = network(kind)
    there = copy.deepcopy(net).cuda()
    found = calibrate(there, x, forward_size=32).layers
    monkeypatch.setattr(kernel_gpu, "available", lambda device: False)
    for one, other in zip(calibrate(there, x, forward_size=32).layers, found, strict=True):
        assert torch.equal(one.sensitivity, other.sensitivity)
        assert torch.equal(one.peaks, other.peaks) and torch.equal(one.live, other.live)
