"""One validated call of `prune`, as a method sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from sipp_core.pruning.measured import Measured
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.outputs import Output
from sipp_theory import Bound

DEFAULT_DELTA = 0.05
# Rows kept per layer for instance-exact bounds when the caller does not say.
DEFAULT_POINTS = 1024


@dataclass(frozen=True)
class Keep:
    """Budget mode: a fraction of the prunable weights.

    Attributes:
        fraction: in (0, 1].
        scope: "layer" keeps the fraction of every layer, "global" of all together.
    """

    fraction: float
    scope: Literal["layer", "global"] = "layer"


@dataclass(frozen=True)
class Within:
    """Guarantee mode: the fewest weights that meet an error.

    Attributes:
        eps: relative error, in (0, 1).
    """

    eps: float


@dataclass(frozen=True, eq=False)
class Request:
    """One call of `prune`, validated.

    Attributes:
        model: the user's model, not to be changed.
        target: a budget or an error.
        delta: failure probability, in (0, 1).
        bound: the bound that promises.
        coverage_factor: C >= 1 assumed of fresh inputs.
        seed: of every draw, >= 0.
        points: activation rows to keep per layer where the bound or the method looks at them.
        masks: whether the new model shall carry weight_orig and weight_mask.
        refit: whether the kept weights are solved for again (AL-5).
        effective: whether a budget counts effective weights alone (AL-6).
        progress: callback, or None.
        candidates: draws of which the best is taken, where weights are chosen by measuring.
        pattern: which sets of weights may stay, None for any.
        first: number of the network's layers before these, which were pruned by themselves.
        output: what counts of the model's answer where that is no tensor.
    """

    model: nn.Module
    target: Keep | Within
    delta: float
    bound: Bound
    coverage_factor: float
    seed: int
    points: int
    masks: bool
    refit: bool
    effective: bool
    progress: Progress | None
    output: Output = None
    candidates: int = 1
    pattern: str | None = None
    first: int = 0

    @property
    def guaranteed(self) -> bool:
        """Whether this is guarantee mode."""
        return isinstance(self.target, Within)

    @property
    def runs_again(self) -> bool:
        """Whether the model is run on the inputs again once weights are chosen."""
        return self.refit or self.effective or self.measured

    @property
    def measured(self) -> bool:
        """Whether weights are chosen by their measured error (SP-12)."""
        return isinstance(self.bound, Measured)
