"""What a pruning run says of itself: reports, notes, and what its promises hold for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from sipp_core.pruning import promise
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.request import Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.stored import Stored, neurons
from sipp_core.pruning.table import Table
from sipp_core.runtime.execution import some_threads
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.empirical import working_dtype


def layer_report(table: Table, plan: LayerPlan, multiplier: Stored, stored: Tensor) -> LayerReport:
    """Report what pruning did to one layer, with what its weights' dtype rounds.

    Shapes: multiplier, stored (out, fan_in).

    Claim: SP-9 (a neuron's promise is the worse of its signs'). Source: [SP] arXiv 1910.05422.
    """
    # Of half precision, which numpy may not know, float32 says the same.
    held, live = stored.to(working_dtype(stored.dtype)).cpu().numpy(), table.total > 0
    rounding = promise.rounding_errors(table, multiplier, held)
    eps = np.where(rounding > 0, np.nextafter(plan.eps + rounding, np.inf), plan.eps)
    eps = np.where(live, eps, 0.0).max(axis=0)
    alive = live.any(axis=0)
    before, after, budgets = 0, 0, np.zeros(table.total.shape, np.int64)
    for rows, some in plan.parts():
        kept = held[rows] != 0
        before, after = before + int(some.nonzero.sum()), after + int(kept.sum())
        budgets[:, rows] = [(kept & some.sign(s)).sum(axis=1) for s in (0, 1)]
    return LayerReport(
        name=plan.name,
        shape=table.shape,
        nnz_before=before,
        nnz_after=after,
        eps=float(eps.max(initial=0.0)),
        eps_neuron=eps,
        budgets=budgets,
        draws=plan.draws,
        sensitivity_sum=table.total,
        whole=int((alive & (plan.whole | ~live).all(axis=0)).sum()),
        dead=int((~alive).sum()),
        removed=0,
        vacuous_neurons=int((eps >= 1).sum()),
    )


def is_vacuous(
    plans: Sequence[LayerPlan], reports: Sequence[LayerReport], guaranteed: bool
) -> bool:
    """Tell whether a run's promises say nothing."""
    if guaranteed and plans:
        return all(bool((p.whole | p.dead).all()) for p in plans)
    return any(report.vacuous_neurons for report in reports)


def notes_on(request: Request, stats: Calibration, reports: Sequence[LayerReport]) -> list[str]:
    """Say what a reader should know: dtypes, dead and whole neurons, samples, repeats."""
    notes = []
    half = [s.name for s in stats.layers if s.layer.weight.dtype in (torch.float16, torch.bfloat16)]
    if half:
        notes.append(f"half-precision layers were measured in float32: {', '.join(half)}")
    dead = {r.name: r.dead for r in reports if r.dead and r.nnz_after < r.nnz_before}
    if dead:
        gone = not any(r.budgets[:, (r.sensitivity_sum == 0).all(axis=0)].any() for r in reports)
        notes.append(
            "no calibration input reached these many neurons"
            + (", and their weights were removed (exact on the calibration set)" if gone else "")
            + f": {dead}"
        )
    if (unreached := _unreached(stats)) is not None:
        notes.append(unreached)
    if request.guaranteed:
        whole = {r.name: f"{r.whole} of {r.shape[0]}" for r in reports if r.whole}
        if whole:
            notes.append(f"neurons kept whole because the bound asks for too much: {whole}")
    partial = [s.name for s in stats.layers if not s.complete]
    if request.bound.knows == "shares" and partial:
        notes.append(
            f"bound {request.bound.name!r} speaks of a uniform sample of the activation rows in "
            f"{', '.join(partial)}; raise points= to cover all of them"
        )
    if request.bound.knows == "neuron" and partial:
        notes.append(
            f"bound {request.bound.name!r} looks at every activation row, and not all were kept of "
            f"{', '.join(partial)}: bernstein promises there; raise points= to keep them"
        )
    passed_by = {s.name: s.reached_by for s in stats.layers if s.reached_by < stats.inputs}
    if passed_by:
        shown = ", ".join(f"{name} ({count})" for name, count in passed_by.items())
        notes.append(
            f"not called for all of the {stats.inputs} inputs, so that their promises speak of "
            f"fewer: {shown}"
        )
    if stats.left_whole:
        notes.append(
            "left whole, because no layer of a known kind multiplies by them: "
            + ", ".join(stats.left_whole)
        )
    if stats.distinct < stats.inputs:
        notes.append(f"{stats.inputs - stats.distinct} calibration inputs are repeats of others")
    return notes


def _unreached(stats: Calibration) -> str | None:
    """How many weights no calibration input reached, and where, if there are any."""
    counts, total = dict[str, str](), 0
    for each in stats.layers:
        count = alive = 0
        with some_threads(1):
            for rows in neurons(tuple(each.sensitivity.shape)):
                live = each.layer.weight[rows] != 0
                alive += int(live.sum())
                count += int((live & (each.sensitivity[rows].to(live.device) == 0)).sum())
        if count:
            counts[each.name] = f"{count:,} of {alive:,}"
            total += count
    if not counts:
        return None
    where = ", ".join(f"{name} {share}" for name, share in counts.items())
    return (
        f"no calibration input reached {total:,} weights (what they multiply is 0 at all of them, "
        f"in padding for one), so that methods which go by sensitivity take them out: {where}"
    )


def per_neuron(request: Request, certain: bool) -> str:
    """Say which inputs the promises to neurons speak of, and with what probability."""
    factor, where = request.coverage_factor, "each calibration input"
    if request.bound.knows == "shares":
        where = "each calibration row kept for the bound"
    elif factor > 1:
        where = (
            f"each input at which every share g_j is at most {factor:g} times its sensitivity and "
            "no activation has a sign that it had at no calibration input"
        )
    text = f"|z^ - z| <= eps z~ at {where}, per neuron given the layer's input"
    if certain:
        return text
    return (
        f"{text}, with probability 1 - delta over the draws; where a layer reads an input as "
        "several rows (patches or tokens), at each row by itself"
    )


def with_rows(reports: Sequence[LayerReport], stats: Calibration) -> tuple[LayerReport, ...]:
    """The reports with the rows that each layer received for an input."""
    rows = {layer.name: layer.positions / max(1, stats.inputs) for layer in stats.layers}
    return tuple(replace(report, rows_per_input=rows.get(report.name)) for report in reports)


def with_measured(report: LayerReport, errors: Float | None, promised: bool) -> LayerReport:
    """The report with what was measured of the delivered weights (SP-12), if it was.

    `promised` says that weights were chosen by it, so that it is what the report promises.
    """
    if errors is None:
        return report
    worst = float(errors.max(initial=0.0))
    report = replace(report, measured=worst, measured_neuron=errors)
    if not promised:
        return report
    vacuous = int(np.count_nonzero(errors >= 1))
    return replace(report, eps=worst, eps_neuron=errors, vacuous_neurons=vacuous)


def nothing_holds(reports: Sequence[LayerReport]) -> bool:
    """Whether some layer's measured error is 1 or more, or was not measured."""
    return any(report.measured is None or report.measured >= 1 for report in reports)
