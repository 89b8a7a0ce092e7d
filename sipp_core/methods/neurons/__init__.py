"""Neuron coresets (NC): whole hidden neurons and channels go, for every input of a region.

`method.py` is what all of them share, `draws.py` those that draw, and `largest.py` and `pursuit.py`
those that choose.
"""

from __future__ import annotations

from sipp_core.methods.neurons.draws import (
    ConeNeurons,
    CorrectedNeurons,
    DrawnNeurons,
    MussayNeurons,
    PeeledNeurons,
    UniformNeurons,
)
from sipp_core.methods.neurons.largest import LargestNeurons
from sipp_core.methods.neurons.method import Neurons
from sipp_core.methods.neurons.prune import prune_neurons
from sipp_core.methods.neurons.pursuit import PursuedNeurons

__all__ = [
    "ConeNeurons", "CorrectedNeurons", "DrawnNeurons", "LargestNeurons", "MussayNeurons",
    "Neurons", "PeeledNeurons", "PursuedNeurons", "UniformNeurons", "prune_neurons",
]  # fmt: skip
