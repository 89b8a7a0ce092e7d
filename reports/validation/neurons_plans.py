"""Which networks, rules and sizes the experiment on neuron coresets has."""

from __future__ import annotations

from dataclasses import dataclass

from reports.validation.subjects import Planned, Subject
from sipp_core.zoo import Recipe, recipe

RULES = ("mussay", "mussay-corrected", "norm", "omp", "uniform")
# Those around whose coresets certificates are made.
AROUND = ("mussay", "norm", "omp")


@dataclass(frozen=True)
class Plan(Planned):
    """What is run on one network.

    Attributes:
        again: how what is left is trained.
        keeps: fractions of the weights that stay.
        seeds: trained networks.
        inputs: inputs that the pursuit fits.
        attacked: test inputs that are changed against each trained network.
        reach: most that one of their coordinates is changed.
        sizes: neurons of the first layer that certificates over the box are made with; none for
            convolutions, which NC-6 does not speak of.
        steps: of the search for NC-6's parameters.
        around: test inputs that local certificates are made for.
        radii: of these.
    """

    again: Recipe
    keeps: tuple[float, ...]
    seeds: int
    inputs: int
    attacked: int
    reach: float
    sizes: tuple[int, ...] = ()
    steps: int = 0
    around: int = 0
    radii: tuple[float, ...] = ()


# Share of the weights that the paper keeps, and its test errors before and after, as recalled.
TENTH = 0.1
PUBLISHED = "2.16% error before, 2.03% after, with 90% fewer parameters"
SOURCE = "arXiv 1907.04018, as recalled"

_BIG, _IMAGES, _VGG = "lenet-300-100", "lenet-5", "vgg-8-16-32"
_RADII = (0.002, 0.005, 0.01, 0.02, 0.05)


def _fast(epochs: int, lr: float) -> Recipe:
    """Few epochs, in mixed precision."""
    return Recipe(epochs, 128, lr, precision="bfloat16", channels_last=True)


PLANS = {
    "tiny": (
        Plan("tiny", Subject("fc-64-16-10", "digits", Recipe(8, 64, 5e-3)), Recipe(2, 64, 3e-3),
             (0.5,), 1, 60, 20, 0.05, (6,), 5, 4, (0.01, 0.02)),
    ),
    "quick": (
        Plan("quick", Subject("digits-mlp", "digits", Recipe(40, 64, 3e-3)), Recipe(20, 64, 3e-3),
             (TENTH, 0.3), 3, 400, 300, 0.05, (16, 43), 60, 100, (0.003, 0.01, 0.03, 0.1)),
    ),
    "reduced": (
        Plan("reduced", Subject(_BIG, "mnist", recipe(_BIG, "mnist", "short")),
             Recipe(12, 128, 1e-3), (TENTH, 0.3), 2, 2000, 1000, 0.05, (30, 100, 200), 150, 1000,
             _RADII),
        Plan("reduced", Subject(_IMAGES, "mnist", _fast(4, 3e-3)),
             _fast(2, 1e-3), (TENTH, 0.3), 2, 500, 500, 0.05),
        Plan("reduced", Subject(_VGG, "cifar10", _fast(3, 3e-3)),
             _fast(1, 1e-3), (TENTH, 0.3), 1, 200, 100, 0.01),
    ),
    "paper": (
        Plan("paper", Subject(_BIG, "mnist", recipe(_BIG, "mnist", "paper")),
             Recipe(40, 128, 1e-3), (TENTH, 0.3), 5, 2000, 1000, 0.05, (30, 100, 200), 400, 1000,
             _RADII),
        Plan("paper", Subject(_IMAGES, "mnist", recipe(_IMAGES, "mnist", "paper")),
             Recipe(40, 128, 1e-3), (TENTH, 0.3), 3, 500, 1000, 0.05),
        Plan("paper", Subject("vgg-small", "cifar10", Recipe(60, 128, 1e-3, crop=4, flip=True)),
             Recipe(40, 128, 5e-4, crop=4, flip=True), (TENTH, 0.3), 3, 500, 1000, 0.01),
    ),
}  # fmt: skip
FIGURES = {
    "neurons-around": ("Decisions that pruning provably leaves",
                       "Share of test inputs around which no change of at most the radius makes "
                       "the coreset decide otherwise than the original, proved for each of them. "
                       "Lines are means over seeds, bands reach from the least to the largest."),
    "neurons-": ("Accuracy with fewer neurons",
                 "Test accuracy by the share of the weights that stay, before and after training "
                 "again; every rule removes whole neurons."),
}  # fmt: skip
