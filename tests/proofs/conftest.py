"""Instances that the coverage tests share: synthetic neurons, and a short-trained network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from sipp_core.zoo import datasets, models, training

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    model: nn.Module
    calibration: Tensor
    fresh: Tensor


@pytest.fixture(scope="session")
def shares() -> Float:
    """Shares of one sign of a neuron like those of trained networks: sparse, of uneven size."""
    rng = np.random.default_rng(7)
    activations = np.maximum(rng.normal(size=(60, 80)) - 0.6, 0) * np.exp(rng.normal(size=80))
    return activations / activations.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def scores(shares: Float) -> Float:
    return shares.max(axis=0)


@pytest.fixture(scope="session")
def digits() -> Trained:
    data = datasets.load("digits")
    model = models.build("digits-mlp", seed=0)
    training.train(model, data, training.Recipe(4, 64, 2e-3), seed=0)
    return Trained(model, data.train_inputs[:200], data.test_inputs)
