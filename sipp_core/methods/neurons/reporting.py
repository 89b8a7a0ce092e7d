"""What became of groups of neurons and of layers, in the words that all methods share."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from sipp_core.filters.result import FilterReport
from sipp_core.network.layers import weight_of
from sipp_core.neurons.removal import Pairs
from sipp_core.neurons.selection import Selection
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.table import Table


def eps_by_layer(pairs: Pairs) -> dict[str, float]:
    """Promised error of each layer, over the mass; those of several groups add up."""
    eps: dict[str, float] = {}
    for table, selection in pairs:
        for c in table.consumers:
            eps[c.name] = eps.get(c.name, 0.0) + selection.eps
    return eps


def notes_on(table: NeuronTable, selection: Selection, corrected: bool) -> list[str]:
    """How much of one group stays, and what that promises."""
    names, s = ", ".join(table.group.producers), selection
    if s.kept.all():
        return [f"{names} keeps all its {len(s.kept)} neurons"]
    how = f"{s.draws} draws, " if s.draws else ""
    over = f"{s.region_error:.4g}" if math.isfinite(s.region_error) else "nothing (NC-3g needs"
    over += "" if math.isfinite(s.region_error) else " one activation and no maximum)"
    notes = [
        f"{names}: {int(s.kept.sum())} of {len(s.kept)} neurons, {how}next pre-activations "
        f"within {s.error:.4g} at one input, over the region {over}; vacuous where these pass "
        f"the pre-activations themselves"
    ]
    missing = [c.name for c in table.consumers if not c.biased]
    if missing and corrected:
        notes.append(f"no bias takes the correction in {', '.join(missing)}")
    return notes


def report_of(table: Table, report: FilterReport, new: nn.Module) -> LayerReport:
    """One layer's report in the words of all methods; neurons are those of the old layer."""
    out = table.weight.shape[0]
    held = weight_of(new.get_submodule(report.name)).detach().flatten(1).double().cpu().numpy()
    rows = np.arange(out) if len(held) == out else report.kept_filters
    budgets = np.zeros((2, out), dtype=np.int64)
    for sign, mask in enumerate((held > 0, held < 0)):
        budgets[sign, rows] = mask.sum(axis=1)
    eps = np.zeros(out)
    eps[report.kept_filters] = report.eps
    live = (table.total > 0).any(axis=0)
    return LayerReport(
        name=report.name, shape=(out, table.weight.shape[1]),
        nnz_before=int((table.weight != 0).sum()), nnz_after=int(np.count_nonzero(held)),
        eps=float(eps.max(initial=0.0)), eps_neuron=eps, budgets=budgets,
        draws=np.zeros_like(table.total), sensitivity_sum=table.total, whole=0,
        dead=int((~live).sum()), removed=out - len(report.kept_filters),
        vacuous_neurons=int((eps >= 1).sum()), channels=report,
    )  # fmt: skip
