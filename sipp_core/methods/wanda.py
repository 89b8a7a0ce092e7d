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
from sipp_core.pruning.stored import Sizes, Stored, flags_by_rows, neurons, numbers
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

    def scores(self, table: Table) -> Stored:
        """|w_ij| ||a_j||_2, the norm over all rows of calibration."""
        energy = table.statistics.energy
        assert energy is not None, "calibrated without statistics={'energy'}"
        norms = np.sqrt(energy.cpu().numpy())
        group = np.repeat(np.arange(len(norms)), table.shape[0] // len(norms))
        return Sizes(table.raw_weight, norms, group)

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Keep the same share of every row."""
        scores, room = [self.scores(table) for table in tables], list[Float]()
        for each in scores:
            blocks = neurons(each.shape)
            room += [(numbers(each, rows) > 0).sum(axis=1) for rows in blocks]
        widths = np.concatenate([np.full(t.shape[0], t.shape[1], np.float64) for t in tables])
        sizes = sipp_theory.round_allocation(
            budget * widths / widths.sum(), np.concatenate(room), budget
        )
        cuts = np.cumsum([table.shape[0] for table in tables])[:-1]
        return [
            planning.mask_plan(table, _largest(each, some), each)
            for table, each, some in zip(tables, scores, np.split(sizes, cuts), strict=True)
        ]


def _largest(scores: Stored, sizes: Float) -> Stored:
    """Mask of each row's largest scores. Shapes: scores (out, fan_in), sizes (out,)."""
    out, fan_in = scores.shape
    return flags_by_rows(
        (out, fan_in), lambda rows: allocation.largest_per_row(numbers(scores, rows), sizes[rows])
    )
