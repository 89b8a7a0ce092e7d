"""A digest of the code that cells are made by, so that a cell of other code is known."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType

PACKAGES = ("sipp_theory", "sipp_core")
# What cells run of this package. Plans are in a cell's key; lines and pages only read cells.
MODULES = (
    "corenet", "nettrim", "networks", "neurons", "paper", "sipp", "sipp_methods", "spirals",
    "subjects", "svm",
)  # fmt: skip


@cache
def source_digest() -> str:
    """Twelve digits of the SHA-256 of all code that a cell depends on, as it is on disk.

    Docstrings, comments and empty lines change no number, and have no part in it.
    """
    here = Path(__file__).resolve().parent
    files = [path for package in PACKAGES for path in (here.parents[1] / package).rglob("*.py")]
    return _digest([*files, *(here / f"{name}.py" for name in MODULES)])


def modules_digest(*modules: ModuleType) -> str:
    """The same of some modules, for cells that run what the others do not."""
    return _digest([Path(str(one.__file__)).resolve() for one in modules])


def _digest(files: Iterable[Path]) -> str:
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root)}\0{code_of(path.read_bytes().decode())}".encode())
    return digest.hexdigest()[:12]


def code_of(source: str) -> str:
    r"""The lines of a module that say what it does.

    Example:
        >>> code_of("'One.'\n\n# Two.\nx = 'three'  # four\n")
        "x = 'three'  # four"
    """
    documented: set[int] = set()
    kept: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.end_lineno is not None:
            kept.update(range(node.lineno + 1, node.end_lineno + 1))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if ast.get_docstring(node, clean=False) is not None and first is not None:
                documented.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    # A line within a string is never a comment.
    return "\n".join(
        line
        for number, line in enumerate(source.splitlines(), 1)
        if number not in documented
        and (number in kept or (line.strip() and line.strip()[0] != "#"))
    )
