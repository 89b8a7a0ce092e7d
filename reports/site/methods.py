"""What pages ask a pruning method: its name for readers, its look, and what it must be given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

import sipp_core
from reports.site import style
from sipp_core.methods import Method, Needs, Request, registered
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
    """What calibration must keep for a method in its usual mode."""
    return method.needs(_request(method, model or nn.Identity()))


def claims(name: str, model: nn.Module) -> str:
    """Claims behind the promise of a method in its usual mode."""
    method = find_method(name)
    return ", ".join(method.promise(_request(method, model)).claims)


def _request(method: Method, model: nn.Module) -> Request:
    """A budget, or an error where a method takes none."""
    if "keep" in method.takes:
        return make_request(method, model, keep=0.5)
    return make_request(method, model, eps=0.5, delta=0.05)


def calibrations(
    model: nn.Module, inputs: Any, names: Sequence[str], seed: int
) -> dict[str, sipp_core.Calibration]:
    """A calibration for each method, shared by those that set as many inputs aside."""
    parts = {name: needs(find_method(name), model) for name in names}
    ready: dict[int, sipp_core.Calibration] = {}
    for every in sorted({part.held_out for part in parts.values()}):
        group = [part for part in parts.values() if part.held_out == every]
        ready[every] = sipp_core.calibrate(
            model, inputs, validation_every=every, seed=seed,
            points=DEFAULT_POINTS if any(part.rows for part in group) else 0,
            statistics=frozenset[str]().union(*(part.statistics for part in group)),
            inputs=any(part.inputs for part in group),
        )  # fmt: skip
    return {name: ready[part.held_out] for name, part in parts.items()}
