"""A bound on draws with replacement is one object; `sample_size` and `error` ask it by name.

`BOUNDS` lists them from the loosest to the sharpest, none larger than the one before at coverage
factor 1: corenet (as printed), bernstein, kl, cramer, exact. The first three know one number of a
neuron's sign, the next two its shares at given inputs; neuron and neuron-exact (SP-11, in
`sipp_theory.inclusion`) speak of both signs at once, with shares that are signed. Each is
registered by the file that computes it; to add one, put such a file into this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sipp_theory.numeric.checks import Float

# What a bound must know of a neuron, as fields of Neuron.
_NEEDS = {
    "sum": ("sensitivity_sum",),
    "network": ("sensitivity_sum", "eta", "eta_star"),
    "shares": ("shares", "probabilities"),
    "neuron": ("shares", "probabilities"),
}
_FIELDS = tuple(dict.fromkeys(field for fields in _NEEDS.values() for field in fields))


@dataclass(frozen=True, eq=False)
class Neuron:
    """One sign of one neuron, or all of it, as a bound sees it; it reads the fields that it needs.

    Attributes:
        sensitivity_sum: S_sum, 0 or >= 1; any shape, one entry a neuron.
        shares: (n, k) g_j(x) of the k candidate weights at n inputs; one neuron. For a bound that
            knows "neuron" w_j a_j/z~, signed.
        probabilities: (k,) q_j >= 0 that add up to 1; one neuron.
        coverage_factor: C with g_j(x) <= C s_j, >= 1; broadcasts.
        eta: number of neurons of the network.
        eta_star: widest layer, the input width included.
    """

    sensitivity_sum: ArrayLike | None = None
    shares: ArrayLike | None = None
    probabilities: ArrayLike | None = None
    coverage_factor: ArrayLike = 1.0
    eta: ArrayLike | None = None
    eta_star: ArrayLike | None = None


class Inclusion(ABC):
    """What a bound says of independent (Poisson) inclusion, p_j = min(1, c s_j), of one neuron.

    `independent` says that it speaks of independent weights alone; every other form survives the
    coupling of pivotal sampling.

    Claim: SP-8. Source: [OWN].
    """

    independent: ClassVar[bool] = False

    @abstractmethod
    def rate(
        self, s: ArrayLike, eps: float, delta: float, *, shares: ArrayLike | None = None,
        coverage_factor: float = 1.0,
    ) -> np.float64:  # fmt: skip
        """Least rate c that promises eps; see `inclusion_rate`."""

    @abstractmethod
    def error(
        self, s: ArrayLike, rate: float, delta: float, *, shares: ArrayLike | None = None,
        coverage_factor: float = 1.0,
    ) -> np.float64:  # fmt: skip
        """Error promised at rate c, rounded up; see `inclusion_error`."""

    def rates(
        self, sensitivity: NDArray[Any], eps: float, deltas: ArrayLike, *,
        coverage_factor: float = 1.0,
    ) -> Float:  # fmt: skip
        """Least rates of many neurons, as `rate` each, by a bound that looks at no shares, (n,).

        Shapes: sensitivity (n, k), 0 for weights that are none of a neuron's, deltas () or (n,).
        """
        factor = coverage_factor
        each = zip(_live(sensitivity), _each(deltas, len(sensitivity)), strict=True)
        return np.array(
            [self.rate(s, eps, d, coverage_factor=factor) if s.size else 0.0 for s, d in each],
            np.float64,
        )

    def errors(
        self, sensitivity: NDArray[Any], rates: Float, deltas: ArrayLike, *,
        coverage_factor: float = 1.0,
    ) -> Float:  # fmt: skip
        """Errors of many neurons at their rates (n,), as `error` each; shapes as for `rates`."""
        factor = coverage_factor
        each = zip(_live(sensitivity), rates.tolist(), _each(deltas, len(rates)), strict=True)
        return np.array(
            [self.error(s, c, d, coverage_factor=factor) if s.size else 0.0 for s, c, d in each],
            np.float64,
        )

    def layer_rates(
        self, weight: Float, rows: Float, scores: Float, eps: float, delta: ArrayLike,
        threads: int = 1,
    ) -> Float:  # fmt: skip
        """Least rates of the neurons of a layer, (out,), by a bound that looks at shares.

        Shapes: weight and scores (out, k), rows (n, k), delta () or (out,).
        """
        raise NotImplementedError  # a bound that looks at no rows

    def layer_errors(
        self, weight: Float, rows: Float, probabilities: Float, delta: ArrayLike, threads: int = 1
    ) -> Float:
        """Errors of the neurons of a layer, (out,); shapes as for `layer_rates`."""
        raise NotImplementedError  # a bound that looks at no rows


def _live(sensitivity: NDArray[Any]) -> Iterator[Float]:
    """Of each row what is above 0."""
    return (row[row > 0].astype(np.float64) for row in sensitivity)


def _each(deltas: ArrayLike, count: int) -> list[float]:
    return np.broadcast_to(np.asarray(deltas, np.float64), count).tolist()


class Bound(ABC):
    """A bound on the error of m draws with replacement, for one sign of a neuron or for all of it.

    A subclass gives `name`, `claim` (its THEORY id), `title` (for tables and figures), `knows`
    ("sum": S_sum; "network": S_sum, eta and eta*; "shares": shares and probabilities; "neuron":
    signed shares of both signs, z~ in z's place), whether it `takes_coverage` (a factor C), and the
    two directions `size` and `error`; `inclusion` is what it says of Poisson inclusion, or None.
    `register_bound` puts it into BOUNDS.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-11. Source: see `sample_size`.
    """

    name: ClassVar[str]
    claim: ClassVar[str]
    title: ClassVar[str]
    knows: ClassVar[Literal["sum", "network", "shares", "neuron"]]
    takes_coverage: ClassVar[bool] = False
    inclusion: Inclusion | None = None

    @abstractmethod
    def size(
        self, neuron: Neuron, eps: ArrayLike, delta: ArrayLike, limit: float = np.inf
    ) -> Float | np.float64:
        """Least number of draws that promises eps; +inf where `limit` draws are not enough."""

    @abstractmethod
    def error(self, neuron: Neuron, m: ArrayLike, delta: ArrayLike) -> Float | np.float64:
        """Relative error promised for m draws, rounded up; the inverse of `size` in eps."""

    def known(self, neuron: Neuron) -> tuple[ArrayLike, ...]:
        """Fields of the neuron that the bound needs, in order; a missing one is refused."""
        return tuple(self._required(neuron, field) for field in _NEEDS[self.knows])

    def _required(self, neuron: Neuron, field: str) -> ArrayLike:
        value = getattr(neuron, field)
        if value is None:
            raise ValueError(f"kind {self.name!r} needs {field}")
        return value

    def check(self, neuron: Neuron) -> None:
        """Refuse a field that is missing, and one that the bound would silently ignore."""
        needs = _NEEDS[self.knows]
        for field in _FIELDS:
            if field in needs:
                self._required(neuron, field)
            elif getattr(neuron, field) is not None:
                raise ValueError(
                    f"kind {self.name!r} takes no {field}; it needs {', '.join(needs)}"
                )
        factor = neuron.coverage_factor
        if not self.takes_coverage and not (isinstance(factor, int | float) and factor == 1):
            raise ValueError(
                f"kind {self.name!r} takes no coverage_factor (CoreNet has K built in; the "
                f"instance-exact kinds speak of the given inputs only); found {factor!r}"
            )


BOUNDS: dict[str, Bound] = {}
B = TypeVar("B", bound=Bound)


def register_bound(bound: type[B]) -> type[B]:
    """Put an object of a subclass of Bound into BOUNDS under its name; for use as a decorator.

    `sample_size`, `error`, `sipp bounds` and, if it has `inclusion`, `inclusion_rate` and
    `inclusion_error` take it from then on.

    Args:
        bound: the class; built without arguments.

    Returns:
        The class itself.

    Raises:
        ValueError: another bound has that name.

    Example:
        >>> register_bound(type(BOUNDS["kl"])) is type(BOUNDS["kl"])
        True
    """
    former = BOUNDS.get(bound.name)
    if former is not None and type(former) is not bound:
        raise ValueError(f"a bound named {bound.name!r} exists already: {type(former).__name__}")
    BOUNDS.setdefault(bound.name, bound())
    return bound


class Names(Sequence[str]):
    """Names of the bounds in BOUNDS for which a condition holds, read again at each use."""

    def __init__(self, condition: Callable[[Bound], bool] = lambda bound: True):
        self._condition = condition

    def _names(self) -> tuple[str, ...]:
        return tuple(name for name, bound in BOUNDS.items() if self._condition(bound))

    def __getitem__(self, index):  # pyright: ignore[reportMissingParameterType]
        return self._names()[index]

    def __len__(self) -> int:
        return len(self._names())

    def __repr__(self) -> str:
        return repr(self._names())


KINDS = Names()


def bound_named(kind: str) -> Bound:
    """Look a bound up; refuse an unknown kind."""
    if kind not in BOUNDS:
        raise ValueError(f"kind must be one of {', '.join(BOUNDS)}; found {kind!r}")
    return BOUNDS[kind]


def sample_size(
    kind: str,
    *,
    eps: ArrayLike,
    delta: ArrayLike,
    sensitivity_sum: ArrayLike | None = None,
    coverage_factor: ArrayLike = 1.0,
    eta: ArrayLike | None = None,
    eta_star: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
) -> Float | np.float64:
    """Draws with replacement that keep one sign of one neuron within 1 +- eps.

    The least m with error(kind, m) <= eps: "corenet" SP-2, "bernstein" SP-3, "kl" SP-4,
    "cramer" SP-5, "exact" SP-5x; "neuron" and "neuron-exact" SP-11, of both signs drawn together.

    Args:
        kind: which bound; see KINDS.
        eps: relative error, in (0, 1); one number for bounds that take shares.
        delta: failure probability in (0, 1): of one neuron and sign at one input, but of the whole
            network for corenet, as its paper has it.
        sensitivity_sum: S_sum, 0 or >= 1, any shape (corenet, bernstein, kl).
        coverage_factor: C with g_j(x) <= C s_j, >= 1 (bernstein, kl); 1 on the calibration points.
        eta: number of neurons of the network (corenet).
        eta_star: widest layer, the input width included (corenet).
        shares: (n, k) g_j(x) of the k candidate weights at n inputs (cramer, exact), or w_j a_j/z~,
            whose magnitudes add up to 1 (neuron, neuron-exact).
        probabilities: (k,) q_j >= 0 that add up to 1 (cramer, exact, neuron, neuron-exact).

    Returns:
        float64 whole numbers, broadcast over neurons; 0 for a dead neuron; +inf if none is enough.

    Raises:
        ValueError: an unknown kind, an argument that is missing, not taken, or out of range.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-11. Source: [CN] 1804.05345, [SP] 1910.05422, [OWN].

    Example:
        >>> sample_size("bernstein", sensitivity_sum=[4.0, 9.0], eps=0.1, delta=0.05).tolist()
        [2288.0, 6099.0]
    """
    bound = bound_named(kind)
    neuron = Neuron(sensitivity_sum, shares, probabilities, coverage_factor, eta, eta_star)
    bound.check(neuron)
    return bound.size(neuron, eps, delta)


def error(
    kind: str,
    *,
    m: ArrayLike,
    delta: ArrayLike,
    sensitivity_sum: ArrayLike | None = None,
    coverage_factor: ArrayLike = 1.0,
    eta: ArrayLike | None = None,
    eta_star: ArrayLike | None = None,
    shares: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
) -> Float | np.float64:
    """Relative error promised for m draws with replacement; the inverse of `sample_size` in eps.

    error(kind, m=sample_size(kind, eps)) <= eps, and one draw less would not do.

    Args:
        kind: which bound; see KINDS.
        m: number of draws, >= 0; one number for bounds that take shares, whole for all but cramer.
        delta: failure probability, as in `sample_size`.
        sensitivity_sum: S_sum, 0 or >= 1, any shape (corenet, bernstein, kl).
        coverage_factor: C with g_j(x) <= C s_j, >= 1 (bernstein, kl).
        eta: number of neurons of the network (corenet).
        eta_star: widest layer, the input width included (corenet).
        shares: (n, k) g_j(x) (cramer, exact) or w_j a_j/z~ (neuron, neuron-exact).
        probabilities: (k,) q_j (cramer, exact, neuron, neuron-exact).

    Returns:
        float64 errors, broadcast over neurons, rounded up; +inf at m = 0; vacuous from 1 on.

    Raises:
        ValueError: an unknown kind, an argument that is missing, not taken, or out of range.

    Claim: SP-2, SP-3, SP-4, SP-5, SP-5x, SP-11. Source: [CN] 1804.05345, [SP] 1910.05422, [OWN].

    Example:
        >>> bool(error("kl", sensitivity_sum=9.0, m=6_071, delta=0.05) <= 0.1)
        True
    """
    bound = bound_named(kind)
    neuron = Neuron(sensitivity_sum, shares, probabilities, coverage_factor, eta, eta_star)
    bound.check(neuron)
    return bound.error(neuron, m, delta)


def within(limit: float, size: Float) -> Float:
    """Sizes, +inf where they pass a limit."""
    return np.where(size <= limit, size, np.inf)[()]
