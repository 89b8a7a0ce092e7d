"""Every combination that `prune` accepts, and whether what it promises is kept.

Method x bound x mode x modifier x dtype x activations x layer. Which are accepted is asked of
`make_request`, so that a new method or bound is in the matrix without an entry here. What speaks of
a layer of another shape or of whole channels has a family of its own (MS, PF, NC).

The quick profile looks at combinations that hold every pair of levels, the full one at every
triple; `python -m proofs_check.keeping FILE PART PARTS` looks at every PARTS-th of all from
PART on (from 0), a line of JSON each, and goes on where FILE ends.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Body, Setting, oracle
from sipp_core import PruneResult, calibrate
from sipp_core.methods import registered
from sipp_core.pruning import Method, draw, make_request, make_table, promise, prune
from sipp_core.runtime import generator, one_thread
from sipp_theory import BOUNDS

COPIES, FAN_IN, ROWS, STREAM = 4, 12, 6, 57
NEURONS = 2  # weights of both signs, and of one, where a promise has least to spare
DELTA, KEEP, EPS = 0.1, 0.5, 0.7
# Draws of a plan; each is a trial for every copy of the neuron.
DRAWS, RERUNS = 60, 12
LEVEL = 1e-3
PARTS = 8
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
ACTIVATIONS = ("non-negative", "signed", "one-hot", "dead")
LAYERS = ("dense", "grouped convolution", "patches")
MODIFIERS: tuple[dict[str, Any], ...] = (
    {}, {"refit": True}, {"effective": True}, {"pattern": "2:4"}
)  # fmt: skip
TIES = {torch.float64: 1e-9}
# Claims that every promise rests on, and those that say how a budget was shared.
COMMON = ("ES-1", "SP-9", "AL-1", "AL-3", "AL-5", "AL-6")


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


@cache
def accepted() -> tuple[Combination, ...]:
    """Every combination that no argument's check refuses and no such layer is too small for."""
    return tuple(_accepted())


def _accepted() -> Iterator[Combination]:
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
            if _speaks_of(method, layer):
                yield Combination(
                    method, bound, target, tuple(modifier.items()), dtype, kind, layer
                )


def rows_of(kind: str, rng: torch.Generator) -> Tensor:
    """Rows that enter a neuron, (ROWS, FAN_IN)."""
    rows = torch.rand(ROWS, FAN_IN, generator=rng) + 0.05
    if kind == "signed":
        rows *= torch.where(torch.rand(rows.shape, generator=rng) < 0.5, -1.0, 1.0)
    if kind == "one-hot":
        rows = torch.eye(FAN_IN)[:ROWS] * rows
    if kind == "dead":
        rows[:, ::3] = 0
    return rows


