"""Calibration: brute force, the same bits however the stream is cut, and a model left as found."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sipp_theory
from sipp_core import Calibration, LayerStatistics, calibrate
from sipp_core.runtime.execution import evaluating
from sipp_core.runtime.processes import Processes
from sipp_core.sensitivity import MeasuredLayer, Rows, Statistic, buffer, kernel, register_statistic
from sipp_core.sensitivity.statistics import STATISTICS

FIELDS = ("sensitivity", "mean", "live", "input_peak", "cancellation", "points")


M = TypeVar("M", bound=nn.Module)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(build: Callable[[], M], seed: int = 0) -> M:
    """A model whose weights depend on the seed alone."""
    model = build()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def dense(*widths: int, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    modules: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        modules += [nn.Linear(a, b, dtype=dtype), nn.ReLU()]
    return seeded(lambda: nn.Sequential(*modules[:-1]))


def convolutional() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular"),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Conv2d(6, 4, 3, stride=2, groups=2),
            nn.Flatten(),
            nn.Linear(4 * 3 * 3, 5),
        )
    )


def same(first: Calibration, second: Calibration) -> bool:
    return (
        (first.inputs, first.distinct, first.digests)
        == (second.inputs, second.distinct, second.digests)
        and all(torch.equal(first.validation[k], second.validation[k]) for k in first.validation)
        and all(
            torch.equal(getattr(a, f), getattr(b, f))
            for a, b in zip(first.layers, second.layers, strict=True)
            for f in FIELDS
        )
        and all(
            (a.rows, a.complete, a.support_total) == (b.rows, b.complete, b.support_total)
            for a, b in zip(first.layers, second.layers, strict=True)
        )
    )


def stream(x: Tensor) -> Iterator[Tensor]:
    yield from x.split(11)


WAYS: dict[str, Callable[[Tensor], Any]] = {
    "batches of 1": lambda x: x.split(1),
    "batches of 7": lambda x: x.split(7),
    "batches of 256": lambda x: x.split(256),
    "generator": stream,
    "loader": lambda x: DataLoader(TensorDataset(x), batch_size=13),
    "pairs": lambda x: [(part, torch.zeros(len(part))) for part in x.split(50)],
    "numpy": lambda x: [part.numpy() for part in x.split(9)],
    "other strides": lambda x: x.movedim(1, -1).contiguous().movedim(-1, 1),
    "odd alignment": lambda x: torch.cat([x[:1], x])[1:],
}


@pytest.mark.parametrize("size", [3, 64, 256])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_bits_however_the_stream_is_cut(way: str, size: int) -> None:
    for model, x in ((dense(7, 33, 9), random(301, 7)), (convolutional(), random(40, 3, 7, 7))):

        def run(inputs: Any, model: nn.Module = model) -> Calibration:
            return calibrate(
                model, inputs, forward_size=size, points=50, statistics={"support", "mean"},
                validation_every=5,
            )  # fmt: skip

        assert same(run(x), run(WAYS[way](x)))


def networks() -> Iterator[tuple[nn.Module, Tensor]]:
    yield dense(7, 33, 9), random(301, 7)
    yield dense(7, 33, 9), random(301, 7).abs()
    yield convolutional(), random(40, 3, 7, 7)


def test_the_same_bits_for_any_batch_size() -> None:
    for model, x in networks():
        first = calibrate(model, x, batch_size=256, points=50, statistics={"support", "mean"})
        for size in (1, 7, 1000):
            result = calibrate(
                model, x.split(size), batch_size=size, points=50, statistics={"support", "mean"}
            )
            assert same(first, result)


@pytest.mark.parametrize("tracked", [(), ("support",)])
def test_rows_that_wait_are_folded_as_if_they_did_not(
    tracked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = ("sensitivity", "live", "input_peak", "cancellation")
    monkeypatch.setattr(buffer, "BATCH", 1)
    for model, x in networks():
        # Sums of shares round by their rows, so that no row waits where the mean is measured.
        direct = calibrate(model, x, forward_size=5, statistics={"mean", *tracked})
        for pairs in (1, 5000, 2**40):
            monkeypatch.setattr(buffer, "ENOUGH", pairs)
            result = calibrate(model, x, forward_size=5, statistics=tracked)
            for a, b in zip(direct.layers, result.layers, strict=True):
                assert all(torch.equal(getattr(a, f), getattr(b, f)) for f in fields)
                assert (a.rows, a.support_total) == (b.rows, b.support_total)
                assert a.mean is not None and b.mean is None
                if tracked:
                    assert a.support is not None and b.support is not None
                    assert torch.equal(a.support, b.support)


@pytest.mark.parametrize("tracked", [(), ("support",)])
def test_the_kernel_gives_the_bits_of_torchs_own_operations(
    tracked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, x in networks():
        fast = calibrate(model, x, statistics={"mean", *tracked})
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "_suits_cpu_kernel", lambda *given: False)
            slow = calibrate(model, x, statistics={"mean", *tracked})
        assert same(fast, slow)


class WritesInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = dense(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        x.fill_(9)  # what a layer received need not live on
        return y


def test_rows_that_wait_are_copies() -> None:
    model, x = WritesInPlace(), random(40, 6).abs()
    result = calibrate(model, x, forward_size=8).layers[0]
    expected = calibrate(model.fc, x, forward_size=8).layers[0]
    assert torch.equal(result.sensitivity, expected.sensitivity)


def test_cells_that_no_patch_reads_may_be_anything() -> None:
    module = seeded(lambda: nn.Conv2d(1, 2, 1, stride=2))
    clean = random(5, 1, 4, 4)
    spoilt = clean.clone()
    spoilt[:, :, 1::2] = torch.nan
    first, second = (calibrate(module, x).layers[0] for x in (clean, spoilt))
    torch.testing.assert_close(first.sensitivity, second.sensitivity)
    assert first.rows == second.rows


def test_cancellation_in_float32_is_that_of_float64() -> None:
    model = nn.Linear(20, 9)
    with torch.no_grad():
        model.weight.copy_(random(9, 20))
        model.bias.copy_(random(9, seed=1).abs() + 60)  # no pre-activation comes near to 0
    for x in (random(300, 20), random(300, 20).abs()):
        result = calibrate(model, x).layers[0].cancellation
        exact = calibrate(copy.deepcopy(model).double(), x.double()).layers[0].cancellation
        torch.testing.assert_close(result, exact, rtol=1e-5, atol=0)
    nothing = calibrate(model, torch.zeros(3, 20)).layers[0].cancellation
    assert torch.equal(nothing, torch.ones(9, dtype=torch.float64))


# ---- against brute force -----------------------------------------------------------------------


def shares(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(rows, out, in) shares g in loops over neurons and signs; rows >= 0."""
    result = np.zeros((len(rows), *weight.shape))
    for i, w in enumerate(weight):
        for sign in (1, -1):
            result[:, i] += sipp_theory.shares(w, rows, sign)
    return result


