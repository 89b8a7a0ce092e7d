"""CoreNet, with dead neurons removed (CoreNet+) and the best of tau candidates (CoreNet++)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np
from torch import Tensor, nn

import sipp_theory
from sipp_core.pruning import planning, promise
from sipp_core.pruning.method import Facts, Needs, Promise, Pruned, register
from sipp_core.pruning.plan import LayerPlan, draw
from sipp_core.pruning.planned import Planned, fractions
from sipp_core.pruning.report import per_neuron
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.result import LayerReport
from sipp_core.pruning.stored import Stored
from sipp_core.pruning.table import Table, Tables
from sipp_core.runtime.numbers import Bool, Float, generator
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.statistics import LayerStatistics
from sipp_theory import Bound

# CoreNet++ sets every 5th calibration input aside to choose candidates on.
VALIDATION_EVERY = 5
# It plans again while what it chose exceeds the budget by more than this share of it.
OVERSHOOT = 0.01
MENDING_PASSES = 3
# Between two dense layers these act on each neuron by itself, so a neuron stays itself.
ELEMENTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.Softplus,
    nn.Hardtanh, nn.Identity, nn.Dropout, nn.AlphaDropout,
)  # fmt: skip


def _chain(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Flatten nested Sequentials to (qualified name, module); empty for any other model."""
    if not isinstance(model, nn.Sequential):
        return []
    flat: list[tuple[str, nn.Module]] = []
    for name, module in model.named_children():
        if isinstance(module, nn.Sequential):
            flat += [(f"{name}.{inner}", m) for inner, m in _chain(module)]
        else:
            flat.append((name, module))
    return flat


def dead_neurons(model: nn.Module, calibration: Calibration) -> dict[str, Tensor]:
    """Find neurons whose activation was 0 on every calibration input.

    A neuron belongs to the dense layer that feeds another dense layer through elementwise modules
    of a plain Sequential; elsewhere the edges that leave it are unknown, and none is reported.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet+).
    """
    known = {layer.name: layer for layer in calibration.layers}
    dead: dict[str, Tensor] = {}
    before: str | None = None
    for name, module in _chain(model):
        if isinstance(module, nn.Linear):
            if before in known and name in known:
                dead[before] = known[name].input_peak[0] == 0
            before = name
        elif not isinstance(module, ELEMENTWISE):
            before = None
    return dead


def failing_premises(
    model: nn.Module, tables: Sequence[Table], delta: float, points: int
) -> list[str]:
    """Say which premises of CoreNet's network theorem a network and its calibration do not meet.

    A1 and A2, which no calibration can show, are not among them.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """
    layers, failing = [table.statistics for table in tables], []
    others = [s.name for s in layers if not isinstance(s.layer.module, nn.Linear)]
    if others:
        failing.append(f"these layers are not dense: {', '.join(others)}")
    if not _is_relu_chain(model, {s.name for s in layers}):
        failing.append("the model is no nn.Sequential of pruned nn.Linear layers with ReLU between")
    signed = [s.name or "the layer" for s in layers if bool(s.peaks[1].any())]
    if signed:
        failing.append(f"activations below 0 enter {', '.join(signed)}")
    needed = int(sipp_theory.calibration_size(tables[0].eta, tables[0].eta_star, delta))
    if points < needed:
        failing.append(f"it needs {needed} calibration inputs (ES-4), and {points} were measured")
    return failing


def _is_relu_chain(model: nn.Module, names: Set[str]) -> bool:
    """Whether a model is dense layers with ReLU between; what comes before the first may be any."""
    chain = [("", model)] if isinstance(model, nn.Linear) else _chain(model)
    chain = [(n, m) for n, m in chain if not isinstance(m, nn.Identity | nn.Dropout)]
    dense = [isinstance(module, nn.Linear) for _, module in chain]
    if True not in dense:
        return False
    chain = chain[dense.index(True) :]
    return all(
        (isinstance(module, nn.Linear) and name in names)
        if place % 2 == 0
        else isinstance(module, nn.ReLU)
        for place, (name, module) in enumerate(chain)
    )


