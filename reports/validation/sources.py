"""A digest of the code that cells are made by, so that a cell of other code is known."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

PACKAGES = ("sipp_theory", "sipp_core")
# What cells run of this package. Plans are in a cell's key; lines and pages only read cells.
MODULES = (
    "corenet", "nettrim", "networks", "neurons", "paper", "sipp", "sipp_methods", "spirals",
    "subjects", "svm",
)  # fmt: skip


@cache
def source_digest() -> str:
    """Twelve digits of the SHA-256 of all code that a cell depends on, as it is on disk."""
    here = Path(__file__).resolve().parent
    root = here.parents[1]
    files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    digest = hashlib.sha256()
    for path in sorted([*files, *(here / f"{name}.py" for name in MODULES)]):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
