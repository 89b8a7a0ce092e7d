"""Data sets, reference networks, recipes, training and shipped weights."""

from __future__ import annotations

from sipp_core.zoo import datasets, models, pretrained, recipes, retraining, training
from sipp_core.zoo.datasets import DATA_DIR_VARIABLE, Dataset
from sipp_core.zoo.networks import NETWORKS
from sipp_core.zoo.recipes import Recipe, recipe
from sipp_core.zoo.training import accuracy

__all__ = [
    "DATA_DIR_VARIABLE", "NETWORKS", "Dataset", "Recipe", "accuracy", "datasets", "models",
    "pretrained", "recipe", "recipes", "retraining", "training",
]  # fmt: skip
