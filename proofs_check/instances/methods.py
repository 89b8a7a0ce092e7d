"""The pruning methods that checks look at, by what a check needs of them."""

from __future__ import annotations

from sipp_core.methods import (
    CoreNet,
    CoreNetPlus,
    Entrywise,
    Magnitude,
    Method,
    Planned,
    SippDet,
    SippHybrid,
    SippPoisson,
    SippRand,
    SippRecentred,
    Snip,
    Uniform,
    registered,
)

# One that draws nothing, where any method does.
PLAIN = SippDet()
CERTIFIED = (SippPoisson(), PLAIN, CoreNet(), SippRand())
# CoreNet++ chooses among draws and has no plan that could be drawn again.
DRAWN_FROM_A_PLAN = (SippRand(), SippPoisson(), PLAIN, SippHybrid(), CoreNet(), CoreNetPlus())
# SNIP looks at a loss, which no law of scaling holds for.
SCALED = tuple(
    method
    for method in registered().values()
    if isinstance(method, Planned) and not isinstance(method, Snip)
)
KEEP_LARGEST = (PLAIN, SippRecentred(), Magnitude())
# Their probabilities and numbers of draws do not depend on the order of the weights.
PERMUTED = (SippPoisson(), CoreNet(), Uniform())


def compares_rows(method: Method) -> bool:
    """Whether weights of different neurons are compared by their magnitude."""
    return isinstance(method, Magnitude) or (
        isinstance(method, Entrywise) and method.law != "uniform"
    )
