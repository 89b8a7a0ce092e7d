"""What the machine can do at best: the kernel's two operations in registers, and copying memory."""

# numba infers the types of what it compiles, and its intrinsics are called without `typing`.
# pyright: reportMissingParameterType=false, reportCallIssue=false
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from reports.benches.findings import Findings
from reports.benches.method import Timing, figure, race, rate, side_by_side, threads
from reports.benches.subjects import Setting

FAMILY = "ceiling"
# Width of a vector and number of chains: enough of them to hide what one operation waits for.
SHAPES = ((8, 8), (8, 12), (16, 8), (16, 12), (16, 16))


def _in_registers(width: int, chains: int) -> Callable[[int, float, float], float]:
    """A loop of value = max(value * scale, floor) on chains of vectors that never leave registers.

    Each step of a lane is one product and one maximum, as a (weight, input) pair asks for; no
    reordering is allowed, so none of it can be left out.
    """

    @intrinsic
    def loop(typing, steps, scale, floor):
        signature = types.float32(types.intp, types.float32, types.float32)

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), width)

            def splat(value: Any) -> Any:
                filled = ir.Constant(vector, ir.Undefined)
                for lane in range(width):
                    place = ir.Constant(ir.IntType(32), lane)
                    filled = builder.insert_element(filled, value, place)
                return filled

            scales, floors = splat(arguments[1]), splat(arguments[2])
            held = [cgutils.alloca_once_value(builder, scales) for _ in range(chains)]
            with cgutils.for_range(builder, arguments[0]):
                for place in held:
                    product = builder.fmul(builder.load(place), scales)
                    larger = builder.fcmp_ordered(">", product, floors)
                    builder.store(builder.select(larger, product, floors), place)
            lanes = [
                builder.extract_element(builder.load(place), ir.Constant(ir.IntType(32), lane))
                for place in held
                for lane in range(width)
            ]
            total = lanes[0]
            for lane in lanes[1:]:
                total = builder.fadd(total, lane)
            return total

        return signature, emit

    @numba.njit(nogil=True)
    def run(steps, scale, floor):
        return loop(steps, scale, floor)

    return run


def _best(setting: Setting, count: int) -> tuple[float, Timing]:
    """Work of one run and its timing, of the fastest shape."""
    steps, timings = setting.size(1000, 500_000, 4_000_000), []
    for width, chains in SHAPES[:: 2 if setting.scale == "tiny" else 1]:
        run = _in_registers(width, chains)

        def everywhere(run: Callable[[int, float, float], float] = run) -> None:
            side_by_side([lambda: run(steps, 0.999, 0.5)] * count)

        timing = race({"loop": everywhere}, setting.size(1, 5, 9))["loop"]
        timings.append((float(steps) * width * chains * count, timing))
    return max(timings, key=lambda one: one[0] / one[1].seconds.median)


def pairs_a_second(setting: Setting, count: int) -> float:
    """The measured ceiling of so many threads, for shares of it."""
    work, timing = _best(setting, count)
    return work / timing.seconds.median


def run(setting: Setting) -> Findings:
    """Measure the ceilings with each number of threads."""
    measured = []
    size = setting.size(2**12, 2**24, 2**26)  # float32 values: 256 MiB, beyond most caches
    for count in setting.threads:
        work, timing = _best(setting, count)
        measured.append(
            figure(
                FAMILY, "one product and one maximum a pair, in registers", "ceiling",
                rate(work, timing), "pairs/s", threads=count,
                note="fastest of several vector widths; nothing is read or written",
            )
        )  # fmt: skip
        source, target = torch.ones(size), torch.empty(size)
        with threads(count):
            copied = race({"copy": lambda a=source, b=target: b.copy_(a)}, setting.size(1, 5, 9))
        measured.append(
            figure(
                FAMILY, f"copying {4 * size / 2**20:.3g} MiB", "memory bandwidth",
                rate(8 * size / 1e9, copied["copy"]), "GB/s", threads=count,
                note="bytes read and bytes written",
            )
        )  # fmt: skip
    return Findings(tuple(measured))
