"""The classical peers: draws with replacement from the whole matrix at once.

A layer has one number of draws m and one law p over its entries, which looks at the weights alone.
Each draw adds to sign s of neuron i a value in [0, M z], M = max_j s_ij/p_ij over that pair, with
mean z: SP-3 and SP-4 promise what they do for draws from one pair, with M in S_sum's place. At the
kept rows the law of one draw has one outcome more, that it falls elsewhere and adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

import sipp_theory
from sipp_core.pruning import planning, promise
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import Planned
from sipp_core.pruning.request import Request
from sipp_core.pruning.stored import Stored, numbers
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float

FACTS = {
    "uniform": ("Uniform entries", "uniformly with replacement and reweighted."),
    "l1": ("l1 entries", "in proportion to their magnitude and reweighted."),
    "l2": (
        "l2 entries",
        "in proportion to their square and reweighted; the small ones that are drawn count for "
        "very much.",
    ),
    "mixture": ("l1 + l2 entries", "by the mean of the l1 and the l2 law and reweighted."),
}


@dataclass(frozen=True)
class Entrywise(Planned):
    """Draw with replacement from the whole matrix by a law that looks at the weights alone.

    Attributes:
        law: one of `sipp_theory.ENTRY_KINDS`.

    Claim: SP-1, MS-1. Source: Drineas and Zouzias 2011, arXiv 1006.0407; Kundu and Drineas 2014,
        arXiv 1404.0320 (the mixture, alpha = 1/2); [CN] arXiv 1804.05345 (all four as baselines).
    """

    law: str
    name: str = field(init=False, repr=False)
    facts: Facts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.law not in sipp_theory.ENTRY_KINDS:
            raise ValueError(
                f"law must be one of {', '.join(sipp_theory.ENTRY_KINDS)}; found {self.law!r}"
            )
        label, words = FACTS[self.law]
        note = f"Entries of the whole matrix are drawn {words}"
        object.__setattr__(self, "name", f"entry-{self.law}")
        object.__setattr__(self, "facts", Facts(label, "peer", note, "arXiv 1006.0407, 1404.0320"))

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Draw until the expected distinct weights are the budget, in proportion to layers' sizes.

        The methods are made for one matrix: under scope "global" each gets the same share.
        """
        sizes = [float((t.weight != 0).sum()) for t in tables]
        share = min(1.0, budget / (sum(sizes) or 1.0))
        plans = []
        for table, size in zip(tables, sizes, strict=True):
            if share == 1 or size == 0:
                kept = (table.weight != 0).astype(np.float64)
                plans.append(planning.base_plan(table, probability=kept))
                continue
            p = sipp_theory.entry_probabilities(table.weight, self.law)
            m = float(sipp_theory.draws_for_distinct(p.ravel(), share * size))
            plans.append(joint_plan(table, p, m))
        return plans

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Fewest draws from the whole matrix that promise every live pair eps.

        One m serves the layer, so the pair that needs most decides. Where that is as many as there
        are weights, the layer is kept whole.
        """
        p = sipp_theory.entry_probabilities(table.weight, self.law)
        sizes = planning.draw_sizes(table, p, eps, joint=True)
        m = float(sizes[table.total > 0].max(initial=0.0))
        if m == 0 or m >= (table.weight != 0).sum():
            return planning.base_plan(table)
        return joint_plan(table, p, m)

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-1, the bound's claim, and the spectral error of the layer."""
        return ("SP-1", request.bound.claim, "MS-1")

    def apart(self) -> bool:
        """A note speaks of all layers."""
        return False

    def notes(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        multipliers: Sequence[Stored],
    ) -> list[str]:  # fmt: skip
        """Each layer's spectral error, promised and observed."""
        note = spectral_note(tables, plans, multipliers, request.delta)
        return [note] if note else []


for _law in sipp_theory.ENTRY_KINDS:
    register(Entrywise(_law))


def joint_plan(table: Table, p: Float, m: float) -> LayerPlan:
    """Plan m draws from the whole matrix.

    Shapes: p (out, fan_in).

    Claim: SP-1 with the table's bound. Source: [OWN].
    """
    draws = np.full_like(table.total, m)
    return planning.base_plan(
        table,
        scores=p,
        probability=np.zeros_like(table.sensitivity),
        draws=draws,
        eps=promise.draws_error(table, p, draws, joint=True),
        whole=np.zeros_like(table.dead),
        joint=True,
    )


def spectral_note(
    tables: Sequence[Table], plans: Sequence[LayerPlan], multipliers: Sequence[Stored], delta: float
) -> str:
    """Say what matrix Bernstein promises for the draws of each layer, and what they came to.

    Shapes: multipliers (out, fan_in).

    Claim: MS-1. Source: Tropp 2015, arXiv 1501.01571.
    """
    parts = []
    for table, plan, multiplier in zip(tables, plans, multipliers, strict=True):
        if not plan.joint:
            continue
        moments = sipp_theory.draw_moments(table.weight, plan.scores)
        m = float(plan.draws.max())
        promised = float(
            sipp_theory.spectral_error(
                moments.variance, moments.span, moments.dimension, m, delta
            )
        )  # fmt: skip
        error = np.linalg.norm(table.weight * (numbers(multiplier) - 1), 2) / moments.norm
        vacuous = " (vacuous)" if promised >= 1 else ""
        parts.append(
            f"{plan.name or 'the layer'}: m = {m:.6g} draws, promised {promised:.3g}{vacuous}, "
            f"observed {float(error):.3g}"
        )
    if not parts:
        return ""
    return (
        "spectral error of each layer relative to its norm (MS-1, with probability 1 - delta): "
        + "; ".join(parts)
    )
