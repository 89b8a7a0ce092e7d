"""CoreNet's experiment: prune fully connected networks without retraining, by every sampler.

The paper shows accuracy drop and output error against the weights kept, for networks of several
depths and widths, in figures only: its statements are about which curve lies below which.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

import sipp_core
from reports.settings import method_facts
from reports.validation.cells import Cells
from reports.validation.subjects import Subject, Workshop, shuffled
from reports.validation.verdicts import Line, Validation, compare
from sipp_core import training
from sipp_core.datasets import Dataset
from sipp_core.fitting import VALIDATION_EVERY
from sipp_core.prune import DEFAULT_POINTS
from sipp_core.recipes import Recipe

Json = dict[str, Any]
TITLE = "Data-Dependent Coresets for Compressing Neural Networks (CoreNet), arXiv 1804.05345"
CORENET = ("corenet", "corenet+", "corenet++")
PEERS = ("entry-uniform", "entry-l1", "entry-l2", "entry-mixture", "svd")
SIPP = ("sipp-rand", "sipp-det", "sipp-hybrid", "sipp-poisson")
AMPLIFIED = "corenet++"


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        name: schedule.
        says: the schedule in words.
        data: data sets.
        depths: number of layers, the last included.
        widths: neurons of each hidden layer.
        named: networks of `sipp_core.models` beside them.
        keeps: fractions of the weights kept.
        seeds: draws of each random method.
        inputs: calibration inputs.
        tests: test inputs measured.
        recipe: how the networks are trained.

    Claim: none (plumbing).
    """

    name: str
    says: str
    data: tuple[str, ...]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    named: tuple[str, ...]
    keeps: tuple[float, ...]
    seeds: int
    inputs: int
    tests: int
    recipe: Recipe


_LONG = Recipe(epochs=20, batch_size=128, lr=1e-3)
PLANS = {
    "tiny": Plan(
        "tiny", "one small network on the embedded digits, one ratio, two seeds",
        ("digits",), (2,), (16,), (), (0.3,), 2, 60, 60, Recipe(8, 64, 5e-3),
    ),
    "quick": Plan(
        "quick", "depths 2 and 4 at widths 50 and 100, five ratios, three seeds",
        ("digits",), (2, 4), (50, 100), (), (0.1, 0.2, 0.3, 0.5, 0.7), 3, 200, 360,
        Recipe(epochs=40, batch_size=64, lr=3e-3),
    ),
    "reduced": Plan(
        "reduced", "LeNet-300-100 and depths 2, 3 and 5 at widths 100 and 300, ten ratios, ten "
        "seeds",
        ("mnist",), (2, 3, 5), (100, 300), ("lenet-300-100",),
        (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8), 10, 400, 2000, _LONG,
    ),
    "paper": Plan(
        "paper", "depths 2 to 6 and widths 100 to 1,000 as in the paper, ten seeds",
        ("mnist", "fashion-mnist"), (2, 3, 4, 5, 6), (100, 300, 500, 700, 1000),
        ("lenet-300-100",),
        (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8), 10, 400, 10_000, _LONG,
    ),
}  # fmt: skip
METHODS = (*CORENET, *SIPP, *PEERS)


def subjects(plan: Plan, data: Sequence[str]) -> list[Subject]:
    """Networks of a plan on the data sets that are there.

    Args:
        plan: what is run.
        data: names of data sets.

    Returns:
        The networks, named ones first.

    Claim: none (plumbing).

    Example:
        >>> [subject.net for subject in subjects(PLANS["tiny"], ["digits"])]
        ['fc-64-16-10']
    """
    found = []
    for name in data:
        pixels = 64 if name == "digits" else 784
        shapes = ["-".join(["fc", str(pixels), *[str(w)] * (d - 1), "10"])
                  for d in plan.depths for w in plan.widths]  # fmt: skip
        found += [Subject(net, name, plan.recipe) for net in (*plan.named, *shapes)]
    return found


def run(plan: Plan, cells: Cells, workshop: Workshop, data: Sequence[str], seed: int) -> Validation:
    """Run all cells that are not there yet, and draw the table.

    Args:
        plan: what is run.
        cells: finished cells.
        workshop: where networks are trained.
        data: the data sets to run on, of the plan's or others in their place.
        seed: of everything.

    Returns:
        The table, the curves and where they came from.

    Claim: none (plumbing).
    """
    rows = []
    nets = subjects(plan, data)
    for done, subject in enumerate(nets):
        if workshop.progress is not None:
            workshop.progress(done, len(nets), f"{subject.net} on {subject.data}")
        rows += _network(plan, subject, cells, workshop, seed)
    return Validation(
        paper="corenet",
        title=TITLE,
        schedule=plan.name,
        says=f"{plan.says}; {plan.inputs} calibration inputs, no retraining",
        lines=tuple(_lines(plan, rows, data)),
        curves=tuple(_curves(rows)),
        made=cells.made(),
    )


def _network(
    plan: Plan, subject: Subject, cells: Cells, workshop: Workshop, seed: int
) -> list[Json]:
    """All cells of one network; it is trained only if one is missing."""
    ready: list[_Bench] = []

    def bench() -> _Bench:
        if not ready:
            ready.append(_Bench(plan, subject, workshop, seed))
        return ready[0]

    rows = []
    for method in METHODS:
        random = method_facts(method).random
        for keep in plan.keeps:
            for draw in range(plan.seeds if random else 1):
                key = {"net": subject.net, "data": subject.data, "schedule": plan.name,
                       "method": method, "keep": keep, "seed": seed + draw}  # fmt: skip
                value = cells.get(
                    key, lambda m=method, k=keep, d=draw: bench().measure(m, k, seed + d)
                )
                rows.append(key | value)
    return rows


