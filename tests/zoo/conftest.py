"""Networks of other libraries; skipped with the reason where one is absent."""

from __future__ import annotations

import importlib
import importlib.util
import warnings

import pytest
import torch

LIBRARIES = ("torchvision", "timm", "transformers", "lightning")
# Held as long as the process lives: its end would take the operators away.
_declared: list[torch.library.Library] = []


def _declare_operators() -> None:
    """Let torchvision import beside a torch that cannot load its compiled operators.

    A wheel built for CUDA has none for a CPU build of torch; no network here calls one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor a, Tensor b, float c) -> Tensor")
            _declared.append(library)
            importlib.import_module("torchvision")


def missing(*names: str) -> str | None:
    """Why networks of these libraries cannot be tested here; None if they can."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        return f"needs {', '.join(absent)}: pip install 'sipp-theory[zoo]'"
    # transformers and lightning import it too where it is installed.
    if names and importlib.util.find_spec("torchvision") is not None:
        _declare_operators()
    return None


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
