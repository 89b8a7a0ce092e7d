"""Which networks are pruned without training, by what, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reports.validation.subjects import Calibrated, Subject
from sipp_core.zoo import Recipe, recipe


@dataclass(frozen=True)
class Plan(Calibrated):
    """What is run on one network.

    Attributes:
        again: the short training of `retrained`.
        methods: pruning methods, each to every ratio of `keeps`, without training.
        keeps: fractions kept.
        retrained: fractions after which the first of RETRAINED and the rest are trained.
        certified: numbers of calibration inputs of the searches for the fewest certified weights.
        choices: (rounds, exponent) of sipp-network, 0 for its own rounds, that are compared on
            training inputs that calibration does not see.
        chosen: fractions of that comparison.
        judges: how many inputs it takes.
        many: (inputs, fraction) of one run with more of them, whose time is reported; or None.
        goals: (fraction, mean accuracy aimed at) of sipp-network without training.
        above: methods that sipp-network is to be above.
        seeds: trained networks, or draws of calibration inputs where the weights are shipped.
        inputs: calibration inputs.
    """

    again: Recipe
    methods: tuple[str, ...]
    keeps: tuple[float, ...]
    retrained: tuple[float, ...]
    certified: tuple[int, ...]
    choices: tuple[tuple[int, float], ...]
    chosen: tuple[float, ...]
    judges: int
    many: tuple[int, float] | None
    goals: tuple[tuple[float, float], ...]
    above: tuple[str, ...]
    seeds: int
    inputs: int

    def only(self, names: list[str]) -> Plan:
        """The plan with these methods only, and without what compares others."""
        few = tuple(name for name in self.methods if name in names)
        return replace(self, methods=few, retrained=(), certified=(), choices=(), many=None)


# Fields that name what a cell is of, and change none.
LISTS = ("methods", "keeps", "retrained", "certified", "choices", "chosen", "many", "goals",
         "above", "seeds", "schedule")  # fmt: skip
OURS = "sipp-network"
METHODS = (
    OURS, "magnitude-rounds", "magnitude-refit", "magnitude-effective", "magnitude", "wanda",
    "snip", "obs", "sipp-det", "sipp-hybrid", "sipp-rand",
)  # fmt: skip
# What looks at no input, and is the same for all draws of them.
BLIND = ("magnitude",)
# What is trained for a little while after pruning; the first is the rival of the others.
RETRAINED = ("magnitude-effective", OURS)
# The search for the fewest certified weights: error EPS on all but a share DELTA of fresh inputs.
CERTIFIED = (OURS, "magnitude", "wanda", "sipp-poisson")
EPS, DELTA, CONFIDENCE, MOST_CERTIFIED = 0.25, 0.05, 0.99, 0.12
_CHOICES = ((0, 0.75), (4, 0.75), (8, 0.75), (24, 0.75), (0, 1.0), (0, 0.5))
_ROUNDS = ((0, 0.75), (8, 0.75), (24, 0.75))
_AIM = ((0.1, 0.97), (0.05, 0.955), (0.02, 0.925))


def _digits(schedule: str, seeds: int) -> Plan:
    return Plan(
        schedule, Subject("digits-mlp", "digits", recipe("digits-mlp", "digits")),
        Recipe(3, 64, 3e-3), METHODS, (0.1, 0.05, 0.02), (), (), _CHOICES, (0.2, 0.1, 0.05, 0.02),
        10_000, None, ((0.1, 0.96), (0.02, 0.88)), (), seeds, 148,
    )  # fmt: skip


def _mnist(schedule: str, seeds: int) -> tuple[Plan, ...]:
    dense = recipe("lenet-300-100", "mnist")
    return (
        Plan(
            schedule, Subject("lenet-300-100", "mnist", dense), Recipe(1, 128, 1e-3), METHODS,
            (0.1, 0.05, 0.02), (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02), (152, 256), _ROUNDS,
            (0.02,), 10_000, None, _AIM, (), seeds, 256,
        ),
        Plan(
            schedule, Subject("lenet-5", "mnist", recipe("lenet-5", "mnist"), shipped=True),
            Recipe(2, 128, 1e-3), METHODS, (0.1, 0.05, 0.02), (), (), _ROUNDS, (0.02,),
            10_000, None, ((0.1, 0.975), (0.02, 0.91)), (), seeds, 256,
        ),
    )  # fmt: skip


def _resnet(schedule: str, seeds: int) -> Plan:
    return Plan(
        schedule, Subject("resnet-20", "cifar10", recipe("resnet-20", "cifar10"), shipped=True),
        Recipe(2, 128, 1e-3, crop=4, flip=True),
        (OURS, "magnitude-rounds", "magnitude-effective", "magnitude", "wanda", "obs"),
        (0.5, 0.4, 0.3, 0.2), (), (), ((0, 0.75), (0, 0.0)), (0.2,), 3000,
        (1024, 0.2), (), ("magnitude", "wanda", "obs"), seeds, 256,
    )  # fmt: skip


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan("tiny", Subject("fc-64-24-10", "digits", Recipe(10, 64, 5e-3)), Recipe(1, 64, 5e-3),
             (OURS, "magnitude"), (0.3,), (0.3,), (60,), ((0, 0.75), (1, 0.75)), (0.3,), 100,
             None, ((0.3, 0.5),), ("magnitude",), 2, 60),
    ),
    "quick": (_digits("quick", 3),),
    "reduced": (*_mnist("reduced", 3), _resnet("reduced", 3)),
    "paper": (_digits("paper", 10), *_mnist("paper", 10), _resnet("paper", 10)),
}  # fmt: skip
# Title and caption of each figure; a name that ends in a dash goes on with a network's.
FIGURES = {
    "networks-": ("Accuracy without training against weights kept",
                  "Unlabelled calibration inputs (labelled for SNIP), no training but where it "
                  "says so. All share the budget among all layers, but Wanda (each neuron alike) "
                  "and obs (each layer alike)."),
}  # fmt: skip
