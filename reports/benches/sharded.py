"""Networks larger than memory: time and peak memory of `prune_sharded`, and 7 and 70 billion."""

from __future__ import annotations

from typing import Any

from reports.benches.ceiling import pairs_a_second
from reports.benches.children import child, no_memory
from reports.benches.findings import Curve, Findings, Measured
from reports.benches.method import series
from reports.benches.subjects import Setting

FAMILY = "sharded"
PATIENCE = 4 * 3600.0  # seconds; a billion weights on a busy machine
LENGTH = 64  # tokens an input
# Sizes of published models: width, inner width, blocks. Weights of their blocks follow.
PAPER = {"7 billion": (4096, 11008, 32), "70 billion": (8192, 28672, 80)}
LIMIT = 2.0  # GiB of peak memory that a billion weights may take, 2 GB on disk


def weights(width: int, inner: int, blocks: int) -> int:
    """Weights of the blocks of a decoder.

    >>> weights(4096, 11008, 32)
    6476005376
    """
    return blocks * (4 * width**2 + 3 * width * inner)


def run(setting: Setting) -> Findings:
    """Prune decoders of several widths from shards, each in a new process."""
    if skipped := no_memory(FAMILY, "peak memory"):
        return Findings(skipped=skipped)
    cases = setting.size(
        [(64, 128, 2)],
        [(256, 688, 4), (512, 1376, 4)],
        [(512, 1376, 6), (1024, 2752, 6), (2048, 5504, 19)],
    )
    inputs = setting.size(1, 2, 4)
    options = [_options(case, inputs, setting) for case in cases]
    answers = [child("sharded", each, setting.threads[-1], patience=PATIENCE) for each in options]
    measured: list[Measured] = []
    for case, each in zip(cases, answers, strict=True):
        name = f"{each['weights'] / 1e6:,.0f} M weights in bfloat16, {case[2]} blocks"
        large = each["weights"] > 9e8
        goal: dict[str, Any] = {"target": LIMIT * 1024, "sense": "at most"} if large else {}
        for what, value, unit, more in (
            ("time", each["seconds"], "s", {}),
            ("peak memory", each["mib"], "MiB", goal),
            ("largest block in bfloat16", each["block"] / 2**20, "MiB", {}),
        ):
            measured.append(
                Measured(FAMILY, name, what, value, value, value, unit,
                         threads=setting.threads[-1], **more)
            )  # fmt: skip
    curves = list[Curve]()
    if len(cases) > 1:
        sizes = [weights(*case) for case in cases]
        seconds, memory = ([each[key] for each in answers] for key in ("seconds", "mib"))
        blocks = [size / case[2] for size, case in zip(sizes, cases, strict=True)]
        tokens = f"{inputs * LENGTH} tokens"
        curves = [
            Curve(FAMILY, "sharded-time", "weights", "s", (series(tokens, sizes, seconds),), ""),
            Curve(FAMILY, "sharded-memory", "weights of a block", "MiB",
                  (series(tokens, blocks, memory),), ""),
        ]  # fmt: skip
        measured += _estimates(cases[-1], answers[-1] | {"rows": inputs * LENGTH}, setting)
    return Findings(tuple(measured), tuple(curves))


def _options(case: tuple[int, int, int], inputs: int, setting: Setting) -> dict[str, Any]:
    width, inner, blocks = case
    return {
        "width": width, "inner": inner, "blocks": blocks, "seed": setting.seed,
        "inputs": inputs, "length": LENGTH, "words": setting.size(100, 1000, 32000),
    }  # fmt: skip


def _estimates(
    case: tuple[int, int, int], answer: dict[str, Any], setting: Setting
) -> list[Measured]:
    """What networks that are not here would take: time by weights, memory by weights of a block."""
    own, block = weights(*case), weights(*case) / case[2]
    measured, best = [], pairs_a_second(setting, setting.threads[-1])
    rows = answer["rows"]
    for name, sizes in PAPER.items():
        seconds = answer["seconds"] * weights(*sizes) / own
        memory = answer["mib"] * (weights(*sizes) / sizes[2]) / block
        least = weights(*sizes) * rows / best
        note = f"by proportion from {own / 1e6:,.0f} M weights and as many tokens; not run"
        limit = (
            f"one product and one maximum for each weight and token, {best / 1e9:.3g} billion "
            "a second as this machine reaches in registers: no estimate can be below"
        )
        for what, value, unit in (("time, estimated", seconds, "s"),
                                  ("peak memory, estimated", memory, "MiB")):  # fmt: skip
            measured.append(
                Measured(FAMILY, f"{name} weights", what, value, value, value, unit,
                         threads=setting.threads[-1], note=note)
            )  # fmt: skip
        measured.append(
            Measured(FAMILY, f"{name} weights", "time at the kernel's ceiling", least, least, least,
                     "s", threads=setting.threads[-1], note=limit)
        )  # fmt: skip
    return measured