def keeps_all(request: Request) -> bool:
    """Whether a budget leaves every weight where it is."""
    return isinstance(request.target, Keep) and request.target.fraction == 1


@register
class CoreNet(Planned):
    """The same eps for all neurons of a scope, so draws in proportion to S_sum.

    Guarantee mode is NW-5's: sample sizes for the whole network, taken as the chain of its layers,
    so that its output is within eps entrywise with probability 1 - delta. Where a premise of the
    theorem fails, its sizes are taken all the same, and only each neuron is promised anything.

    Claim: SP-2, NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """

    name = "corenet"
    facts = Facts(
        "CoreNet",
        "corenet",
        "The same draws as SiPP random, but every neuron is given the same target error instead "
        "of the best division of the budget.",
        "arXiv 1804.05345",
    )
    default_bound = "corenet"
    by_layer = False

    def accepts(self, bound: Bound) -> bool:
        """Every bound on draws."""
        return True

    def check(self, request: Request) -> None:
        """Guarantee mode has a bound of its own."""
        if request.guaranteed and request.bound.knows != "network":
            raise ValueError(
                f"method {self.name!r} in guarantee mode has its own network-wide bound 'corenet' "
                f"(NW-5); for bound={request.bound.name!r} draw in proportion to sensitivity with "
                "sipp_core.methods.SippRand"
            )

    def by_budget(self, tables: Sequence[Table], budget: float) -> list[LayerPlan]:
        """Draws in proportion to S_sum that leave the budget; nothing is kept deterministically."""
        plans, known = [planning.base_plan(t) for t in tables], dict[bytes, float]()

        def kept(scale: float) -> float:
            draws = [np.ceil(scale * table.total) for table in tables]
            key = hashlib.blake2b(b"".join(each.tobytes() for each in draws)).digest()
            if key not in known:  # in the end whole numbers do not change any more
                known[key] = sum(float(each.sum()) for each in map(_distinct, plans, draws))
            return known[key]

        low, high = -30.0, 40.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if kept(2.0**middle) < budget else (low, middle)
        # Of the two scales that bracket the budget, the one nearer to it.
        below, above = kept(2.0**low), kept(2.0**high)
        scale = 2.0 ** (low if budget - below <= above - budget else high)
        plans = planning.even_draws(tables, scale)
        return [
            plan.changed(eps=promise.draws_error(table, table.raw_sensitivity, plan.draws))
            for plan, table in zip(plans, tables, strict=True)
        ]

    def by_draws(self, tables: Sequence[Table], total: float) -> list[LayerPlan]:
        """Draws in proportion to S_sum."""
        return planning.even_draws(tables, total / sum(float(t.total.sum()) for t in tables))

    def plans(
        self, request: Request, tables: Sequence[Table], calibration: Calibration
    ) -> tuple[list[LayerPlan], list[str]]:
        """In guarantee mode NW-5's sizes, with every factor that went into them as a note."""
        if isinstance(request.target, Keep):
            return super().plans(request, tables, calibration)
        size = planning.network_size(tables, request.target.eps)
        plans = [
            planning.as_plan(t, t.raw_sensitivity, np.asarray(m))
            for t, m in zip(tables, size.sizes, strict=True)
        ]
        return plans, [_network_note(tables, size)]

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """In guarantee mode NW-5 is not claimed where one of its premises fails."""
        new = super().run(request, calibration)
        if isinstance(request.target, Keep):
            return new
        tables = self.tables(request, calibration)
        aside = calibration.inputs // (self.needs(request).held_out or calibration.inputs + 1)
        failing = failing_premises(
            request.model, tables, request.delta, calibration.distinct - aside
        )
        if not failing:
            return new
        why = f"NW-5 is not claimed of the network's output, as {'; '.join(failing)}"
        claims = tuple(claim for claim in self.promise(request).claims if claim != "NW-5")
        holds_for = f"{per_neuron(request, self.certain)}; {why}"
        return replace(
            new, vacuous=True, notes=(*new.notes, why), promise=Promise(claims, holds_for)
        )

    def claims(self, request: Request) -> tuple[str, ...]:
        """SP-1, the bound's claim, and NW-5 or AL-1."""
        return ("SP-1", request.bound.claim, "NW-5" if request.guaranteed else "AL-1")

    def promise(self, request: Request) -> Promise:
        """In guarantee mode of the network's output."""
        promise = super().promise(request)
        if not request.guaranteed:
            return promise
        return Promise(
            promise.claims,
            "the network's output at a fresh input, entrywise, with probability 1 - delta over "
            "draws and calibration, under assumptions A1 and A2 (ES-4, NW-4)",
        )


