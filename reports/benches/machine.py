"""What a run ran on, in words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

PACKAGES = ("sipp-theory", "torch", "numpy", "scipy", "numba", "cvxpy", "triton")


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{pages / 2**30:.0f} GiB"


def describe(device: str = "cpu") -> dict[str, str]:
    """Processor, memory, system, load and versions, by name."""
    facts = {
        "processor": _processor(), "cores": str(cores()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(), "memory": _memory(),
        "system": platform.platform(terse=True),
        "load when it began": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "-",
    }  # fmt: skip
    if torch.device(device).type == "cuda":
        facts["device"] = torch.cuda.get_device_name(device)
    facts["Python"] = platform.python_version()
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts
