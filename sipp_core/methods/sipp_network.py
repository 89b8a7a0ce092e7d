"""SiPP with the whole network in view: sensitivity of the output, in rounds, with refit."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.pruning import planning
from sipp_core.pruning.allocation import largest
from sipp_core.pruning.effective import count, effective_weights
from sipp_core.pruning.method import Facts, Method, Needs, Promise, Pruned, register
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.refit import REFITTED, refit
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.searching import (
    CHOSEN,
    least_multipliers,
    least_refitted,
    measured_guarantee,
)
from sipp_core.pruning.surroundings import Surroundings, look_around
from sipp_core.pruning.table import Table, make_tables
from sipp_core.pruning.writing import measured_promise, rewritten, write_multipliers
from sipp_core.runtime.arguments import positive, whole
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import model_device, watching
from sipp_core.runtime.numbers import Float
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.output import output_sensitivity
from sipp_theory import BOUNDS, Bound

# Share of the weights that a round leaves, at least. Fewer rounds cost a network at 2% points; more
# take longer and gain little. (Chosen on training inputs: see `sipp validate networks`.)
ROUND = 0.75
# Numbers that layers put out at the inputs on which the sensitivity is measured, at most.
SENSED = 2**24
# Times that the last round is taken again, so that others have the places of what it cut off.
AGAIN = 4


@dataclass(frozen=True)
class SippNetwork(Method):
    """Keep the weights that account for most of the output, in rounds, and solve for them again.

    In each of `rounds` rounds of geometrically fewer weights the network sensitivity Lambda (AL-4)
    is measured on what is left, the weights of largest |w|^(1-a) Lambda^a of all layers together
    stay, a the exponent, and, unless refit=False, the kept weights and biases are refitted
    (AL-5). A weight that no longer lies on a live path has sensitivity 0 and is the first to go in
    the next round (AL-6); the last round is taken again without what it cut off. Guarantee mode is
    by measuring (SP-12): each neuron keeps its weights of largest score, as few as, refitted,
    measure at most eps; rounds spend a budget and have no part in it.
    The inputs need no labels; a process of a group does all of the work by itself.

    Attributes:
        rounds: >= 1; by default as many as there must be for each to take at most a quarter
            of the weights that are left: 3 to a half, 9 to a tenth, 14 to a fiftieth.
        ridge: strength of the refit's ridge, > 0; by default estimated (see `refit`).
        exponent: a in [0, 1], how much the sensitivity counts; 1 ranks by it alone, 0 by magnitude,
            the rival in the same rounds. Sensitivities are estimates: tempered ones do as well on
            dense networks and better on residual ones.
        refit: whether the kept weights and biases are solved for again; without it they stay as
            they are, which is the better start where training on all data follows.

    Claim: AL-4, AL-5, AL-6, SP-12. Source: [OWN].
    """

    rounds: int | None = None
    ridge: float | None = None
    exponent: float = 0.75
    refit: bool = True

    name = "sipp-network"
    facts = Facts(
        "SiPP network",
        "sipp",
        "The weights that account for most of the network's output stay, chosen in rounds; in each "
        "the weights and biases that are left are solved for again on the calibration inputs.",
        "[OWN], after arXiv 1910.05422",
    )
    random = False
    certain = True
    measurable = True
    takes = frozenset({"keep", "eps", "bound"})
    guarantee_bound = "measured"
    default_scope = "global"

    def __post_init__(self) -> None:
        if self.rounds is not None:
            whole("rounds", self.rounds, 1)
        if self.ridge is not None:
            positive("ridge", self.ridge)
        if not self.refit and self.ridge is not None:
            raise ValueError(f"ridge has no effect without refit; found ridge={self.ridge!r}")
        if not 0 <= self.exponent <= 1:
            raise ValueError(f"exponent must lie in [0, 1]; found {self.exponent!r}")

    def accepts(self, bound: Bound) -> bool:
        """None that speaks before weights are solved for."""
        return False

    def check(self, request: Request) -> None:
        """Rounds spend a budget."""
        if request.guaranteed and self.rounds is not None:
            raise ValueError(
                f"rounds={self.rounds} spend a budget: give them with keep=...; guarantee mode has "
                "none"
            )

    def needs(self, request: Request) -> Needs:
        """The inputs, which every round runs again."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Prune in rounds, or to a measured error, and report what the weights came to."""
        assert calibration.held_inputs is not None
        inputs = calibration.held_inputs
        dense = [layer.layer for layer in calibration.layers]
        around = look_around(request.model, dense, inputs[:1])
        some = _spread(inputs, _outputs_an_input(request.model, dense, inputs[:1]))
        if request.measured:
            scores = self._scores(request.model, dense, around, some, request, calibration)
            new, notes = self._measured(request, calibration, scores), (CHOSEN,)
        else:
            new, notes = self._in_rounds(request, calibration, around, some)
        pruned = rewritten(request, calibration, new)
        changed = request.target != Keep(1.0, self.default_scope)
        solved = (REFITTED,) if self.refit and changed else ()
        notes = (*pruned.notes, *notes, *solved)
        return replace(pruned, notes=notes, vacuous=None)

    def _measured(
        self, request: Request, calibration: Calibration, scores: Sequence[Float]
    ) -> nn.Module:
        """Keep of each neuron the fewest weights that measure at most eps.

        Claim: SP-12. Source: [OWN].
        """
        tables = make_tables(replace(request, bound=BOUNDS["bernstein"]), calibration.layers)
        ranked = {table.statistics.name: s for table, s in zip(tables, scores, strict=True)}

        def at(table: Table, rate: Float) -> LayerPlan:
            return planning.share_plan(table, ranked[table.statistics.name], rate)

        def every(table: Table) -> Float:
            return np.ones(len(table.weight))

        if self.refit:
            return least_refitted(request, tables, calibration, at, every, self.ridge)
        chosen = least_multipliers(request, tables, calibration, at, every)
        names = [layer.name for layer in calibration.layers]
        return write_multipliers(request.model, names, chosen, False)[0]

    def _in_rounds(
        self, request: Request, calibration: Calibration, around: Mapping[str, Surroundings],
        some: Given,
    ) -> tuple[nn.Module, tuple[str, ...]]:  # fmt: skip
        """Spend a budget in rounds of geometrically fewer weights.

        What the last round cuts off from the input or the output is spent on other weights.
        """
        inputs, target = calibration.held_inputs, request.target
        assert isinstance(target, Keep) and inputs is not None
        keep = target.fraction
        dense = [layer.layer for layer in calibration.layers]
        size = sum(layer.weight.numel() for layer in dense)
        new = copy.deepcopy(request.model)
        if keep == 1:
            return new, ()

        def cut(scores: Sequence[Float], budget: float) -> int:
            masks = {}
            layers = [layer.within(new) for layer in dense]
            for layer, kept in zip(layers, largest(scores, budget), strict=True):
                weight = weight_of(layer.module)
                masks[layer.name] = torch.from_numpy(kept).to(weight.device)
                with torch.no_grad():
                    weight.mul_(masks[layer.name].reshape(weight.shape))
            if self.refit:
                refit(request.model, new, dense, masks, inputs, ridge=self.ridge,
                      size=calibration.forward_size, mask=calibration.mask)  # fmt: skip
            return count(masks)

        kept, budget, before, scores = 0, 1.0, new, list[Float]()
        rounds = self.rounds or _rounds(max(keep, 1 / size))
        for number in range(1, rounds + 1):
            if request.progress is not None:
                request.progress(number - 1, rounds, "rounds")
            layers = [layer.within(new) for layer in dense]
            scores = self._scores(new, layers, around, some, request, calibration)
            budget = max(1.0, float(np.rint(size * keep ** (number / rounds))))
            before, new = new, copy.deepcopy(new) if number == rounds else new
            kept = cut(scores, budget)
        alive = effective_weights(new, dense, inputs, request.output, calibration.forward_size)
        for _ in range(AGAIN):
            if count(alive) == kept:
                return new, ()
            # Others take the places of what the last round cut off.
            off = [(weight_of(x.within(new).module) != 0) & ~alive[x.name] for x in dense]
            scores = [
                np.where(gone.flatten(1).cpu().numpy(), 0.0, score)
                for gone, score in zip(off, scores, strict=True)
            ]
            new = copy.deepcopy(before)
            kept = cut(scores, budget)
            alive = effective_weights(new, dense, inputs, request.output, calibration.forward_size)
        cut_off = kept - count(alive)
        if not cut_off:
            return new, ()
        return new, (
            f"{cut_off:,} of the {kept:,} weights kept lie on no live path from input to output "
            f"after the last round, which was taken {AGAIN} times again to spend them (AL-6)",
        )

    def promise(self, request: Request) -> Promise:
        """What is measured after the weights were solved for."""
        return measured_guarantee(self.refit) if request.measured else measured_promise()

    def _scores(
        self, model: nn.Module, layers: Sequence[PrunableLayer],
        around: Mapping[str, Surroundings], inputs: Given, request: Request,
        calibration: Calibration,
    ) -> list[Float]:  # fmt: skip
        """What the weights of each layer are ranked by, (out, fan_in)."""
        weights = [layer.weight.double().cpu().numpy() for layer in layers]
        magnitudes = [np.abs(weight) for weight in weights]
        if self.exponent == 0:
            return magnitudes
        # Probes of their own seed: the network is the same for any seed of the user's.
        known = output_sensitivity(
            model, inputs, layers, 0, request.output, calibration.forward_size
        )
        scores = []
        for layer, weight, magnitude in zip(layers, weights, magnitudes, strict=True):
            place = around.get(layer.name)
            score = known[layer.name].scores(weight, place is not None and place.takes_bias)
            scores.append(magnitude ** (1 - self.exponent) * score**self.exponent)
        return scores


def _rounds(keep: float) -> int:
    """How many rounds it takes to leave this share of the weights if none leaves less than ROUND.

    >>> _rounds(0.75), _rounds(0.5), _rounds(0.02)
    (1, 3, 14)
    """
    # A quotient of logarithms may be a bit above a whole number that it should be.
    return max(1, math.ceil(math.log(keep) / math.log(ROUND) - 1e-9))


def _outputs_an_input(model: nn.Module, layers: Sequence[PrunableLayer], example: Given) -> int:
    """How many numbers the layers put out at one input."""
    count = 0

    def see(_: str, value: Tensor) -> None:
        nonlocal count
        count += value.numel()

    modules = {layer.name: layer.module for layer in layers}
    with watching(model, modules, see, outputs=True):
        run(model, example.to(model_device(model), copy=True))
    return count


def _spread(inputs: Given, numbers: int) -> Given:
    """Evenly spread inputs, as many as SENSED has room for; one at least."""
    most = min(len(inputs), max(1, SENSED // max(1, numbers)))
    return inputs[torch.linspace(0, len(inputs) - 1, most).round().long()]


register(SippNetwork())
