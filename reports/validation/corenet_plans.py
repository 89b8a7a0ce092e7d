"""Which networks, methods and ratios CoreNet's experiment has, and what the paper says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.validation.subjects import Planned, Subject
from sipp_core.zoo import Recipe


@dataclass(frozen=True)
class Plan(Planned):
    """What is run on one network.

    Attributes:
        keeps: fractions of the weights kept.
        seeds: draws of each random method.
        inputs: calibration inputs.
        tests: test inputs measured.
    """

    keeps: tuple[float, ...]
    seeds: int
    inputs: int
    tests: int


def _plans(
    schedule: str, data: str, depths: Sequence[int], widths: Sequence[int], recipe: Recipe,
    keeps: tuple[float, ...], seeds: int, inputs: int, tests: int,
) -> tuple[Plan, ...]:  # fmt: skip
    """One plan for each depth (all layers counted) and width of the hidden layers."""
    pixels = 64 if data == "digits" else 784
    nets = ["-".join(map(str, ("fc", pixels, *[w] * (d - 1), 10))) for d in depths for w in widths]
    if data != "digits":
        nets.insert(0, "lenet-300-100")
    return tuple(
        Plan(schedule, Subject(net, data, recipe), keeps, seeds, inputs, tests) for net in nets
    )


_LONG = Recipe(epochs=20, batch_size=128, lr=1e-3)
_KEEPS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
_FEW = (0.1, 0.2, 0.3, 0.5, 0.7)
_DEEP, _WIDE = (2, 3, 4, 5, 6), (100, 300, 500, 700, 1000)
PLANS = {
    "tiny": _plans("tiny", "digits", [2], [16], Recipe(8, 64, 5e-3), (0.3,), 2, 60, 60),
    "quick": (
        *_plans("quick", "digits", [2, 4], [50, 100], Recipe(40, 64, 3e-3), _FEW, 3, 200, 360),
        *_plans("quick", "mnist", [], [], Recipe(2, 128, 2e-3), _FEW, 3, 200, 1000),
    ),
    "reduced": _plans("reduced", "mnist", [2, 3, 5], [100, 300], _LONG, _KEEPS, 10, 400, 2000),
    "paper": (
        *_plans("paper", "mnist", _DEEP, _WIDE, _LONG, _KEEPS, 10, 400, 10_000),
        *_plans("paper", "fashion-mnist", _DEEP, _WIDE, _LONG, _KEEPS, 10, 400, 10_000),
    ),
}

CORENET = ("corenet", "corenet+", "corenet++")
LOW_RANK = "svd"
PEERS = ("entry-uniform", "entry-l1", "entry-l2", "entry-mixture", LOW_RANK)
SIPP = ("sipp-rand", "sipp-det", "sipp-hybrid", "sipp-poisson")
METHODS = (*CORENET, *SIPP, *PEERS)
_BELOW = "CoreNet's curve lies below, at equal weights"
# (ours, theirs, column, what the paper says of it).
COMPARISONS = (
    *(("corenet", peer, "error", _BELOW) for peer in PEERS),
    *(("corenet", peer, "drop", _BELOW) for peer in PEERS),
    ("corenet+", "corenet", "error", "helps or is equal"),
    ("corenet++", "corenet+", "error", "helps"),
    *((method, "corenet", "error", "-") for method in SIPP),
)
# (figure, column, label, methods).
PANELS = (
    ("corenet-error", "error", "mean output error (relative)", (*CORENET, *PEERS)),
    ("corenet-drop", "drop", "accuracy lost", (*CORENET, *PEERS)),
    ("corenet-sipp", "error", "mean output error (relative)", ("corenet", *SIPP)),
)
# Title and caption of each figure; a name that ends in a dash goes on with a network's.
FIGURES = {
    "corenet-error": ("Output error, CoreNet and its peers",
                      "Mean relative error of the outputs on test inputs, log axis; a network that "
                      "always answers 0 has an error of 1."),
    "corenet-drop": ("Accuracy lost, CoreNet and its peers",
                     "Test accuracy of the trained network minus that of the pruned one."),
    "corenet-sipp": ("Output error, SiPP's methods beside CoreNet",
                     "Mean relative error of the outputs on test inputs, log axis."),
}  # fmt: skip
