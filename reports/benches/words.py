"""What the benchmarks page says in words: amounts with units, families, headline, growth."""

from __future__ import annotations

from typing import Any

from reports.site.plain import INFINITE, UNDEFINED, Number, count, significant

Json = dict[str, Any]
FAMILIES = {
    "ceiling": ("What the machine can do", "Two operations for each weight and input, in "
                "registers alone, and the speed at which memory is copied."),
    "kernel": ("The kernel", "Sensitivities of a layer, by sipp's kernel and by other ways to "
               "write the same maximum of products. All ways take turns in one process."),
    "inputs": ("Many inputs", "What calibration costs beyond the forward passes that it needs "
               "anyway."),
    "allocation": ("Allocation", "Sharing a budget of weights by one multiplier, against a "
                   "general convex solver; and draws for a number of distinct weights."),
    "planning": ("Planning", "Least rates at which every neuron of a layer is promised an error, "
                 "and that promise, before any weight is drawn."),
    "prune": ("End to end", "From a model and inputs to a pruned model, first call apart."),
    "files": ("Files", "CPU time of writing a network as a short file and of reading it again, and "
              "the length of a saved network."),
    "net-trim": ("Net-Trim", "One layer's convex program, by our solver and by ADMM with a fixed "
                 "penalty, as the authors' public code solves it; one thread each."),
    "peers": ("Peers", "Other packages that prune with sensitivities, where they are installed."),
    "monte-carlo": ("Monte Carlo", "Pruned copies of a network, each looked at on every input."),
    "convolution": ("Convolutions", "Memory that measuring a convolution adds to its forward "
                    "pass, each in a process of its own."),
    "processes": ("Many processes", "One calibration shared out by torch.distributed (gloo), one "
                  "thread a process."),
    "sharded": ("Larger than memory", "Decoders with random weights, pruned block by block from "
                "safetensors shards, each in a process of its own; and what larger ones would "
                "take, by proportion."),
    "svm": ("Support vector machines", "CPU time of a linear SVM in a process of its own: "
            "ours to a certified 1e-5, others until the same certificate says 1e-3."),
    "gpu": ("The GPU", "The kernel on a CUDA device."),
}  # fmt: skip


def _steps(value: float, steps: tuple[tuple[float, str], ...]) -> str:
    """The number in the largest step that it reaches."""
    size, name = next((s for s in steps if value >= s[0]), steps[-1])
    return f"{significant(value / size, 3)} {name}".rstrip()


def amount(value: Number, unit: str) -> str:
    """A value with its unit, as a reader would say it.

    >>> amount(0.00312, "s"), amount(11e9, "pairs/s"), amount(12.34, "times")
    ('3.12 ms', '11.0 billion pairs/s', '12.3×')
    """
    if value is None or isinstance(value, str):
        return "unknown" if value in (None, UNDEFINED) else significant(value)
    if unit == "s":
        return _steps(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")))
    if unit == "pairs/s":
        return _steps(value, ((1e9, "billion pairs/s"), (1e6, "million pairs/s"), (1, "pairs/s")))
    if unit == "times":
        return f"{significant(value, 3)}×"
    if unit == "relative":
        return significant(value, 2)
    return f"{significant(value, 3)} {unit}"


def goal(one: Json) -> str:
    """The target of a figure in words; nothing if it has none."""
    return "" if one["target"] is None else f"{one['sense']} {amount(one['target'], one['unit'])}"


def margin(one: Json) -> tuple[float, float, float] | None:
    """How many times better than its target a figure is: median, worst and best quartile."""
    target, value = one["target"], one["value"]
    if not target or INFINITE in (value, one["low"], one["high"]):
        return None
    floor = target * 1e-6  # a difference of nothing is far better than any target
    if one["sense"] == "at least":
        return tuple(max(one[k], floor) / target for k in ("value", "low", "high"))
    return tuple(target / max(one[k], floor) for k in ("value", "high", "low"))


def power(exponent: float | None, axis: str) -> str:
    """How a cost grows, in words.

    >>> power(1.02, "inputs |S|"), power(0.04, "batch")
    ('grows in proportion to inputs |S| (power 1.02)', 'hardly grows with batch (power 0.04)')
    """
    if exponent is None:
        return "no growth could be fitted"
    law = f"(power {exponent:.2f})".replace("-", "−")
    if exponent < -0.15:
        return f"falls with {axis} {law}"
    if exponent < 0.15:
        return f"hardly grows with {axis} {law}"
    if exponent < 0.85:
        return f"grows more slowly than {axis} {law}"
    if exponent <= 1.15:
        return f"grows in proportion to {axis} {law}"
    return f"grows faster than {axis} {law}"


def growth(curve: Json) -> str:
    """One sentence about a curve."""
    what = "Memory" if curve["unit"] == "MiB" else "Time"
    lines = [
        f"{line['label']}: {power(line['exponent'], curve['axis'])}" for line in curve["series"]
    ]
    if len(lines) == 1:
        lines = [lines[0].partition(": ")[2]]
    return f"{what} {'; '.join(lines)}. {curve['note'][:1].upper()}{curve['note'][1:]}."


def headline(run: Json) -> list[str]:
    """What came of the run, in sentences."""
    aimed = [one for one in run["measured"] if one["met"] is not None]
    missed = [one for one in aimed if not one["met"]]
    broken = [check for check in run["checks"] if not check["holds"]]
    sentences = [f"{count(len(aimed) - len(missed))} of {count(len(aimed))} targets are met."]
    sentences += [
        f"Missed: {one['what']}, {one['case']}, {threads(one)}: "
        f"{amount(one['value'], one['unit'])}, asked for {goal(one)}."
        for one in missed
    ]
    if broken:
        return [*sentences, *(f"Violated: {c['what']}: {c['found']}." for c in broken)]
    return [*sentences, f"All {count(len(run['checks']))} checks of correctness hold."]


def threads(one: Json) -> str:
    """How many threads or processes worked."""
    noun = "process" if one["family"] == "processes" else "thread"
    plural = {"process": "processes", "thread": "threads"}[noun]
    return f"{one['threads']} {noun if one['threads'] == 1 else plural}"
