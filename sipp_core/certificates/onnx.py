"""Networks that another tool exported: an ONNX file, run by onnxruntime (an extra)."""

from __future__ import annotations

import hashlib
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core.runtime.files import read_bytes


class OnnxNetwork(nn.Module):
    """A network in an ONNX file, as a module of one input and one output.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: onnxruntime is not installed (`pip install sipp-theory[onnx]`).
        ValueError: the file is no ONNX network, or takes more than one input.

    Claim: none (plumbing).

    Example:
        >>> OnnxNetwork("no/such/file")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no ONNX network at no/such/file
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        super().__init__()
        content = read_bytes(path, "ONNX network")
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f"{path} needs onnxruntime: pip install 'sipp-theory[onnx]'"
            ) from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no public base
            raise ValueError(f"{path} is no ONNX network: {str(error)[:200]}") from error
        if len(session.get_inputs()) != 1:
            names = ", ".join(one.name for one in session.get_inputs())
            raise ValueError(f"{path} takes several inputs ({names}); one is supported")
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self._double = "double" in session.get_inputs()[0].type

    def forward(self, x: Tensor) -> Tensor:
        """First output of the network, (n, ...); inputs (n, ...) of floats."""
        given = x.detach().cpu().to(torch.float64 if self._double else torch.float32).numpy()
        return torch.from_numpy(self._session.run(None, {self._input: given})[0])