def instance(one: Combination, place: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A layer of COPIES of each of two neurons, inputs to it, and the rows that they make."""
    rng = torch.Generator().manual_seed(place)
    rows = rows_of(one.activations, rng).to(one.dtype)
    mixed = torch.randn(FAN_IN, generator=rng)
    neurons = torch.stack([mixed, mixed.abs()]).repeat(COPIES, 1)
    groups, inputs, out = 1, rows, len(neurons)
    if one.layer == "dense":
        layer: nn.Module = nn.Linear(FAN_IN, out, bias=False)
    elif one.layer == "patches":
        layer = nn.Conv1d(2, out, FAN_IN // 2, stride=FAN_IN // 2, bias=False)
        # Two patches an input: (inputs, positions, channels, width) to (inputs, channels, width).
        parts = rows.reshape(ROWS // 2, 2, 2, FAN_IN // 2)
        inputs = parts.transpose(1, 2).reshape(ROWS // 2, 2, FAN_IN)
    else:
        groups = 2
        layer = nn.Conv1d(FAN_IN * 2, out * 2, 1, groups=2, bias=False)
        inputs = rows.repeat(1, 2)[:, :, None]
    weight = layer.get_parameter("weight")
    weight.data = neurons.repeat(groups, 1).reshape(weight.shape)
    return layer.to(one.dtype), inputs, rows


def matrix_of(layer: nn.Module) -> np.ndarray:
    """The weights of a layer as it holds them, (out, fan_in) float64."""
    # Two thin layers hold a product, which is taken in float64.
    weight = copy.deepcopy(layer).double().weight
    assert isinstance(weight, Tensor)
    return weight.detach().flatten(1).double().numpy()


def spent(
    old: np.ndarray, new: np.ndarray, rows: np.ndarray, eps: np.ndarray, dtype: torch.dtype
) -> np.ndarray:
    """Errors over what eps allows, (out, rows); 0 where eps is +inf and allows everything."""
    moved = np.abs((new - old) @ rows.T)
    size = np.abs(old) @ np.abs(rows.T)
    # Shares of layers in less than float64 were measured in float32.
    tie = TIES.get(dtype, 1e-6)
    with np.errstate(invalid="ignore"):
        limit = np.where(np.isfinite(eps)[:, None], (eps[:, None] + tie) * size + 1e-12, np.inf)
    return moved / limit


@dataclass(frozen=True)
class Outcome:
    """What one combination came to.

    Attributes:
        kind: of promise: the claims that tell its size from others'.
        rate: share of draws that fail at the worst row.
        used: largest share of the promise that an error took, where no chance is left.
        trials: draws; 0 of what is promised with certainty.
        refused: why there is nothing to look at.
        broken: what is wrong with the promise.
    """

    kind: str = ""
    rate: float = 0.0
    used: float = 0.0
    trials: int = 0
    refused: str = ""
    broken: str = ""


def pruned(one: Combination, place: int, seed: int) -> tuple[PruneResult, nn.Module, Any, Tensor]:
    """What `prune` makes of a small layer; the layer, what was given, and the rows it makes.

    Raises:
        ValueError: `prune` takes it not, or the result is of another shape.
    """
    layer, inputs, rows = instance(one, place)
    needs = one.method.needs(make_request(one.method, layer, **one.arguments()))
    # What is set aside has no say in the promise: of so many copies of an input one is.
    inputs = inputs.repeat_interleave(max(1, needs.held_out), dim=0)
    given: Any = inputs
    if needs.targets:
        given = [(inputs, torch.zeros(len(inputs), dtype=torch.long))]
    result = prune(layer, given, method=one.method, seed=seed, **one.arguments())
    weight = getattr(result.model, "weight", None)
    if not isinstance(weight, Tensor) or weight.shape != layer.weight.shape:
        raise ValueError("the result is of another shape")
    return result, layer, given, rows


@cache
def _speaks_of(method: Method, layer: str) -> bool:
    """Whether a method has anything to say of one layer of this kind by itself."""
    target = ("keep", KEEP) if "keep" in method.takes else ("eps", EPS)
    one = Combination(method, None, target, (), torch.float64, "non-negative", layer)
    try:
        pruned(one, 0, 0)
    except (ValueError, TypeError):
        return False
    return True


def look(one: Combination, place: int, seed: int) -> Outcome:
    """Prune a small layer and hold what is promised against what the weights do."""
    try:
        result, layer, given, rows = pruned(one, place, seed)
    except (ValueError, TypeError) as error:
        return Outcome(refused=str(error))
    old, new, points = matrix_of(layer), matrix_of(result.model), rows.double().numpy()
    report, kind = result.layers[0], " ".join(c for c in result.claims if c not in COMMON)
    if report.measured_neuron is not None:
        used = float(spent(old, new, points, report.measured_neuron, torch.float64).max())
        if used > 1:
            return Outcome(kind, broken=f"measured {report.measured!r} is passed by {used - 1:.2g}")
    if ("refit", True) in one.modifier and one.bound != "measured":
        return Outcome("SP-12 alone")  # nothing is promised before weights are solved for
    if one.bound == "measured" or one.method.certain or one.modifier or not one.method.random:
        used = float(spent(old, new, points, report.eps_neuron, one.dtype).max())
        return Outcome(
            kind, used=used, broken=f"eps is passed by {used - 1:.2g}" if used > 1 else ""
        )
    failed = np.stack(list(_failures(one, result, layer, given, points, seed)))
    # Draws, copies, neurons, rows: copies of a neuron are trials of one promise.
    failed = failed.reshape(len(failed), -1, NEURONS, len(points))
    trials, worst = failed[..., 0, 0].size, int(failed.sum(axis=(0, 1)).max())
    # One matrix has some 10^4 combinations; a promise that is broken is so by far.
    chance = float(stats.binom.sf(worst - 1, trials, DELTA)) * NEURONS * len(points)
    text = f"{worst} of {trials} draws pass eps at one row, promised at most {DELTA:g}"
    return Outcome(
        kind, worst / trials, trials=trials, broken=text if chance <= LEVEL / 2e4 else ""
    )


def _failures(
    one: Combination, result: PruneResult, layer: nn.Module, given: Any, points: np.ndarray,
    seed: int,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Which neurons miss their promise at which rows, draw by draw."""
    old = matrix_of(layer)
    if not (one.method.redraws and result.plans):
        for again in range(RERUNS):
            other = prune(layer, given, method=one.method, seed=seed + again, **one.arguments())
            eps = other.layers[0].eps_neuron
            yield spent(old, matrix_of(other.model), points, eps, one.dtype) > 1
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
        yield spent(old, new, points, eps, one.dtype) > 1


@cache
def covering(strength: int) -> tuple[int, ...]:
    """Places of combinations that hold every `strength` levels that occur together, greedily."""
    columns = [
        np.unique(names, return_inverse=True)[1]
        for names in zip(*map(_levels, accepted()), strict=True)
    ]
    groups: list[np.ndarray] = []
    for chosen in itertools.combinations(columns, strength):
        group = np.unique(np.stack(chosen), axis=1, return_inverse=True)[1].reshape(-1)
        groups.append(group + (groups[-1].max() + 1 if groups else 0))
    ids = np.stack(groups, axis=1)
    missing = np.ones(ids.max() + 1, dtype=bool)
    places: list[int] = []
    while missing.any():
        places.append(int(missing[ids].sum(axis=1).argmax()))
        missing[ids[places[-1]]] = False
    return tuple(places)


def _levels(one: Combination) -> tuple[str, ...]:
    named = (one.method.name, one.bound, one.target[0], one.modifier, one.dtype)
    return (*map(str, named), one.activations, one.layer)


def _kept(setting: Setting, part: int) -> Result:
    """Look at every PARTS-th combination of the covering that the profile asks for."""
    every = accepted()
    looks: list[Outcome] = []
    for place in covering(3 if setting.full else 2)[part::PARTS]:
        looks.append(look(every[place], place, setting.seed))
        if looks[-1].broken:
            raise Refuted(f"{every[place]}: {looks[-1].broken}")
    return _summary(looks, len(every))


def _summary(looks: Sequence[Outcome], of: int) -> Result:
    """The worst of each kind of promise."""
    fine = [one for one in looks if not one.refused]
    kinds = sorted({one.kind for one in fine})
    rates = {k: max(x.rate for x in fine if x.kind == k and x.trials) for k in kinds
             if any(x.trials for x in fine if x.kind == k)}  # fmt: skip
    used = {k: max(x.used for x in fine if x.kind == k) for k in kinds if k not in rates}
    none = "nothing"
    return Result(
        f"{len(fine)} of {of} accepted combinations; {len(looks) - len(fine)} more were refused "
        f"when the layer was looked at. Failures at the worst row, {DELTA:g} promised: "
        f"{'; '.join(f'{k} {rate:.3f}' for k, rate in rates.items()) or none}. What errors "
        "take of a promise that is certain: "
        f"{'; '.join(f'{k} {share:.6f}' for k, share in used.items()) or none}",
        cases=len(fine), series={kind: [worst] for kind, worst in (rates | used).items()},
    )  # fmt: skip


def _part(part: int) -> Body:
    """The check of one part of the methods; parts are shared out among processes."""

    def body(setting: Setting) -> Result:
        return _kept(setting, part)

    body.__name__ = f"combinations_{part + 1}"
    body.__doc__ = (
        "No promise is broken: method x bound x mode x modifier x dtype x activations x layer, "
        f"part {part + 1} of {PARTS}."
    )
    return oracle("SP-9", "SP-6", "SP-8", "SP-11", "SP-12")(body)


COMBINATIONS = tuple(map(_part, range(PARTS)))


@oracle("SP-9", "SP-6", "SP-8", "SP-11")
def least_to_spare(setting: Setting) -> Result:
    """No promise is broken where it has least to spare: exact tails, one sign, coarse weights."""
    every = accepted()
    looks: list[Outcome] = []
    for place, one in enumerate(every):
        by_rows = one.bound in BOUNDS and BOUNDS[one.bound].knows in ("shares", "neuron")
        rest = (one.target[0], one.modifier, one.dtype, one.activations, one.layer)
        if by_rows and rest == ("keep", (), torch.bfloat16, "dead", "dense"):
            looks.append(look(one, place, setting.seed))
            if looks[-1].broken:
                raise Refuted(f"{one}: {looks[-1].broken}")
    return _summary(looks, len(every))


def whole(path: Path, part: int, parts: int) -> None:
    """Look at combinations that the file does not hold yet, a line of JSON each."""
    lines = path.read_text().splitlines() if path.exists() else []
    done = {json.loads(line)["place"] for line in lines}
    with path.open("a") as file, one_thread():
        for place, one in enumerate(accepted()):
            if place % parts == part and place not in done:
                row = {"place": place, "of": str(one)} | asdict(look(one, place, 0))
                print(json.dumps(row), file=file, flush=True)
