"""Wanda: magnitude times the norm of the weight's input, compared within each neuron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import sipp_theory
from sipp_core.pruning import allocation, planning
from sipp_core.pruning.method import Facts, Needs, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import KeepLargest
from sipp_core.pruning.request import Request
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float


@register
class Wanda(KeepLargest):
    """Keep each output neuron's weights of largest |w_ij| ||a_j||_2, the same share of every row.

    Weights are compared within their row and nowhere else, as in the paper; under scope "global"
    too, which therefore differs in rounding alone.

    Claim: SP-6. Source: Sun et al. 2023, arXiv 2306.11695 (the method); [SP] (the promise).
    """

    name = "wanda"
    facts = Facts(
        "Wanda",
        "peer",
        "The weights of largest magnitude times norm of their input stay, the same number for "
        "each neuron.",
        "arXiv 2306.11695",
    )

    def needs(self, request: Request) -> Needs:
        """The sums of a_j^2."""
        return Needs(statistics=frozenset({"energy"}))

    def scores(self, table: Table) -> Float:
        """|w_ij| ||a_j||_2, the norm over all rows of calibration."""
        energy = table.statistics.energy
        assert energy is not None, "calibrated without statistics={'energy'}"
        norms = np.sqrt(energy.cpu().numpy())
        return np.abs(table.weight) * np.repeat(norms, table.weight.shape[0] // len(norms), axis=0)

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Keep the same share of every row."""
        scores = [self.scores(t) for t in tables]
        widths = np.concatenate([np.full(len(s), s.shape[1]) for s in scores]).astype(np.float64)
        room = np.concatenate([(s > 0).sum(axis=1) for s in scores])
        sizes = sipp_theory.round_allocation(budget * widths / widths.sum(), room, budget)
        rows = np.split(sizes, np.cumsum([len(s) for s in scores])[:-1])
        return [
            planning.mask_plan(t, allocation.largest_per_row(s, n), s)
            for t, s, n in zip(tables, scores, rows, strict=True)
        ]
