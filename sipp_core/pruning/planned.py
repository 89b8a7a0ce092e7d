"""Methods that plan every layer, draw once and write multiplied weights: most of them.

Tables -> plans -> multipliers -> a copy. `KeepLargest` and `DrawInProportion` are the two rules
that a method usually follows; it then says by which scores.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from sipp_core.network.layers import weight_of
from sipp_core.network.packed import layer_of
from sipp_core.pruning import allocation, planning, promise
from sipp_core.pruning.effective import EFFECTIVE, count, effective_weights, spend
from sipp_core.pruning.method import Method, Promise, Pruned
from sipp_core.pruning.patterns import cost, in_words, pattern_of, refuse_misfits
from sipp_core.pruning.plan import LayerPlan, drawn
from sipp_core.pruning.refit import REFITTED, refit
from sipp_core.pruning.report import is_vacuous, layer_report, per_neuron
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.searching import (
    CHOSEN,
    least_multipliers,
    least_refitted,
    measured_guarantee,
)
from sipp_core.pruning.stored import Masks, Stored, numbers
from sipp_core.pruning.table import Table, Tables, make_tables
from sipp_core.pruning.writing import (
    measured_promise,
    multiply,
    rewritten,
    write_multipliers,
)
from sipp_core.runtime.numbers import Float, generator
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.statistics import LayerStatistics
from sipp_theory import BOUNDS, Bound


class Planned(Method):
    """A method that says before any draw how each weight will be kept.

    A subclass gives `by_budget` and, if it has a guarantee mode, `by_eps`.
    """

    by_layer = True

    @abstractmethod
    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Plans of the layers of one scope that leave `budget` weights in expectation."""

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Plan of the fewest weights of a layer with which the bound promises eps."""
        raise NotImplementedError  # `takes` has no eps

    def claims(self, request: Request) -> tuple[str, ...]:
        """Claims behind the promise, besides ES-1 and SP-9."""
        return ()

    def rescales(self) -> bool:
        """Whether weights that are kept are multiplied, and so rounded to their dtype again."""
        return True

    def statistics(self, request: Request, calibration: Calibration) -> tuple[LayerStatistics, ...]:
        """Statistics of all layers as the method looks at them."""
        return calibration.layers

    def tables(self, request: Request, calibration: Calibration) -> Tables:
        """Planning numbers of all layers as the method looks at them."""
        return make_tables(request, self.statistics(request, calibration))

    def plans(
        self, request: Request, tables: Sequence[Table], calibration: Calibration
    ) -> tuple[list[LayerPlan], list[str]]:
        """Plan all layers; the plans, and what a reader should know."""
        if isinstance(request.target, Keep):
            return self.within_budget(tables, fractions(request.target, len(tables))), []
        plans = []
        for index, table in enumerate(tables):
            if request.progress is not None:
                request.progress(index, len(tables), "allocate")
            eps = request.target.eps
            if self.rescales():
                eps = promise.before_rounding(table, eps)
            plans.append(self.by_eps(table, eps))
        return plans, []

    def within_budget(self, tables: Sequence[Table], shares: Sequence[float]) -> list[LayerPlan]:
        """Plan for a fraction a layer, or for a single one of all layers together (AL-1)."""
        if all(share == 1 for share in shares):
            return [planning.whole_plan(table) for table in tables]
        plans: list[LayerPlan] = []
        for group, share in zip(planning.scopes(tables, len(shares)), shares, strict=True):
            size = sum(t.size for t in group)
            plans += self.by_budget(group, max(1.0, float(np.rint(share * size))))
        return plans

    def multipliers(
        self, request: Request, plans: Sequence[LayerPlan], tables: Sequence[Table],
        calibration: Calibration,
    ) -> Sequence[Stored]:  # fmt: skip
        """Draw every layer once: (out, fan_in) multipliers, one array a layer."""
        return [
            drawn(plan, generator(request.seed, index, 0))
            for index, plan in enumerate(plans, request.first)
        ]

    def notes(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        multipliers: Sequence[Stored],
    ) -> list[str]:  # fmt: skip
        """What a reader should know of the draws."""
        return []

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Plan every layer, draw once and write the multiplied weights into a copy.

        Claim: SP-1 to SP-10, AL-1. Source: [SP] arXiv 1910.05422, [CN] arXiv 1804.05345, [OWN].
        """
        if request.measured:
            return self._measured(request, calibration)
        tables = self.tables(request, calibration)
        if request.effective:
            plans, reports = list[LayerPlan](), list[LayerReport]()
            model, masks, notes = self._effective(request, tables, calibration)
        else:
            plans, notes = self.plans(request, tables, calibration)
            model, masks, reports, more = self._written(request, tables, plans, calibration)
            notes = list(dict.fromkeys([*notes, *more]))
        if request.refit:
            assert calibration.held_inputs is not None
            layers = [layer.layer for layer in calibration.layers]
            refit(request.model, model, layers, masks, calibration.held_inputs,
                  size=calibration.forward_size, mask=calibration.mask,
                  progress=request.progress)  # fmt: skip
            new = rewritten(request, calibration, model)
            return replace(new, notes=(*notes, REFITTED), vacuous=None)
        if request.effective:
            reports = rewritten(request, calibration, model).reports
        vacuous = is_vacuous(plans, reports, request.guaranteed)
        return Pruned(model, tuple(reports), masks, vacuous, tuple(plans), notes=tuple(notes))

    def apart(self) -> bool:
        """Whether a layer is drawn, and its notes written, without a look at the others."""
        return self.by_layer

    def _written(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        calibration: Calibration,
    ) -> tuple[nn.Module, Masks, list[LayerReport], list[str]]:  # fmt: skip
        """Draw, write and report on a copy, a layer's multipliers in memory at a time if it can."""
        new, count = copy.deepcopy(request.model), len(plans)
        masks, reports, notes = Masks(), list[LayerReport](), list[str]()

        def write(here: slice) -> None:
            some = replace(request, first=request.first + here.start)
            alone = replace(calibration, layers=calibration.layers[here])
            multipliers = self.multipliers(some, plans[here], tables[here], alone)
            notes.extend(self.notes(some, tables[here], plans[here], multipliers))
            for table, plan, multiplier in zip(tables[here], plans[here], multipliers, strict=True):
                masks.update(multiply(new, [plan.name], [multiplier], request.masks))
                if not request.refit:  # other weights take their place
                    stored = weight_of(layer_of(new, plan.name)).detach().flatten(1)
                    reports.append(layer_report(table, plan, multiplier, stored))

        step = 1 if self.apart() else max(1, count)
        for first in range(0, count, step):
            write(slice(first, first + step))
        return new, masks, reports, notes

    def at_rate(self, table: Table, rate: Float) -> LayerPlan:
        """Plan of a layer in which a neuron keeps the more the higher its rate, (out,)."""
        raise NotImplementedError  # not measurable

    def whole_rate(self, table: Table) -> Float:
        """Rates at which every weight that ever fired is kept as it is, (out,)."""
        raise NotImplementedError  # not measurable

    def _measured(self, request: Request, calibration: Calibration) -> Pruned:
        """Choose weights by their measured error.

        Claim: SP-12. Source: [OWN].
        """
        tables = self.tables(replace(request, bound=BOUNDS["bernstein"]), calibration)
        if request.refit:
            new = least_refitted(request, tables, calibration, self.at_rate, self.whole_rate)
            pruned = rewritten(request, calibration, new)
            return replace(pruned, notes=(CHOSEN, REFITTED), vacuous=None)
        chosen = least_multipliers(request, tables, calibration, self.at_rate, self.whole_rate)
        names = [layer.name for layer in calibration.layers]
        model, masks = write_multipliers(request.model, names, chosen, request.masks)
        reports = rewritten(request, calibration, model).reports
        return Pruned(model, reports, masks, None, notes=(CHOSEN,))

    def _effective(
        self, request: Request, tables: Sequence[Table], calibration: Calibration
    ) -> tuple[nn.Module, Masks, list[str]]:
        """Draw so much that the budget's number of weights is effective, and drop the others."""
        assert isinstance(request.target, Keep) and calibration.held_inputs is not None
        inputs, target = calibration.held_inputs, request.target
        layers = [layer.layer for layer in calibration.layers]
        names = [layer.name for layer in layers]
        size = sum(table.size for table in tables)

        def attempt(amount: int) -> tuple[tuple[list[Float], list[str]], int]:
            fraction = target.fraction if amount == budget else amount / size
            more = replace(request, target=replace(target, fraction=fraction))
            plans, notes = self.plans(more, tables, calibration)
            multipliers = [
                numbers(each) for each in self.multipliers(more, plans, tables, calibration)
            ]
            notes += self.notes(more, tables, plans, multipliers)
            model, _ = write_multipliers(request.model, names, multipliers, False)
            alive = effective_weights(
                model, layers, inputs, request.output, calibration.forward_size
            )
            multipliers = [
                multiplier * alive[name].flatten(1).cpu().numpy()
                for name, multiplier in zip(names, multipliers, strict=True)
            ]
            return (multipliers, notes), count(alive)

        budget = max(1, int(np.rint(target.fraction * size)))
        multipliers, notes = spend(attempt, budget, size)
        return *write_multipliers(request.model, names, multipliers, request.masks), [
            *notes, EFFECTIVE,
        ]  # fmt: skip

    def promise(self, request: Request) -> Promise:
        """What SP-1 to SP-10 say of each neuron, given its layer's input."""
        if request.measured:
            return measured_guarantee(request.refit)
        if request.refit:
            return measured_promise()
        if request.effective:
            return Promise(("ES-1", "SP-9", "SP-6", "AL-6"), per_neuron(request, True))
        claims = ("ES-1", "SP-9", *self.claims(request))
        return Promise(claims, per_neuron(request, self.certain))


