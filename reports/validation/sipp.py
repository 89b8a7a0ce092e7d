"""SiPP's experiments: prune, prune and train again, the iterative cascade, and lottery tickets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load as read_tensors
from safetensors.torch import save as to_bytes
from torch import nn

import sipp_core
from reports.validation import sipp_lines
from reports.validation.cells import Cells
from reports.validation.subjects import Subject, Workshop, shuffled
from reports.validation.verdicts import Validation
from sipp_core import retraining, training
from sipp_core.recipes import Recipe, recipe
from sipp_core.saving import write_atomically

Json = dict[str, Any]
TITLE = "SiPPing Neural Networks (SiPP), arXiv 1910.05422"
# Where a network's weights stand when masks are looked for.
TIMES = ("initialisation", "training")


@dataclass(frozen=True)
class Plan:
    """What is run on one network.

    Attributes:
        name: schedule.
        subject: the network, its data and how it is trained.
        again: how what is left is trained after pruning.
        methods: pruning methods.
        keeps: fractions kept where the network is pruned once.
        steps: fractions of the iterative cascade, descending.
        ticket: fraction that a lottery ticket keeps.
        seeds: trained networks, each with its own draws.
        inputs: calibration inputs.

    Claim: none (plumbing).
    """

    name: str
    subject: Subject
    again: Recipe
    methods: tuple[str, ...]
    keeps: tuple[float, ...]
    steps: tuple[float, ...]
    ticket: float
    seeds: int
    inputs: int


METHODS = ("sipp-det", "sipp-hybrid", "sipp-poisson", "magnitude", "snip", "wanda", "random")
KEEPS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
STEPS = (0.5, 0.3, 0.2, 0.12, 0.08, 0.05, 0.04, 0.03, 0.02, 0.015)
_AGAIN = Recipe(epochs=10, batch_size=128, lr=2e-3)


def _paper(net: str, data: str, seeds: int) -> Plan:
    taught = recipe(net, data, "paper")
    return Plan("paper", Subject(net, data, taught), taught, METHODS, KEEPS, STEPS, 0.1, seeds, 512)


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan(
            "tiny", Subject("fc-64-24-10", "digits", Recipe(10, 64, 5e-3)),
            Recipe(3, 64, 5e-3), ("sipp-det", "magnitude", "random"), (0.3,), (0.5, 0.2), 0.2, 2,
            60,
        ),
    ),
    "quick": (
        Plan(
            "quick", Subject("digits-mlp", "digits", recipe("digits-mlp", "digits")),
            Recipe(10, 64, 3e-3), METHODS, (0.05, 0.1, 0.2, 0.4, 0.7),
            (0.5, 0.25, 0.15, 0.1, 0.07, 0.05), 0.1, 3, 200,
        ),
    ),
    "reduced": (
        Plan(
            "reduced", Subject("lenet-300-100", "mnist", recipe("lenet-300-100", "mnist")),
            _AGAIN, METHODS, KEEPS, STEPS, 0.1, 3, 400,
        ),
        Plan(
            "reduced", Subject("lenet-5", "mnist", recipe("lenet-5", "mnist")),
            Recipe(3, 128, 2e-3), ("sipp-det", "magnitude", "random"), KEEPS,
            (0.5, 0.25, 0.12, 0.06, 0.04, 0.03, 0.02), 0.1, 2, 400,
        ),
    ),
    "paper": (
        _paper("lenet-300-100", "mnist", 3),
        _paper("lenet-5", "mnist", 3),
        _paper("resnet-20", "cifar10", 3),
    ),
}  # fmt: skip


def run(
    plans: tuple[Plan, ...], cells: Cells, workshop: Workshop, data: str | None, seed: int
) -> Validation:
    """Run all cells that are not there yet, and draw the table.

    Args:
        plans: what is run, network by network.
        cells: finished cells.
        workshop: where networks are trained.
        data: run only the networks on this data set; None for all.
        seed: of everything.

    Returns:
        The table, the curves and where they came from.

    Claim: none (plumbing).
    """
    chosen = [plan for plan in plans if data in (None, plan.subject.data)]
    rows = []
    for plan in chosen:
        for number in range(plan.seeds):
            rows += list(_rows(plan, cells, workshop, seed + number))
    return Validation(
        paper="sipp",
        title=TITLE,
        schedule=plans[0].name,
        says=sipp_lines.says(chosen),
        lines=tuple(sipp_lines.lines(chosen, rows)),
        curves=tuple(sipp_lines.curves(chosen, rows)),
        made=cells.made(),
    )


def _rows(plan: Plan, cells: Cells, workshop: Workshop, seed: int) -> Iterator[Json]:
    """All cells of one network and seed."""
    bench = _Bench(plan, workshop, seed)
    common = {"net": plan.subject.net, "data": plan.subject.data, "schedule": plan.name,
              "seed": seed}  # fmt: skip

    def row(extra: Json, make: Any) -> Json:
        key = common | extra
        return key | cells.get(key, make)

    yield row({"part": "unpruned"}, bench.unpruned)
    for method in plan.methods:
        if workshop.progress is not None:
            workshop.progress(plan.methods.index(method), len(plan.methods), f"{method} {seed}")
        for keep in plan.keeps:
            ask = {"method": method, "keep": keep}
            yield row(ask | {"part": "prune"}, lambda m=method, k=keep: bench.pruned(m, k))
            yield row(ask | {"part": "retrain"}, lambda m=method, k=keep: bench.retrained(m, k))
        for index, keep in enumerate(plan.steps):
            ask = {"part": "cascade", "method": method, "step": index, "keep": keep}
            yield row(ask, lambda m=method, i=index: bench.step(m, i))
        if method == "random":
            continue
        for time in TIMES:
            ask = {"part": "ticket", "method": method, "keep": plan.ticket, "time": time}
            yield row(ask, lambda m=method, t=time: bench.ticket(m, t))


class _Bench:
    """One trained network; whatever a finished cell does not need is never computed."""

    def __init__(self, plan: Plan, workshop: Workshop, seed: int) -> None:
        self.plan, self.workshop, self.seed = plan, workshop, seed
        self._model: nn.Module | None = None
        self._stages: dict[tuple[str, int], nn.Module] = {}
        self._data: Any = None

    @property
    def data(self) -> Any:
        if self._data is None:
            self._data = self.workshop.data(self.plan.subject)
        return self._data

    @property
    def model(self) -> nn.Module:
        if self._model is None:
            self._model = self.workshop.trained(self.plan.subject, self.seed, self.data)
        return self._model

    def sparsify(self, method: str, model: nn.Module, keep: float) -> sipp_core.PruneResult:
        """Prune by a method with everything else settled."""
        data = self.data
        pairs = shuffled(data.train_inputs, self.plan.inputs, self.seed, data.train_targets)
        scope = "layer" if method == "wanda" else "global"
        return sipp_core.prune(
            model, [pairs], method=method, keep=keep, scope=scope, seed=self.seed
        )

    def accuracy(self, model: nn.Module) -> float:
        """Share of all test inputs that are classified correctly."""
        return training.accuracy(model, self.data.test_inputs, self.data.test_targets)

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return {"accuracy": self.accuracy(self.model), "kept": 1.0}

    def pruned(self, method: str, keep: float) -> Json:
        """Pruned once, not trained again."""
        result = self.sparsify(method, self.model, keep)
        return {"accuracy": self.accuracy(result.model), "kept": result.kept}

    def _round(self, model: nn.Module, method: str, keep: float, number: int) -> retraining.Round:
        return retraining.one_round(
            model, self.data, keep, lambda m, k: self.sparsify(method, m, k), self.plan.again,
            seed=1000 * (number + 1) + self.seed, threads=self.workshop.threads,
            progress=self.workshop.progress,
        )  # fmt: skip

    def retrained(self, method: str, keep: float) -> Json:
        """Pruned once and trained again."""
        done = self._round(self.model, method, keep, 0)
        return {"accuracy": done.accuracy, "kept": done.kept}

    def step(self, method: str, index: int) -> Json:
        """One step of the cascade; earlier steps are found, or taken again."""
        before = self.model if index == 0 else self._after(method, index - 1)
        done = self._round(before, method, self.plan.steps[index], index)
        self._keep(method, index, done.model)
        return {"accuracy": done.accuracy, "kept": done.kept, "pruned": done.pruned_accuracy}

    def _after(self, method: str, index: int) -> nn.Module:
        """The network after a step: at hand, on disk, or made again."""
        found = self._stages.get((method, index))
        if found is not None:
            return found
        path = self._path(method, index)
        if path is not None and path.is_file():
            model = self.plan.subject.build(self.seed).to(self.workshop.device)
            model.load_state_dict(read_tensors(path.read_bytes()))
            self._stages[method, index] = model.eval()
            return model
        self.step(method, index)
        return self._stages[method, index]

    def _path(self, method: str, index: int) -> Path | None:
        if self.workshop.folder is None:
            return None
        plan = self.plan
        name = f"{plan.name}-{plan.subject.net}-{plan.subject.data}-{self.seed}-{method}-{index}"
        return self.workshop.folder / f"{name}.safetensors"

    def _keep(self, method: str, index: int, model: nn.Module) -> None:
        # A cascade goes on from its last step only.
        self._stages = {(method, index): model}
        path, old = self._path(method, index), self._path(method, index - 1)
        if path is not None:
            write_atomically(path, to_bytes({k: v.cpu() for k, v in model.state_dict().items()}))
        if old is not None:
            old.unlink(missing_ok=True)

    def ticket(self, method: str, time: str) -> Json:
        """A lottery ticket trained in isolation, beside one of the same layer sizes at random."""
        plan, start = self.plan, self.plan.subject.build(self.seed).to(self.workshop.device)
        seen = start if time == "initialisation" else self.model
        masks = self.sparsify(method, seen, plan.ticket).masks
        found: Json = {"kept": sum(int(m.sum()) for m in masks.values())
                       / sum(m.numel() for m in masks.values())}  # fmt: skip
        at_random = retraining.random_like(masks, self.seed)
        for name, chosen in (("accuracy", masks), ("random", at_random)):
            model = retraining.rewound(start, chosen)
            trained = retraining.retrain(
                model, self.data, plan.subject.recipe, masks=chosen, seed=self.seed,
                threads=self.workshop.threads, progress=self.workshop.progress,
            )  # fmt: skip
            found[name] = trained.test_accuracy
        return found
