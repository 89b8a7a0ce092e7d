"""Methods of SiPP's experiments: what `prune` is called with, and how pages name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

from torch import nn

import sipp_core
from reports.validation.paper import Trained
from reports.validation.subjects import Calibrated
from sipp_core.methods import Method, SippDet, SippNetwork

Json = dict[str, Any]


class Arguments(TypedDict, total=False):
    """Arguments of `prune`."""

    method: str | Method
    scope: str
    effective: bool
    refit: bool


@dataclass(frozen=True)
class Variant:
    """One method of the experiments.

    Attributes:
        arguments: what `prune` is called with, beside the share and the seed.
        label: its name in figures; empty for the method's own.
    """

    arguments: Arguments
    label: str = ""


def _global(method: str, **more: bool) -> Arguments:
    return Arguments(method=method, scope="global", **more)


# The budget is shared among all layers, as the papers do; Wanda compares the weights of one neuron
# and obs those of one layer. SiPP's own methods and the magnitude that its authors compare with
# count effective weights alone (AL-6), as their code does.
VARIANTS: dict[str, Variant] = {
    "sipp-det": Variant(_global("sipp-det", effective=True)),
    "sipp-rand": Variant(_global("sipp-rand", effective=True)),
    "sipp-hybrid": Variant(_global("sipp-hybrid", effective=True)),
    "sipp-network": Variant({"method": "sipp-network"}),
    "sipp-network-choice": Variant(
        {"method": SippNetwork(refit=False)}, "SiPP network, without refit"
    ),
    "magnitude-effective": Variant(_global("magnitude", effective=True), "Magnitude, effective"),
    "magnitude": Variant(_global("magnitude")),
    "magnitude-refit": Variant(
        _global("magnitude", effective=True, refit=True), "Magnitude, effective, refit"
    ),
    "magnitude-rounds": Variant(
        {"method": SippNetwork(exponent=0.0)}, "Magnitude, rounds with refit"
    ),
    "snip": Variant(_global("snip")),
    "wanda": Variant({"method": "wanda", "scope": "layer"}),
    "obs": Variant({"method": "obs"}),
    "random": Variant(_global("random")),
    "sipp-poisson": Variant({"method": "sipp-poisson"}),
    # Every layer alike: Net-Trim's experiments prune so.
    "sipp-det-mean": Variant(
        {"method": SippDet(rank="mean"), "scope": "layer"}, "SiPP det., by means and layers"
    ),
}


def arguments(name: str) -> Arguments:
    """What `prune` is called with for a method of the training experiments.

    >>> arguments("sipp-det-mean")["method"], arguments("snip")["scope"]
    (SippDet(rank='mean'), 'global')
    """
    return VARIANTS[name].arguments


C = TypeVar("C", bound=Calibrated)


class Pruned(Trained[C]):
    """One trained network that the methods prune."""

    def sparsify(self, method: str, model: nn.Module, keep: float) -> sipp_core.PruneResult:
        """Prune by a method with everything else settled."""
        pairs = [self.inputs(self.plan.inputs)]
        return sipp_core.prune(model, pairs, keep=keep, seed=self.seed, **arguments(method))

    def unpruned(self) -> Json:
        """The network as it was trained."""
        return {"accuracy": self.accuracy(self.model), "kept": 1.0}

    def pruned(self, method: str, keep: float) -> Json:
        """Pruned once, not trained again."""
        result = self.sparsify(method, self.model, keep)
        return {"accuracy": self.accuracy(result.model), "kept": result.kept}
