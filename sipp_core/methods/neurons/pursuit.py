"""Neurons that explain the next layer stay, refitted."""

from __future__ import annotations

from torch import Tensor

from sipp_core.methods.neurons.method import Choose, Neurons
from sipp_core.neurons.reading import reads
from sipp_core.neurons.selection import Pursuit
from sipp_core.neurons.tables import NeuronTable
from sipp_core.pruning.method import Facts, register
from sipp_core.pruning.request import Request


@register
class PursuedNeurons(Neurons):
    """Simultaneous orthogonal matching pursuit on the inputs: of data, or random ones.

    Attributes:
        region, margin, neurons: as `Neurons` has them.

    Claim: NC-1g, NC-7. Source: Tropp, Gilbert and Strauss 2006.
    """

    name = "neurons-omp"
    facts = Facts("Neurons, pursuit", "peer", "Hidden neurons are chosen one by one to explain the "
                  "next layer on the inputs, and refitted.",
                  "Tropp, Gilbert and Strauss 2006")  # fmt: skip
    random, certain, fits = False, True, True
    takes = frozenset({"keep"})
    claims = ("NC-1g", "NC-7")

    def chooser(self, request: Request, table: NeuronTable, index: int, inputs: Tensor) -> Choose:
        """One pursuit, continued as more neurons are needed."""
        pursuit = Pursuit(table, reads(request.model, inputs, table, request.seed))
        return lambda amount: pursuit.select(amount.count or table.group.units)
