"""Peers that are no dependency: compared where they can be imported, else skipped with a word."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from reports.benches.findings import Findings, Measured, Skipped
from reports.benches.method import race, threads, versus
from reports.benches.subjects import Setting, digits, lenet
from sipp_core import prune
from sipp_core.methods import SippRand

FAMILY = "peers"
OURS = SippRand.name
KEEP = 0.25


def run(setting: Setting) -> Findings:
    """Prune the same network by each peer that is here."""
    measured: list[Measured] = []
    skipped: list[Skipped] = []
    for name, (package, compare) in PEERS.items():
        try:
            module = importlib.import_module(package)
        except Exception as error:  # an old package may fail at import in many ways
            missing = isinstance(error, ModuleNotFoundError) and error.name == package
            why = "not installed" if missing else f"cannot be imported here: {_line(error)}"
            skipped.append(Skipped(FAMILY, name, f"{package} is {why}" if missing else why))
            continue
        try:
            measured += compare(setting, module)
        except Exception as error:  # a peer's fault is not ours
            skipped.append(Skipped(FAMILY, name, f"{package} fails here: {_line(error)}"))
    return Findings(tuple(measured), skipped=tuple(skipped))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def torchprune(setting: Setting, package: Any) -> list[Measured]:
    """SiPP's random method by the authors' public package, on LeNet-300-100."""
    rows = setting.size(4, 16, 256)
    inputs, which = digits(setting, rows)
    model, count = lenet(setting).eval(), setting.threads[-1]
    labelled = torch.utils.data.TensorDataset(inputs, torch.zeros(rows, dtype=torch.int64))
    loader = torch.utils.data.DataLoader(labelled, batch_size=rows)

    def theirs() -> None:
        # It prints a line an input.
        with contextlib.redirect_stdout(io.StringIO()):
            handle = package.util.net.NetHandle(model, "lenet-300-100")
            net = package.SiPPNetRand(handle, loader, nn.CrossEntropyLoss())
            net.compress(keep_ratio=KEEP)

    def ours() -> None:
        prune(model, inputs, method=OURS, keep=KEEP, seed=setting.seed)

    name = "torchprune's SiPPNetRand"
    with threads(count):
        times = race({OURS: ours, name: theirs}, setting.size(1, 1, 3), warm_ups=0)
    case = f"LeNet-300-100, {rows} inputs, {which}"
    return versus(FAMILY, case, times, OURS, threads=count)


Compare = Callable[[Setting, Any], list[Measured]]
PEERS: dict[str, tuple[str, Compare]] = {
    "torchprune, the SiPP authors' package": ("torchprune", torchprune),
}
