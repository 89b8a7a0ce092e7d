"""Many inputs: sensitivity time of 60,000 digits through LeNet-300-100, and how it grows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reports.benches.findings import Curve, Findings, Measured
from reports.benches.method import difference, figure, race, seconds, series, threads
from reports.benches.subjects import Setting, digits, lenet
from sipp_core import calibrate

FAMILY = "inputs"
BATCH, LIMIT = 256, 2.0
TARGET_INPUTS = 60_000


def run(setting: Setting) -> Findings:
    """Time `calibrate` and a bare forward pass of the same batches, round by round."""
    counts = setting.size((8, 16), (375, 1500, 6000), (937, 3750, 15_000, TARGET_INPUTS))
    inputs, which = digits(setting, counts[-1])
    model = lenet(setting).eval()
    measured: list[Measured] = []
    curves = []
    for count in setting.threads:
        medians = []
        with threads(count):
            for size in counts:
                figures = _figures(setting, model, inputs[:size], which, count)
                medians.append(figures[-1].value)
                measured += figures if size == counts[-1] else ()
        curves.append(series(f"{count} thread{'s' if count > 1 else ''}", counts, medians))
    curve = Curve(
        FAMILY, "time-inputs", "inputs |S|", "s", tuple(curves),
        f"sensitivity time, LeNet-300-100, {which}",
    )  # fmt: skip
    return Findings(tuple(measured), (curve,))


def _forward(model: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad():
        for batch in inputs.split(BATCH):
            model(batch)


def _figures(
    setting: Setting, model: nn.Module, inputs: Tensor, which: str, count: int
) -> list[Measured]:
    times = race(
        {
            "calibrate": lambda: calibrate(model, inputs, batch_size=BATCH),
            "bare forward pass": lambda: _forward(model, inputs),
        },
        setting.size(1, 3, 3),
        warm_ups=0,
    )
    case = f"LeNet-300-100, {len(inputs):,} inputs, {which}"
    extra = difference(times["calibrate"], times["bare forward pass"])
    aimed = len(inputs) == TARGET_INPUTS
    return [
        *(seconds(FAMILY, case, what, t, threads=count) for what, t in times.items()),
        figure(
            FAMILY, case, "sensitivity time: calibrate less forward", extra, "s", threads=count,
            target=LIMIT if aimed else None, sense="at most",
        ),
    ]  # fmt: skip
