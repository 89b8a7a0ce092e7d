"""Which networks and radii Net-Trim's experiments have, and the published points."""

from __future__ import annotations

from dataclasses import dataclass

from reports.validation.subjects import Planned, Subject
from sipp_core.zoo import Recipe, recipe


@dataclass(frozen=True)
class Plan(Planned):
    """What is run on one network.

    Attributes:
        again: how what is left is trained; None for the spirals, where nothing is.
        radii: eps of the first layer (parallel: of each) as a share of ||Y||_F of its outputs; for
            the spirals least and largest radius of the search.
        keeps: fractions at which other methods stand beside it.
        gamma: inflation of later layers in the cascade.
        seeds: trained networks.
        inputs: inputs that each program is about.
    """

    again: Recipe | None
    radii: tuple[float, ...]
    keeps: tuple[float, ...]
    gamma: float
    seeds: int
    inputs: int


# Pruning methods that stand beside it; the second is in the table: SiPP by layers, as Net-Trim.
BESIDE = ("sipp-det", "sipp-det-mean", "magnitude")
BEST = BESIDE[1]
LINKS = ("parallel", "cascade")
GAMMA = 1.1
# Relative discrepancy of the spirals' outputs at which the paper counts nonzeros.
DISCREPANCY = 0.046
SEARCH = 7
# Relative duality gap: a thousandth of the objective moves no point of a curve.
GAP = 1e-3
_RADII = (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.88)
# (share of the weights removed, accuracy) as published.
CURVES: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
    ("fc-784-300-1000-100-10", "mnist"): (
        (0.44, 0.987), (0.535, 0.9855), (0.59, 0.986), (0.66, 0.9862), (0.75, 0.9868),
        (0.80, 0.9862), (0.845, 0.9855), (0.88, 0.9845), (0.91, 0.9831), (0.935, 0.9807),
        (0.97, 0.9652),
    ),
    ("lenet-5", "mnist"): (
        (0.7625, 0.9946), (0.875, 0.9948), (0.9475, 0.9943), (0.964, 0.9941), (0.9775, 0.9938),
        (0.9815, 0.9933), (0.987, 0.9921),
    ),
}  # fmt: skip
# Nonzero weights of each layer of the spirals' network, before and after.
SPIRALS = ((397, 362), (39_770, 2_663), (399, 131))

_KEEPS = tuple(round(1 - p, 4) for p, _ in CURVES["fc-784-300-1000-100-10", "mnist"])
_KEEPS_5 = tuple(round(1 - p, 4) for p, _ in CURVES["lenet-5", "mnist"])
_DIGITS = Recipe(40, 64, 3e-3)
_TOY = Recipe(250, 32, 5e-3)
_BOUNDS = (1e-3, 0.3)
_LONG = Recipe(20, 128, 1e-3)


def _spirals(schedule: str, net: str, taught: Recipe, seeds: int) -> Plan:
    return Plan(schedule, Subject(net, "spirals", taught), None, _BOUNDS, (), GAMMA, seeds, 300)


def _big(schedule: str, again: int, seeds: int, inputs: int) -> tuple[Plan, ...]:
    small = recipe("lenet-5", "mnist", "paper" if schedule == "paper" else "short")
    return (
        Plan(schedule, Subject("fc-784-300-1000-100-10", "mnist", _LONG), Recipe(again, 128, 1e-3),
             _RADII, _KEEPS, GAMMA, seeds, inputs),
        Plan(schedule, Subject("lenet-5", "mnist", small), Recipe(again, 128, 1e-3), _RADII,
             _KEEPS_5, GAMMA, seeds, inputs),
        _spirals(schedule, "fc-2-200-200-2", _TOY, 3),
    )  # fmt: skip


PLANS: dict[str, tuple[Plan, ...]] = {
    "tiny": (
        Plan("tiny", Subject("fc-64-12-10", "digits", Recipe(8, 64, 5e-3)), Recipe(2, 64, 5e-3),
             (0.1, 0.4), (0.5,), GAMMA, 1, 40),
        _spirals("tiny", "fc-2-12-12-2", Recipe(30, 32, 1e-2), 1),
    ),
    "quick": (
        Plan("quick", Subject("fc-64-60-100-30-10", "digits", _DIGITS), Recipe(10, 64, 3e-3),
             (0.05, 0.15, 0.4), (0.05, 0.1, 0.2, 0.4), GAMMA, 3, 200),
        _spirals("quick", "fc-2-200-200-2", _TOY, 1),
    ),
    "reduced": _big("reduced", 5, 2, 1000),
    "paper": _big("paper", 20, 3, 4000),
}  # fmt: skip
# Title and caption of each figure; a name that ends in a dash goes on with a network's.
FIGURES = {
    "nettrim-": ("Net-Trim along its radius, beside others",
                "Without and with training again; stars are the published points."),
}  # fmt: skip
