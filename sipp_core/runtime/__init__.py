"""How a model runs, inputs stream, processes share, files are written and draws are seeded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipp_core.runtime.lazy import lazily

if TYPE_CHECKING:
    from sipp_core.runtime.arguments import whole
    from sipp_core.runtime.arrays import most_unpacked, read_arrays
    from sipp_core.runtime.batch import Batch
    from sipp_core.runtime.compiling import compiled
    from sipp_core.runtime.execution import (
        Progress,
        evaluating,
        forward,
        model_device,
        one_thread,
        some_threads,
    )
    from sipp_core.runtime.files import alone, read_bytes, refuse_overwriting, write_atomically
    from sipp_core.runtime.inputs import read_whole, shuffled
    from sipp_core.runtime.numbers import Bool, Float, generator
    from sipp_core.runtime.processes import Processes, process_group, processes
    from sipp_core.runtime.provenance import digests, fingerprint, versions
    from sipp_core.runtime.tasks import as_done, mapped, workers
    from sipp_core.runtime.tensor_files import (
        is_torch_file,
        metadata_of,
        read_state,
        read_torch,
        with_versions,
    )

__all__ = [
    "Batch", "Bool", "Float", "Processes", "Progress", "alone", "as_done", "compiled", "digests",
    "evaluating", "fingerprint", "forward", "generator", "is_torch_file", "lazily", "mapped",
    "metadata_of", "model_device", "most_unpacked", "one_thread", "process_group", "processes",
    "read_arrays", "read_bytes", "read_state", "read_torch", "read_whole", "refuse_overwriting",
    "shuffled", "some_threads", "versions", "whole", "with_versions", "workers",
    "write_atomically",
]  # fmt: skip

# sipp_core.svm writes files and draws numbers without torch.
__getattr__ = lazily(
    __name__,
    {
        "arguments": "whole",
        "arrays": "most_unpacked read_arrays",
        "batch": "Batch",
        "compiling": "compiled",
        "execution": "Progress evaluating forward model_device one_thread some_threads",
        "files": "alone read_bytes refuse_overwriting write_atomically",
        "inputs": "read_whole shuffled",
        "numbers": "Bool Float generator",
        "processes": "Processes process_group processes",
        "provenance": "digests fingerprint versions",
        "tasks": "as_done mapped workers",
        "tensor_files": ("is_torch_file metadata_of read_state read_torch with_versions"),
    },
)
