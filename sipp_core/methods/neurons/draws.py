"""Neurons that are drawn with replacement and re-weighted: one law each."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from torch import Tensor

import sipp_theory
from sipp_core.methods.neurons.method import Choose, Neurons
from sipp_core.neurons.selection import Selection, drawn
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.request import Request
from sipp_core.runtime.numbers import Float

MUSSAY = "arXiv 1907.04018"


class DrawnNeurons(Neurons):
    """Draw neurons in proportion to scores; a subclass gives `scores(table)`.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1g, NC-3g, NC-5. Source: [OWN].
    """

    claims = ("NC-1g", "NC-3g", "NC-5")

    @abstractmethod
    def scores(self, table: NeuronTable) -> Float:
        """(units,) what each neuron's probability is proportional to, >= 0."""

    def chooser(self, request: Request, table: NeuronTable, index: int, inputs: Tensor) -> Choose:
        """Draws of the seed and group, one stream whatever their number."""
        scores = self.scores(table)
        total = scores.sum()
        q = scores / total if total > 0 else np.full(len(scores), 1 / len(scores))
        return lambda amount: drawn(table, q, amount, request.seed, index, self.corrected)


@register
class MussayNeurons(DrawnNeurons):
    """Draw by |w| phi(beta |p|), the law of the paper.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1, NC-3g, NC-5. Source: [MU] arXiv 1907.04018.
    """

    name = "neurons-mussay"
    facts = Facts("Neurons, Mussay", "peer", "Hidden neurons are drawn by |w| phi(beta |p|) and "
                  "the others removed, as the paper has it.", MUSSAY)  # fmt: skip
    claims = ("NC-1", "NC-3g", "NC-5")
    corrected = False  # as the paper

    def scores(self, table: NeuronTable) -> Float:
        """(units,) largest |w| times phi at the largest pre-activation, biases as a coordinate."""
        size = np.sqrt((table.incoming**2).sum(axis=1) + table.bias**2)
        peak = np.sqrt(table.size**2 + 1) * size
        if table.act:
            peak = np.maximum(sipp_theory.ACTIVATIONS[table.act].function(peak), 0.0)
        return table.heaviest * peak


@register
class CorrectedNeurons(DrawnNeurons):
    """Draw by how far a neuron moves the next layer about the middle of its range.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1g, NC-3g, NC-5. Source: [OWN].
    """

    name = "neurons-mussay-corrected"
    facts = Facts("Neurons, corrected", "peer", "Hidden neurons are drawn by how far they move the "
                  "next layer about the middle of their range, and next biases are corrected.",
                  "[OWN] NC-1g")  # fmt: skip

    def scores(self, table: NeuronTable) -> Float:
        """(units,) the loads."""
        return table.loads


@register
class UniformNeurons(DrawnNeurons):
    """Draw every neuron that moves anything alike.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1g, NC-3g, NC-5. Source: [OWN].
    """

    name = "neurons-uniform"
    facts = Facts("Neurons, uniform", "peer", "Hidden neurons are drawn uniformly, and next biases "
                  "are corrected.", "[OWN]")  # fmt: skip

    def scores(self, table: NeuronTable) -> Float:
        """(units,) 1, or 0 where a neuron moves nothing."""
        return (table.loads > 0).astype(float)


@register
class ConeNeurons(DrawnNeurons):
    """Draw by the largest share that a neuron has at any input of the cone.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-8, NC-1g. Source: [OWN].
    """

    name = "neurons-cone"
    facts = Facts("Neurons, cone", "peer", "Hidden neurons are drawn by their largest share at any "
                  "input of the cone, one linear program each.", "[OWN] NC-8")  # fmt: skip
    claims = ("NC-8", "NC-1g")
    corrected = False  # a relative promise needs none

    def scores(self, table: NeuronTable) -> Float:
        """(units,) NC-8's sensitivities, the bias as one more coordinate."""
        augmented = np.c_[table.incoming, table.bias]
        cone = "nonnegative" if table.nonnegative else "all"
        return sipp_theory.cone_sensitivities(augmented, table.heaviest, cone)

    def remarks(self, table: NeuronTable, selection: Selection, delta: float) -> list[str]:
        """What SP-3 says of the draws, relative to sum_p max_i |w_i(p)| relu(z_p)."""
        shares, names = self.scores(table), ", ".join(table.group.producers)
        total = float(shares.sum())
        if shares.min() >= 1 - 1e-6:
            return [
                f"{names}: some input makes any neuron the only one, so shares are all 1 and the "
                "draws uniform (NC-8r): no relative promise is possible"
            ]
        if not (table.act == "relu" and table.dense) or selection.draws < 1:
            return [f"{names}: NC-8 speaks of a Linear layer and ReLU alone"]
        # Both signs together: a draw lies in [-S, S], so SP-3's range is 2 S.
        range_, each = max(1.0, 2 * total), delta / table.outputs
        eps = float(sipp_theory.bernstein_error(range_, selection.draws, each))
        return [
            f"{names}: S = {total:.4g} of {len(shares)} over the cone; error over sum |w| relu(z) "
            f"at one input at most {eps:.3g}"
        ]


@register
class PeeledNeurons(DrawnNeurons):
    """Draw by the rounds in which l_inf coresets peel neurons off.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-9, NC-1g. Source: arXiv 2209.08554.
    """

    name = "neurons-tukan"
    facts = Facts("Neurons, peeled", "peer", "Hidden neurons are drawn by the rounds in which "
                  "l_inf coresets peel them off.", "arXiv 2209.08554")  # fmt: skip
    claims = ("NC-9", "NC-1g")

    def scores(self, table: NeuronTable) -> Float:
        """(units,) NC-9's sensitivities of the weighted neurons."""
        augmented = np.c_[table.incoming, table.bias]
        return sipp_theory.peeled_sensitivities(augmented * table.heaviest[:, None])[0]

    def remarks(self, table: NeuronTable, selection: Selection, delta: float) -> list[str]:
        """Where there are too few neurons to peel."""
        if len(selection.kept) >= 2 * np.linalg.matrix_rank(table.incoming) ** 2:
            return []
        names = ", ".join(table.group.producers)
        return [f"{names}: fewer than 2 r^2 neurons, so peeling draws uniformly (NC-9)"]
