"""CT-8: what CoreNet's sentence about the network truly needs, by drawing it again and again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

import sipp_theory
from sipp_core.certificates.held_out import gathered, look_at
from sipp_core.certificates.measure import answers
from sipp_core.pruning import planning
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.method import Method, find_method
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.prune import calibrate_for, prune
from sipp_core.pruning.result import PruneResult
from sipp_core.pruning.table import Table, make_tables
from sipp_core.pruning.writing import write_multipliers
from sipp_core.runtime.batch import Given
from sipp_core.runtime.execution import Progress, evaluating, uncompiled
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.numbers import Float, generator
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import Mask, padding_mask
from sipp_core.runtime.provenance import Provenance
from sipp_core.sensitivity.calibrate import Calibration

KEEPS = (0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
# Never more draws than int64 can share out.
MOST_DRAWS = 2.0**50
# The search starts this many times above what the calibration inputs seem to need.
ABOVE, PILOT = 8.0, 200
PAIR_STREAM, PILOT_STREAM = 93, 94


@dataclass(frozen=True)
class NeededBudget:
    """The least budget with which a drawn network is proved to keep CoreNet's sentence.

    Attributes:
        method: name of the method that draws.
        eps: relative error of each entry of the output.
        delta: failure probability, over the draw and a fresh input together.
        confidence: over the inputs held out and the draws, of all tests at once.
        n: independent pairs of a draw and a held-out input, at each budget.
        unit: of the budgets: "draws" with replacement, or "share" of the weights to keep.
        budgets: budgets tested, from the largest on, up to the first that was not proved.
        weights: mean number of nonzero weights at each.
        failures: pairs at each in which an output left (1 +- eps) f(x).
        budget: the least budget proved; +inf if none.
        kept: mean number of nonzero weights there; +inf if none.
        failure: upper bound on the failure probability there; 1 if none.
        theorem: bound on the nonzeros by CoreNet's theorem (NW-5) at the same eps and delta, +inf
            where it has none; None where the method is not the theorem's.
        size: weights of the pruned layers.

    Claim: CT-8. Source: [OWN].
    """

    method: str
    eps: float
    delta: float
    confidence: float
    n: int
    unit: str
    budgets: tuple[float, ...]
    weights: tuple[float, ...]
    failures: tuple[int, ...]
    budget: float
    kept: float
    failure: float
    theorem: float | None
    size: int

    @property
    def vacuous(self) -> bool:
        """Whether no budget was proved."""
        return math.isinf(self.budget)

    def sentence(self) -> str:
        """What was proved, beside what the theorem asks for."""
        what = (
            f"every output within a factor 1 +- {self.eps:g} at a fresh input, but with "
            f"probability {self.delta:g} over draw and input"
        )
        theorem = (
            ""
            if self.theorem is None
            else f" CoreNet's theorem (NW-5) asks for {self.theorem:.2g} weights."
        )
        if self.vacuous:
            return (
                f"Not proved by {self.method} with any budget tried, from {self.n} pairs of a draw "
                f"and a held-out input, {self.failures[0]} of which failed with the largest: "
                f"{what} (CT-8).{theorem}"
            )
        budget = (
            f"{self.budget:.2g} draws, which leave {self.kept:,.0f} of {self.size:,} weights"
            if self.unit == "draws"
            else f"{self.kept:,.0f} of {self.size:,} weights"
        )
        return (
            f"With {self.confidence:.0%} confidence {self.method} needs no more than {budget}, for "
            f"{what} (CT-8, {self.n} pairs of a draw and a held-out input).{theorem}"
        )

    def summary(self) -> dict[str, object]:
        """All fields and the sentence, ready for JSON."""
        return asdict(self) | {"vacuous": self.vacuous, "sentence": self.sentence()}


@isolated
def least_budget(
    model: nn.Module,
    calibration: Inputs,
    holdout: Inputs,
    *,
    eps: float,
    delta: float,
    confidence: float = 0.99,
    method: str | Method = "corenet",
    draws: Sequence[float] | None = None,
    keeps: Sequence[float] | None = None,
    scope: str | None = None,
    seed: int = 0,
    allow_repeats: bool = False,
    output: Output = None,
    mask: Mask = None,
    progress: Progress | None = None,
) -> NeededBudget:
    """Find the least budget with which CoreNet's sentence about the network is true, by simulation.

    The sentence (NW-5): with probability 1 - delta over the draw of the network and a fresh input,
    given the calibration, every entry of the output is within a factor 1 +- eps of what it was.
    Here it rests on no assumption: at each budget every held-out input meets a draw of its own, the
    pairs that fail are counted (CT-1), and budgets are tested from the largest on until one is not
    proved (CT-3). Where draws are from the whole network (CoreNet), the budget is their number, and
    where to start is chosen on the calibration inputs; otherwise it is the share of weights kept.

    Args:
        model: the trained network; not changed.
        calibration: inputs to prune on, as in `prune`.
        holdout: held-out inputs, i.i.d., disjoint from the calibration inputs.
        eps: relative error of an entry of the output, in (0, 1).
        delta: failure probability over draw and input, in (0, 1).
        confidence: 1 - alpha of the whole search, in (0, 1).
        method: a method, as in `prune`.
        draws: numbers of draws, > 0, strictly decreasing; by default chosen on the calibration.
        keeps: keep ratios in (0, 1], strictly decreasing, in place of draws.
        scope: as in `prune`, with keeps.
        seed: of the draws, >= 0.
        allow_repeats: as in `certify`.
        output: as in `prune` and `certify`.
        mask: as in `prune` and `certify`.
        progress: callback (done, total, what).

    Returns:
        The least budget proved, with the path of the search, beside NW-5's number.

    Raises:
        TypeError: as `prune`.
        ValueError: as `prune` and `certify`; budgets that do not fall, or that the method has not.

    Claim: CT-8. Source: [OWN]; [CN] arXiv 1804.05345, theorem 4 (the sentence).

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3, bias=False))
        >>> inputs = torch.rand(300, 4) + 0.1
        >>> least = least_budget(net, inputs[:100], inputs[100:], eps=0.5, delta=0.1, keeps=(1.0,))
        >>> least.failures, least.kept
        ((0,), 12.0)
    """
    if draws is not None and keeps is not None:
        raise ValueError("give draws=... or keeps=..., not both")
    if not 0 < eps < 1:
        raise ValueError(f"eps must lie in (0, 1); found {eps!r}")
    sipp_theory.points_needed(delta, confidence)  # refuses what is out of range before any work
    model, rule = uncompiled(model), find_method(method)
    first = make_request(rule, model, keep=0.5, delta=delta, scope=scope, seed=seed, output=output)
    given = gathered(calibration)
    measured = calibrate_for(rule, first, given, mask=mask)
    tables = make_tables(first, measured.layers)
    drawn = rule.redraws and keeps is None and rule.by_draws(tables, 1.0) is not None
    if draws is not None and not drawn:
        raise ValueError(
            f"method {rule.name!r} is not drawn from the whole network: give keeps=..., not draws"
        )
    held = gathered(holdout)
    seen = look_at(held, Provenance(measured.digests, seed))
    if seen.reused and not allow_repeats:
        raise ValueError(
            f"{seen.reused} of {seen.n} held-out inputs were calibration inputs: CT-8 needs inputs "
            "that the pruning has not seen, or allow_repeats=True where the population repeats them"
        )
    trial = _Trials(model, measured, eps, seed, output, mask)

    def at_draws(total: float) -> list[LayerPlan]:
        plans = rule.by_draws(tables, total)
        assert plans is not None
        return plans

    budgets: list[float]
    if drawn:
        most = _pilot(trial, at_draws, tables, given, delta) if draws is None else 0.0
        budgets = list(_halved(most, tables) if draws is None else draws)
    else:
        budgets = list(KEEPS if keeps is None else keeps)
    falling = all(a > b for a, b in itertools.pairwise(budgets))
    most_allowed = MOST_DRAWS if drawn else 1.0
    if not budgets or not falling or not 0 < budgets[-1] <= budgets[0] <= most_allowed:
        raise ValueError(
            f"{'draws' if drawn else 'keeps'} must be strictly decreasing and not empty, within "
            f"(0, {most_allowed:g}]; found {budgets!r}"
        )
    failures: list[int] = []
    sizes: list[float] = []
    weights: list[float] = []
    least = None
    for index, budget in enumerate(budgets):
        if progress is not None:
            progress(index, len(budgets), f"{'draws' if drawn else 'keep'} {budget:.3g}")
        if drawn:
            plans = at_draws(budget)
            failed, kept = trial.of_plans(plans, held, PAIR_STREAM, index)
            sizes.append(float(sum(plan.draws.sum() for plan in plans)))
        else:
            failed, kept = trial.of_method(rule, budget, scope, held, index)
            sizes.append(budget)
        failures.append(failed)
        weights.append(kept)
        least = sipp_theory.least_budget(failures, sizes, seen.n, delta, confidence)
        if least.index != index:
            break
    assert least is not None
    return NeededBudget(
        method=rule.name, eps=eps, delta=delta, confidence=confidence, n=seen.n,
        unit="draws" if drawn else "share",
        budgets=tuple(sizes), weights=tuple(weights), failures=tuple(failures),
        budget=least.budget, kept=weights[least.index] if least.index >= 0 else math.inf,
        failure=least.failure,
        theorem=planning.network_size(tables, eps).nnz if drawn else None,
        size=sum(table.weight.size for table in tables),
    )  # fmt: skip


def _halved(most: float, tables: Sequence[Table]) -> Iterator[float]:
    """Numbers of draws from the most down to two for each sign of each neuron."""
    yield most
    while most > 4 * sum((table.total > 0).sum() for table in tables):
        most /= 2
        yield most


def _pilot(
    trial: _Trials, at: Callable[[float], list[LayerPlan]], tables: Sequence[Table],
    calibration: Inputs, delta: float,
) -> float:  # fmt: skip
    """Where to start: above what a few calibration inputs need, by bisection in octaves."""
    some = next(iter(batches(calibration, PILOT)))
    low = math.floor(math.log2(sum((table.total > 0).sum() for table in tables)))
    high = int(math.log2(MOST_DRAWS))
    while high - low > 1:
        middle = (low + high) // 2
        failed, _ = trial.of_plans(at(2.0**middle), some, PILOT_STREAM, middle)
        low, high = (low, middle) if failed <= delta / 2 * len(some) else (middle, high)
    return min(MOST_DRAWS, ABOVE * 2.0**high)


def drawn_anew(plans: Sequence[LayerPlan], seed: int, *pair: int) -> list[Float]:
    """(out, fan_in) multipliers of all layers, of a draw that the pair has for itself."""
    return [draw(plan, generator(seed, *pair, layer)) for layer, plan in enumerate(plans)]


@dataclass(frozen=True, eq=False)
class _Trials:
    """Pairs of a drawn network and an input, and how many of them fail."""

    model: nn.Module
    calibration: Calibration
    eps: float
    seed: int
    output: Output
    mask: Mask

    def of_plans(
        self, plans: Sequence[LayerPlan], inputs: Inputs, stream: int, budget: int
    ) -> tuple[int, float]:
        """Failures with a draw of the plans for each input, and the mean number of weights."""
        names = [layer.name for layer in self.calibration.layers]

        def network(place: int) -> tuple[nn.Module, int]:
            multipliers = drawn_anew(plans, self.seed, stream, budget, place)
            new, masks = write_multipliers(self.model, names, multipliers, False)
            return new, sum(int(mask.sum()) for mask in masks.values())

        return self._counted(network, inputs, one_each=True)

    def of_method(
        self, rule: Method, keep: float, scope: str | None, inputs: Inputs, budget: int
    ) -> tuple[int, float]:
        """Failures of a method at a keep ratio: drawn again for each input, if it is random."""

        def pruned(seed: int) -> PruneResult:
            return prune(
                self.model, self.calibration, method=rule, keep=keep, scope=scope, seed=seed,
                output=self.output,
            )  # fmt: skip

        first = pruned(self.seed)
        if not rule.random or keep == 1:
            return self._counted(lambda _: (first.model, first.nnz_after), inputs, one_each=False)
        if rule.redraws and first.plans:
            return self.of_plans(first.plans, inputs, PAIR_STREAM, budget)

        def another(place: int) -> tuple[nn.Module, int]:
            seed = generator(self.seed, PAIR_STREAM, budget, place).integers(2**31)
            result = pruned(int(seed))
            return result.model, result.nnz_after

        return self._counted(another, inputs, one_each=True)

    def _counted(
        self, network: Callable[[int], tuple[nn.Module, int]], inputs: Inputs, one_each: bool
    ) -> tuple[int, float]:
        failed, weights, place = 0, [], 0
        with evaluating(self.model), torch.no_grad():
            for batch in batches(inputs, None, "holdout"):
                for part in batch.split(1) if one_each else (batch,):
                    new, count = network(place)
                    place += 1
                    weights.append(count)
                    with evaluating(new):
                        failed += self._failures(new, part)
        return failed, float(np.mean(weights))

    def _failures(self, pruned: nn.Module, inputs: Given) -> int:
        padding = padding_mask(self.mask, inputs)
        before, after = (answers(net, inputs, self.output, padding) for net in (self.model, pruned))
        return int(sipp_theory.leaves_entrywise(before.numpy(), after.numpy(), self.eps).sum())
