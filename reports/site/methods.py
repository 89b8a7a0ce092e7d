"""What pages ask a pruning method: its name for readers, its look, and what it must be given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

import sipp_core
from reports.site import style
from sipp_core.methods import Method, Needs, registered
from sipp_core.pruning import DEFAULT_POINTS, find_method, make_request


def label(name: str) -> str:
    """A method as figures and tables name it; one that is not known here by its own name."""
    known = registered()
    return known[name].facts.label if name in known else name


def look(name: str) -> style.Look:
    """How a method is drawn: its family's looks in the order of registration, then a spare one."""
    known = registered()
    if name not in known:
        return style.SPARE
    family = known[name].facts.family
    place = [n for n, method in known.items() if method.facts.family == family].index(name)
    looks = style.FAMILIES[family]
    return looks[place] if place < len(looks) else style.SPARE


def needs(method: Method, model: nn.Module | None = None) -> Needs:
    """What calibration must keep for a method that keeps a fraction of the weights."""
    return method.needs(make_request(method, model or nn.Identity(), keep=0.5))


def claims(name: str, model: nn.Module) -> str:
    """Claims behind the promise of a method that keeps a fraction of the weights."""
    method = find_method(name)
    return ", ".join(method.promise(make_request(method, model, keep=0.5)).claims)


def calibrations(
    model: nn.Module, inputs: Any, names: Sequence[str], seed: int
) -> dict[str, sipp_core.Calibration]:
    """A calibration for each method, shared by those that set as many inputs aside."""
    parts = {name: needs(find_method(name), model) for name in names}
    ready = {
        every: _calibration(
            model, inputs, every, [n for n in parts.values() if n.held_out == every], seed
        )
        for every in sorted({n.held_out for n in parts.values()})
    }
    return {name: ready[need.held_out] for name, need in parts.items()}


def _calibration(
    model: nn.Module, inputs: Any, every: int, group: Iterable[Needs], seed: int
) -> sipp_core.Calibration:
    """One that holds what each of a group needs."""
    group = list(group)
    return sipp_core.calibrate(
        model, inputs, validation_every=every, seed=seed,
        points=DEFAULT_POINTS if any(need.rows for need in group) else 0,
        statistics=frozenset[str]().union(*(need.statistics for need in group)),
        inputs=any(need.inputs for need in group),
    )  # fmt: skip
