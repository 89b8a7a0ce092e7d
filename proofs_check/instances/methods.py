"""The pruning methods that checks look at, by what a check needs of them."""

from __future__ import annotations

from sipp_core.methods import (
    CoreNet,
    CoreNetPlus,
    CoreNetPlusPlus,
    Entrywise,
    Magnitude,
    Planned,
    SippDet,
    SippHybrid,
    SippPoisson,
    SippRand,
    SippRecentred,
    Snip,
    Uniform,
    Wanda,
    registered,
)

# One that draws nothing, where any method does.
PLAIN = SippDet.name
CERTIFIED = (SippPoisson.name, PLAIN, CoreNet.name, SippRand.name)
# CoreNet++ chooses among draws and has no plan that could be drawn again.
DRAWN_FROM_A_PLAN = (
    SippRand.name, SippPoisson.name, PLAIN, SippHybrid.name, CoreNet.name, CoreNetPlus.name,
)  # fmt: skip
# SNIP looks at a loss, which no law of scaling holds for.
SCALED = tuple(
    name
    for name, method in registered().items()
    if isinstance(method, Planned) and not isinstance(method, Snip)
)
# These compare weights of different neurons, or add up rows of inputs.
ACROSS_ROWS = (Magnitude.name, *(Entrywise(law).name for law in ("l1", "l2", "mixture")))
ACROSS_INPUTS = (Wanda.name,)
KEEP_LARGEST = (PLAIN, SippRecentred.name, Magnitude.name)
BY_MAGNITUDE = (Magnitude.name,)
# Their probabilities and numbers of draws do not depend on the order of the weights.
PERMUTED = (SippPoisson.name, CoreNet.name, Uniform.name)
# CoreNet refuses eta eta* = 1, where K would be 0; CoreNet++ sets every 5th point aside.
NEED_TWO_WEIGHTS = (CoreNet.name, CoreNetPlus.name, CoreNetPlusPlus.name)
NEED_FIVE_POINTS = (CoreNetPlusPlus.name,)