def _distinct(plan: LayerPlan, draws: Float) -> Float:
    """Expected distinct weights of so many draws of each pair. Shapes: draws, returns (2, out)."""
    expected = np.zeros_like(draws)
    for rows, some in plan.parts():
        for sign in (0, 1):
            q = some.draw_probabilities(sign)
            expected[sign, rows] = sipp_theory.expected_distinct(q, draws[sign, rows])
    return expected


@register
class CoreNetPlus(CoreNet):
    """CoreNet after neurons that no calibration input activates were removed with their edges.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet+).
    """

    name = "corenet+"
    facts = Facts(
        "CoreNet+",
        "corenet",
        "CoreNet after neurons that no calibration input activates were removed with their edges.",
        "arXiv 1804.05345",
    )

    def statistics(self, request: Request, calibration: Calibration) -> tuple[LayerStatistics, ...]:
        """Statistics in which dead neurons ask for nothing, so the budget goes to living ones."""
        dead = {} if keeps_all(request) else dead_neurons(request.model, calibration)
        return tuple(
            replace(layer, sensitivity=layer.sensitivity.masked_fill(dead[layer.name][:, None], 0))
            if layer.name in dead and bool(dead[layer.name].any())
            else layer
            for layer in calibration.layers
        )

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Count the neurons that were removed with their edges, and what that costs them."""
        new = super().run(request, calibration)
        dead = {} if keeps_all(request) else dead_neurons(request.model, calibration)
        seen = {
            layer.name: (layer.sensitivity.amax(dim=1) > 0).cpu().numpy()
            for layer in calibration.layers
        }
        gone = {name: mask.cpu().numpy() for name, mask in dead.items()}
        lost = {name: int((mask & seen[name]).sum()) for name, mask in gone.items()}
        reports = tuple(
            _with_removed(r, gone[r.name], seen[r.name]) if r.name in gone else r
            for r in new.reports
        )
        notes = new.notes
        if any(lost.values()):
            notes += (
                "neurons whose output was 0 at every calibration input were removed although their "
                "pre-activation was not 0: it is 0 now, so that their eps is 1; the next layer "
                f"reads nothing of them, which changes nothing at those inputs: {lost}",
            )
        return replace(new, reports=reports, notes=notes)

    def claims(self, request: Request) -> tuple[str, ...]:
        """CoreNet's, and SP-10 before what speaks of the network."""
        *neuron, last = super().claims(request)
        return (*neuron, "SP-10", last)


def _with_removed(report: LayerReport, dead: Bool, seen: Bool) -> LayerReport:
    """Report neurons that were removed: where something reached one, it is 0 now, which is eps 1.

    Shapes: dead, seen (out,).

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet+).
    """
    eps = np.where(dead & seen, 1.0, report.eps_neuron)
    return replace(
        report, removed=int(dead.sum()), dead=int((~seen).sum()), eps_neuron=eps,
        eps=float(eps.max(initial=0.0)), vacuous_neurons=int((eps >= 1).sum()),
    )  # fmt: skip


