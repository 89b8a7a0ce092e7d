"""Run everything that a report shows, from the untrained network on, and collect plain numbers."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike

import matplotlib
import scipy
import torch
from torch import nn

import proofs_check
from reports.overview import bounds, certificates, curves, promises
from reports.overview.settings import Settings, settings
from reports.overview.splits import Splits, calibration_count, split, widths
from reports.overview.tasks import Json, Progress
from reports.site.methods import claims
from sipp_core.pruning import find_method
from sipp_core.runtime import versions
from sipp_core.zoo import Dataset, datasets, models, training

SCHEMA = 1


class Clock:
    """Wall time of each part, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 2)


def run(
    dataset: str,
    *,
    data_dir: str | PathLike[str] | None,
    seed: int,
    device: str,
    quick: bool,
    progress: Progress | None,
    jobs: int | None = None,
) -> Json:
    """Compute all results of a report; nothing is written."""
    plan, clock, start = settings(dataset, quick), Clock(), time.perf_counter()
    with clock.part("train"):
        data = datasets.load(dataset, data_dir=data_dir, seed=seed)
        model, network = _trained(data, plan, seed, device, progress)
        splits = split(data, calibration_count(model, plan.delta), seed)
        network["figure_accuracy"] = training.accuracy(
            model, splits.figure_inputs, splits.figure_targets
        )
    with clock.part("curves"):
        rows = curves.grid(model, splits, plan, seed, progress, jobs)
    with clock.part("certificates"):
        choice = curves.choose(rows, network["figure_accuracy"], plan.tolerance)
        certified, certificate = certificates.chosen(model, splits, plan, choice)
        searched = certificates.searches(model, splits, plan, seed, progress, jobs)
    with clock.part("network by simulation"):
        simulated = certificates.sentences(
            model, data.train_inputs, splits, plan, seed, progress, jobs
        )
    with clock.part("bounds"):
        theory = bounds.theory(
            model, splits.calibration_inputs, data.train_inputs[: plan.tail_inputs], plan
        )
    with clock.part("promises"):
        compared = promises.compare(model, splits, plan, seed, progress, jobs)
    with clock.part("guarantee mode"):
        guaranteed = promises.guarantees(model, splits, plan, seed, progress, jobs)
    with clock.part("first check"):
        check = proofs_check.first_check(
            model, splits.calibration_inputs, splits.figure_inputs, eps=plan.eps,
            delta=plan.delta, neurons_per_layer=plan.neurons, trials=plan.trials, seed=seed,
            progress=progress, jobs=jobs,
        )  # fmt: skip
    clock.seconds["total"] = round(time.perf_counter() - start, 2)
    return {
        "schema": SCHEMA,
        "quick": quick,
        "data": _data(data, splits),
        "network": network,
        "methods": [_facts(name, model) for name in plan.methods],
        "grid": {"keeps": list(plan.keeps), "seeds": plan.seeds, "rows": rows},
        "certified": certified,
        "sparsest": searched,
        "simulated": simulated,
        "theory": theory,
        "promises": compared,
        "guarantees": guaranteed,
        "check": check.summary(),
        "verdict": {
            "vacuous": certificate.vacuous,
            "violated": bool(check.refuted) or compared["violated"],
        },
        "provenance": _provenance(dataset, seed, device, quick),
        "timings": clock.seconds,
    }  # fmt: skip


def _facts(name: str, model: nn.Module) -> Json:
    method = find_method(name)
    facts = method.facts
    return {
        "name": name, "label": facts.label, "family": facts.family, "random": method.random,
        "note": facts.note, "claims": claims(name, model),
    }  # fmt: skip


def _trained(
    data: Dataset, plan: Settings, seed: int, device: str, progress: Progress | None
) -> tuple[nn.Module, Json]:
    """Train the reference network of a data set."""
    name = datasets.SOURCES[data.name].network
    usual = training.recipe(name, data.name)
    recipe = replace(usual, epochs=plan.epochs or usual.epochs)
    model = models.build(name, seed).to(device)
    done = training.train(model, data, recipe, seed=seed, progress=progress)
    eta, eta_star = widths(model)
    layers = [
        {"name": part, "out": int(m.weight.shape[0]), "fan_in": int(m.weight.shape[1])}
        for part, m in model.named_modules()
        if isinstance(m, nn.Linear)
    ]
    return model, {
        "name": name,
        "layers": layers,
        "weights": sum(layer["out"] * layer["fan_in"] for layer in layers),
        "biases": sum(layer["out"] for layer in layers),
        "eta": eta,
        "eta_star": eta_star,
        "train_accuracy": done.train_accuracy,
        "test_accuracy": done.test_accuracy,
        "epochs": done.recipe.epochs,
        "batch_size": done.recipe.batch_size,
        "lr": done.recipe.lr,
    }


def _data(data: Dataset, splits: Splits) -> Json:
    facts = datasets.SOURCES[data.name]
    return {
        "name": data.name, "title": facts.title, "about": facts.about, "source": facts.origin,
        "licence": facts.licence, "description": data.description, "train": len(data.train_inputs),
        "test": len(data.test_inputs), "calibration": len(splits.calibration),
        "figures": len(splits.figures), "certificate": len(splits.certificate),
        "repeats": splits.repeats, "classes": data.num_classes,
    }  # fmt: skip


def _provenance(dataset: str, seed: int, device: str, quick: bool) -> Json:
    command = f"sipp report --dataset {dataset} --seed {seed}"
    if datasets.SOURCES[dataset].folders:
        command += " --data-dir DIR"
    if device != "cpu":
        command += f" --device {device}"
    return {
        "command": command,
        "quick": quick,
        "seed": seed,
        "device": device,
        "threads": torch.get_num_threads(),
        "versions": versions()
        | {
            "python": platform.python_version(),
            "scipy": scipy.__version__,
            "matplotlib": matplotlib.__version__,
        },
        "platform": f"{platform.system()} {platform.machine()}",
    }