def check(layer: LayerStatistics, weight: np.ndarray, activations: np.ndarray) -> None:
    """All statistics of one layer or group of float64, from its signed rows."""
    rows = np.concatenate([np.maximum(activations, 0), np.maximum(-activations, 0)])
    split = bool((activations < 0).any())
    g = shares(weight, rows)
    count = len(rows) if split else len(activations)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-300)  # noqa: E731
    close(layer.sensitivity.numpy(), g.max(axis=0))
    close(layer.sensitivity.numpy(), sipp_theory.sensitivity(weight, activations))
    assert layer.rows == count
    assert layer.mean is not None
    close(layer.mean.numpy(), g.sum(axis=0) / count)
    for sign, part in enumerate((np.maximum(weight, 0), np.maximum(-weight, 0))):
        assert layer.live[sign].tolist() == ((rows @ part.T) > 0).sum(axis=0).tolist()


@pytest.mark.parametrize("signed", [False, True])
def test_dense_statistics_equal_brute_force(signed: bool) -> None:
    model = dense(6, 5, 4, dtype=torch.float64)
    x = random(37, 6, dtype=torch.float64)
    x = x if signed else x.abs()
    x[:, 2] = 0  # an input that never fires
    stats = calibrate(model, x, forward_size=10, points=1000, statistics={"mean"})
    inner = torch.relu(F.linear(x, model.get_parameter("0.weight"), model.get_parameter("0.bias")))
    for layer, rows in zip(stats.layers, (x, inner.detach()), strict=True):
        weight = layer.layer.weight.numpy()
        # Each batch is split by its own signs; here every batch has both or none.
        check(layer, weight, rows.numpy())
        bias = layer.layer.module.bias
        assert isinstance(bias, Tensor)
        z = np.abs(rows.numpy()) @ np.abs(weight).T
        signed_sum = np.abs(rows.numpy() @ weight.T + bias.detach().numpy())
        delta = np.maximum(np.where(z > 0, z / signed_sum, 1), 1).mean(axis=0)
        np.testing.assert_allclose(layer.cancellation.numpy(), delta, rtol=1e-11)
        assert torch.equal(layer.input_peak[0], rows.abs().amax(0))
    assert (stats.layers[0].sensitivity[:, 2] == 0).all()
    assert (stats.inputs, stats.distinct, len(stats.digests)) == (37, 37, 37)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[int, dict[str, Any], list[int]]:
    dims = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 2]))
    kernel_size = [draw(st.integers(1, 3)) for _ in range(dims)]
    dilation = [draw(st.integers(1, 2)) for _ in range(dims)]
    sizes = [d * (k - 1) + 2 for d, k in zip(dilation, kernel_size, strict=True)]
    settings = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": tuple(kernel_size),
        "stride": tuple(draw(st.integers(1, 2)) for _ in range(dims)),
        "padding": tuple(draw(st.integers(0, 1)) for _ in range(dims)),
        "dilation": tuple(dilation),
        "groups": groups,
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    return dims, settings, sizes