class _Bench:
    """One trained network with its calibrations and test inputs."""

    def __init__(self, plan: Plan, subject: Subject, workshop: Workshop, seed: int) -> None:
        data: Dataset = workshop.data(subject)
        self.model: nn.Module = workshop.trained(subject, seed, data)
        self.inputs = shuffled(data.train_inputs, plan.inputs, seed)[0]
        tests, self.targets = shuffled(data.test_inputs, plan.tests, seed, data.test_targets)
        self.tests = tests.to(workshop.device)
        self.before = training.accuracy(self.model, self.tests, self.targets)
        self.plain = sipp_core.calibrate(self.model, self.inputs, seed=seed)
        self.aside = sipp_core.calibrate(
            self.model, self.inputs, seed=seed, points=DEFAULT_POINTS,
            validation_every=VALIDATION_EVERY,
        )  # fmt: skip

    def measure(self, method: str, keep: float, seed: int) -> Json:
        """Prune once and measure."""
        ready = self.aside if method == AMPLIFIED else self.plain
        pruned = sipp_core.prune(self.model, ready, method=method, keep=keep, seed=seed)
        errors, _ = sipp_core.output_errors(self.model, pruned.model, self.tests)
        after = training.accuracy(pruned.model, self.tests, self.targets)
        return {
            "kept": pruned.kept,
            "error": float(errors.mean()),
            "accuracy": after,
            "drop": self.before - after,
        }


def _mean_log_error(rows: Sequence[Json], method: str) -> dict[int, float]:
    """For each seed the mean of ln(output error) over networks and ratios; one seed if certain."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if row["method"] == method:
            found.setdefault(row["seed"], []).append(math.log(max(row["error"], 1e-12)))
    return {seed: float(np.mean(values)) for seed, values in found.items()}


def _versus(
    plan: Plan, rows: Sequence[Json], ours: str, theirs: str, paper: str, why: str = ""
) -> Line:
    """A line that says whether one method's output error is below another's."""
    mine, other = _mean_log_error(rows, ours), _mean_log_error(rows, theirs)
    seeds = sorted(mine)
    partner = [other.get(seed, next(iter(other.values()))) for seed in seeds]
    verdict, mean, low, high = compare([mine[s] for s in seeds], partner)
    if len(seeds) == 1:
        verdict = "yes" if mean < 0 else "no"
    wins = _wins(rows, ours, theirs)
    return Line(
        what=f"output error of {ours} against {theirs}",
        paper=paper,
        ours=f"{math.exp(mean):.3g} times as large (geometric mean); smaller in {wins} cells",
        agrees=verdict if paper != "-" else "no claim",
        low=None if len(seeds) == 1 else math.exp(low),
        high=None if len(seeds) == 1 else math.exp(high),
        seeds=len(seeds),
        schedule=plan.name,
        source="figures 1 to 3 and the appendix of arXiv 1804.05345" if paper != "-" else "ours",
        why=why,
    )


def _wins(rows: Sequence[Json], ours: str, theirs: str) -> str:
    def means(method: str) -> dict[tuple[str, str, float], float]:
        found: dict[tuple[str, str, float], list[float]] = {}
        for row in rows:
            if row["method"] == method:
                where = (row["net"], row["data"], row["keep"])
                found.setdefault(where, []).append(row["error"])
        return {where: float(np.mean(values)) for where, values in found.items()}

    a, b = means(ours), means(theirs)
    return f"{sum(a[where] < b[where] for where in a)} of {len(a)}"


def _lines(plan: Plan, rows: Sequence[Json], data: Sequence[str]) -> list[Line]:
    lines = [
        _versus(plan, rows, "corenet", peer, "CoreNet's curve lies below, at equal weights kept")
        for peer in PEERS
    ]
    lines += [
        _versus(plan, rows, "corenet+", "corenet", "removing dead neurons first helps or is equal"),
        _versus(plan, rows, "corenet++", "corenet+", "choosing among candidates helps"),
    ]
    lines += [
        _versus(plan, rows, method, "corenet", "-", "SiPP came after CoreNet; our comparison")
        for method in SIPP
    ]
    missing = [name for name in PLANS["paper"].data if name not in data]
    if missing:
        lines.append(
            Line(
                what=f"the same on {', '.join(missing)}",
                paper="the same order of methods",
                ours="-",
                agrees="not run",
                schedule="paper",
                why="the data are not here; give --data-dir" if plan.name == "paper" else
                    f"the {plan.name} schedule leaves it out",
            )
        )  # fmt: skip
    return lines


def _curves(rows: Sequence[Json]) -> list[Json]:
    """A panel a network: accuracy drop and output error against weights kept, mean over seeds."""
    panels = []
    for net, data in dict.fromkeys((row["net"], row["data"]) for row in rows):
        mine = [row for row in rows if (row["net"], row["data"]) == (net, data)]
        series = []
        for method in METHODS:
            points = []
            for keep in dict.fromkeys(row["keep"] for row in mine):
                here = [r for r in mine if r["method"] == method and r["keep"] == keep]
                point = {"kept": float(np.mean([r["kept"] for r in here]))}
                for name in ("error", "drop"):
                    values = [r[name] for r in here]
                    point |= {name: float(np.mean(values)), f"{name}_low": min(values),
                              f"{name}_high": max(values)}  # fmt: skip
                points.append(point)
            series.append({"name": method, "points": points})
        panels.append({"title": f"{net} on {data}", "series": series})
    return panels
