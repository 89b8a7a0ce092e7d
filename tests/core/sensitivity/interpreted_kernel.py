"""The GPU kernel in Triton's interpreter, in a process of its own: triton asks as it is loaded.

Reads pickled (tensors of `kernel_gpu.raise_maxima`, rows a launch, changes to the text of
`_gpu_tile`) and answers with the maxima, or with the error.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from sipp_core import sensitivity
from sipp_core.sensitivity import _gpu_tile, kernel_gpu


def weakened(changes: list[tuple[str, str]], folder: str) -> ModuleType:
    """The kernel with some of its text replaced."""
    text = Path(str(_gpu_tile.__file__)).read_text("utf-8")
    for old, new in changes:
        assert old in text, f"{old!r} is not in the kernel any more"
        text = text.replace(old, new)
    path = Path(folder) / "weakened.py"
    path.write_text(text, "utf-8")
    spec = importlib.util.spec_from_file_location("weakened", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    packed = kernel_gpu.PACKED
    while True:
        try:
            tensors, most, changes = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        with tempfile.TemporaryDirectory() as folder:
            answer: object
            try:
                sensitivity._gpu_tile = weakened(changes, folder) if changes else _gpu_tile  # type: ignore[attr-defined]
                kernel_gpu.PACKED = most or packed
                kernel_gpu.raise_maxima(*tensors)
                answer = tensors[0]
            except Exception as error:
                answer = error
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
