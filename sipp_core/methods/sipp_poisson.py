"""SiPP Poisson: each weight stays with a probability in proportion to its sensitivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sipp_core.pruning import planning, promise
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.planned import Planned
from sipp_core.pruning.request import Request
from sipp_core.pruning.table import Table
from sipp_core.runtime.numbers import Float
from sipp_theory import Bound
from sipp_theory.numeric.compiling import compiled


@register
class SippPoisson(Planned):
    """Include each weight with probability min(1, c s_j).

    The weights of a pair are included by pivotal sampling, which keeps SP-8's promise and fixes the
    count; independently where the exact law (SP-5x) is what promises, or a tail of the whole neuron
    (SP-11) at activations of both signs.

    Claim: SP-8. Source: [OWN].
    """

    name = "sipp-poisson"
    guarantee_bound = "neuron"
    facts = Facts(
        "SiPP Poisson",
        "sipp",
        "Each weight stays with a probability proportional to its sensitivity, at most 1, and is "
        "reweighted. The choices within a neuron are coupled so that the number of weights that "
        "stay is fixed; the promise is that of independent ones.",
        "[OWN]",
    )

    def accepts(self, bound: Bound) -> bool:
        """Bounds on inclusion; CoreNet's is for draws with replacement."""
        return bound.inclusion is not None

    measurable = True

    def at_rate(self, table: Table, rate: Float) -> LayerPlan:
        """Coins of min(1, c s_j), coupled."""
        p = np.minimum(1.0, rate[:, None] * table.sensitivity)
        kept = np.where(table.weight != 0, p, 0.0)
        return planning.base_plan(table, probability=kept, coupled=True)

    def whole_rate(self, table: Table) -> Float:
        """1/s_j of the least sensitivity, rounded up."""
        s = np.where(table.weight != 0, table.sensitivity, 0.0)
        least = np.where(s > 0, s, np.inf).min(axis=1, initial=np.inf)
        return np.where(np.isfinite(least), np.nextafter(1 / least, np.inf) * (1 + 1e-9), 0.0)

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """One rate c for the whole scope."""
        s = np.concatenate([s[s > 0] for s in (table.raw_sensitivity for table in tables)])
        rate = _common_rate(s, budget)
        return [planning.inclusion_plan(t, np.where(t.total > 0, rate, 0.0)) for t in tables]

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Least inclusion rate of each pair that promises eps."""
        inclusion = table.bound.inclusion
        assert inclusion is not None
        return planning.inclusion_plan(table, promise.least_rates(table, inclusion, eps))

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-8, and the law of independent weights where it is what promises."""
        assert request.bound.inclusion is not None
        own = request.bound.inclusion.independent or request.bound.knows == "neuron"
        exact = (request.bound.claim,) if own else ()
        return ("SP-8", *exact) if request.guaranteed else ("SP-8", *exact, "AL-1")


def _common_rate(s: NDArray[Any], budget: float) -> float:
    """Rate c with sum min(1, c s_j) = budget over one scope. Shapes: s (n,) > 0, put in order."""
    if s.size == 0 or budget <= 0:
        return 0.0
    s.sort()
    rate = _rate(s, float(min(budget, s.size)))
    return rate if rate > 0 else float(np.nextafter(1 / np.float64(s[0]), np.inf))


@compiled
def _rate(ascending: Any, budget: float) -> float:
    """The largest c at which as many of the largest as possible may be certain; 0 if there is none.

    With the k largest certain, c = (budget - k)/(sum of the others).
    """
    rate, rest = 0.0, 0.0
    for i in range(len(ascending)):
        s = np.float64(ascending[i])
        rest += s
        c = (budget - (len(ascending) - 1 - i)) / rest
        if c > 0 and c * s <= 1 + 1e-12:
            rate = c
    return rate
