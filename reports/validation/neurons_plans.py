"""Which networks, rules and sizes the experiment on neuron coresets has."""

from __future__ import annotations

from dataclasses import dataclass

from reports.validation.subjects import Planned, Subject
from sipp_core.zoo import Recipe, recipe


@dataclass(frozen=True)
class Plan(Planned):
    """What is run on one network.

    Attributes:
        again: how what is left is trained.
        keeps: fractions of the weights that stay.
        seeds: trained networks.
        inputs: inputs that the pursuit fits.
        around: test inputs that local certificates are made for; 0 for none.
        radius: of these.
        steps: of the search for NC-6's parameters.
        convolutions: whether there are any, so that NC-6 does not apply.
    """

    again: Recipe
    keeps: tuple[float, ...]
    seeds: int
    inputs: int
    around: int
    radius: float
    steps: int
    convolutions: bool = False


RULES = ("mussay", "mussay-corrected", "norm", "omp", "uniform")
# Share of the weights that the paper keeps, and its test errors before and after, as recalled.
TENTH = 0.1
PUBLISHED = "2.16% error before, 2.03% after, with 90% fewer parameters"
SOURCE = "arXiv 1907.04018, as recalled"

_BIG, _IMAGES = "lenet-300-100", "lenet-5"
PLANS = {
    "tiny": (
        Plan("tiny", Subject("fc-64-16-10", "digits", Recipe(8, 64, 5e-3)), Recipe(2, 64, 3e-3),
             (0.5,), 1, 60, 4, 0.01, 5),
    ),
    "quick": (
        Plan("quick", Subject("digits-mlp", "digits", Recipe(40, 64, 3e-3)), Recipe(20, 64, 3e-3),
             (TENTH, 0.3), 3, 400, 100, 0.01, 60),
    ),
    "reduced": (
        Plan("reduced", Subject(_BIG, "mnist", recipe(_BIG, "mnist", "short")),
             Recipe(12, 128, 1e-3), (TENTH, 0.3), 2, 2000, 1000, 0.01, 150),
        Plan("reduced", Subject(_IMAGES, "mnist", recipe(_IMAGES, "mnist", "short")),
             Recipe(4, 128, 1e-3), (TENTH, 0.3), 1, 500, 0, 0.01, 0, True),
    ),
    "paper": (
        Plan("paper", Subject(_BIG, "mnist", recipe(_BIG, "mnist", "paper")),
             Recipe(40, 128, 1e-3), (TENTH, 0.3), 5, 2000, 1000, 0.01, 400),
        Plan("paper", Subject("vgg-small", "cifar10", Recipe(60, 128, 1e-3, crop=4, flip=True)),
             Recipe(40, 128, 5e-4, crop=4, flip=True), (TENTH, 0.3), 3, 500, 0, 0.01, 0, True),
    ),
}  # fmt: skip
FIGURES = {
    "neurons-": ("Accuracy with fewer neurons, ",
                 "Test accuracy by the share of the weights that stay, before and after training "
                 "again; every rule removes whole neurons."),
}  # fmt: skip
