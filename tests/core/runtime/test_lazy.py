"""Public names load on first use, and every listed one does."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from sipp_core.runtime import lazily


@pytest.mark.parametrize("package", ["sipp_core", "sipp_core.runtime"])
def test_every_listed_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = module.nonsense


def test_a_home_is_loaded_once_and_kept() -> None:
    find = lazily("sipp_core.runtime", {"files": "write_atomically"})
    assert find("write_atomically") is importlib.import_module("sipp_core.runtime").write_atomically


def test_methods_are_known_whatever_was_imported_first() -> None:
    code = "from sipp_core.pruning import find_method; print(find_method('wanda').facts.label)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Wanda", done.stderr
