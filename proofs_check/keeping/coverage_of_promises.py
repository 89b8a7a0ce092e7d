"""Coverage of what `prune` promises: methods, bounds, dtypes, activations and layers together."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.neuron import TIE
from sipp_core import calibrate
from sipp_core.methods import Entrywise, SippHybrid, SippPoisson, SippRand, Uniform
from sipp_core.pruning import LayerPlan, Method, Table, draw, make_table, promise, prune
from sipp_core.runtime import generator
from sipp_theory import BOUNDS, Bound

# Every neuron of a group is the same one, pruned on its own: each is a trial.
COPIES, FAN_IN, ROWS, PILOT = 16, 16, 12, 16
STREAM, DELTA, EPS = 56, 0.1, 0.7
METHODS: tuple[Method, ...] = (
    SippRand(), SippPoisson(), SippHybrid(), Uniform(), Entrywise("l1"),
)  # fmt: skip
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
ACTIVATIONS = ("non-negative", "signed", "one-hot", "dead")
GROUPS = (1, 2)


def _rows(kind: str, rng: torch.Generator, groups: int) -> Tensor:
    """Inputs of a layer, (ROWS, groups FAN_IN)."""
    rows = torch.rand(ROWS, FAN_IN, generator=rng) + 0.05
    if kind == "signed":
        rows *= torch.where(torch.rand(rows.shape, generator=rng) < 0.5, -1.0, 1.0)
    if kind == "one-hot":
        rows = torch.eye(FAN_IN)[:ROWS] * rows
    if kind == "dead":
        rows[:, ::3] = 0
    return rows.repeat(1, groups)


def _layer(rng: torch.Generator, groups: int) -> nn.Module:
    """A dense layer or a convolution in groups, all rows of weights alike."""
    weight = torch.randn(FAN_IN, generator=rng).repeat(COPIES * groups, 1)
    if groups == 1:
        layer: nn.Module = nn.Linear(FAN_IN, COPIES, bias=False)
    else:
        layer = nn.Conv1d(FAN_IN * groups, COPIES * groups, 1, groups=groups, bias=False)
    layer.get_parameter("weight").data = weight.reshape(layer.get_parameter("weight").shape)
    return layer


def _failures(plan: LayerPlan, table: Table, rows: np.ndarray, rng: np.random.Generator,
              dtype: torch.dtype) -> np.ndarray:  # fmt: skip
    """Which neurons miss their promise at which rows, in one draw; (out, rows)."""
    multiplier = draw(plan, rng)
    stored = torch.from_numpy(table.weight * multiplier).to(dtype).double().numpy()
    eps = (plan.eps + promise.rounding_errors(table, multiplier, stored)).max(axis=0)
    parts = rows.reshape(len(rows), -1, FAN_IN).swapaxes(0, 1)
    groups = [np.split(each, len(parts)) for each in (stored - table.weight, table.weight)]
    moved = np.concatenate([np.abs(w @ a.T) for w, a in zip(groups[0], parts, strict=True)])
    size = np.concatenate([np.abs(w) @ np.abs(a.T) for w, a in zip(groups[1], parts, strict=True)])
    # Shares of layers in less than float64 were measured in float32.
    tie = TIE if dtype == torch.float64 else 1e-6
    return moved > (eps[:, None] + tie) * size


@dataclass(frozen=True, eq=False)
class Case:
    """A layer that was pruned, and the row at which it is looked at."""

    plan: LayerPlan
    table: Table
    row: np.ndarray
    dtype: torch.dtype
    seed: tuple[int, ...]

    def misses(self, block: int, trials: int) -> int:
        """Count neurons that miss their promise in so many trials."""
        misses = [
            _failures(self.plan, self.table, self.row, generator(*self.seed, 1, block, start),
                      self.dtype)[:, 0]
            for start in range(0, trials, len(self.table.weight))
        ]  # fmt: skip
        return int(np.concatenate(misses)[:trials].sum())


def _case(method: Method, bound: Bound, dtype: torch.dtype, kind: str, groups: int, place: int,
          seed: tuple[int, ...]) -> Case:  # fmt: skip
    """Prune one layer; the row is the one where most of a few pilot draws fail."""
    rng = torch.Generator().manual_seed(place)
    rows, layer = _rows(kind, rng, groups).to(dtype), _layer(rng, groups).to(dtype)
    inputs = rows if groups == 1 else rows[:, :, None]
    target: dict[str, Any] = {"eps": EPS} if place // 2 % 2 else {"keep": 0.6}
    plan = prune(layer, inputs, method=method, bound=bound, delta=DELTA, **target).plans[0]
    table = make_table(
        calibrate(layer, inputs, points=1024).layers[0], delta=DELTA, coverage_factor=1.0,
        bound=bound, eta=COPIES, eta_star=FAN_IN,
    )  # fmt: skip
    points = rows.double().numpy()
    pilot = sum(
        _failures(plan, table, points, generator(*seed, 0, trial), dtype).sum(axis=0)
        for trial in range(PILOT)
    )
    return Case(plan, table, points[[int(np.argmax(pilot))]], dtype, seed)


def _all_misses(cases: list[Case], block: int, trials: int) -> int:
    """Failures among trials that are shared out to all cases evenly."""
    shares = np.diff(np.arange(len(cases) + 1) * trials // len(cases))
    return sum(case.misses(block, int(n)) for case, n in zip(cases, shares, strict=True) if n)


@coverage("SP-9")
def promises_of_prune(setting: Setting) -> list[Experiment]:
    """Every method that draws keeps what it promises, by each bound that it takes.

    The trials of a method are shared out to combinations spread evenly: one in eleven of all, or,
    in the quick profile, in 41.
    """
    combinations = [
        (method, bound, dtype, kind, groups)
        for method in METHODS
        for bound in BOUNDS.values()
        if method.accepts(bound)
        for dtype, kind, groups in itertools.product(DTYPES, ACTIVATIONS, GROUPS)
    ]
    cases: dict[str, list[Case]] = {method.name: [] for method in METHODS}
    for place, combination in list(enumerate(combinations))[:: 11 if setting.full else 41]:
        case = _case(*combination, place, (setting.seed, STREAM, place))
        cases[combination[0].name].append(case)
    return [
        Experiment(f"{name}, {len(some)} combinations of bound, dtype, activations and layer",
                   DELTA, partial(_all_misses, some), most=4000)
        for name, some in cases.items()
    ]  # fmt: skip