def patches(x: np.ndarray, settings: dict[str, Any]) -> np.ndarray:
    """Unfold in loops: (groups, positions of all inputs, channels of a group * kernel)."""
    modes = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    widths = [(0, 0), (0, 0), *((p, p) for p in settings["padding"])]
    padded = np.pad(x, widths, mode=modes[settings["padding_mode"]])  # type: ignore[call-overload]
    size, stride, gap = settings["kernel_size"], settings["stride"], settings["dilation"]
    counts = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(padded.shape[2:], size, stride, gap, strict=True)
    ]
    per_group = x.shape[1] // settings["groups"]
    result = []
    for group in range(settings["groups"]):
        channels = range(group * per_group, (group + 1) * per_group)
        block = []
        for image in padded:
            for position in np.ndindex(*counts):
                row = [
                    image[
                        (c, *(p * s + k * d for p, s, k, d in zip(position, stride, at, gap,
                                                                  strict=True)))
                    ]
                    for c in channels
                    for at in np.ndindex(*size)
                ]  # fmt: skip
                block.append(row)
        result.append(block)
    return np.array(result)


@given(geometries(), st.booleans(), st.integers(0, 100))
def test_convolutions_equal_a_brute_force_unfold(
    case: tuple[int, dict[str, Any], list[int]], signed: bool, seed: int
) -> None:
    dims, settings, sizes = case
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    module = seeded(lambda: kind(**settings, dtype=torch.float64), seed)
    x = random(2, settings["in_channels"], *sizes, seed=seed + 1, dtype=torch.float64)
    x = x if signed else x.abs()
    layer = calibrate(module, x).layers[0]
    expected = patches(x.numpy(), settings)
    weights = layer.layer.weight.numpy().reshape(settings["groups"], -1, expected.shape[2])
    reference = [
        sipp_theory.sensitivity(w, rows) for w, rows in zip(weights, expected, strict=True)
    ]
    np.testing.assert_allclose(
        layer.sensitivity.numpy(), np.concatenate(reference), rtol=1e-12, atol=0
    )