def fractions(target: Keep, layers: int) -> list[float]:
    """One fraction a layer, or a single one of all layers together."""
    return [target.fraction] * (layers if target.scope == "layer" else 1)


class KeepLargest(Planned):
    """Keep the weights of largest score; SP-6 says what any set of dropped weights costs.

    A subclass gives `scores`; `recentred` scales what is kept so that the worst case is halved.

    Claim: SP-6. Source: [SP] arXiv 1910.05422.
    """

    random = False
    certain = True
    recentred: bool = False
    measurable = True
    takes = Planned.takes | {"pattern"}

    def plans(
        self, request: Request, tables: Sequence[Table], calibration: Calibration
    ) -> tuple[list[LayerPlan], list[str]]:
        """Plan all layers, within the pattern if there is one, and say what that costs."""
        if request.pattern is None:
            return super().plans(request, tables, calibration)
        assert isinstance(request.target, Keep)
        pattern, plans, costs = pattern_of(request.pattern), list[LayerPlan](), list[str]()
        refuse_misfits(pattern, tables)
        shares = fractions(request.target, len(tables))
        for group, share in zip(planning.scopes(tables, len(shares)), shares, strict=True):
            scores = [numbers(self.scores(table)) for table in group]
            masks = pattern.masks(scores, share * sum(table.size for table in group))
            plans += [
                planning.mask_plan(t, m, self.scores(t), self.recentred)
                for t, m in zip(group, masks, strict=True)
            ]
            costs += cost(group, masks, scores)
        return plans, [in_words(pattern, costs)]

    def at_rate(self, table: Table, rate: Float) -> LayerPlan:
        """Keep a share of each neuron's weights, those of largest score."""
        return planning.share_plan(table, self.scores(table), rate, self.recentred)

    def whole_rate(self, table: Table) -> Float:
        """All of them."""
        return np.ones(table.shape[0])

    def rescales(self) -> bool:
        """Kept weights are multiplied where they are recentred."""
        return self.recentred

    @abstractmethod
    def scores(self, table: Table) -> Stored:
        """(out, fan_in) scores >= 0; zeros are never kept."""

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Keep the largest scores of the scope."""
        scores = allocation.Scores(self.scores, tables)
        device = tables[0].statistics.layer.weight.device
        masks = allocation.largest_by_layer(scores, budget, device)
        return [
            planning.mask_plan(t, m, self.scores(t), self.recentred)
            for t, m in zip(tables, masks, strict=True)
        ]

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Keep the fewest weights of largest score with which SP-6 promises eps."""
        return planning.dropping(table, self.scores(table), eps, self.recentred)

    def accepts(self, bound: Bound) -> bool:
        """SP-6 knows a sum of sensitivities, or shares."""
        return bound.knows in ("sum", "shares")

    def claims(self, request: Request) -> tuple[str, ...]:
        """What any set of dropped weights costs."""
        return ("SP-6",)


