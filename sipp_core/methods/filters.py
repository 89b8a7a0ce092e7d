"""Filter pruning as methods of `prune`: the same reports, files and certificates."""

from __future__ import annotations

import numpy as np

from sipp_core.filters.prune import prune_filters
from sipp_core.filters.result import FilterReport, FilterResult
from sipp_core.network.layers import weight_of
from sipp_core.network.structure import Change
from sipp_core.pruning.job import Job, Sparsified
from sipp_core.pruning.promise import Table
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.sampling import make_tables

METHODS = ("filters-det", "filters-rand")


def sparsify(job: Job) -> Sparsified:
    """Remove whole filters; `prune_filters` says how, and returns more than fits here.

    Claim: PF-1, PF-2. Source: Liebenwein et al., arXiv 1911.07412; PF-2 [OWN].
    """
    assert job.inputs is not None
    wanted = {layer.name for layer in job.stats.layers}
    found = prune_filters(
        job.model,
        job.inputs,
        method=job.method,
        keep=job.keep,
        eps=job.eps,
        delta=job.delta,
        coverage_factor=job.coverage_factor,
        seed=job.seed,
        layers=lambda name, _: name in wanted,
        progress=job.progress,
    )
    by_name = {report.name: report for report in found.layers}
    tables = make_tables(job)
    reports = tuple(_report(t, by_name[t.statistics.name], found) for t in tables)
    masks = {
        name: weight_of(found.model.get_submodule(name)).detach() != 0
        for name, report in by_name.items()
        if report.before == report.after
    }
    size = (
        f"parameters {found.parameters_before:,} to {found.parameters_after:,}, multiply-adds of "
        f"one input {found.multiply_adds_before:,} to {found.multiply_adds_after:,}"
    )
    return Sparsified(
        found.model,
        reports,
        masks,
        structure=tuple(Change(name, "narrow", sizes) for name, sizes in found.shapes.items()),
        notes=(size, *found.notes),
        vacuous=found.vacuous,
    )


def _report(table: Table, report: FilterReport, found: FilterResult) -> LayerReport:
    """One layer's report in the words of all methods; neurons are those of the old layer."""
    out = table.weight.shape[0]
    new = weight_of(found.model.get_submodule(report.name)).detach().flatten(1).cpu().numpy()
    # Where filters were removed, what is left stands in the old order.
    rows = np.arange(out) if len(new) == out else report.kept_filters
    budgets = np.zeros((2, out), dtype=np.int64)
    for sign, mask in enumerate((new > 0, new < 0)):
        budgets[sign, rows] = mask.sum(axis=1)
    live = (table.total > 0).any(axis=0)
    eps = np.zeros(out)
    eps[report.kept_filters] = report.eps
    untouched = np.zeros(out, dtype=bool)
    if report.before[1] == len(report.kept_inputs) and bool((report.multiplier == 1).all()):
        untouched[report.kept_filters] = True
    return LayerReport(
        name=report.name,
        shape=(out, table.weight.shape[1]),
        nnz_before=report.nnz_before,
        nnz_after=report.nnz_after,
        eps=float(eps.max(initial=0.0)),
        eps_neuron=eps,
        budgets=budgets,
        draws=np.zeros_like(table.total),
        sensitivity_sum=table.total,
        whole=int((untouched & live).sum()),
        dead=int((~live).sum()),
        removed=out - len(report.kept_filters),
        vacuous_neurons=int((eps >= 1).sum()),
    )