def test_grouped_convolutions_have_all_statistics_group_by_group() -> None:
    settings: dict[str, Any] = {
        "in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1),
        "padding": (1, 0), "dilation": (1, 2), "groups": 2, "padding_mode": "zeros",
    }  # fmt: skip
    module = seeded(lambda: nn.Conv2d(**settings, dtype=torch.float64))
    x = random(5, 4, 6, 5, dtype=torch.float64)
    layer = calibrate(module, x, points=10**6, statistics={"mean"}).layers[0]
    expected = patches(x.numpy(), settings)
    assert layer.mean is not None
    for group in range(2):
        block = slice(3 * group, 3 * group + 3)
        part = dataclasses.replace(
            layer,
            sensitivity=layer.sensitivity[block],
            mean=layer.mean[block],
            live=layer.live[:, block],
        )
        check(part, layer.layer.weight.numpy()[block], expected[group])
        kept = np.concatenate([np.maximum(expected[group], 0), np.maximum(-expected[group], 0)])
        assert np.array_equal(layer.points[group].numpy(), kept)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Linear(4, 4, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(input=torch.relu(self.shared(x)))


def test_a_layer_called_twice_sees_both_inputs() -> None:
    model = seeded(Twice)
    x = random(9, 4, dtype=torch.float64).abs()
    layer = calibrate(model, x, forward_size=4, points=100, statistics={"mean"}).layers[0]
    inner = torch.relu(model.get_submodule("shared")(x)).detach()
    check(layer, layer.layer.weight.numpy(), torch.cat([x, inner]).numpy())
    assert layer.points.shape == (1, 18, 4) and layer.complete


def test_tokens_are_rows() -> None:
    model = dense(4, 3, dtype=torch.float64)
    x = random(5, 6, 4, dtype=torch.float64).abs()
    layer = calibrate(model, x, statistics={"mean"}).layers[0]
    check(layer, layer.layer.weight.numpy(), x.reshape(30, 4).numpy())
    assert calibrate(model, x, statistics={"mean"}).inputs == 5


def test_half_precision_models_keep_statistics_in_float32() -> None:
    model = dense(6, 3).to(torch.bfloat16)
    x = random(20, 6).abs().to(torch.bfloat16)
    layer = calibrate(model, x).layers[0]
    assert layer.sensitivity.dtype == torch.float32
    expected = sipp_theory.sensitivity(layer.layer.weight.double().numpy(), x.double().numpy())
    np.testing.assert_allclose(layer.sensitivity.numpy(), expected, rtol=1e-5)


# ---- support, points, counts -------------------------------------------------------------------


def test_support_counts_the_inputs_that_set_a_maximum() -> None:
    model = nn.Linear(3, 2, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1.0, -1.0], [1.0, 0.0, 0.0]]))
    x = torch.tensor([[3.0, 1, 1], [1, 3, 5], [2, 2, 0], [9, 9, 9]], dtype=torch.float64)
    layer = calibrate(model, x, statistics={"support"}, forward_size=3).layers[0]
    # Neuron 0, +: inputs 0 and 1; -: input 0 (1, ties go to the first); neuron 1, +: input 0.
    assert layer.support is not None and layer.support.tolist() == [[2, 1], [1, 0]]
    assert layer.support_total == 2
    assert calibrate(model, x).layers[0].support is None


def test_means_are_kept_for_those_who_ask() -> None:
    assert calibrate(dense(3, 2), random(4, 3)).layers[0].mean is None
    assert calibrate(dense(3, 2), random(4, 3), statistics={"mean"}).layers[0].mean is not None


def test_support_of_a_convolution_counts_inputs_and_not_patches() -> None:
    module = seeded(lambda: nn.Conv2d(1, 3, 3, dtype=torch.float64))
    x = random(6, 1, 8, 8, dtype=torch.float64).abs()
    layer = calibrate(module, x, statistics={"support"}, forward_size=4).layers[0]
    weight = layer.layer.weight.numpy()
    settings = {"padding": (0, 0), "padding_mode": "zeros", "groups": 1, "kernel_size": (3, 3),
                "stride": (1, 1), "dilation": (1, 1)}  # fmt: skip
    per_input = [patches(image[None].numpy(), settings)[0] for image in x]
    best = np.stack([sipp_theory.sensitivity(weight, rows) for rows in per_input])
    result = set(best.argmax(axis=0)[best.max(axis=0) > 0].tolist())
    assert layer.support_total == len(result) <= 6


def test_points_are_all_rows_or_a_uniform_sample() -> None:
    model, x = nn.Linear(1, 1), torch.arange(1.0, 41.0)[:, None]
    everything = calibrate(model, x, points=40).layers[0]
    assert everything.complete and everything.points[0, :, 0].tolist() == list(range(1, 41))
    none = calibrate(model, x).layers[0]
    assert none.points.shape == (1, 0, 1) and not none.complete
    counts = np.zeros(41)
    trials = 400
    for seed in range(trials):
        sample = calibrate(model, x, points=10, seed=seed, forward_size=16).layers[0]
        values = sample.points[0, :, 0].numpy().astype(int)
        assert not sample.complete and len(set(values)) == 10
        counts[values] += 1
    # Each row is kept in a quarter of the samples: binomial, 40 rows, six sigma.
    sigma = math.sqrt(trials * 0.25 * 0.75)
    assert (np.abs(counts[1:] - trials / 4) < 6 * sigma).all()