@register
class CoreNetPlusPlus(CoreNetPlus):
    """CoreNet+ that draws tau candidates and keeps, per pair, the one of least mean error on T.

    T is every 5th calibration input, set aside. A candidate with more distinct weights tends to
    have the smaller error, so choosing the best of several overshoots the budget that a single draw
    meets in expectation; less is planned until what is chosen leaves the budget, to about 1%. Each
    rehearsal has random numbers of its own: SP-10 is about a plan that is fixed before its draws.

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet++); the rehearsals [OWN].
    """

    name = "corenet++"
    facts = Facts(
        "CoreNet++",
        "corenet",
        "CoreNet+ that draws many candidates for each neuron and keeps the one of least error on "
        "inputs set aside from the calibration inputs.",
        "arXiv 1804.05345",
    )
    redraws = False

    def accepts(self, bound: Bound) -> bool:
        """Bounds on one sign: each sign of a neuron has the best candidate of its own."""
        return bound.knows != "neuron"

    def needs(self, request: Request) -> Needs:
        """Inputs set aside, and their activation rows."""
        return Needs(rows=True, held_out=VALIDATION_EVERY)

    def tables(self, request: Request, calibration: Calibration) -> Tables:
        """Each candidate has delta/tau to fail with, so that the chosen one has delta."""
        return super().tables(one_candidate(request), calibration)

    def multipliers(
        self, request: Request, plans: Sequence[LayerPlan], tables: Sequence[Table],
        calibration: Calibration,
    ) -> list[Float]:  # fmt: skip
        """Choose each pair's best candidate."""
        return _chosen(plans, tables, calibration, request)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Choose among candidates on the inputs set aside; there must be some."""
        for layer in calibration.layers:
            rows = calibration.validation.get(layer.name)
            if rows is None or rows.shape[1] == 0:
                raise ValueError(
                    f"{self.name} sets every {VALIDATION_EVERY}th calibration input aside to "
                    f"choose candidates on; found only {calibration.inputs} inputs"
                )
        return super().run(request, calibration)

    def plans(
        self, request: Request, tables: Sequence[Table], calibration: Calibration
    ) -> tuple[list[LayerPlan], list[str]]:
        """Plan for less until the candidates that are chosen leave the budget."""
        plans, notes = super().plans(request, tables, calibration)
        if not isinstance(request.target, Keep) or keeps_all(request):
            return plans, notes
        shares = fractions(request.target, len(tables))
        tried = list(shares)
        for rehearsal in range(1, MENDING_PASSES + 1):
            multipliers = _chosen(plans, tables, calibration, request, rehearsal)
            left = [
                sum(np.count_nonzero(m) for m in group) / sum(m.size for m in group)
                for group in planning.scopes(multipliers, len(shares))
            ]
            if all(x <= a * (1 + OVERSHOOT) for x, a in zip(left, shares, strict=True)):
                break
            tried = [f * min(1.0, a / x) for f, a, x in zip(tried, shares, left, strict=True)]
            plans = self.within_budget(tables, tried)
        return plans, notes

    def notes(
        self, request: Request, tables: Sequence[Table], plans: Sequence[LayerPlan],
        multipliers: Sequence[Stored],
    ) -> list[str]:  # fmt: skip
        """What the choice among candidates means for a promise."""
        tau = int(sipp_theory.candidates(request.delta))
        return [
            f"the best of tau = {tau} candidates per neuron and sign was chosen on held-out inputs "
            "(SP-10); it fails with up to tau times the probability of one candidate, so each is "
            "promised at delta/tau"
        ]


def one_candidate(request: Request) -> Request:
    """The request of one of tau candidates: delta/tau, so that all hold with probability 1 - delta.

    Claim: SP-10. Source: [OWN], a union bound.
    """
    tau = float(sipp_theory.candidates(request.delta))
    return replace(request, delta=request.delta / tau)


def _chosen(
    plans: Sequence[LayerPlan], tables: Sequence[Table], calibration: Calibration,
    request: Request, *rehearsal: int,
) -> list[Float]:  # fmt: skip
    """(out, fan_in) multipliers of the best candidates, one array a layer."""
    return [
        best_of(
            plan, table.weight, calibration.validation[plan.name].numpy(), request.delta,
            request.seed, index, *rehearsal,
        )
        for index, (plan, table) in enumerate(zip(plans, tables, strict=True))
    ]  # fmt: skip


def _network_note(tables: Sequence[Table], size: sipp_theory.NetworkSize) -> str:
    """Say what CoreNet's network theorem asks for, layer by layer with the factors that make it.

    Claim: NW-5. Source: [CN] arXiv 1804.05345, Theorem 4.
    """
    added = float(sipp_theory.kappa(tables[0].eta, tables[0].eta_star, tables[0].failure))
    parts = []
    for table, draws, eps in zip(tables, size.sizes, size.errors, strict=True):
        worst = float(table.statistics.cancellation.max())
        parts.append(
            f"{table.statistics.name}: worst mean Delta {worst:.4g} (Delta^ adds kappa = "
            f"{added:.4g}), eps_l {eps:.2g}, up to "
            f"{float(np.max(draws)):.2g} draws for {table.weight.shape[1]} weights a neuron"
        )
    over = sum(
        int(((m >= t.support) & (t.total > 0)).sum())
        for m, t in zip(size.sizes, tables, strict=True)
    )
    live = sum(int((t.total > 0).sum()) for t in tables)
    verdict = "vacuous: " if over == live else ""
    return (
        f"NW-5 {verdict}{over} of {live} (neuron, sign) pairs ask for more draws than weights. "
        + "; ".join(parts)
    )


class _HeldOut:
    """Errors of candidates on the rows of T, with what all candidates share computed once."""

    def __init__(self, plan: LayerPlan, weight: Float, points: Float) -> None:
        per_group = weight.shape[0] // points.shape[0]
        self.blocks = []
        for sign in (0, 1):
            part = np.where(plan.sign(sign), np.abs(weight), 0.0)
            for group, rows in enumerate(points):
                block = slice(group * per_group, (group + 1) * per_group)
                z = rows @ part[block].T
                # Rows with z = 0 lose nothing to pruning: their error counts 0.
                inverse = np.divide(1.0, z, out=np.zeros_like(z), where=z > 0)
                self.blocks.append((sign, block, part[block], rows, z, inverse))

    def mean_errors(self, multiplier: Float) -> Float:
        """Mean over the rows of |z^/z - 1|, (2, out)."""
        errors = np.zeros((2, multiplier.shape[0]))
        for sign, block, part, rows, z, inverse in self.blocks:
            estimate = rows @ (part * multiplier[block]).T
            errors[sign, block] = (np.abs(estimate - z) * inverse).mean(axis=0)
        return errors


def best_of(
    plan: LayerPlan, weight: Float, points: Float, delta: float, seed: int, *stream: int
) -> Float:
    """Draw tau candidates and keep, per (sign, neuron), the one of least mean error on held-out T.

    tau = ceil(ln(4/delta)/ln(10/9)). What this promises is `sipp_theory.best_of_tau`: a bound on
    the mean error over T; at a fresh input the union bound over candidates is all that is left.

    Shapes: weight (out, fan_in) float64, points (groups, n, fan_in) float64; returns (out,
    fan_in).

    Claim: SP-10. Source: [CN] arXiv 1804.05345 (CoreNet++).
    """
    tau = int(sipp_theory.candidates(delta))
    held_out = _HeldOut(plan, weight, points)
    layer, *rehearsal = stream
    best = draw(plan, generator(seed, layer, 0, *rehearsal))
    least = held_out.mean_errors(best)
    for candidate in range(1, tau):
        multiplier = draw(plan, generator(seed, layer, candidate, *rehearsal))
        errors = held_out.mean_errors(multiplier)
        wins = errors < least
        least = np.where(wins, errors, least)
        choose = np.where(plan.positive, wins[0][:, None], wins[1][:, None])
        best = np.where(choose, multiplier, best)
    return best