class DrawInProportion(Planned):
    """Draw weights with replacement in proportion to scores, and reweight them.

    A subclass gives `scores` and `sizes`.

    Claim: SP-1. Source: [SP] arXiv 1910.05422.
    """

    guarantee_bound = "neuron"

    def accepts(self, bound: Bound) -> bool:
        """Every bound on draws."""
        return True

    measurable = True

    def at_rate(self, table: Table, rate: Float) -> LayerPlan:
        """Draw from each sign in proportion to the sum of its scores, whole where that is more."""
        scores = np.where(table.sensitivity > 0, numbers(self.scores(table)), 0.0)
        parts = [np.where(table.sign(sign), scores, 0.0) for sign in (0, 1)]
        draws = np.ceil(rate * np.stack([part.sum(axis=1) for part in parts]))
        return planning.as_plan(table, scores, draws)

    def whole_rate(self, table: Table) -> Float:
        """As many draws from each sign as it has weights."""
        scores = np.where(table.sensitivity > 0, numbers(self.scores(table)), 0.0)
        parts = np.stack([np.where(table.sign(sign), scores, 0.0).sum(axis=1) for sign in (0, 1)])
        ratio = np.divide(table.support, parts, out=np.zeros_like(parts), where=parts > 0)
        return ratio.max(axis=0) * (1 + 1e-9)

    @abstractmethod
    def scores(self, table: Table) -> Stored:
        """(out, fan_in) scores >= 0 that draws are proportional to."""

    @abstractmethod
    def sizes(self, tables: Sequence[Table], budget: float) -> list[Float]:
        """(2, out) distinct weights to leave in expectation, one array a layer."""

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Draw until the expected distinct weights are the budget's.

        A pair's draws are whole, so it leaves now more, now fewer than its share; what all of them
        leave over is shared again.
        """
        amount, least, best = budget, np.inf, list[LayerPlan]()
        while True:
            sizes = self.sizes(tables, amount)
            plans = [
                planning.draws_plan(t, self.scores(t), n)
                for t, n in zip(tables, sizes, strict=True)
            ]
            short = budget - sum(float(plan.expected().sum()) for plan in plans)
            if abs(short) >= least:
                return best
            least, best = abs(short), plans
            amount = max(0.0, amount + float(np.rint(short)))

    def by_eps(self, table: Table, eps: float) -> LayerPlan:
        """Fewest draws that promise eps."""
        scores = self.scores(table)
        return planning.as_plan(table, scores, planning.draw_sizes(table, scores, eps))

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-1 with the bound's own claim."""
        return ("SP-1", request.bound.claim)
