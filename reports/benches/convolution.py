"""Convolutions: how much memory measuring them adds, whatever batch, image size and |S|."""

from __future__ import annotations

from typing import Any

from reports.benches.children import child, no_memory
from reports.benches.findings import Curve, Findings, Measured
from reports.benches.method import series
from reports.benches.subjects import Setting

FAMILY = "convolution"
LIMIT = 256.0  # MiB
Json = dict[str, Any]


def _options(side: int, batch: int, inputs: int) -> Json:
    """A 5 x 5 convolution whose patches are 25 times its input."""
    return {
        "kind": "conv", "sizes": [32, 8, 5], "more": {"padding": 2}, "shape": [32, side, side],
        "small": [32, 8, 8], "batch": batch, "inputs": inputs,
    }  # fmt: skip


def run(setting: Setting) -> Findings:
    """Peak memory of calibration beyond that of its forward passes, each in a new process."""
    if skipped := no_memory(FAMILY, "peak extra memory"):
        return Findings(skipped=skipped)
    side, batch = setting.size((8, 2), (64, 32), (64, 64))
    few = setting.scale != "full"
    measured = [_figure(side, batch, batch, setting.size(1, 1, 3))]
    if few:
        return Findings(tuple(measured))
    grown = (
        ("memory-conv-image", "image side", [(s, batch // 4, batch // 4) for s in (32, 64, 128)]),
        ("memory-conv-batch", "batch", [(side, n, n) for n in (16, 64, 256)]),
        ("memory-conv-inputs", "inputs |S|", [(side, 16, n) for n in (16, 64, 256)]),
    )
    curves = []
    for name, axis, cases in grown:
        figures = [_figure(*case, 1) for case in cases]
        measured += [f for f in figures[-1:] if f.case != measured[0].case]
        sizes = [case[0] if axis == "image side" else case[2] for case in cases]
        line = series("beyond the forward pass", sizes, [f.value for f in figures])
        curves.append(Curve(FAMILY, name, axis, "MiB", (line,), "a 5 x 5 convolution"))
    return Findings(tuple(measured), tuple(curves))


def _figure(side: int, batch: int, inputs: int, repeats: int) -> Measured:
    options = _options(side, batch, inputs)
    peaks = []
    for _ in range(repeats):
        whole, forward = (
            child("measure", options | {"what": what})["mib"] for what in ("calibrate", "forward")
        )
        peaks.append((max(0.0, whole - forward), forward))
    extra = sorted(value for value, _ in peaks)
    patches = batch * side * side * 32 * 25 * 4 / 2**20
    return Measured(
        FAMILY, f"32 channels, {side} x {side}, {inputs} images in batches of {batch}",
        "peak memory beyond the forward pass", extra[len(extra) // 2], extra[0], extra[-1], "MiB",
        repeats=repeats, target=LIMIT, sense="at most",
        note=f"all patches of a batch at once would be {patches:,.0f} MiB",
    )  # fmt: skip
