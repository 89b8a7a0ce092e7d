"""What a stopped run goes on from: JSON in a file with a checksum, so that no edit goes unseen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sipp_core.runtime.files import read_bytes, write_atomically


def write_sealed(path: Path, content: Any) -> None:
    """Write what JSON knows, and its checksum."""
    sealed = {"made": content, "sha256": _checksum(content)}
    write_atomically(path, json.dumps(sealed).encode())


def read_sealed(path: Path, what: str, most: int | None = None) -> Any:
    """What `write_sealed` wrote; of others ValueError, TypeError, KeyError or RecursionError."""
    sealed = json.loads(read_bytes(path, what, most=most))
    if _checksum(sealed["made"]) != sealed["sha256"]:
        raise ValueError("it was altered")
    return sealed["made"]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
