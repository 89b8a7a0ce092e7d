"""Every combination that `prune` accepts, and whether what it promises is kept.

Method x bound x mode x modifier x dtype x activations x layer. Which are accepted is asked of
`make_request`, so that a new method or bound is in the matrix without an entry here. What speaks of
a layer of another shape or of whole channels has a family of its own (MS, PF, NC).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from proofs_check.ledger.evidence import Found, Refuted
from proofs_check.ledger.registry import Setting, oracle
from sipp_core import PruneResult, calibrate
from sipp_core.methods import registered
from sipp_core.pruning import Method, draw, make_request, make_table, promise, prune
from sipp_core.runtime import generator
from sipp_theory import BOUNDS

COPIES, FAN_IN, ROWS, STREAM = 4, 12, 6, 57
DELTA, KEEP, EPS = 0.1, 0.5, 0.7
# Draws of a plan; each is a trial for every copy of the neuron.
DRAWS, RERUNS = 60, 12
LEVEL = 1e-3
PARTS, THINNED = 8, 401
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
ACTIVATIONS = ("non-negative", "signed", "one-hot", "dead")
LAYERS = ("dense", "grouped convolution", "patches")
MODIFIERS: tuple[dict[str, Any], ...] = (
    {}, {"refit": True}, {"effective": True}, {"pattern": "2:4"}
)  # fmt: skip
TIES = {torch.float64: 1e-9}


@dataclass(frozen=True)
class Combination:
    """One cell of the matrix."""

    method: Method
    bound: str | None
    target: tuple[str, float]
    modifier: tuple[tuple[str, Any], ...]
    dtype: torch.dtype
    activations: str
    layer: str

    def arguments(self) -> dict[str, Any]:
        """What `prune` is given beside the model and the inputs."""
        named: dict[str, Any] = {self.target[0]: self.target[1]}
        named |= dict(self.modifier)
        if self.bound is not None:
            named["bound"] = self.bound
        return named if self.bound == "measured" or self.method.certain else named | {
            "delta": DELTA
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.method.name} {self.arguments()} {self.dtype} {self.activations} {self.layer}"


def accepted() -> Iterator[Combination]:
    """Every combination that no argument's check refuses."""
    probe = nn.Linear(2, 2)
    names: tuple[str | None, ...] = (None, *BOUNDS, "measured")
    for method, bound, target, modifier in itertools.product(
        registered().values(), names, (("keep", KEEP), ("eps", EPS)), MODIFIERS
    ):
        if bound is None and "bound" in method.takes and any(map(method.accepts, BOUNDS.values())):
            continue  # the default bound is among the others
        one = Combination(method, bound, target, tuple(modifier.items()), torch.float64, "", "")
        try:
            make_request(method, probe, **one.arguments())
        except ValueError:
            continue
        for dtype, kind, layer in itertools.product(DTYPES, ACTIVATIONS, LAYERS):
            yield Combination(method, bound, target, tuple(modifier.items()), dtype, kind, layer)


def rows_of(kind: str, dice: torch.Generator) -> Tensor:
    """Rows that enter a neuron, (ROWS, FAN_IN)."""
    rows = torch.rand(ROWS, FAN_IN, generator=dice) + 0.05
    if kind == "signed":
        rows *= torch.where(torch.rand(rows.shape, generator=dice) < 0.5, -1.0, 1.0)
    if kind == "one-hot":
        rows = torch.eye(FAN_IN)[:ROWS] * rows
    if kind == "dead":
        rows[:, ::3] = 0
    return rows


