"""What a pruning method is: one object that says what it takes, needs, does and promises.

A file of `sipp_core.methods` defines it and registers it; `prune`, `sparsest`, the command line,
the report and the ledger ask the object, never its name.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import Tensor, nn

import sipp_core
from sipp_core.network.structure import Change
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.request import Request
from sipp_core.pruning.result import Channels, LayerReport
from sipp_core.pruning.table import Table
from sipp_core.sensitivity.calibrate import Calibration
from sipp_theory import BOUNDS, Bound

Family = Literal["sipp", "corenet", "baseline", "peer"]
FAMILIES: tuple[Family, ...] = ("sipp", "corenet", "baseline", "peer")


@dataclass(frozen=True)
class Facts:
    """What tables, figures and pages say of a method.

    Attributes:
        label: name in figures and tables.
        family: "sipp", "corenet", "baseline" (drawn beside both) or "peer" (a panel of its own).
        note: one or two sentences on how it chooses weights.
        source: paper, or [OWN].
    """

    label: str
    family: Family
    note: str
    source: str


@dataclass(frozen=True)
class Needs:
    """What calibration must keep for a method.

    Attributes:
        statistics: names of registered statistics.
        rows: whether activation rows are looked at, whatever the bound.
        held_out: every k-th input is set aside; 0 for none.
        inputs: whether the inputs themselves are held.
        targets: whether the calibration is (input, target) pairs.
    """

    statistics: frozenset[str] = frozenset()
    rows: bool = False
    held_out: int = 0
    inputs: bool = False
    targets: bool = False


@dataclass(frozen=True)
class Promise:
    """What a run promises.

    Attributes:
        claims: THEORY ids that the promise rests on.
        holds_for: which inputs it speaks of, and with what probability.
    """

    claims: tuple[str, ...]
    holds_for: str


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned copy, and what became of each layer.

    Attributes:
        model: the new model.
        reports: one report a layer.
        masks: bool masks of the weights that are left, by name of each layer that kept its shape.
        vacuous: whether the promises say nothing; None where what is measured decides (SP-12).
        plans: how each layer was drawn; empty where a method writes new weights.
        structure: changes of structure.
        notes: what a reader should know.
        channels: what became of whole channels, where a method removes them.
        promise: what is promised, where the calibration does not bear out what the method promises.
    """

    model: nn.Module
    reports: tuple[LayerReport, ...]
    masks: Mapping[str, Tensor]
    vacuous: bool | None
    plans: tuple[LayerPlan, ...] = ()
    structure: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    channels: Channels | None = None
    promise: Promise | None = None


