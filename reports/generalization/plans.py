"""What `sipp generalize` does to each network: how it is trained, and which files are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sipp_core
from reports.validation.subjects import Subject
from sipp_core.compression import UNPRUNED, Codebook, Schedule, candidates
from sipp_core.zoo import Recipe


@dataclass(frozen=True)
class Plan:
    """One network on one data set.

    Attributes:
        subject: the network, its data and how it is trained before anything is pruned. Its name
            is that of an architecture as `sipp_core.compress` names it.
        methods: pruning methods, "none" among them for no pruning.
        keeps: fractions of the weights.
        levels: values that a weight may take.
        codebooks: kinds of levels.
        filters: fractions left when whole neurons go before weights do.
        schedule: how candidates are trained.
    """

    subject: Subject
    methods: tuple[str, ...]
    keeps: tuple[float, ...]
    levels: tuple[int, ...]
    codebooks: tuple[Codebook, ...]
    schedule: Schedule
    filters: tuple[float, ...] = (1.0,)


_DIGITS = Schedule(again=Recipe(10, 64, 3e-3), levels=Recipe(40, 64, 4e-3), steps=(0.5, 0.25))
_LENET = (0.5, 0.25, 0.12, 0.06, 0.04, 0.03, 0.024, 0.019)

PLANS: dict[tuple[str, str], Plan] = {
    ("dense:64,10", "digits"): Plan(
        Subject("dense:64,10", "digits", Recipe(40, 64, 5e-3)),
        ("magnitude", "sipp-det", "sipp-network"), (1.0, 0.5, 0.3), (3, 5), ("grid",), _DIGITS,
    ),
    ("lenet-300-100", "mnist"): Plan(
        Subject("lenet-300-100", "mnist", Recipe(15, 128, 2e-3)),
        ("magnitude", "sipp-network"), (0.014, 0.011), (4, 6), ("table",),
        Schedule(again=Recipe(6, 128, 2e-3), levels=Recipe(12, 128, 2e-3), steps=_LENET), (0.1,),
    ),
    ("lenet-5", "mnist"): Plan(
        Subject("lenet-5", "mnist", Recipe(4, 128, 3e-3)),
        ("magnitude", "sipp-network"), (0.035, 0.025), (4, 6), ("table",),
        Schedule(again=Recipe(3, 128, 2e-3), levels=Recipe(6, 128, 2e-3), steps=_LENET), (0.2,),
    ),
    ("oriented:28,4,8,10", "mnist"): Plan(
        Subject("oriented:28,4,8,10", "mnist", Recipe(12, 256, 1.5e-2)),
        ("none", "sipp-network"), (0.8,), (6, 7), ("table", "grid"),
        Schedule(again=Recipe(5, 256, 6e-3), levels=Recipe(20, 256, 4e-3), rate=0.15),
    ),
    ("compact:28,6,10", "mnist"): Plan(
        Subject("compact:28,6,10", "mnist", Recipe(8, 128, 4e-3)),
        ("none", "magnitude", "sipp-network"), (0.8,), (6, 8), ("table",),
        Schedule(again=Recipe(5, 128, 4e-3), levels=Recipe(40, 128, 4e-3)),
    ),
}  # fmt: skip
"""Plans by network and data set."""

# What the network of GN-1 is pruned by, and that of half the data where a plan prunes by nothing.
ROUNDED, USUAL_METHOD = "sipp-det", "magnitude"
USUAL = {"digits": "dense:64,10", "mnist": "oriented:28,4,8,10"}
"""Network of a data set if none is named."""


def plan_of(net: str | None, data: str) -> Plan:
    """The plan of a network on a data set."""
    known = sorted({where for _, where in PLANS})
    if data not in known:
        raise ValueError(f"data must be one of {', '.join(known)}; found {data!r}")
    name = net or USUAL[data]
    if (name, data) in PLANS:
        return PLANS[name, data]
    family = name.partition(":")[0]
    for (other, where), plan in PLANS.items():
        if ":" in name and where == data and other.partition(":")[0] == family:
            return replace(plan, subject=replace(plan.subject, net=name))
    here = ", ".join(other for other, where in PLANS if where == data)
    raise ValueError(f"net must be one of {here}, or of their families; found {name!r}")


def adjusted(
    plan: Plan,
    methods: Sequence[str] | None = None,
    keeps: Sequence[float] | None = None,
    levels: Sequence[int] | None = None,
) -> Plan:
    """A plan with other candidates; what makes none is refused before anything is trained.

    Example:
        >>> adjusted(plan_of(None, "digits"), keeps=[0.4]).keeps
        (0.4,)
    """
    plan = replace(
        plan, methods=tuple(methods or plan.methods), keeps=tuple(keeps or plan.keeps),
        levels=tuple(levels or plan.levels),
    )  # fmt: skip
    for method in plan.methods:
        if method not in (UNPRUNED, *sipp_core.METHODS):
            known = ", ".join((UNPRUNED, *sipp_core.METHODS))
            raise ValueError(f"methods must be among {known}; found {method!r}")
    for count in plan.levels:
        if count < 2:
            raise ValueError(f"levels must be at least 2; found {count}")
    candidates(plan.methods, plan.keeps, plan.levels, plan.codebooks, plan.filters)
    return plan
