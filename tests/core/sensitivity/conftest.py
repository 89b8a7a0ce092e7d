"""Triton's interpreter for the tests of the GPU kernel."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Callable[..., Any]]:
    """Functions of `interpreted_kernel`, by name, run there."""
    script = Path(__file__).with_name("interpreted_kernel.py")
    root = str(script.parents[3])
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    # Triton 3.6 reads numbers so; numpy refuses it from 2.4 on.
    old = "ignore:Conversion of an array with ndim:DeprecationWarning"
    command = [sys.executable, "-W", "error", "-W", old, str(script)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        stdin, stdout = child.stdin, child.stdout
        assert stdin is not None and stdout is not None

        def run(
            name: str, *given: Any, changes: tuple[tuple[str, str], ...] = (), most: int = 0,
            **named: Any,
        ) -> Any:  # fmt: skip
            pickle.dump((name, given, named, most, list(changes)), stdin)
            stdin.flush()
            answer = pickle.load(stdout)
            if isinstance(answer, Exception):
                raise answer
            return answer

        yield run
        stdin.close()
        assert child.wait(60) == 0