def instance(one: Combination, place: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A layer whose neurons are all alike, inputs to it, and the rows that they make, as groups."""
    dice = torch.Generator().manual_seed(place)
    rows = rows_of(one.activations, dice).to(one.dtype)
    neuron = torch.randn(FAN_IN, generator=dice)
    groups, inputs = 1, rows
    if one.layer == "dense":
        layer: nn.Module = nn.Linear(FAN_IN, COPIES, bias=False)
    elif one.layer == "patches":
        layer = nn.Conv1d(2, COPIES, FAN_IN // 2, stride=FAN_IN // 2, bias=False)
        # Two patches an input: (inputs, positions, channels, width) to (inputs, channels, width).
        parts = rows.reshape(ROWS // 2, 2, 2, FAN_IN // 2)
        inputs = parts.transpose(1, 2).reshape(ROWS // 2, 2, FAN_IN)
    else:
        groups = 2
        layer = nn.Conv1d(FAN_IN * 2, COPIES * 2, 1, groups=2, bias=False)
        inputs = rows.repeat(1, 2)[:, :, None]
    weight = layer.get_parameter("weight")
    weight.data = neuron.repeat(COPIES * groups, 1).reshape(weight.shape)
    return layer.to(one.dtype), inputs, rows


def matrix_of(layer: nn.Module) -> np.ndarray:
    """The weights of a layer, (out, fan_in) float64."""
    return layer.get_parameter("weight").detach().flatten(1).double().numpy()


def beyond(
    old: np.ndarray, new: np.ndarray, shift: np.ndarray, rows: np.ndarray, eps: np.ndarray,
    dtype: torch.dtype,
) -> np.ndarray:  # fmt: skip
    """Which neurons miss eps at which rows, (out, rows); nothing is promised where eps is +inf."""
    moved = np.abs((new - old) @ rows.T + shift[:, None])
    size = np.abs(old) @ np.abs(rows.T)
    # Shares of layers in less than float64 were measured in float32.
    tie = TIES.get(dtype, 1e-6)
    with np.errstate(invalid="ignore"):
        limit = np.where(np.isfinite(eps)[:, None], (eps[:, None] + tie) * size + 1e-12, np.inf)
    return moved > limit


def delivered(result: PruneResult, layer: nn.Module) -> tuple[np.ndarray, np.ndarray] | None:
    """Weights and change of the bias in the result; None of a layer that has another shape."""
    weight = getattr(result.model, "weight", None)
    if not isinstance(weight, Tensor) or weight.shape != layer.get_parameter("weight").shape:
        return None
    flat = weight.detach().flatten(1).double().numpy()
    return flat, np.zeros(len(flat))


def complaint(one: Combination, place: int, seed: int) -> str | None:
    """What is wrong with the promise of a combination; "refused" where `prune` takes it not."""
    layer, inputs, rows = instance(one, place)
    needs = one.method.needs(make_request(one.method, layer, **one.arguments()))
    # What is set aside has no say in the promise: of so many copies of an input one is.
    inputs = inputs.repeat_interleave(max(1, needs.held_out), dim=0)
    given: Any = inputs
    if needs.targets:
        given = [(inputs, torch.zeros(len(inputs), dtype=torch.long))]
    try:
        result = prune(layer, given, method=one.method, seed=seed, **one.arguments())
    except (ValueError, TypeError) as error:
        return f"refused: {error}"
    made = delivered(result, layer)
    if made is None or result.channels is not None:
        return "refused: another shape"
    old, points = matrix_of(layer), rows.double().numpy()
    report = result.layers[0]
    if report.measured_neuron is not None:
        wrong = beyond(old, *made, points, report.measured_neuron, torch.float64)
        if wrong.any():
            return f"measured {report.measured!r} is passed in {int(wrong.sum())} places"
    if ("refit", True) in one.modifier and one.bound != "measured":
        return None  # nothing is promised before weights are solved for
    certain = one.bound == "measured" or one.method.certain or bool(one.modifier)
    if certain or not one.method.random:
        wrong = beyond(old, *made, points, report.eps_neuron, one.dtype)
        return f"eps is passed at {int(wrong.sum())} rows, with certainty" if wrong.any() else None
    failed = np.sum(list(_failures(one, result, layer, given, points, made, seed)), axis=0)
    trials = failed.shape[0] * (DRAWS if one.method.redraws and result.plans else RERUNS)
    worst = int(failed.sum(axis=0).max())
    chance = float(stats.binom.sf(worst - 1, trials, DELTA)) * len(points)
    # One matrix has some 10^4 combinations; a promise that is broken is so by far.
    if chance <= LEVEL / 2e4:
        return f"{worst} of {trials} draws pass eps at one row, promised at most {DELTA:g}"
    return None


def _failures(
    one: Combination, result: PruneResult, layer: nn.Module, given: Any, points: np.ndarray,
    made: tuple[np.ndarray, np.ndarray], seed: int,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Which neurons miss their promise at which rows, draw by draw."""
    old = matrix_of(layer)
    if not (one.method.redraws and result.plans):
        for again in range(RERUNS):
            other = prune(layer, given, method=one.method, seed=seed + again, **one.arguments())
            new = delivered(other, layer)
            assert new is not None
            yield beyond(old, *new, points, other.layers[0].eps_neuron, one.dtype)
        return
    plan = result.plans[0]
    inputs = given if isinstance(given, Tensor) else given[0][0]
    numbers = make_table(
        calibrate(layer, inputs, points=1024).layers[0], delta=DELTA, coverage_factor=1.0,
        bound=BOUNDS[result.bound], eta=len(old), eta_star=old.shape[1],
    )  # fmt: skip
    for trial in range(DRAWS):
        multiplier = draw(plan, generator(seed, STREAM, trial))
        new = torch.from_numpy(old * multiplier).to(one.dtype).double().numpy()
        eps = (plan.eps + promise.rounding_errors(numbers, multiplier, new)).max(axis=0)
        yield beyond(old, new, made[1], points, eps, one.dtype)


def _kept(setting: Setting, part: int) -> Found:
    """Look at every PARTS-th combination, or, in the quick profile, at few of them."""
    every = list(accepted())
    looked, refused = 0, 0
    for place in range(part, len(every), PARTS if setting.full else PARTS * THINNED):
        said = complaint(every[place], place, setting.seed)
        if said is not None and said.startswith("refused"):
            refused += 1
        elif said is not None:
            raise Refuted(f"{every[place]}: {said}")
        looked += 1
    return Found(
        f"{looked} of {len(every)} accepted combinations, of which {refused} are of another shape "
        "or refused when the layer was looked at",
        cases=looked,
    )


# Eight parts, so that processes share them out; the full profile looks at all combinations.
@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_1(setting: Setting) -> Found:
    """No promise is broken: method x bound x mode x modifier x dtype x activations x layer, 1/8."""
    return _kept(setting, 0)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_2(setting: Setting) -> Found:
    """The same, part 2 of 8."""
    return _kept(setting, 1)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_3(setting: Setting) -> Found:
    """The same, part 3 of 8."""
    return _kept(setting, 2)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_4(setting: Setting) -> Found:
    """The same, part 4 of 8."""
    return _kept(setting, 3)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_5(setting: Setting) -> Found:
    """The same, part 5 of 8."""
    return _kept(setting, 4)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_6(setting: Setting) -> Found:
    """The same, part 6 of 8."""
    return _kept(setting, 5)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_7(setting: Setting) -> Found:
    """The same, part 7 of 8."""
    return _kept(setting, 6)


@oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")
def combinations_8(setting: Setting) -> Found:
    """The same, part 8 of 8."""
    return _kept(setting, 7)
