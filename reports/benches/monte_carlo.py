"""Monte Carlo over a network: many pruned copies on many inputs, time and peak memory."""

from __future__ import annotations

from reports.benches.children import child, no_memory
from reports.benches.findings import Findings
from reports.benches.method import figure, spread
from reports.benches.subjects import Setting

FAMILY = "monte-carlo"
LIMIT, BOUND = 30.0, 2048.0  # seconds; MiB, with a quarter of a GiB stacked at once


def run(setting: Setting) -> Findings:
    """Count failures over all copies in a process of its own; with a tenth of them too."""
    if skipped := no_memory(FAMILY, "many pruned copies"):
        return Findings(skipped=skipped)
    copies, inputs = setting.size((2, 20), (100, 100), (1000, 1000))
    count, repeats = setting.threads[-1], setting.size(1, 1, 3)
    few, rows = max(1, copies // 10), []
    timings = {
        number: [
            child(
                "coverage", {"copies": number, "inputs": inputs, "seed": setting.seed}, count
            )
            for _ in range(repeats)
        ]
        for number in (copies, few)
    }  # fmt: skip
    full = setting.scale == "full"
    for number, runs in timings.items():
        case = f"{number:,} copies of LeNet-300-100 on {inputs:,} inputs"
        aimed = full and number == copies
        rows += [
            figure(FAMILY, case, "time", spread([r["seconds"] for r in runs]), "s", threads=count,
                   target=LIMIT if aimed else None, sense="at most"),
            figure(FAMILY, case, "peak extra memory", spread([r["mib"] for r in runs]), "MiB",
                   threads=count, target=BOUND if aimed else None, sense="at most",
                   note="the bound is ours: the issue asks for bounded memory" if aimed else ""),
        ]  # fmt: skip
    return Findings(tuple(rows))
