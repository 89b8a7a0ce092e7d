"""Tiles of patches: together they are the rows, whatever their size, and memory stays bounded."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import sipp_theory
from sipp_core import calibrate
from sipp_core.network import patches
from sipp_core.network.layers import prunable_layers

KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, ...]]:
    """A convolution of any geometry and the shape of a batch for it, integers all over."""
    dims = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    sizes = tuple(
        d * (k - 1) + 1 + draw(st.integers(0, 3)) for d, k in zip(dilation, kernel, strict=True)
    )
    modes: list[Any] = ["zeros", "reflect", "replicate", "circular"]
    padding: Any = tuple(draw(st.integers(0, min(2, n - 1))) for n in sizes)
    fits = all(d * (k - 1) - d * (k - 1) // 2 < n
               for d, k, n in zip(dilation, kernel, sizes, strict=True))  # fmt: skip
    if set(stride) == {1} and fits and draw(st.booleans()):
        padding = draw(st.sampled_from(["same", "valid"]))
    settings: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    module = KINDS[dims - 1](
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 3)),
        kernel,  # type: ignore[arg-type]
        groups=groups,
        padding_mode=draw(st.sampled_from(modes)),
        dtype=torch.float64,
        **settings,
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    with torch.no_grad():
        module.weight.copy_(torch.randint(-3, 4, module.weight.shape, generator=generator))
    return module, (draw(st.integers(1, 3)), module.in_channels, *sizes)


def whole_numbers(shape: tuple[int, ...], low: int, seed: int) -> Tensor:
    return torch.randint(low, 10, shape, generator=torch.Generator().manual_seed(seed)).double()


def unfolded(module: Any, x: Tensor) -> np.ndarray:
    """(groups, rows, fan_in) in loops, from the image that torch pads at once."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    padded = nn.functional.pad(x, module._reversed_padding_repeated_twice, mode=mode).numpy()
    reach = [d * (k - 1) + 1 for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    starts = itertools.product(
        range(len(x)),
        *(
            range(0, n - r + 1, s)
            for n, r, s in zip(padded.shape[2:], reach, module.stride, strict=True)
        ),
    )
    result = []
    for image, *corner in starts:
        cut = tuple(
            slice(c, c + r, d) for c, r, d in zip(corner, reach, module.dilation, strict=True)
        )
        result.append(padded[(image, slice(None), *cut)].reshape(module.groups, -1))
    return np.stack(result, axis=1)


# Torch warns of the copy that an uneven "same" padding costs.
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions(), st.sampled_from([-9, 0]), st.integers(0, 1000), st.integers(1, 3000))
def test_tiles_of_any_size_give_the_bits_of_a_brute_force_unfold(
    case: tuple[nn.Module, tuple[int, ...]], low: int, seed: int, budget: int
) -> None:
    """In whole numbers the denominators are exact, so every sensitivity has one right float64."""
    module, shape = case
    x = whole_numbers(shape, low, seed)
    layer = prunable_layers(module)[0]
    expected = unfolded(module, x)
    assert patches.row_count(layer, x) == expected.shape[1]
    few = torch.randperm(expected.shape[1])[: 1 + budget % expected.shape[1]]
    assert np.array_equal(patches.some_rows(layer, x, few).numpy(), expected[:, few.numpy()])
    result = []
    for tile in (budget, patches.TILE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patches, "TILE", tile)
            parts = list(patches.tiles(layer, x))
            assert np.array_equal(torch.cat(parts, dim=1).numpy(), expected)
            cost = patches.PER_OUTPUT * layer.weight.shape[0] + layer.groups * expected.shape[2]
            assert all(part.shape[1] <= max(1, tile // cost) for part in parts)
            result.append(calibrate(module, x, statistics={"support", "mean"}).layers[0])
    small, large = result
    for field in ("sensitivity", "live", "input_peak", "rows"):
        a, b = getattr(small, field), getattr(large, field)
        assert a == b if field == "rows" else torch.equal(a, b)
    for field in ("mean", "cancellation"):  # sums round by their order
        torch.testing.assert_close(getattr(small, field), getattr(large, field), rtol=1e-12, atol=0)
    blocks = layer.weight.chunk(layer.groups)
    reference = [
        sipp_theory.sensitivity(w.numpy(), rows) for w, rows in zip(blocks, expected, strict=True)
    ]
    np.testing.assert_allclose(
        small.sensitivity.numpy(), np.concatenate(reference), rtol=1e-14, atol=0
    )


@given(st.integers(1, 50), st.integers(0, 100))
def test_tiles_of_tokens(budget: int, seed: int) -> None:
    module = nn.Linear(3, 2, dtype=torch.float64)
    x = whole_numbers((4, 5, 3), -9, seed)
    whole = calibrate(module, x, points=7, statistics={"support"}).layers[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "TILE", budget)
        small = calibrate(module, x, points=7, statistics={"support"}).layers[0]
    # The same rows are sampled, and counted for the same inputs, wherever the tiles end.
    assert torch.equal(whole.points, small.points)
    torch.testing.assert_close(whole.sensitivity, small.sensitivity, rtol=1e-14, atol=0)
    assert whole.rows == small.rows


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 200))
def test_boxes_cover_the_grid_once_and_in_order(shape: list[int], most: int) -> None:
    cut = list(patches.boxes(tuple(shape), most))
    assert all(math.prod(map(len, box)) <= most for box in cut)
    result = [place for box in cut for place in itertools.product(*box)]
    assert result == list(np.ndindex(*shape))


def test_row_errors_name_the_row_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "TILE", 1)
    x = torch.ones(5, 4, 3)
    x[3, 2, 1] = math.inf
    with pytest.raises(ValueError, match="not finite: inf at row 14, input 1 of its batch"):
        calibrate(nn.Linear(3, 2), x)


PEAK = """
import torch
from torch import nn
from sipp_core.network.layers import prunable_layers
from sipp_core.sensitivity.stream import Part, Watcher

def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024

torch.set_num_threads(1)
model, x = {model}, torch.randn({shape})
# No forward pass, whose own peak would hide ours.
watcher = Watcher(prunable_layers(model)[0])
watcher.see(x[:1, ..., :8, :8], Part(0, 0, 1))
before = peak()
watcher.see(x, Part(0, 0, 1))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to read the peak from")
@pytest.mark.parametrize(
    ("model", "shape"),
    [
        # All patches at once are 420 MB, and the kernel's temporaries of them several times that.
        ("nn.Conv2d(32, 1, 5, padding=2)", "32, 32, 64, 64"),
        # Few inputs and many outputs: one float64 temporary of all rows is 540 MB.
        ("nn.Conv2d(1, 4096, 1)", "1, 1, 128, 128"),
        # One large image.
        ("nn.Conv2d(4, 1, 7, padding=3, padding_mode='reflect')", "1, 4, 800, 800"),
    ],
)
def test_peak_memory_is_bounded(model: str, shape: str, repository: Path) -> None:
    """What measuring a layer adds to resident memory stays under 256 MiB, in a fresh process."""
    code = PEAK.format(model=model, shape=shape)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert 1 < float(done.stdout) < 256