def test_points_of_signed_rows_are_split_in_two() -> None:
    x = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    points = calibrate(nn.Linear(2, 1), x, points=2).layers[0].points
    assert points.dtype == torch.float64
    assert points[0].tolist() == [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]


def test_repeated_inputs_are_counted_once() -> None:
    x = random(10, 4)
    stats = calibrate(nn.Linear(4, 2), torch.cat([x, x[:3]]))
    assert (stats.inputs, stats.distinct) == (13, 10)


def test_inputs_set_aside_take_no_part_in_the_maxima() -> None:
    model, x = dense(4, 3, dtype=torch.float64), random(20, 4, dtype=torch.float64).abs()
    stats = calibrate(model, x, validation_every=5, points=100, forward_size=7, statistics={"mean"})
    aside = torch.arange(20) % 5 == 4
    assert torch.equal(stats.validation["0"][0], x[aside])
    check(stats.layers[0], stats.layers[0].layer.weight.numpy(), x[~aside].numpy())
    assert stats.inputs == 20
    assert not calibrate(model, x, points=100).validation


def test_memory_does_not_grow_with_samples_times_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor larger than the chunk, the weights or a batch is ever made."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            for found in result if isinstance(result, tuple | list) else [result]:
                # Views by expansion own no memory of their own.
                if isinstance(found, Tensor):
                    self.seen = max(self.seen, found.untyped_storage().nbytes())
            return result

    monkeypatch.setattr(kernel, "CHUNK", 2**14)
    monkeypatch.setattr(buffer, "HELD", 2**13)  # of rows that wait
    model = dense(120, 90)
    batches = [random(64, 120, seed=k) for k in range(16)]
    with Largest() as watch:
        calibrate(model, batches, forward_size=64)
    # One batch of samples x out x in would be 2.8 MB, the whole stream 0.5 MB.
    assert watch.seen <= max(4 * 2**14, 90 * 120 * 8, 64 * 120 * 8)


# ---- statistics as objects, and the inputs themselves ------------------------------------------


@pytest.fixture
def zeros() -> Iterator[str]:
    """A statistic of a user's own: how many of a layer's inputs are 0."""

    @register_statistic
    class Zeros(Statistic):
        name = "zeros"

        def start(self, layer: MeasuredLayer) -> None:
            self.counts = layer.like_inputs().long()

        def add(self, rows: Rows) -> None:
            self.counts += (rows.values == 0).sum(dim=1)

        def merge(self, group: Processes) -> None:
            self.counts = group.total(self.counts)

        def value(self) -> Tensor:
            return self.counts

    yield Zeros.name
    del STATISTICS[Zeros.name]


def test_a_statistic_of_ones_own_is_measured_with_nothing_else_edited(zeros: str) -> None:
    model, x = dense(4, 3, 2), random(30, 4).relu()
    stats = calibrate(model, x, statistics={zeros, "energy"}, forward_size=8)
    assert stats.statistics == {zeros, "energy"}
    assert torch.equal(stats.layers[0].values[zeros], (x == 0).sum(dim=0)[None])
    assert stats.layers[0].energy is not None and "energy" not in stats.layers[0].values
    assert not calibrate(model, x).layers[0].values
    # The maxima, which come after it, are what they are without it.
    assert same_shares(stats, calibrate(model, x, forward_size=8))
    with pytest.raises(ValueError, match=f"a statistic named '{zeros}' is registered already"):
        register_statistic(type("Other", (Statistic,), {"name": zeros}))


def same_shares(first: Calibration, second: Calibration) -> bool:
    return all(
        torch.equal(getattr(a, field), getattr(b, field))
        for a, b in zip(first.layers, second.layers, strict=True)
        for field in ("sensitivity", "live", "input_peak", "cancellation")
    )


