"""How a model runs, inputs stream, processes share, files are written and draws are seeded."""

from __future__ import annotations

from sipp_core.runtime.arguments import whole
from sipp_core.runtime.compiling import compiled
from sipp_core.runtime.execution import Progress, evaluating, model_device, one_thread, some_threads
from sipp_core.runtime.files import write_atomically
from sipp_core.runtime.inputs import shuffled
from sipp_core.runtime.numbers import Bool, Float, generator
from sipp_core.runtime.processes import Processes, processes
from sipp_core.runtime.provenance import digests, fingerprint, versions

__all__ = [
    "Bool", "Float", "Processes", "Progress", "compiled", "digests", "evaluating",
    "fingerprint", "generator", "model_device", "one_thread", "processes", "shuffled",
    "some_threads", "versions", "whole", "write_atomically",
]  # fmt: skip
