"""The arguments of `prune`, validated into a request: refused by name before any input is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from sipp_core.pruning.measured import MEASURED, Measured
from sipp_core.pruning.method import Method, bounds_of
from sipp_core.pruning.patterns import pattern_of
from sipp_core.pruning.request import DEFAULT_DELTA, DEFAULT_POINTS, Keep, Request, Within
from sipp_core.pruning.table import refuse_coverage
from sipp_core.runtime.arguments import refuse_no_module, whole
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.outputs import Output
from sipp_theory import BOUNDS, Bound


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; found {value!r}")


def _fraction(name: str, value: float | None, closed: bool) -> None:
    if value is None:
        return
    _number(name, value)
    if not (0 < value < 1 or (closed and value == 1)):
        raise ValueError(f"{name} must lie in (0, 1{']' if closed else ')'}; found {value!r}")


@dataclass(frozen=True)
class Arguments:
    """What `prune` takes beside model, inputs and method, each as described there."""

    keep: float | None = None
    eps: float | None = None
    delta: float | None = None
    scope: str | None = None
    bound: str | Bound | None = None
    coverage_factor: float = 1.0
    seed: int = 0
    points: int | None = None
    masks: bool = False
    refit: bool = False
    output: Output = None
    effective: bool = False
    candidates: int | None = None
    pattern: str | None = None
    progress: Progress | None = None


def named_in(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the arguments of a call, by name, those of a request."""
    return {one.name: given[one.name] for one in fields(Arguments) if one.name in given}


def make_request(method: Method, model: nn.Module, **given: Any) -> Request:
    """Validate the arguments of `prune`, and refuse those that the method does not use.

    Args:
        method: the method.
        model: the user's model.
        given: arguments of `prune`, by name.

    Returns:
        The request; no input has been read.

    Raises:
        TypeError: a number that is none, or a name that is no argument.
        ValueError: a value out of range, or an argument without effect.

    Example:
        >>> from sipp_core.methods import Wanda
        >>> make_request(Wanda(), nn.Linear(2, 1), keep=0.5).target
        Keep(fraction=0.5, scope='layer')
    """
    call = Arguments(**given)
    keep, eps = call.keep, call.eps
    if call.pattern is not None:
        keep = _kept_by(call.pattern, keep, eps, call.effective)
    if (keep is None) == (eps is None):
        raise ValueError(
            "give either keep=... (budget mode) or eps=... and delta=... (guarantee mode); found "
            f"keep={keep!r}, eps={eps!r}"
        )
    _fraction("keep", keep, closed=True)
    _fraction("eps", eps, closed=False)
    _fraction("delta", call.delta, closed=False)
    if call.scope not in (None, "layer", "global"):
        raise ValueError(f"scope must be 'layer' or 'global'; found {call.scope!r}")
    _number("coverage_factor", call.coverage_factor)
    if not (math.isfinite(call.coverage_factor) and call.coverage_factor >= 1):
        raise ValueError(f"coverage_factor must be at least 1; found {call.coverage_factor!r}")
    best = method.guarantee_bound if eps is not None and call.coverage_factor == 1 else None
    chosen = _bound(method, best if call.bound is None else call.bound)
    _refuse_unused(
        method,
        keep=keep,
        eps=eps,
        scope=None if call.scope == method.default_scope else call.scope,
        bound=None if call.bound is None else chosen.name,
        coverage_factor=None if call.coverage_factor == 1 else call.coverage_factor,
        masks=call.masks or None,
        refit=call.refit or None,
        effective=call.effective or None,
        pattern=call.pattern,
    )
    _check_measured(method, chosen, eps, call.refit, call.candidates)
    measured = isinstance(chosen, Measured)
    if eps is not None and call.delta is None and not method.certain and not measured:
        raise ValueError("guarantee mode needs delta=..., the failure probability, beside eps")
    if eps is not None and call.scope not in (None, method.default_scope):
        raise ValueError(f"scope divides a budget: give it with keep=...; found {call.scope!r}")
    refuse_coverage(chosen, call.coverage_factor)
    if keep is not None:
        target = Keep(float(keep), method.default_scope if call.scope is None else call.scope)
    else:
        assert eps is not None
        target = Within(float(eps))
    refuse_no_module(model)
    request = Request(
        model=model,
        target=target,
        delta=DEFAULT_DELTA if call.delta is None else float(call.delta),
        bound=chosen,
        coverage_factor=float(call.coverage_factor),
        seed=whole("seed", call.seed, 0),
        points=0,
        masks=call.masks,
        refit=call.refit,
        effective=call.effective,
        progress=call.progress,
        output=call.output,
        pattern=call.pattern,
        candidates=whole("candidates", 1 if call.candidates is None else call.candidates, 1),
    )
    if call.masks and call.refit:
        raise ValueError("refit=True writes new weights, not masks; leave masks=False")
    if call.effective and eps is not None:
        raise ValueError(
            "effective=True spends what is freed of a budget: give it with keep=...; found "
            f"eps={eps!r}"
        )
    method.check(request)
    rows = chosen.knows in ("shares", "neuron") or measured or method.needs(request).rows
    if call.points is not None and not rows:
        raise ValueError(
            f"method {method.name!r} with bound {chosen.name!r} looks at no activation rows; leave "
            f"out points={call.points!r}"
        )
    if call.points is not None:
        whole("points", call.points, 1)
    return replace(request, points=(call.points or DEFAULT_POINTS) if rows else 0)


