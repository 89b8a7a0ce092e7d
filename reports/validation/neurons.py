"""Neuron coresets: accuracy with 90% fewer parameters, certificates, attacks, local boxes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

import sipp_core
from reports.validation.neurons_plans import (
    FIGURES,
    PLANS,
    PUBLISHED,
    RULES,
    SOURCE,
    TENTH,
    Plan,
)
from reports.validation.paper import Paper, Trained
from reports.validation.subjects import Workshop
from reports.validation.tables import apart, not_run, panel, points, rows_of, unpruned, where
from reports.validation.verdicts import Line
from reports.validation.work import Task, seed_by_seed, settings_of
from sipp_core.zoo import models, training

Json = dict[str, Any]
SCRATCH = "scratch"


def says(plans: Sequence[Plan]) -> str:
    """The schedules in words."""
    return "; ".join(
        f"{where(plan)}: {', '.join(RULES)}, over the box [0, 1], "
        f"{', '.join(f'{keep:.0%}' for keep in plan.keeps)} of the weights, {plan.again.epochs} "
        f"epochs of training afterwards, {plan.seeds} seed{'s' if plan.seeds > 1 else ''}"
        for plan in plans
    )


def tasks(plan: Plan, workshop: Workshop, seed: int) -> Iterator[Task]:
    """Every cell of one network, seed by seed."""
    return seed_by_seed(
        plan, settings_of(plan, ("keeps", "seeds", "schedule")), range(seed, seed + plan.seeds),
        lambda here: _cells(plan, _Bench(plan, workshop, here)),
    )  # fmt: skip


def _cells(plan: Plan, bench: _Bench) -> Iterator[Task]:
    yield {"part": "unpruned"}, bench.unpruned
    for keep in plan.keeps:
        for rule in RULES:
            ask = {"part": "neurons", "method": f"neurons-{rule}", "keep": keep}
            yield ask, lambda r=rule, k=keep: bench.smaller(r, k)
        if not plan.convolutions:
            ask = {"part": SCRATCH, "method": SCRATCH, "keep": keep}
            yield ask, lambda k=keep: bench.scratch(k)
        if plan.around:
            ask = {"part": "around", "method": "neurons-omp", "keep": keep}
            yield ask, lambda k=keep: bench.around(k)


class _Bench(Trained[Plan]):
    """One trained network that loses neurons."""

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return {"accuracy": self.accuracy(self.model)}

    def _result(self, rule: str, keep: float) -> sipp_core.PruneResult:
        x = self.inputs(self.plan.inputs)[0]
        box = sipp_core.Box(torch.zeros(x.shape[1:]), torch.ones(x.shape[1:]))
        return sipp_core.prune_neurons(
            self.model, box, method=rule, keep=keep, seed=self.seed,
            data=x if rule == "omp" else None,
        )  # fmt: skip

    def _again(self, model: nn.Module) -> float:
        new = copy.deepcopy(model)
        training.train(new, self.data, self.plan.again, seed=1000 + self.seed,
                       threads=self.workshop.threads)  # fmt: skip
        return self.accuracy(new)

    def smaller(self, rule: str, keep: float) -> Json:
        """One rule: accuracies, promise, certificate of one next neuron, attack, what is seen."""
        result = self._result(rule, keep)
        assert result.channels is not None
        row: Json = {
            "accuracy": self.accuracy(result.model), "trained": self._again(result.model),
            "kept": result.kept, "parameters": result.channels.parameters_after,
            "neurons": sum(g.kept for g in result.channels.groups),
        }  # fmt: skip
        if self.plan.convolutions:
            return row
        x = self.data.test_inputs
        box = sipp_core.Box(torch.zeros(x.shape[1:]), torch.ones(x.shape[1:]))
        worst = sipp_core.certify_region(
            self.model,
            result,
            box,
            outputs=[0],
            steps=self.plan.steps,
            seed=self.seed,
            attack_steps=100 if self.plan.steps > 10 else 10,
        )
        first = worst.layers[0]
        with torch.no_grad():
            seen = (result.model(x) - self.model(x)).abs().max()
        return row | {
            "promise": result.channels.groups[0].error, "certified": float(first.certified[0]),
            "linear": float(first.linear[0]), "attack": float(first.attack[0]),
            "network": float(worst.bound.max()), "found": float(worst.attack.max()),
            "seen": float(seen),
        }  # fmt: skip

    def scratch(self, keep: float) -> Json:
        """A network of the size that the first rule leaves, trained from the beginning."""
        result = self._result("norm", keep)
        layers = [m for m in result.model.modules() if isinstance(m, nn.Linear)]
        widths = [layers[0].in_features, *(m.out_features for m in layers)]
        new = models.dense(widths, 2000 + self.seed)
        training.train(new, self.data, self.plan.subject.recipe, seed=2000 + self.seed,
                       threads=self.workshop.threads)  # fmt: skip
        accuracy = self.accuracy(new)
        return {"accuracy": accuracy, "trained": accuracy, "kept": result.kept}

    def around(self, keep: float) -> Json:
        """Local certificates around test inputs, for the pursuit."""
        x = self.data.test_inputs[: self.plan.around]
        box = sipp_core.Box(torch.zeros(x.shape[1:]), torch.ones(x.shape[1:]))
        found = sipp_core.certify_around(
            self.model, self._result("omp", keep), x, self.plan.radius, within=box, seed=self.seed
        )
        return {
            "share": found.share, "broken": float(found.broken.mean()),
            "sound": bool((found.attack <= found.bound).all())
            and not bool((found.proved & found.broken).any()),
        }  # fmt: skip


def lines(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Line]:
    """The table."""
    table: list[Line] = []
    for plan in plans:
        mine = rows_of(plan, rows)
        for keep in plan.keeps:
            table += _accuracies(plan, mine, keep)
        table += [*_certificates(plan, mine), *_local(plan, mine)]
    schedule = plans[0].schedule
    if not any(plan.subject.net == "vgg-small" for plan in plans):
        why = "it is in the schedule paper, on CIFAR-10"
        table.append(not_run("VGG with fewer channels", "-", schedule, why, SOURCE))
    return table


def _column(rows: Sequence[Json], method: str, keep: float, name: str) -> list[float]:
    return [r[name] for r in rows if r.get("method") == method and r.get("keep") == keep
            and name in r and r["part"] != "around"]  # fmt: skip


def _accuracies(plan: Plan, rows: Sequence[Json], keep: float) -> Iterator[Line]:
    dense = [row["accuracy"] for row in rows if row["part"] == "unpruned"]
    ours = _column(rows, "neurons-mussay", keep, "trained")
    before = _column(rows, "neurons-mussay", keep, "accuracy")
    reached = [a >= b for a, b in zip(ours, dense, strict=True)]
    said = keep == TENTH and plan.subject.net == "lenet-300-100"
    yield Line(
        what=f"test error of Mussay's coreset, {keep:.0%} of the weights, {where(plan)}",
        paper=PUBLISHED if said else "no loss of accuracy",
        ours=f"{1 - np.mean(dense):.2%} before, {1 - np.mean(ours):.2%} after training again, "
             f"{1 - np.mean(before):.1%} without",
        agrees="yes" if all(reached) else "in part" if any(reached) else "no",
        seeds=len(ours), schedule=plan.schedule, source=SOURCE,
    )  # fmt: skip
    for other in ("neurons-uniform", "neurons-norm", "neurons-omp", SCRATCH):
        theirs = _column(rows, other, keep, "trained")
        if theirs:
            yield apart(
                f"accuracy after training again, Mussay's coreset less {other}, {keep:.0%} of the "
                f"weights, {where(plan)}", ours, theirs, plan.schedule, "",
            )  # fmt: skip


def _certificates(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    mine = [row for row in rows if "certified" in row]
    if not mine:
        return
    held = all(r["attack"] <= r["certified"] and r["found"] <= r["network"] for r in mine)
    ratios = [row["certified"] / row["attack"] for row in mine if row["attack"] > 0]
    spare = [row["linear"] / row["certified"] for row in mine if row["certified"] > 0]
    yield Line(
        what=f"certificate NC-6 over the box [0, 1], next neuron 0, {where(plan)}",
        paper="no attack passes it",
        ours=f"held in {len(mine)} cells; {np.median(ratios):.2f} times the attack "
             f"(at most {max(ratios):.2f}), the LP bound {np.median(spare):.1f} times it",
        agrees="yes" if held else "no", seeds=plan.seeds, schedule=plan.schedule,
        source="ours", guarantee=True,
    )  # fmt: skip
    table = "; ".join(_row(mine, rule, plan.keeps[-1]) for rule in RULES)
    yield Line(
        what=f"at {plan.keeps[-1]:.0%} of the weights, {where(plan)}: neurons, parameters, "
             "promised at one input, certified, attack, seen on test inputs",
        paper="-", ours=table, agrees="no claim", seeds=plan.seeds, schedule=plan.schedule,
        source="ours",
    )  # fmt: skip


def _row(rows: Sequence[Json], rule: str, keep: float) -> str:
    names = ("neurons", "parameters", "promise", "certified", "attack", "seen")
    values = [float(np.mean(_column(rows, f"neurons-{rule}", keep, name))) for name in names]
    return f"{rule} {values[0]:.0f}, {values[1]:,.0f}, " + ", ".join(f"{v:.3g}" for v in values[2:])


def _local(plan: Plan, rows: Sequence[Json]) -> Iterator[Line]:
    for keep in plan.keeps:
        mine = [r for r in rows if r["part"] == "around" and r["keep"] == keep]
        if not mine:
            continue
        share, broken = (float(np.mean([r[name] for r in mine])) for name in ("share", "broken"))
        yield Line(
            what="inputs around which pruning provably changes no decision, radius "
                 f"{plan.radius:g}, {keep:.0%} of the weights by pursuit, {where(plan)}",
            paper="sound against every attack",
            ours=f"{share:.1%} of {plan.around:,}; the attack finds a change around {broken:.1%}",
            agrees="yes" if all(r["sound"] for r in mine) else "no", seeds=len(mine),
            schedule=plan.schedule, source="ours", guarantee=True,
        )  # fmt: skip


def curves(plans: Sequence[Plan], rows: Sequence[Json]) -> list[Json]:
    """Accuracy along the weights kept, before and after training again."""
    found = []
    for plan in plans:
        mine = [r for r in rows_of(plan, rows) if r["part"] == "neurons"]
        level = unpruned(rows_of(plan, rows))
        for value, title in (("accuracy", "not trained again"), ("trained", "trained again")):
            series = [points(mine, f"neurons-{rule}", value) for rule in RULES]
            found.append(panel(f"neurons-{plan.subject.net}", title, series, level=level))
    return found


PAPER = Paper(
    "Neuron coresets",
    "Data-independent neural pruning via coresets (arXiv 1907.04018)",
    PLANS, FIGURES, says, tasks, lines, curves,
)  # fmt: skip
