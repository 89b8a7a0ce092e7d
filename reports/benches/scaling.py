"""How the kernel's time grows with inputs, neurons and their inputs; and calibration's memory."""

from __future__ import annotations

from reports.benches.children import child, no_memory
from reports.benches.findings import Curve, Findings
from reports.benches.method import race, series, threads
from reports.benches.subjects import Setting, maxima, single

FAMILY = "scaling"
AXES = {"inputs": "inputs |S|", "out": "neurons (out)", "in": "inputs of a neuron (in)"}


def run(setting: Setting) -> Findings:
    """Curves with the other two sizes fixed."""
    fixed = setting.size(8, 512, 1024)
    sizes = setting.size((4, 8), (256, 512, 1024), (256, 512, 1024, 2048, 4096))
    curves = [_time(setting, axis, fixed, sizes) for axis in AXES]
    if skipped := no_memory(FAMILY, "memory"):
        return Findings(curves=tuple(curves), skipped=skipped)
    if setting.scale == "tiny":
        return Findings(curves=tuple(curves))
    few = sizes[:: len(sizes) - 1] if setting.scale == "quick" else sizes
    return Findings(curves=(*curves, *(_memory(axis, fixed, few) for axis in AXES)))


def _shape(axis: str, fixed: int, size: int) -> dict[str, int]:
    return {name: size if name == axis else fixed for name in AXES}


def _time(setting: Setting, axis: str, fixed: int, sizes: tuple[int, ...]) -> Curve:
    lines = []
    for lit, label in ((1.0, "dense"), (0.3, "70% zeros")):
        medians = []
        for size in sizes:
            shape = _shape(axis, fixed, size)
            given = [single(setting, shape["out"], shape["in"], shape["inputs"], lit)]
            with threads(1):
                timing = race({"kernel": lambda g=given: maxima(g)}, setting.size(1, 3, 5))
            medians.append(timing["kernel"].seconds.median)
        lines.append(series(label, sizes, medians))
    return Curve(
        FAMILY, f"time-kernel-{axis}", AXES[axis], "s", tuple(lines),
        f"the kernel on one thread; the other two sizes are {fixed}",
    )  # fmt: skip


def _memory(axis: str, fixed: int, sizes: tuple[int, ...]) -> Curve:
    peaks = []
    for size in sizes:
        # Many more inputs than in a batch, else the batch's own size would be what grows.
        scale = 16 if axis == "inputs" else 1
        shape = _shape(axis, fixed, size)
        peaks.append(
            child(
                "measure",
                {"kind": "linear", "sizes": [shape["in"], shape["out"]], "shape": [shape["in"]],
                 "batch": 256, "inputs": shape["inputs"] * scale, "what": "calibrate"},
            )["mib"]
        )  # fmt: skip
    places = tuple(size * (16 if axis == "inputs" else 1) for size in sizes)
    return Curve(
        FAMILY, f"memory-{axis}", AXES[axis], "MiB", (series("calibrate", places, peaks),),
        f"peak extra memory of `calibrate`, one Linear layer, batches of 256, other sizes {fixed}",
    )  # fmt: skip
