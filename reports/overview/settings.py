"""What a report computes on each data set, and the facts that it states about methods."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.site.methods import needs
from sipp_core.methods import registered

# Methods whose promises are held against what is observed.
PROMISED = ("sipp-rand", "sipp-det", "sipp-poisson")
# Methods whose promised, measured and held-out errors stand side by side.
BESIDE = (*PROMISED, "sipp-hybrid", "magnitude", "wanda", "sipp-network")
# Two ways to draw by the same sensitivities, whose errors are compared in words.
DRAWN = ("sipp-rand", "sipp-poisson")
# What CoreNet's sentence about the network truly needs: by its own draws first, then by others.
SIMULATED = ("corenet", "sipp-poisson", "magnitude", "sipp-network")


def compared() -> tuple[str, ...]:
    """Methods with a budget mode, but for peers that look at the inputs again, for minutes."""
    return tuple(
        name
        for name, method in registered().items()
        if "keep" in method.takes and not (method.facts.family == "peer" and needs(method).inputs)
    )


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
        methods: pruning methods compared; `settings` fills them in.
        promise_keep: fraction kept where promises are compared with what is observed.
        promise_draws: pruned versions drawn for that comparison.
        trials: Monte-Carlo trials of the first check.
        neurons: pairs (neuron, sign) per layer in the first check.
        guarantee_eps: errors allowed in guarantee mode.
        guarantees: (method, bound) pairs tried there.
        points: calibration rows that instance-exact bounds look at there.
        tail_inputs: training inputs that the tail of Delta is estimated from.
        pairs: pairs of a drawn network and a held-out input, at most, at each budget (CT-8).
        simulated_on: training inputs that it is pruned on there.
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
    methods: tuple[str, ...] = ()
    promise_keep: float = 0.5
    promise_draws: int = 40
    trials: int = 20_000
    neurons: int = 3
    guarantee_eps: tuple[float, ...] = (0.1, 0.3, 0.5)
    guarantees: tuple[tuple[str, str], ...] = ()
    points: int = 64
    tail_inputs: int = 2000
    pairs: int = 400
    simulated_on: int = 2000


CLOSED = (
    ("corenet", "corenet"), ("sipp-rand", "corenet"), ("sipp-rand", "bernstein"),
    ("sipp-rand", "kl"), ("uniform", "kl"), ("magnitude", "kl"), ("sipp-det", "kl"),
    ("sipp-recentred", "kl"), ("sipp-hybrid", "kl"), ("sipp-poisson", "bernstein"),
)  # fmt: skip
INSTANCE = (
    ("sipp-rand", "cramer"), ("magnitude", "exact"), ("sipp-det", "exact"),
    ("sipp-recentred", "exact"), ("sipp-hybrid", "cramer"),
)  # fmt: skip
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
    full = replace(SETTINGS[dataset], methods=compared())
    if not quick:
        return full
    return replace(
        full, keeps=(0.3, 0.6), seeds=1, epochs=6 if dataset == "digits" else 1, promise_draws=3,
        trials=500, neurons=1, guarantee_eps=(0.5,),
        guarantees=(("corenet", "corenet"), ("sipp-rand", "kl"), ("sipp-det", "kl")),
        tail_inputs=300, pairs=120, simulated_on=300,
    )  # fmt: skip
