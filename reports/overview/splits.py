"""Who sees which inputs: fitting, calibration, figures and certificates kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from reports.site.methods import needs
from sipp_core.methods import registered
from sipp_core.runtime import digests
from sipp_core.zoo import Dataset


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint index sets, and the inputs they name.

    Attributes:
        calibration: (n,) indices of training inputs that pruning looks at.
        figures: (n,) indices of test inputs behind every figure and every choice.
        certificate: (n,) indices of test inputs that certificates alone look at.
        calibration_inputs: the inputs of `calibration`.
        calibration_targets: their classes, which SNIP looks at.
        figure_inputs: the inputs of `figures`.
        figure_targets: their classes.
        certificate_inputs: the inputs of `certificate`.
        repeats: certificate inputs that equal a calibration input pixel by pixel.
    """

    calibration: np.ndarray
    figures: np.ndarray
    certificate: np.ndarray
    calibration_inputs: Tensor
    calibration_targets: Tensor
    figure_inputs: Tensor
    figure_targets: Tensor
    certificate_inputs: Tensor
    repeats: int

    @property
    def calibration_pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Calibration inputs with their targets, as `prune` takes them for any method."""
        return [(self.calibration_inputs, self.calibration_targets)]


def widths(model: nn.Module) -> tuple[int, int]:
    """Neurons of the network (eta) and its widest layer, the input included (eta*)."""
    shapes = [m.weight.shape for m in model.modules() if isinstance(m, nn.Linear)]
    return sum(int(s[0]) for s in shapes), max(int(s[1]) for s in shapes)


def calibration_count(model: nn.Module, delta: float) -> int:
    """Inputs that CoreNet's theorem asks for, even after a method sets every k-th one aside."""
    size = float(sipp_theory.calibration_size(*widths(model), delta))
    aside = [every for m in registered().values() if (every := needs(m, model).held_out)]
    return ceil(max(size * every / (every - 1) for every in aside) if aside else size)


def split(data: Dataset, count: int, seed: int) -> Splits:
    """Draw the roles at random.

    Calibration inputs are training inputs: the network has seen them, which no promise minds. The
    test inputs are shuffled and halved, because published test sets are sorted by origin.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(7,))))
    train = rng.permutation(len(data.train_inputs))
    test = rng.permutation(len(data.test_inputs))
    half = len(test) // 2
    calibration, figures = np.sort(train[:count]), np.sort(test[:half])
    certificate = np.sort(test[half:])
    inputs = data.train_inputs[torch.from_numpy(calibration)]
    held_out = data.test_inputs[torch.from_numpy(certificate)]
    known = set(digests(inputs))
    return Splits(
        calibration=calibration, figures=figures, certificate=certificate,
        calibration_inputs=inputs,
        calibration_targets=data.train_targets[torch.from_numpy(calibration)],
        figure_inputs=data.test_inputs[torch.from_numpy(figures)],
        figure_targets=data.test_targets[torch.from_numpy(figures)], certificate_inputs=held_out,
        repeats=sum(mark in known for mark in digests(held_out)),
    )  # fmt: skip
