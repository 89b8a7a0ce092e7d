"""The pruning methods that checks look at, by what a check needs of them."""

from __future__ import annotations

from sipp_core.pruning import budget

# One that draws nothing, where any method does.
PLAIN = "sipp-det"
CERTIFIED = ("sipp-poisson", PLAIN, "corenet", "sipp-rand")
# corenet++ chooses among draws and has no plan that could be drawn again.
DRAWN_FROM_A_PLAN = ("sipp-rand", "sipp-poisson", PLAIN, "sipp-hybrid", "corenet", "corenet+")
# snip looks at a loss, which no law of scaling holds for.
SCALED = tuple(method for method in budget.RULES if method != "snip")
# These compare weights of different neurons, or add up rows of inputs.
ACROSS_ROWS = ("magnitude", "entry-l1", "entry-l2", "entry-mixture")
ACROSS_INPUTS = ("wanda",)
KEEP_LARGEST = (PLAIN, "sipp-recentred", "magnitude")
BY_MAGNITUDE = ("magnitude",)
# Their probabilities and numbers of draws do not depend on the order of the weights.
PERMUTED = ("sipp-poisson", "corenet", "uniform")
# CoreNet refuses eta eta* = 1, where K would be 0; CoreNet++ sets every 5th point aside.
NEED_TWO_WEIGHTS = ("corenet", "corenet+", "corenet++")
NEED_FIVE_POINTS = ("corenet++",)