@pytest.mark.parametrize(
    ("statistics", "error", "message"),
    [
        ({"norms"}, ValueError, "among 'energy', 'gradients', 'mean', 'patch-mean', 'support'; fo"),
        ("mean", TypeError, "statistics must be a set of names; found 'mean': write {'mean'}"),
    ],
)
def test_unknown_statistics_are_named(
    statistics: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(dense(3, 2), random(4, 3), statistics=statistics)


@pytest.mark.parametrize(
    ("flag", "name", "attribute"),
    [
        ("mean", "mean", "mean"),
        ("support", "support", "support_total"),
        ("norms", "energy", "energy"),
        ("gradients", "gradients", "saliency"),
    ],
)
def test_the_flags_of_old_warn_and_measure_the_same(flag: str, name: str, attribute: str) -> None:
    pairs = [(random(20, 3), torch.arange(20) % 2)]
    with pytest.warns(DeprecationWarning, match=f"{flag}=True.*write statistics={{'{name}'}}"):
        old = calibrate(dense(3, 2), pairs, **cast(Any, {flag: True}))
    new = calibrate(dense(3, 2), pairs, statistics={name})
    values = [getattr(stats.layers[0], attribute) for stats in (old, new)]
    assert values[0] is not None and np.array_equal(*values)
    assert old.statistics == new.statistics == {name}


@pytest.mark.parametrize("way", WAYS)
def test_the_inputs_are_held_in_order(way: str) -> None:
    x = random(60, 3, 7, 7)
    model = convolutional()
    stats = calibrate(model, WAYS[way](x), inputs=True, forward_size=7, statistics={"mean"})
    assert isinstance(stats.held_inputs, Tensor) and torch.equal(stats.held_inputs, x)
    assert same(stats, calibrate(model, x, forward_size=7, statistics={"mean"}))
    assert calibrate(model, x).held_inputs is None


def test_inputs_that_are_held_are_what_came_whatever_the_model_writes() -> None:
    x = random(10, 6)
    stats = calibrate(WritesInPlace(), x, inputs=True, forward_size=4)
    assert isinstance(stats.held_inputs, Tensor) and torch.equal(stats.held_inputs, x)


# ---- nothing is left behind --------------------------------------------------------------------


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fails = convolutional(), True

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        if self.fails and x.shape[0] == 3:
            raise KeyError("in the middle")
        return y


def state(model: nn.Module) -> list[Any]:
    """All that a caller could notice of a model."""
    tensors = [t.detach().clone() for t in model.state_dict().values()]
    flags = [m.training for m in model.modules()]
    hooks = [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    expected = [p.requires_grad for p in model.parameters()]
    return [tensors, flags, hooks, grads, expected, torch.get_rng_state(), torch.is_grad_enabled()]


def unchanged(first: list[Any], second: list[Any]) -> bool:
    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, list):
            return len(a) == len(b) and all(map(equal, a, b))
        return torch.equal(a, b) if isinstance(a, Tensor) else a == b

    return equal(first, second)


@pytest.mark.parametrize("outcome", ["fine", "forward raises", "not finite", "bad stream"])
def test_the_model_is_left_as_it_was_found(outcome: str) -> None:
    model = Failing()
    model.fails = outcome == "forward raises"
    model.train()
    model.get_submodule("inner.1").eval()  # a mixture of flags
    model.get_parameter("inner.4.weight").requires_grad_(False)
    x = random(11, 3, 7, 7)
    model.inner(x).sum().backward()
    numpy_state = np.random.get_state(legacy=False)["state"]["pos"]
    before = state(model)
    inputs: Any = x
    error: type[Exception] | None = None
    if outcome == "forward raises":
        error = ValueError
    elif outcome == "not finite":
        inputs, error = x.clone(), ValueError
        inputs[9, 2, 1, 1] = math.inf
    elif outcome == "bad stream":
        inputs, error = [x[:8], "y"], TypeError
    if error is None:
        calibrate(model, inputs, forward_size=8, points=5)
    else:
        with pytest.raises(error):
            calibrate(model, inputs, forward_size=8, points=5)
    assert unchanged(before, state(model))
    assert np.random.get_state(legacy=False)["state"]["pos"] == numpy_state


def test_evaluating_restores_flags_even_after_an_error() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    model[0].eval()
    with pytest.raises(KeyError), evaluating(model):
        assert not model.training and not torch.is_grad_enabled()
        raise KeyError
    assert [m.training for m in model.modules()] == [True, False, True]
    assert torch.is_grad_enabled()


def test_progress_is_told_and_its_interrupt_leaves_no_hooks() -> None:
    seen: list[tuple[int, int, str]] = []
    model = dense(3, 2)
    calibrate(
        model, random(10, 3), forward_size=2, batch_size=4, progress=lambda *call: seen.append(call)
    )
    assert seen == [(4, 0, "calibrate"), (8, 0, "calibrate"), (10, 0, "calibrate")]

    def interrupt(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        calibrate(model, random(10, 3), progress=interrupt)
    assert unchanged(before, state(model))


# ---- bad input ---------------------------------------------------------------------------------


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 2), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1; found 0"),
        ({"forward_size": 0}, ValueError, "forward_size must be at least 1; found 0"),
        ({"batch_size": 2.5}, TypeError, r"batch_size must be an integer; found 2\.5"),
        ({"points": -1}, ValueError, "points must be at least 0; found -1"),
        ({"points": "all"}, TypeError, "points must be an integer; found 'all'"),
        ({"seed": -1}, ValueError, "seed must be at least 0; found -1"),
        ({"validation_every": 1}, ValueError, "validation_every must be 0 or at least 2; found 1"),
        ({"validation_every": -3}, ValueError, "validation_every must be 0 or at least 2"),
        ({"layers": ["nope"]}, ValueError, "'nope' matches no layer of the model; there are: '0'"),
    ],
)
def test_bad_settings_are_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(dense(3, 2), random(4, 3), **arguments)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (torch.zeros(0, 3), ValueError, "calibration is empty"),
        (torch.ones(4, 3, dtype=torch.int64), TypeError, "layer '0' received torch.int64 activat"),
        (torch.ones(4, 6), ValueError, r"layer '0' got an input of shape \(4, 6\).*must be 3"),
        (torch.ones(4, 3).double(), ValueError, r"cannot run on calibration of shape .*float64"),
        (torch.ones(4), ValueError, r"layer '0' got an input of shape \(4,\)"),
    ],
)
def test_inputs_that_do_not_fit_are_named(
    inputs: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        calibrate(dense(3, 2), inputs)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_activations_that_are_not_finite_are_located(bad: float) -> None:
    x = random(20, 3)
    x[13, 1] = bad
    message = r"layer '0' .*not finite: (nan|inf|-inf) at row 3, input 1 of its batch .*from 10 on"
    with pytest.raises(ValueError, match=message):
        calibrate(dense(3, 4, 2), x, forward_size=10)
    explosive = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with torch.no_grad():
        explosive.get_parameter("0.weight").fill_(3e38)
    with pytest.raises(ValueError, match="layer '1' received an activation that is not finite"):
        calibrate(explosive, random(20, 3).abs() + 1)


def test_too_small_an_image_and_a_layer_never_called_are_named() -> None:
    with pytest.raises(ValueError, match=r"cannot run on calibration of shape \(4, 1, 2, 2\)"):
        calibrate(nn.Conv2d(1, 1, 3), random(4, 1, 2, 2))
    with pytest.raises(ValueError, match="layer 'unused' was never called.*layers="):
        calibrate(Skips(), random(4, 3))
    assert calibrate(Skips(), random(4, 3), layers=["used"]).layers[0].name == "used"


def test_a_layer_fed_no_tensor_is_named() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.odd = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.odd({"x": x})

    with pytest.raises(TypeError, match="layer 'odd' was called without a tensor"):
        calibrate(Model(), random(4, 3))


@pytest.mark.parametrize("points", [3, 100])
def test_rows_kept_are_what_the_layer_saw_whatever_is_written_to_them_later(points: int) -> None:
    class Overwrites(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = self.first(x).sigmoid()
            answer = self.last(hidden)
            hidden.fill_(7)
            return answer

    model, x = seeded(Overwrites), random(12, 4)
    kept = calibrate(model, x, points=points).layers[1].points[0]
    seen = model.first(x).sigmoid().detach().double()
    assert len(kept) == min(points, 12)
    assert all((row == seen).all(dim=1).any() for row in kept)


@pytest.mark.gpu
def test_a_gpu_measures_the_same_up_to_rounding() -> None:
    model, x = dense(40, 30, 10), random(200, 40)
    here, there = (
        calibrate(model, x, points=20, statistics={"mean"}),
        calibrate(model.to("cuda"), x, points=20, statistics={"mean"}),
    )
    for a, b in zip(here.layers, there.layers, strict=True):
        assert b.sensitivity.is_cuda
        torch.testing.assert_close(a.sensitivity, b.sensitivity.cpu(), rtol=1e-5, atol=1e-6)
    assert here.digests == there.digests