class Method(ABC):
    """A pruning method.

    `name`, `facts` and what is below are class attributes; parameters, if it has any, are the
    fields of a frozen dataclass. `takes` names the optional arguments of `prune` that have an
    effect: of keep, eps, scope, bound, coverage_factor, masks, refit, effective and pattern; the
    others are refused.
    """

    name: str
    facts: Facts
    random: bool = True  # another seed gives another network
    certain: bool = False  # the promise needs no probability
    measurable: bool = False  # guarantee mode may choose weights by their measured error (SP-12)
    by_layer: bool = False  # chooses each layer's weights by that layer alone, if scope is "layer"
    redraws: bool = True  # the plans of a result can be drawn again
    takes: frozenset[str] = frozenset(
        {"keep", "eps", "scope", "bound", "coverage_factor", "masks", "refit", "effective"}
    )
    default_bound: str = "bernstein"
    guarantee_bound: str | None = None  # the default of guarantee mode, where it is another
    default_scope: Literal["layer", "global"] = "layer"

    def accepts(self, bound: Bound) -> bool:
        """Whether a bound can promise something of what this method does."""
        return bound.knows != "neuron"

    def check(self, request: Request) -> None:  # noqa: B027 (most methods refuse nothing more)
        """Refuse what `takes` cannot say."""

    def needs(self, request: Request) -> Needs:
        """What calibration must keep for this request."""
        return Needs()

    @abstractmethod
    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Prune a copy of the model."""

    @abstractmethod
    def promise(self, request: Request) -> Promise:
        """What the run promises."""

    def by_draws(self, tables: Sequence[Table], total: float) -> list[LayerPlan] | None:
        """Plans of so many draws of the whole network; None where it is not drawn so."""
        return None

    def settings(self) -> dict[str, object]:
        """Parameters of a variant by name; empty where there are none."""
        if not dataclasses.is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}


Registered = TypeVar("Registered", bound="type[Method] | Method")
_REGISTRY: dict[str, Method] = {}


def register(method: Registered) -> Registered:
    """Make a method known by its name; a decorator of its class, or called with an object of it.

    Args:
        method: a class that is built without arguments, or a method.

    Returns:
        The argument.

    Raises:
        ValueError: the name is taken.

    Example:
        >>> from sipp_core.methods import Magnitude
        >>> register(Magnitude)
        Traceback (most recent call last):
        ...
        ValueError: a method is named 'magnitude' already; choose another name
    """
    instance = method() if isinstance(method, type) else method
    if instance.name in _REGISTRY:
        raise ValueError(f"a method is named {instance.name!r} already; choose another name")
    _REGISTRY[instance.name] = instance
    return method


def registered() -> dict[str, Method]:
    """Every registered method by name: SiPP's, CoreNet's, baselines, peers.

    Returns:
        The methods, by family and within one in the order of registration.

    Example:
        >>> from sipp_core.methods import SippDet
        >>> registered()[SippDet.name].facts.family
        'sipp'
    """
    _ = sipp_core.methods  # loading it registers them
    methods = sorted(_REGISTRY.values(), key=lambda method: FAMILIES.index(method.facts.family))
    return {method.name: method for method in methods}


def find_method(method: str | Method) -> Method:
    """A method by its name; a method is handed back.

    Args:
        method: a registered name, or a method.

    Returns:
        The method.

    Raises:
        ValueError: no method of that name.

    Example:
        >>> from sipp_core.methods import Wanda
        >>> find_method(Wanda.name).facts.label
        'Wanda'
    """
    if isinstance(method, Method):
        return method
    known = registered()
    if method not in known:
        raise ValueError(f"method must be one of {', '.join(known)}; found {method!r}")
    return known[method]


def variant(method: Method, settings: Mapping[str, object]) -> Method:
    """The method with other parameters.

    Args:
        method: the method.
        settings: values by name of a parameter; strings are read as numbers or truth values where
            the parameter is one.

    Returns:
        A method of the same class.

    Raises:
        ValueError: a parameter that it does not have, or a value that it refuses.

    Example:
        >>> from sipp_core.methods import SippDet
        >>> variant(SippDet(), {"rank": "mean"})
        SippDet(rank='mean')
    """
    known = method.settings()
    strange = [f"{name}={value!r}" for name, value in settings.items() if name not in known]
    if strange:
        raise ValueError(
            f"method {method.name!r} has no parameter {', '.join(strange)}; its parameters are "
            f"{', '.join(known) or 'none'}"
        )
    return type(method)(**known | {n: _read(n, v, known[n]) for n, v in settings.items()})


def _read(name: str, value: object, usual: object) -> object:
    """A value as the type that the parameter has; only strings are read."""
    if not isinstance(value, str) or isinstance(usual, str):
        return value
    truth = {"true": True, "false": False}
    # What is estimated unless it is given is a number.
    kind = float if usual is None else type(usual)
    try:
        return truth[value.lower()] if kind is bool else kind(value)  # type: ignore[call-arg]
    except (KeyError, ValueError) as error:
        name_of_kind = "true or false" if kind is bool else kind.__name__
        raise ValueError(f"parameter {name} must be {name_of_kind}; found {value!r}") from error


def bounds_of(method: Method) -> tuple[str, ...]:
    """Names of the bounds that a method takes.

    Args:
        method: the method.

    Returns:
        Names of `sipp_theory.BOUNDS`, the default one among them.

    Example:
        >>> from sipp_core.methods import SippPoisson
        >>> bounds_of(SippPoisson())
        ('bernstein', 'kl', 'cramer', 'exact', 'neuron', 'neuron-exact')
    """
    if "bound" not in method.takes:
        return ()
    return tuple(name for name, bound in BOUNDS.items() if method.accepts(bound))