def _kept_by(pattern: str, keep: float | None, eps: float | None, effective: bool) -> float | None:
    """The fraction that a pattern keeps, or the one that was given."""
    own = pattern_of(pattern).fraction
    if eps is not None or effective:
        raise ValueError(
            f"pattern={pattern!r} is of budget mode: leave out eps and effective"
            + ("" if own else ", and give keep=...")
        )
    if own is not None and keep is not None and keep != own:
        raise ValueError(f"pattern={pattern!r} keeps {own:g} of the weights; found keep={keep!r}")
    return keep if own is None else own


def _bound(method: Method, bound: str | Bound | None) -> Bound:
    if isinstance(bound, Bound):
        chosen = bound
    else:
        every = BOUNDS | {MEASURED.name: MEASURED}
        name = method.default_bound if bound is None else bound
        if name not in every:
            raise ValueError(f"bound must be one of {', '.join(every)}; found {bound!r}")
        chosen = every[name]
    if isinstance(chosen, Measured):
        return chosen
    if bound is not None and "bound" in method.takes and not method.accepts(chosen):
        known = bounds_of(method) or (MEASURED.name,)
        raise ValueError(
            f"method {method.name!r} takes bound={' or '.join(map(repr, known))}; found "
            f"{chosen.name!r}"
        )
    return chosen


def _check_measured(
    method: Method, bound: Bound, eps: float | None, refit: bool, candidates: int | None
) -> None:
    """Refuse what choosing by measured errors cannot do, and candidates without it."""
    if not isinstance(bound, Measured):
        if candidates is not None:
            raise ValueError(
                f"candidates={candidates!r} are chosen from by bound='measured' alone; found bound "
                f"{bound.name!r}"
            )
        return
    if not method.measurable:
        raise ValueError(f"method {method.name!r} does not choose weights by bound='measured'")
    if eps is None:
        raise ValueError("bound='measured' is of guarantee mode: give eps=..., and leave out keep")
    if candidates is not None and not method.random:
        raise ValueError(
            f"method {method.name!r} draws nothing: candidates={candidates!r} would all be the same"
        )


def _refuse_unused(method: Method, **arguments: object) -> None:
    """Refuse all arguments that have no effect on this method, by one message."""
    unused = [
        f"{name}={value!r}"
        for name, value in arguments.items()
        if value is not None and name not in method.takes
    ]
    if unused:
        raise ValueError(
            f"method {method.name!r} does not use {', '.join(unused)}; it takes "
            f"{', '.join(sorted(method.takes))}"
        )
