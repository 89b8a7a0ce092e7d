"""Which networks, methods and ratios SiPP's experiments have, and what is published of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.validation.subjects import Calibrated, Subject
from sipp_core.zoo import Recipe, recipe


@dataclass(frozen=True)
class Plan(Calibrated):
    """What is run on one network.

    Attributes:
        again: how what is left is trained after pruning.
        methods: pruning methods; each prunes once, to every ratio.
        trained: those of them that are trained again, once and in the cascade.
        tickets: those whose lottery tickets are trained.
        keeps: fractions kept where the network is pruned once.
        retrained: those of them from which it is trained again.
        steps: fractions of the iterative cascade, descending.
        ticket: fraction that a lottery ticket keeps.
        seeds: trained networks, each with its own draws.
        inputs: calibration inputs.
    """

    again: Recipe
    methods: tuple[str, ...]
    trained: tuple[str, ...]
    tickets: tuple[str, ...]
    keeps: tuple[float, ...]
    retrained: tuple[float, ...]
    steps: tuple[float, ...]
    ticket: float
    seeds: int
    inputs: int

    def only(self, names: Sequence[str]) -> Plan:
        """The plan with these methods only."""
        few = {
            field: tuple(name for name in getattr(self, field) if name in names)
            for field in ("methods", "trained", "tickets")
        }
        return replace(self, **few)


# Fields that name what a cell is of, and change none.
LISTS = ("methods", "trained", "tickets", "keeps", "retrained", "seeds", "schedule")
METHODS = (
    "sipp-network", "sipp-network-choice", "sipp-det", "sipp-hybrid", "sipp-rand",
    "magnitude-effective", "magnitude", "magnitude-refit", "magnitude-rounds", "obs", "wanda",
    "snip", "random",
)  # fmt: skip
# The paper's own, as its authors' code has them, and what that code compares them with: magnitudes,
# effective weights alone counted.
OF_THE_PAPER = ("sipp-det", "sipp-hybrid", "sipp-rand")
BASELINE = "magnitude-effective"
# Pairs of ours and a rival of which nothing is published, pruned once and in the cascade.
PAIRS = {
    "prune": (
        *((mine, BASELINE) for mine in ("sipp-network", "sipp-network-choice", *OF_THE_PAPER)),
        *(("sipp-network", other) for other in ("magnitude-rounds", "magnitude-refit", "obs",
                                                "wanda", "snip", "sipp-det")),
        ("sipp-det", "random"), ("magnitude-effective", "magnitude"),
    ),
    "retrain": (("sipp-network-choice", BASELINE), ("sipp-network", BASELINE),
                ("sipp-det", BASELINE), ("sipp-hybrid", BASELINE), ("sipp-rand", BASELINE)),
    "cascade": (("sipp-network-choice", BASELINE), ("sipp-network-choice", "sipp-det"),
                ("sipp-network-choice", "sipp-network"), ("magnitude-effective", "magnitude"),
                ("sipp-det", "random")),
}  # fmt: skip
# Share of weights removed at that loss by the iterative cascade: what is published, and our goals.
GOAL = "sipp-network-choice"
_PAPER = (0.849, "84.9% (magnitude 84.9%)", "table of [SP]")
_GOAL = (0.97, "at least 97% (our goal)", "goal of this toolkit")
PUBLISHED = {
    **{("resnet-20", "cifar10", name): _PAPER for name in OF_THE_PAPER},
    ("resnet-20", "cifar10", BASELINE): (0.849, "84.9%", "table of [SP]"),
    **{(net, "mnist", GOAL): _GOAL for net in ("lenet-300-100", "lenet-5", "lenet-5-caffe")},
}
KEEPS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
STEPS = (0.5, 0.3, 0.2, 0.12, 0.08, 0.05, 0.04, 0.03, 0.02, 0.015)
_SOME = (0.02, 0.05, 0.1, 0.2, 0.5)
# The most telling first: a run that is stopped has these.
_CASCADED = ("sipp-network-choice", "magnitude-effective", "sipp-det", "sipp-hybrid")
_TICKETS = ("sipp-det", "sipp-network-choice", "magnitude-effective")


def _paper(net: str, data: str) -> Plan:
    taught = recipe(net, data, "paper")
    return Plan(
        "paper", Subject(net, data, taught), taught, METHODS, METHODS, METHODS[:-1], KEEPS, KEEPS,
        STEPS, 0.1, 3, 512,
    )  # fmt: skip


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan("tiny", Subject("fc-64-24-10", "digits", Recipe(10, 64, 5e-3)), Recipe(3, 64, 5e-3),
             ("sipp-network", *_CASCADED[:3], "random"), ("sipp-det", "magnitude-effective"),
             ("sipp-det",), (0.3,), (0.3,), (0.5, 0.2), 0.2, 2, 60),
    ),
    "quick": (
        Plan("quick", Subject("digits-mlp", "digits", recipe("digits-mlp", "digits")),
             Recipe(10, 64, 3e-3), METHODS, (*_CASCADED, "sipp-rand", "sipp-network", "random"),
             _TICKETS, (0.05, 0.1, 0.2, 0.4), (0.05, 0.1, 0.2, 0.4),
             (0.5, 0.25, 0.15, 0.1, 0.07, 0.05), 0.1, 3, 200),
    ),
    "reduced": (
        Plan("reduced", Subject("lenet-300-100", "mnist", recipe("lenet-300-100", "mnist")),
             Recipe(4, 256, 3e-3), METHODS, _CASCADED, _TICKETS, (0.02, 0.1), (),
             (0.3, 0.1, 0.05, 0.03, 0.02), 0.1, 2, 256),
        Plan("reduced", Subject("lenet-5", "mnist", recipe("lenet-5", "mnist")),
             Recipe(8, 128, 1.5e-3, channels_last=True), _CASCADED[:3], _CASCADED[:3], (),
             (0.02, 0.1), (), (0.2, 0.1, 0.06, 0.04, 0.03), 0.1, 2, 256),
        Plan("reduced", Subject("lenet-5-caffe", "mnist", recipe("lenet-5-caffe", "mnist")),
             Recipe(3, 128, 2e-3, precision="bfloat16", channels_last=True),
             _CASCADED[:3], _CASCADED[:3], (), (0.02, 0.1), (), (0.1, 0.03, 0.02), 0.1, 1, 256),
        Plan("reduced",
             Subject("resnet-20", "cifar10", recipe("resnet-20", "cifar10"), shipped=True),
             Recipe(2, 128, 1e-3, crop=4, flip=True, precision="bfloat16", channels_last=True),
             ("sipp-network", "magnitude-rounds", "magnitude-effective", "wanda", "obs"), (), (),
             (0.2, 0.3, 0.5), (), (0.5, 0.3, 0.2), 0.1, 2, 256),
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
             "Pruned once, pruned once and trained again, and pruned and trained in steps. All "
             "share the budget among all layers, but Wanda (each neuron alike) and obs (each layer "
             "alike). SiPP deterministic, random and hybrid, and magnitude where it says so, count "
             "effective weights alone, as the code of SiPP's authors does; SiPP network refits the "
             "weights that stay, where it does not say otherwise."),
}  # fmt: skip
