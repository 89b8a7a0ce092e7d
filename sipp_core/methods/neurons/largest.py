"""The neurons of largest weights stay."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sipp_core.methods.neurons.method import Choose, Neurons
from sipp_core.neurons.selection import largest
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.request import Request


@register
class LargestNeurons(Neurons):
    """Keep the neurons of largest |w| |p| as they are.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1g, NC-7. Source: [OWN].
    """

    name = "neurons-norm"
    facts = Facts("Neurons, largest", "peer", "Hidden neurons of largest |w| |p| stay, and next "
                  "biases are corrected.", "[OWN]")  # fmt: skip
    random, certain = False, True
    claims = ("NC-1g", "NC-7")

    def chooser(self, request: Request, table: NeuronTable, index: int, inputs: Tensor) -> Choose:
        """So many, or the fewest within an error."""
        scores = table.heaviest * np.linalg.norm(table.incoming, axis=1)
        return lambda amount: largest(table, scores, amount)
