"""How costs grow: the kernel's time, calibration's memory, and time and memory of `prune`."""

from __future__ import annotations

from typing import Any

from reports.benches.children import child, no_memory
from reports.benches.findings import Curve, Findings, Measured, Series
from reports.benches.method import race, series, threads
from reports.benches.subjects import Setting, maxima, single
from sipp_core.methods import (
    CoreNet,
    Magnitude,
    SippDet,
    SippHybrid,
    SippPoisson,
    SippRand,
    Wanda,
)

FAMILY = "scaling"
AXES = {"inputs": "inputs |S|", "out": "neurons (out)", "in": "inputs of a neuron (in)"}
# Of which the cost of a whole call is shown.
METHODS = (SippDet.name, SippPoisson.name)
# Of which the memory of a whole call is held against the network, and more of them in full.
IN_MEMORY, TIMES = (SippDet.name, SippPoisson.name, SippRand.name), 3.0
MORE = (SippHybrid.name, CoreNet.name, Magnitude.name, Wanda.name)
AFTERWARDS = ("certify", "save", "load", "compress")


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
    curves += [_memory(axis, fixed, few) for axis in AXES]
    curves += [*_pruning(setting, "weights"), *_pruning(setting, "rows")]
    return Findings(measured=tuple(_times(setting)), curves=tuple(curves))


def _times(setting: Setting) -> list[Measured]:
    """Peak memory of `prune`, and of what follows it, beside the network's own."""
    full, width = setting.scale == "full", setting.size(16, 1024, 2048)
    six = {"width": width, "layers": 6, "inputs": 64, "rows": 1, "keep": 0.5}
    measured = list[Measured]()

    def add(task: str, options: dict[str, Any], case: str, target: float | None = None) -> None:
        answer = child(task, options)
        times = answer["mib"] / (answer["weights"] * 4 / 2**20)
        goal: dict[str, Any] = {} if target is None else {"target": target, "sense": "at most"}
        what = f"peak memory that {'prune' if task == 'whole' else options['what']} adds, of the "
        measured.append(
            Measured(FAMILY, case, f"{what}network's own", times, times, times, "times", **goal)
        )

    net = f"6 layers of {width} x {width} in float32, 64 inputs"
    for method in (*IN_MEMORY, *(MORE if full else ())):
        case = f"{net}, half is kept, {method}"
        add("whole", six | {"method": method}, case, TIMES if full else None)
    if full:
        one = {"width": 4096, "out": 11008, "layers": 1, "method": SippDet.name}
        case = f"one layer of 4096 x 11008, 64 inputs, half is kept, {SippDet.name}"
        add("whole", six | one, case, TIMES)
        solved = {"method": SippDet.name, "refit": True, "keep": 0.1}
        add("whole", six | solved, f"{net}, a tenth is kept, {SippDet.name}, refit=True")
        for what in AFTERWARDS:
            layers = 2 if what == "compress" else 6
            options = {"width": width, "layers": layers, "inputs": 2000, "what": what}
            add("afterwards", options, f"{layers} layers of {width} x {width}, 30% is left")
    return measured


def _pruning(setting: Setting, axis: str) -> tuple[Curve, Curve]:
    """Time and peak memory of `prune` on a chain of dense layers, by method."""
    usual = {"width": setting.size(16, 512, 1024), "layers": 4, "inputs": 16, "rows": 4}
    grows = setting.size((8, 16), (256, 512, 1024), (512, 1024, 2048, 4096))
    grows = grows if axis == "weights" else setting.size((1, 2), (1, 4, 16), (1, 4, 16, 64))
    seconds, memory = list[Series](), list[Series]()
    for method in METHODS:
        answers = [
            child("whole", usual | {"method": method, "width" if axis == "weights" else axis: size})
            for size in grows
        ]
        places = [each["weights"] for each in answers] if axis == "weights" else list(grows)
        seconds.append(series(method, places, [each["seconds"] for each in answers]))
        memory.append(series(method, places, [each["mib"] for each in answers]))
    fixed = f"{usual['layers']} square layers, {usual['inputs']} inputs, one thread"
    named = {"weights": "weights", "rows": "rows (tokens, patches) an input"}[axis]
    return (
        Curve(FAMILY, f"time-prune-{axis}", named, "s", tuple(seconds), f"`prune`, {fixed}"),
        Curve(
            FAMILY, f"memory-prune-{axis}", named, "MiB", tuple(memory),
            f"peak memory that `prune` adds, its result included; {fixed}",
        ),
    )  # fmt: skip


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
