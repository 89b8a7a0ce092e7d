"""From a calibration to a pruned copy: allocate, sample, apply. What most methods do."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from sipp_core.methods import corenet, entrywise
from sipp_core.network.layers import weight_of
from sipp_core.pruning import by_mean, describing, fitting, guarantee
from sipp_core.pruning.job import Job, Sparsified
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.promise import Table, make_table
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.calibrate import Calibration


def sparsify(job: Job) -> Sparsified:
    """Plan every layer, throw the dice once and write the multiplied weights into a copy.

    Claim: SP-1 to SP-10, AL-1, NW-5. Source: [SP] arXiv 1910.05422, [CN] arXiv 1804.05345, [OWN].
    """
    # keep=1 leaves every weight where it is
    removing = job.method in describing.CORENET[1:] and job.keep != 1
    dead = corenet.dead_neurons(job.model, job.stats) if removing else {}
    tables = make_tables(job, dead)
    amplified = job.method == "corenet++"
    plans, notes = _plans(job, tables, amplified)
    if job.ranking == "mean":
        notes.append(by_mean.NOTE)
    if amplified:
        notes.append(describing.amplified_note(job.delta))
    multipliers = fitting.sample(plans, tables, job.stats, job.delta, job.seed, amplified)
    spectral = entrywise.spectral_note(tables, plans, multipliers, job.delta)
    notes += [spectral] if spectral else []
    model, masks = _apply(job.model, job.stats, multipliers, job.masks)
    reports = tuple(
        describing.layer_report(table, plan, mask, dead.get(plan.name))
        for table, plan, mask in zip(tables, plans, masks.values(), strict=True)
    )
    return Sparsified(model, reports, masks, tuple(plans), notes=tuple(notes))


def make_tables(job: Job, dead: dict[str, Tensor] | None = None) -> list[Table]:
    """Collect the planning numbers of all layers."""
    shapes = [tuple(layer.sensitivity.shape) for layer in job.stats.layers]
    eta, eta_star = sum(out for out, _ in shapes), max(fan_in for _, fan_in in shapes)
    return [
        make_table(
            corenet.without_dead(layer, (dead or {}).get(layer.name)),
            delta=job.delta,
            coverage_factor=job.coverage_factor,
            bound=job.bound,
            eta=eta,
            eta_star=eta_star,
            dice=(job.seed, index),
        )
        for index, layer in enumerate(job.stats.layers)
    ]


def _plans(job: Job, tables: list[Table], amplified: bool) -> tuple[list[LayerPlan], list[str]]:
    if job.eps is None:
        assert job.keep is not None
        asked = [job.keep] * (len(tables) if job.scope == "layer" else 1)
        plans = fitting.by_budget(tables, job.method, asked, job.ranking == "mean")
        if amplified and job.keep != 1:
            plans = fitting.mended(plans, tables, job.stats, job.method, asked, job.delta, job.seed)
        return plans, []
    if job.method in describing.CORENET:
        plans, size = guarantee.corenet_plans(tables, job.eps, job.delta)
        return plans, [describing.network_note(tables, size, job.delta)]
    plans = []
    for index, table in enumerate(tables):
        if job.progress is not None:
            job.progress(index, len(tables), "allocate")
        plans.append(guarantee.RULES[job.method](table, job.eps))
    return plans, []


def _apply(
    model: nn.Module, stats: Calibration, multipliers: Sequence[Float], as_masks: bool
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Write the pruned weights into a deep copy; return it with the masks of kept weights."""
    new = copy.deepcopy(model)
    modules = dict(new.named_modules())
    masks: dict[str, Tensor] = {}
    for layer, multiplier in zip(stats.layers, multipliers, strict=True):
        module = modules[layer.name]
        weight = weight_of(module)
        factor = torch.from_numpy(multiplier).to(weight.device).reshape(weight.shape)
        with torch.no_grad():
            value = (weight.detach().double() * factor).to(weight.dtype)
            if not torch.isfinite(value).all():
                raise ValueError(
                    f"layer {layer.name!r}: a reweighted weight leaves the range of "
                    f"{weight.dtype}; prune the model in float32 or keep more weights"
                )
            weight.copy_(value)
        masks[layer.name] = value != 0
        if as_masks:
            with torch.no_grad():  # a weight that is no graph leaf could not be copied
                torch_prune.custom_from_mask(module, "weight", value != 0)
    return new, masks
