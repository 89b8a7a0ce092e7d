"""Draws of channels where the truth is known: each filter looks at a channel of its own."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

import sipp_theory
from proofs_check.ledger.evidence import Experiment
from proofs_check.ledger.registry import Setting, coverage
from proofs_check.monte_carlo.neuron import TIE
from sipp_core.filters import sensitivity

CHANNELS, POSITIONS, EPS, DELTA = 30, 9, 0.3, 0.05
STREAM = 61


def own_channels() -> float:
    """Sum of sensitivities where filter i has equal weights on the positions of channel i alone.

    Each filter's estimate is then M N_i/m with M = 30, the law of the largest variance, and they
    have to hold all at once.

    Claim: PF-1, PF-2. Source: Hoeffding 1963 (the two-point law).
    """
    owner = np.repeat(np.arange(CHANNELS), POSITIONS)
    weight = torch.from_numpy((owner == np.arange(CHANNELS)[:, None]).astype(float))
    rows = torch.ones(1, CHANNELS * POSITIONS, dtype=torch.float64)
    return float(sensitivity.channel_sensitivity(weight, rows, owner).sum())


def _misses(size: int, seed: int, block: int, trials: int) -> int:
    rng = np.random.default_rng([seed, STREAM, size, block])
    counts = rng.multinomial(size, np.full(CHANNELS, 1 / CHANNELS), size=trials)
    far = np.abs(counts * CHANNELS / size - 1) > EPS + TIE
    return int(far.any(axis=1).sum())


def _experiment(setting: Setting, size: float) -> Experiment:
    label = f"{CHANNELS} filters with a channel each, eps = {EPS}, any of them fails"
    return Experiment(label, DELTA, partial(_misses, int(size), setting.seed), promised=size)


@coverage("PF-1")
def printed_at_its_worst(setting: Setting) -> Experiment:
    """Draws as many as PF-1 asks for, for 30 filters that each need a channel of their own."""
    size = sipp_theory.channel_size(max(1.0, own_channels()), EPS, DELTA, CHANNELS)
    return _experiment(setting, float(size))


@coverage("PF-2")
def sharper_at_its_worst(setting: Setting) -> Experiment:
    """Draws as many as PF-2 asks for, for 30 filters that each need a channel of their own."""
    size = sipp_theory.channel_bernstein_size(max(1.0, own_channels()), EPS, DELTA, CHANNELS)
    return _experiment(setting, float(size))
