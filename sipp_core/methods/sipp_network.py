"""SiPP with the whole network in view: sensitivity of the output, in rounds, with refit."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.network.layers import PrunableLayer, weight_of
from sipp_core.pruning.allocation import largest
from sipp_core.pruning.method import Facts, Method, Needs, Promise, Pruned, register
from sipp_core.pruning.refit import REFITTED, RIDGE, refit
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.writing import measured_promise, rewrite, rewrites_of
from sipp_core.runtime.arguments import positive, whole
from sipp_core.runtime.batch import Given
from sipp_core.runtime.numbers import Float
from sipp_core.runtime.outputs import Output
from sipp_core.sensitivity.calibrate import Calibration
from sipp_core.sensitivity.output import output_sensitivity

SCORES = ("output", "magnitude")


@dataclass(frozen=True)
class SippNetwork(Method):
    """Keep the weights that account for most of the output, in rounds, and solve for them again.

    In each of `rounds` rounds of geometrically fewer weights the network sensitivity (AL-4) is
    measured on what is left, the largest of all layers together stay, and the kept weights and
    biases are refitted (AL-5). A weight that no longer lies on a live path has sensitivity 0 and is
    the first to go in the next round (AL-6). The inputs need no labels; a process of a group does
    all of the work by itself.

    Attributes:
        rounds: >= 1.
        ridge: strength of the refit's ridge, > 0, in units of the Gram matrix's mean diagonal.
        score: "output", the network sensitivity, or "magnitude", the rival in the same rounds.

    Claim: AL-4, AL-5, AL-6, SP-12. Source: [OWN].
    """

    rounds: int = 8
    ridge: float = RIDGE
    score: Literal["output", "magnitude"] = "output"

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
    takes = frozenset({"keep"})
    default_scope = "global"

    def __post_init__(self) -> None:
        whole("rounds", self.rounds, 1)
        positive("ridge", self.ridge)
        if self.score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}; found {self.score!r}")

    def needs(self, request: Request) -> Needs:
        """The inputs, which every round runs again."""
        return Needs(inputs=True)

    def run(self, request: Request, calibration: Calibration) -> Pruned:
        """Prune in rounds, and report what the weights came to."""
        assert isinstance(request.target, Keep) and calibration.held_inputs is not None
        inputs, keep = calibration.held_inputs, request.target.fraction
        dense = [layer.layer for layer in calibration.layers]
        size = sum(layer.weight.numel() for layer in dense)
        new = copy.deepcopy(request.model)
        for number in range(1, self.rounds + 1) if keep < 1 else ():
            if request.progress is not None:
                request.progress(number - 1, self.rounds, "rounds")
            layers = [layer.within(new) for layer in dense]
            budget = max(1.0, float(np.rint(size * keep ** (number / self.rounds))))
            masks = self._masks(new, layers, inputs, budget, request.seed, request.output)
            refit(request.model, new, dense, masks, inputs, ridge=self.ridge)
        pruned = rewrite(request, calibration, rewrites_of(new, calibration))
        notes = (*pruned.notes, REFITTED) if keep < 1 else pruned.notes
        return replace(pruned, notes=notes, vacuous=None)

    def promise(self, request: Request) -> Promise:
        """What is measured after the weights were solved for."""
        return measured_promise()

    def _scores(
        self,
        model: nn.Module,
        layers: list[PrunableLayer],
        inputs: Given,
        seed: int,
        output: Output,
    ) -> list[Float]:
        weights = [layer.weight.double().cpu().numpy() for layer in layers]
        if self.score == "magnitude":
            return [np.abs(weight) for weight in weights]
        known = output_sensitivity(model, inputs, layers, seed, output)
        return [
            known[layer.name].scores(weight, isinstance(layer.module.bias, Tensor))
            for layer, weight in zip(layers, weights, strict=True)
        ]

    def _masks(
        self, model: nn.Module, layers: list[PrunableLayer], inputs: Given, budget: float,
        seed: int, output: Output,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Keep the largest of all layers in the model itself; bool masks by name, (out, fan_in)."""
        scores = self._scores(model, layers, inputs, seed, output)
        masks = {}
        for layer, kept in zip(layers, largest(scores, budget), strict=True):
            weight = weight_of(layer.module)
            masks[layer.name] = torch.from_numpy(kept).to(weight.device)
            with torch.no_grad():
                weight.mul_(masks[layer.name].reshape(weight.shape))
        return masks


register(SippNetwork())
