"""The GPU kernel in Triton's interpreter, in a process of its own: triton asks as it is loaded.

Reads pickled (name of a function here, its arguments, rows a launch, changes to the text of
`_gpu_tile` and `_gpu_panels`) and answers with what it returns, or with the error.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core import calibrate, sensitivity
from sipp_core.sensitivity import _gpu_panels, _gpu_tile, buffer, kernel, kernel_gpu, stream

KERNELS = (_gpu_tile, _gpu_panels)


def weakened(changes: list[tuple[str, str]], folder: str) -> dict[str, ModuleType]:
    """The kernels by name, with some of their text replaced."""
    missing, modules = {old for old, _ in changes}, {}
    for module in KERNELS:
        name, text = module.__name__.rpartition(".")[2], Path(str(module.__file__)).read_text()
        for old, new in changes:
            if old in text:
                missing.discard(old)
                text = text.replace(old, new)
        path = Path(folder) / f"weakened{name}.py"
        path.write_text(text, "utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None and spec.loader is not None
        modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    assert not missing, f"{missing} is not in the kernel any more"
    return modules


def raise_maxima(maximum: Tensor, weight: Tensor, inverse: Tensor, rows: Tensor) -> Tensor:
    """The maxima that are raised."""
    kernel_gpu.raise_maxima(maximum, weight, inverse, rows)
    return maximum


def pack(
    rows: Tensor, out: int, signed: bool
) -> tuple[list[tuple[Tensor, ...]], Tensor, Tensor, tuple[float, float, float]]:
    """Panels, ends of each input and ends of all."""
    packed = kernel_gpu.pack(rows, out, signed, panels=True)
    assert packed is not None and packed.panels is not None
    alone = kernel_gpu.pack(rows, out, signed, panels=False)
    assert alone is not None and alone.panels is None
    assert torch.equal(alone.lows, packed.lows) and alone.span == packed.span
    return packed.panels, packed.lows, packed.highs, packed.span


def choices(inverse: Tensor, tile: tuple[int, int], invert: bool) -> Tensor:
    """Both signs' 1/z in panels."""
    return kernel_gpu._choices(inverse, tile, invert)


def calibrated(model: nn.Module, x: Tensor, held: int, **named: Any) -> tuple[list[Any], list[str]]:
    """What calibration measures of each layer with the GPU's kernels, and what it called."""
    calls: list[str] = []
    before = kernel.kernel_for, kernel_gpu.span, kernel_gpu.pack, kernel_gpu.raise_maxima
    held_before, buffer.HELD = buffer.HELD, held

    def chosen(acc: Any, weight: Tensor, inverse: Tensor, rows: Tensor, origin: Any) -> str:
        narrow = inverse.dtype == torch.float32 and (acc.argmax is None or origin is None)
        return "gpu" if narrow else "chunks"

    def packed(rows: Tensor, out: int, signed: bool, panels: bool) -> Any:
        result = before[2](rows, out, signed, panels)
        if result is not None:
            calls.append("ends" if result.panels is None else "signed" if signed else "plain")
        return result

    def raised(*given: Any, **options: Any) -> None:
        calls.append("panels" if len(given) > 4 and given[4] is not None else "rows")
        before[3](*given, **options)

    def span(values: Tensor) -> Any:
        calls.append("span")
        return before[1](values)

    kernel.kernel_for = chosen
    kernel_gpu.span, kernel_gpu.pack, kernel_gpu.raise_maxima = span, packed, raised
    kernel_gpu.available = lambda device: True
    try:
        layers = calibrate(model, x, **named).layers
    finally:
        kernel.kernel_for, kernel_gpu.span, kernel_gpu.pack, kernel_gpu.raise_maxima = before
        buffer.HELD = held_before
    return [
        (one.sensitivity, one.peaks, one.live, one.rows, one.cancellation) for one in layers
    ], calls  # fmt: skip


def main() -> None:
    packed = kernel_gpu.PACKED
    kernel_gpu.available = lambda device: True
    assert stream.kernel_gpu is kernel_gpu
    while True:
        try:
            function, given, named, most, changes = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as folder:
            answer: object
            try:
                chosen = {m.__name__.rpartition(".")[2]: m for m in KERNELS}
                for name, module in (
                    chosen | (weakened(changes, folder) if changes else {})
                ).items():
                    setattr(sensitivity, name, module)
                kernel_gpu.PACKED = most or packed
                answer = globals()[function](*given, **named)
            except Exception as error:
                answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
