"""SP-13: a promise for each row of an input is none for the input."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.kinds.symbolic import equal, holds
from proofs_check.ledger.evidence import Experiment, Refuted, Result
from proofs_check.ledger.mutation import Mutation
from proofs_check.ledger.registry import Setting, coverage, law, oracle, symbolic
from proofs_check.monte_carlo.neuron import TIE
from sipp_core import prune
from sipp_core.methods import SippRand
from sipp_core.pruning import LayerPlan, draw
from sipp_core.runtime import generator

STREAM, SIDE, DELTA = 58, 8, 0.5
CHANCES = st.floats(1e-9, 0.999)


@symbolic("SP-13")
def union_over_rows(setting: Setting) -> None:
    """One more row adds its failure probability at most: n rows at delta/n come to delta."""
    first, second, both = sp.symbols("p q r", nonnegative=True)
    joined = first + second - both
    equal(first + second - joined, both, "of two events, what both share is counted twice")
    holds(both >= 0, "and that is never negative")
    delta, n = sp.symbols("delta n", positive=True)
    equal(n * (delta / n), delta, "n rows at delta/n")


@law("SP-13")
def rows_invert(setting: Setting) -> Result:
    """The two directions are inverses on the safe side; more rows never help."""

    @given(CHANCES, st.integers(1, 10**6))
    def law(delta: float, rows: int) -> None:
        one = float(sipp_theory.each_row(delta, rows))
        assert 0 < one <= delta
        assert delta * (1 - 1e-12) <= float(sipp_theory.some_row(one, rows)) <= delta * (1 + 1e-12)
        assert float(sipp_theory.each_row(delta, rows + 1)) <= one
        assert float(sipp_theory.some_row(delta, rows)) >= delta

    return hold(setting, law, examples=60)


@oracle("SP-13")
def exact_union(setting: Setting) -> Result:
    """delta/n and n delta in rational arithmetic, on the safe side of both."""
    cases = 0
    for delta in (1e-12, 0.05, 1 / 3, 0.9):
        for rows in (1, 3, 49, 64, 50_176):
            exact = Fraction(delta)
            one, some = sipp_theory.each_row(delta, rows), sipp_theory.some_row(delta, rows)
            below, above = exact / rows - Fraction(float(one)), Fraction(float(some)) - exact * rows
            if not 0 <= below <= exact / rows / 10**14:
                raise Refuted(f"each_row({delta}, {rows}) = {one!r}")
            if some < 1 and not 0 <= above <= exact * rows / 10**14:
                raise Refuted(f"some_row({delta}, {rows}) = {some!r}")
            cases += 2
    return Result(cases=cases)


@dataclass(frozen=True, eq=False)
class OneHot:
    """A 1x1 convolution of 64 channels and one image in which each pixel has a channel alive."""

    plan: LayerPlan

    def misses(self, seed: int, number: int, block: int, trials: int) -> int:
        """Images some pixel of which misses its promise, one of each output channel's draws."""
        out, missed = len(self.plan.scores), 0
        for start in range(0, trials, out):
            multiplier = draw(self.plan, generator(seed, STREAM, number, block, start))
            # The weights are 1: at its pixel a channel is off by its multiplier's distance from 1.
            off = np.abs(multiplier - 1) > self.plan.eps.max(axis=0)[:, None] + TIE
            missed += int(off.any(axis=1)[: trials - start].sum())
        return missed


@coverage("SP-13")
def pixels_of_an_image(setting: Setting) -> Experiment:
    """64 pixels that share one draw: with delta/64 each, the whole image keeps its promise."""
    channels = SIDE * SIDE
    layer = nn.Conv2d(channels, 32, 1, bias=False, dtype=torch.float64)
    nn.init.ones_(layer.weight)
    image = torch.eye(channels, dtype=torch.float64).reshape(1, channels, SIDE, SIDE)
    delta = float(sipp_theory.each_row(DELTA, channels))
    plan = prune(
        layer, image, method=SippRand(), bound="kl", keep=0.985, delta=delta, scope="layer"
    ).plans[0]
    count = partial(OneHot(plan).misses, setting.seed, 1)
    return Experiment("some pixel of an 8x8 image misses eps", DELTA, count)


MUTATIONS = (
    Mutation("SP-13", "each_input_for_each_row", "What is promised of an input is that of rows.",
             sipp_theory.each_row, lambda original: lambda delta, rows: np.float64(delta),
             (rows_invert, pixels_of_an_image)),
    Mutation("SP-13", "rows_independent", "Rows are taken to fail independently of one another.",
             sipp_theory.some_row,
             lambda original: lambda delta, rows: 1 - (1 - np.float64(delta)) ** rows,
             (exact_union,)),
)  # fmt: skip
