"""What a report computes on each data set, and the facts that it states about methods."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sipp_core import METHODS
from sipp_core.pruning import REVISITING

# Those that one calibration serves; Net-Trim and filters look at the inputs again, for minutes.
COMPARED = tuple(method for method in METHODS if method not in REVISITING)


@dataclass(frozen=True)
class Settings:
    """How much a report computes.

    Attributes:
        keeps: fractions of weights kept, sparse to dense.
        seeds: how many seeds each random method is drawn with.
        epochs: training epochs, None for the data set's recipe.
        eps: relative error of the reference promise.
        delta: its failure probability.
        target_eps: output error of the CT-3 search, fixed before any data is seen.
        target_delta: share of inputs that a certificate lets exceed its eps.
        confidence: of certificates.
        tolerance: accuracy, as a fraction, that the chosen network may lose.
        methods: pruning methods compared.
        promise_keep: fraction kept where promises are compared with what is observed.
        promise_draws: pruned versions drawn for that comparison.
        trials: Monte-Carlo trials of the first check.
        neurons: pairs (neuron, sign) per layer in the first check.
        guarantee_eps: errors asked for in guarantee mode.
        guarantees: (method, bound) pairs tried there.
        points: calibration rows that instance-exact bounds look at there.
        tail_inputs: training inputs that the tail of Delta is estimated from.
    """

    keeps: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    seeds: int = 5
    epochs: int | None = None
    eps: float = 0.3
    delta: float = 0.05
    target_eps: float = 0.25
    target_delta: float = 0.05
    confidence: float = 0.99
    tolerance: float = 0.01
    methods: tuple[str, ...] = COMPARED
    promise_keep: float = 0.5
    promise_draws: int = 40
    trials: int = 20_000
    neurons: int = 3
    guarantee_eps: tuple[float, ...] = (0.1, 0.3, 0.5)
    guarantees: tuple[tuple[str, str], ...] = ()
    points: int = 64
    tail_inputs: int = 2000


CLOSED = (
    ("corenet", "corenet"),
    ("sipp-rand", "corenet"),
    ("sipp-rand", "bernstein"),
    ("sipp-rand", "kl"),
    ("uniform", "kl"),
    ("magnitude", "kl"),
    ("sipp-det", "kl"),
    ("sipp-recentred", "kl"),
    ("sipp-hybrid", "kl"),
    ("sipp-poisson", "bernstein"),
)
INSTANCE = (
    ("sipp-rand", "cramer"),
    ("magnitude", "exact"),
    ("sipp-det", "exact"),
    ("sipp-recentred", "exact"),
    ("sipp-hybrid", "cramer"),
)
# The exact tail of every neuron costs minutes on a wide layer.
EXACT = (("sipp-poisson", "cramer"), ("sipp-rand", "exact"))

# Fewer ratios where each takes longer; a quarter of the weights is never reached there.
WIDE_KEEPS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9)
SETTINGS = {
    "digits": Settings(guarantees=CLOSED + INSTANCE + EXACT),
    "mnist": Settings(keeps=WIDE_KEEPS, guarantees=CLOSED + INSTANCE, promise_draws=20),
    "fashion-mnist": Settings(keeps=WIDE_KEEPS, guarantees=CLOSED + INSTANCE, promise_draws=20),
}


def settings(dataset: str, quick: bool) -> Settings:
    """Settings of a data set; quick ones are for trying out, and say little."""
    full = SETTINGS[dataset]
    if not quick:
        return full
    return replace(
        full,
        keeps=(0.3, 0.6),
        seeds=1,
        epochs=6 if dataset == "digits" else 1,
        promise_draws=3,
        trials=500,
        neurons=1,
        guarantee_eps=(0.5,),
        guarantees=(("corenet", "corenet"), ("sipp-rand", "kl"), ("sipp-det", "kl")),
        tail_inputs=300,
    )


@dataclass(frozen=True)
class Method:
    """What a reader should know of a pruning method.

    Attributes:
        label: name in figures and tables.
        family: "sipp", "corenet", "baseline" (drawn beside both) or "peer" (a panel of its own).
        random: whether another seed gives another network.
        note: one or two sentences on how it chooses weights.
        claims: THEORY ids behind its promise.
    """

    label: str
    family: str
    random: bool
    note: str
    claims: str


METHOD_FACTS = {
    "sipp-rand": Method(
        "SiPP random", "sipp", True,
        "Weights are drawn with replacement in proportion to their empirical sensitivity and "
        "reweighted so that each neuron is right on average.", "SP-1, SP-3",
    ),
    "sipp-det": Method(
        "SiPP deterministic", "sipp", False,
        "The weights of largest sensitivity stay as they are, the others go. The promise is a "
        "worst case and needs no chance.", "SP-6",
    ),
    "sipp-recentred": Method(
        "SiPP recentred", "sipp", False,
        "As SiPP deterministic, with the weights that stay scaled up so that the worst case lies "
        "as far above as below.", "SP-6",
    ),
    "sipp-hybrid": Method(
        "SiPP hybrid", "sipp", True,
        "For each neuron and sign, whichever of SiPP random and SiPP deterministic promises the "
        "smaller error.",
        "SP-7",
    ),
    "sipp-poisson": Method(
        "SiPP Poisson", "sipp", True,
        "Each weight stays with a probability proportional to its sensitivity, at most 1, and is "
        "reweighted. The choices within a neuron are coupled so that the number of weights that "
        "stay is fixed; the promise is that of independent ones.", "SP-8",
    ),
    "corenet": Method(
        "CoreNet", "corenet", True,
        "The same draws as SiPP random, but every neuron is given the same target error instead "
        "of the best division of the budget.", "SP-2, NW-5",
    ),
    "corenet+": Method(
        "CoreNet+", "corenet", True,
        "CoreNet after neurons that no calibration input activates were removed with their edges.",
        "SP-2, SP-10",
    ),
    "corenet++": Method(
        "CoreNet++", "corenet", True,
        "CoreNet+ that draws many candidates for each neuron and keeps the one of least error on "
        "inputs set aside from the calibration inputs.", "SP-2, SP-10",
    ),
    "magnitude": Method(
        "Magnitude", "baseline", False,
        "The weights of largest magnitude stay. The usual baseline; here without retraining, as "
        "for all methods.", "SP-6 applies on the calibration inputs",
    ),
    "uniform": Method(
        "Uniform", "baseline", True,
        "Weights are drawn uniformly with replacement and reweighted: CoreNet's weakest baseline.",
        "SP-1",
    ),
    "svd": Method(
        "Low rank (SVD)", "peer", False,
        "Each layer becomes two thin ones, its truncated singular value decomposition; the numbers "
        "of both count as kept.", "MS",
    ),
    "random": Method(
        "Random mask", "peer", True,
        "A set of weights chosen uniformly among all sets of its size stays as it is: the control "
        "that any choice must beat.", "SP-6 of the mask drawn, as good as nothing",
    ),
    "wanda": Method(
        "Wanda", "peer", False,
        "The weights of largest magnitude times norm of their input stay, the same number for "
        "each neuron.", "SP-6 applies on the calibration inputs",
    ),
    "snip": Method(
        "SNIP", "peer", False,
        "The weights stay whose removal would change the loss most, to first order; it alone "
        "looks at the classes.", "SP-6 applies on the calibration inputs",
    ),
    "entry-uniform": Method(
        "Uniform entries", "peer", True,
        "Entries of the whole matrix are drawn uniformly with replacement and reweighted.",
        "SP-1, MS-1",
    ),
    "entry-l1": Method(
        "l1 entries", "peer", True,
        "Entries of the whole matrix are drawn in proportion to their magnitude and reweighted.",
        "SP-1, MS-1",
    ),
    "entry-l2": Method(
        "l2 entries", "peer", True,
        "Entries of the whole matrix are drawn in proportion to their square and reweighted; the "
        "small ones that are drawn count for very much.", "SP-1, MS-1",
    ),
    "entry-mixture": Method(
        "l1 + l2 entries", "peer", True,
        "Entries of the whole matrix are drawn by the mean of the l1 and the l2 law and "
        "reweighted.", "SP-1, MS-1",
    ),
    "nettrim": Method(
        "Net-Trim", "peer", False,
        "Each layer gets the weights of least absolute sum whose outputs on the inputs stay within "
        "eps; a convex program, solved by our own solver.", "NT-1, NT-2",
    ),
    "nettrim-cascade": Method(
        "Net-Trim cascade", "peer", False,
        "Net-Trim layer after layer, each on what the layers trimmed before it make.", "NT-1, NT-3",
    ),
    "nettrim-cvxpy": Method(
        "Net-Trim (cvxpy)", "peer", False,
        "The same programs as they stand, solved by a general convex solver.", "NT-1, NT-2",
    ),
    "nettrim-cvxpy-cascade": Method(
        "Net-Trim cascade (cvxpy)", "peer", False,
        "The cascade's programs, solved by a general convex solver.", "NT-1, NT-3",
    ),
    "filters-det": Method(
        "Filters", "peer", False,
        "Whole filters of least sensitivity are removed and the layers made smaller.", "SP-6",
    ),
    "filters-rand": Method(
        "Filters, sampled", "peer", True,
        "Whole filters are drawn in proportion to sensitivity; the others are removed.", "PF-2",
    ),
}  # fmt: skip


def method_facts(name: str) -> Method:
    """Facts of a method; one not described here goes by its own name and counts as random."""
    return METHOD_FACTS.get(name) or Method(name, "sipp", True, "Not described here.", "see prune")
