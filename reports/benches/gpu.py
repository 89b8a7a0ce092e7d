"""The kernel on a CUDA device: against torch in chunks and against what the device could do."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import Any

import torch

from reports.benches.findings import Findings, Measured, Skipped
from reports.benches.method import figure, race, rate, same_bits, versus
from reports.benches.subjects import Problem, Setting, maxima, pairs, single

FAMILY = "gpu"
OURS, CHUNKS = "sipp's kernel", "torch in chunks"
LANES = 128  # float32 operations a multiprocessor begins in each cycle
HALF = 0.5


def run(setting: Setting) -> Findings:
    """Measure on the given device, or say why not."""
    if torch.device(setting.device).type != "cuda":
        why = "no CUDA device is at hand"
        if torch.cuda.is_available():
            why = "there is a CUDA device, but the run is on the CPU: --device cuda"
        return Findings(skipped=(Skipped(FAMILY, "the kernel on a GPU", why),))
    return on(setting, torch.device(setting.device))


def ceiling(device: torch.device) -> float:
    """Pairs a second if every lane did nothing but one product and one maximum a pair."""
    properties = torch.cuda.get_device_properties(device)
    return properties.multi_processor_count * LANES * clock(properties) * 1e3 / 2


def clock(properties: Any) -> float:
    """Highest clock of a device in kHz; not every release of torch tells it."""
    if (known := getattr(properties, "clock_rate", 0)) > 0:
        return float(known)
    command = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return 1e3 * float(lines[0])


def on(setting: Setting, device: torch.device) -> Findings:
    """Race the kernel and torch in chunks on a device; any device will do."""
    side, rows = setting.size(16, 1024, 4096), setting.size(8, 256, 1024)
    wide = setting.size(24, 2752, 11008)
    races = [_race(setting, device, side, width, rows) for width in (side, wide)]
    measured, checks = zip(*((one.measured, one.checks) for one in races), strict=True)
    return Findings(sum(measured, ()), checks=sum(checks, ()))


def _race(setting: Setting, device: torch.device, side: int, width: int, rows: int) -> Findings:
    """One matrix (side, width)."""
    case = f"{side} x {width}, {rows} dense rows"
    one = single(setting, side, width, rows)
    given = [Problem(*(getattr(one, f.name).to(device) for f in dataclasses.fields(one)))]

    def done(chunked: bool) -> list[torch.Tensor]:
        results = maxima(given, chunked)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return results

    times = race({OURS: lambda: done(False), CHUNKS: lambda: done(True)}, setting.size(1, 5, 9))
    measured: list[Measured] = [
        *versus(FAMILY, case, times, OURS),
        figure(FAMILY, case, OURS, rate(pairs(given), times[OURS]), "pairs/s"),
    ]  # fmt: skip
    if device.type == "cuda":
        share = rate(pairs(given) / ceiling(device), times[OURS])
        measured.append(
            figure(
                FAMILY, case, "kernel over the device's ceiling", share, "times", target=HALF,
                note="ceiling from the device's lanes and clock: two operations a pair",
            )
        )  # fmt: skip
    bad = int((done(False)[0] != done(True)[0]).sum())
    what = f"{OURS} gives the bits of {CHUNKS}: {case}, {device}"
    return Findings(tuple(measured), checks=(same_bits(FAMILY, what, bad),))
