"""Which networks, methods and ratios SiPP's experiments have, and what is published of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from reports.validation.subjects import Planned, Subject
from sipp_core.methods import Method, SippDet
from sipp_core.zoo import Recipe, recipe


@dataclass(frozen=True)
class Plan(Planned):
    """What is run on one network.

    Attributes:
        again: how what is left is trained after pruning.
        methods: pruning methods.
        keeps: fractions kept where the network is pruned once.
        steps: fractions of the iterative cascade, descending.
        ticket: fraction that a lottery ticket keeps; None for no tickets.
        seeds: trained networks, each with its own draws.
        inputs: calibration inputs.
    """

    again: Recipe
    methods: tuple[str, ...]
    keeps: tuple[float, ...]
    steps: tuple[float, ...]
    ticket: float | None
    seeds: int
    inputs: int


METHODS = (
    "sipp-det", "sipp-det-mean", "sipp-hybrid", "sipp-poisson", "magnitude", "snip", "wanda",
    "random",
)  # fmt: skip
# Those whose potential the paper reports; the others are variants of ours.
OF_THE_PAPER = ("sipp-det", "sipp-det-mean", "sipp-hybrid")
OURS = ("sipp-det", "sipp-det-mean")
# What they are compared with; the paper speaks of the first, trained again.
THEIRS = ("magnitude", "snip", "wanda", "random")
CONTROL = "random"
# Share of weights removed at that loss by the iterative cascade: what is published, and our goals.
PUBLISHED = {
    ("resnet-20", "cifar10", "sipp"): (0.849, "84.9% (magnitude 84.9%)", "table of [SP]"),
    ("resnet-20", "cifar10", "magnitude"): (0.849, "84.9%", "table of [SP]"),
    ("lenet-300-100", "mnist", "sipp"): (0.95, "at least 95% (our goal)", "goal of this toolkit"),
    ("lenet-5", "mnist", "sipp"): (0.97, "at least 97% (our goal)", "goal of this toolkit"),
    ("lenet-5-caffe", "mnist", "sipp"): (0.97, "at least 97% (our goal)", "goal of this toolkit"),
}
KEEPS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
STEPS = (0.5, 0.3, 0.2, 0.12, 0.08, 0.05, 0.04, 0.03, 0.02, 0.015)
_SOME = (0.02, 0.05, 0.1, 0.2, 0.5)
# Compared within a neuron, not among all layers.
_BY_NEURON = ("wanda",)
_FEW = ("sipp-det", "sipp-det-mean", "magnitude", "random")


class Arguments(TypedDict):
    """Arguments of `prune`."""

    method: str | Method
    scope: str


def arguments(name: str) -> Arguments:
    """What `prune` is called with for a method of the training experiments.

    The budget is shared among all layers, as the papers do; Wanda compares the weights of one
    neuron. "sipp-det-mean" ranks by the mean instead of the largest sensitivity and gives every
    layer the same share: what AL-1 makes of a few per cent of the weights nearly empties the layers
    behind the first, and training cannot mend that.

    >>> arguments("sipp-det-mean")["method"], arguments("snip")["scope"]
    (SippDet(rank='mean'), 'global')
    """
    if name == "sipp-det-mean":
        return {"method": SippDet(rank="mean"), "scope": "layer"}
    return {"method": name, "scope": "layer" if name in _BY_NEURON else "global"}


def _paper(net: str, data: str) -> Plan:
    taught = recipe(net, data, "paper")
    return Plan("paper", Subject(net, data, taught), taught, METHODS, KEEPS, STEPS, 0.1, 3, 512)


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan("tiny", Subject("fc-64-24-10", "digits", Recipe(10, 64, 5e-3)), Recipe(3, 64, 5e-3),
             _FEW, (0.3,), (0.5, 0.2), 0.2, 2, 60),
    ),
    "quick": (
        Plan("quick", Subject("digits-mlp", "digits", recipe("digits-mlp", "digits")),
             Recipe(10, 64, 3e-3), METHODS, (0.05, 0.1, 0.2, 0.4, 0.7),
             (0.5, 0.25, 0.15, 0.1, 0.07, 0.05), 0.1, 3, 200),
    ),
    "reduced": (
        Plan("reduced", Subject("lenet-300-100", "mnist", recipe("lenet-300-100", "mnist")),
             Recipe(6, 128, 2e-3), METHODS, _SOME,
             (0.5, 0.25, 0.12, 0.08, 0.05, 0.04, 0.03, 0.02), 0.1, 3, 400),
        Plan("reduced", Subject("lenet-5", "mnist", recipe("lenet-5", "mnist")),
             Recipe(3, 128, 2e-3), _FEW, _SOME, (0.5, 0.25, 0.12, 0.06, 0.04, 0.03, 0.02), 0.1, 3,
             400),
        Plan("reduced", Subject("lenet-5-caffe", "mnist", recipe("lenet-5-caffe", "mnist")),
             Recipe(6, 128, 2e-3, precision="bfloat16", channels_last=True),
             ("sipp-det", "magnitude"), (0.03,), (0.25, 0.1, 0.06, 0.04, 0.03, 0.02), None, 3,
             400),
    ),
    "paper": (
        _paper("lenet-300-100", "mnist"),
        _paper("lenet-5", "mnist"),
        _paper("lenet-5-caffe", "mnist"),
        _paper("resnet-20", "cifar10"),
    ),
}  # fmt: skip
# Title and caption of each figure; a name that ends in a dash goes on with a network's.
FIGURES = {
    "sipp-": ("Accuracy against weights kept",
             "Pruned once, pruned once and trained again, and pruned and trained in steps. SiPP "
             "det. by means and layers ranks by mean sensitivity and prunes every layer alike; the "
             "others share the budget among all layers (Wanda: each neuron alike)."),
}  # fmt: skip
