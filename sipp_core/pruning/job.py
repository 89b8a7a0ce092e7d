"""What a method of `prune` is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from sipp_core.network.structure import Change
from sipp_core.pruning.plan import LayerPlan
from sipp_core.pruning.result import LayerReport
from sipp_core.runtime.execution import Progress
from sipp_core.sensitivity.calibrate import Calibration


@dataclass(frozen=True, eq=False)
class Job:
    """One call of `prune`, validated.

    Attributes:
        model: the user's model, not to be changed.
        stats: its calibration.
        inputs: the calibration inputs as one tensor, for methods that run the model again
            (`prune.REVISITING`); else None.
        method: method name.
        keep: fraction to keep in (0, 1], or None in guarantee mode.
        eps: relative error in (0, 1), or None in budget mode.
        delta: failure probability in (0, 1).
        scope: "layer" or "global".
        bound: the bound that promises.
        coverage_factor: C >= 1.
        seed: seed of every draw, >= 0.
        ranking: "max" or "mean": which sensitivities sipp-det ranks by.
        masks: whether the new model shall carry weight_orig and weight_mask.
        progress: callback, or None.
    """

    model: nn.Module
    stats: Calibration
    inputs: Tensor | None
    method: str
    keep: float | None
    eps: float | None
    delta: float
    scope: str
    bound: str
    coverage_factor: float
    seed: int
    ranking: str
    masks: bool
    progress: Progress | None


@dataclass(frozen=True, eq=False)
class Sparsified:
    """A pruned copy, and what became of each layer.

    Attributes:
        model: the new model.
        reports: one report a layer.
        masks: bool masks of the weights that are left, by name of each layer that kept its shape.
        plans: how each layer was drawn; empty where a method writes new weights.
        structure: changes of structure.
        notes: what a reader should know.
        vacuous: whether its promises say nothing; None to tell by the plans and reports.
    """

    model: nn.Module
    reports: tuple[LayerReport, ...]
    masks: dict[str, Tensor]
    plans: tuple[LayerPlan, ...] = ()
    structure: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    vacuous: bool | None = None


Sparsifier = Callable[[Job], Sparsified]
