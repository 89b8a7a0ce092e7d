"""The pruning methods, one file a method; importing this package registers them all.

A new method is one file here: a subclass of `Planned`, `KeepLargest`, `DrawInProportion`,
`Rewriting` or `Method` under `@register`.
"""

from __future__ import annotations

import importlib
import pkgutil

from sipp_core.methods import corenet, entrywise
from sipp_core.methods.corenet import CoreNet, CoreNetPlus, CoreNetPlusPlus
from sipp_core.methods.entrywise import Entrywise
from sipp_core.methods.filters import Filters, prune_filters
from sipp_core.methods.low_rank import LowRank
from sipp_core.methods.magnitude import Magnitude
from sipp_core.methods.nettrim import NetTrim
from sipp_core.methods.neurons import (
    ConeNeurons,
    CorrectedNeurons,
    DrawnNeurons,
    LargestNeurons,
    MussayNeurons,
    Neurons,
    PeeledNeurons,
    PursuedNeurons,
    UniformNeurons,
    prune_neurons,
)
from sipp_core.methods.obs import OptimalBrainSurgeon
from sipp_core.methods.random_mask import RandomMask
from sipp_core.methods.sipp_det import SippDet, SippRecentred
from sipp_core.methods.sipp_hybrid import SippHybrid
from sipp_core.methods.sipp_network import SippNetwork
from sipp_core.methods.sipp_poisson import SippPoisson
from sipp_core.methods.sipp_rand import SippRand
from sipp_core.methods.snip import Snip
from sipp_core.methods.uniform import Uniform
from sipp_core.methods.wanda import Wanda
from sipp_core.pruning.method import (
    Facts,
    Method,
    Needs,
    Promise,
    Pruned,
    bounds_of,
    find_method,
    register,
    registered,
    variant,
)
from sipp_core.pruning.planned import DrawInProportion, KeepLargest, Planned
from sipp_core.pruning.request import Keep, Request, Within
from sipp_core.pruning.writing import Rewrite, Rewriting

# A method in a file that is not named above registers itself too.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "ConeNeurons", "CoreNet", "CoreNetPlus", "CoreNetPlusPlus", "CorrectedNeurons",
    "DrawInProportion", "DrawnNeurons", "Entrywise", "Facts", "Filters", "Keep", "KeepLargest",
    "LargestNeurons", "LowRank", "Magnitude", "Method", "MussayNeurons", "Needs", "NetTrim",
    "Neurons", "OptimalBrainSurgeon", "PeeledNeurons", "Planned", "Promise", "Pruned",
    "PursuedNeurons", "RandomMask", "Request", "Rewrite", "Rewriting", "SippDet", "SippHybrid",
    "SippNetwork", "SippPoisson", "SippRand", "SippRecentred", "Snip", "Uniform",
    "UniformNeurons", "Wanda", "Within", "bounds_of", "corenet", "entrywise", "find_method",
    "prune_filters", "prune_neurons", "register", "registered", "variant",
]  # fmt: skip
