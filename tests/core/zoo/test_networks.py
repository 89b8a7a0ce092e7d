"""Records of data sets and networks: they fit one another, and a new one is known everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sipp_core.zoo import NETWORKS, datasets, models, recipes
from sipp_core.zoo.networks import Network
from sipp_core.zoo.recipes import Recipe


def test_records_name_one_another() -> None:
    for name, source in datasets.SOURCES.items():
        assert name == source.name and name in NETWORKS[source.network].recipes
    for name, network in NETWORKS.items():
        assert name == network.name and set(network.recipes) <= set(datasets.SOURCES)
        assert network.pretrained is None or network.pretrained in network.recipes
        assert all("short" in of for of in network.recipes.values())
        assert all(set(of) <= set(recipes.SCHEDULES) for of in network.recipes.values())


def test_a_record_is_all_that_a_network_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Recipe(1, 8, 0.1)
    toy = Network("toy", 31, (4,), lambda: nn.Linear(4, 3), {"digits": {"short": quick}})
    monkeypatch.setitem(NETWORKS, "toy", toy)
    assert models.input_shape("toy") == (4,)
    assert models.build("toy", 1)(torch.rand(2, 4)).shape == (2, 3)
    assert recipes.recipe("toy", "digits") is quick and recipes.learnable("toy") == ("digits",)
    with pytest.raises(ValueError, match="no recipe of a paper for 'toy' on 'digits'"):
        recipes.recipe("toy", "digits", "paper")
    with pytest.raises(ValueError, match="no weights come with 'toy'"):
        models.pretrained("toy")


def test_a_record_is_all_that_a_data_set_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[Path | None, bool, int]] = []

    def read(source: datasets.Source, folder: Path | None, fetch: bool, seed: int):
        calls.append((folder, fetch, seed))
        part = (np.full((2, 4, 4), 8, np.uint8), np.array([0, 1], np.uint8))
        return part, part, "made here"

    toy = datasets.Source(
        "toy", "Toy", "two squares", "ours", "MIT", "toy", read, white=16.0, classes=2
    )
    monkeypatch.setitem(datasets.SOURCES, "toy", toy)
    data = datasets.load("toy", tmp_path, seed=3, flat=False)
    assert calls == [(tmp_path, False, 3)] and data.description == "made here"
    assert data.num_classes == 2 and torch.equal(data.test_inputs, torch.full((2, 1, 4, 4), 0.5))
    assert data.train_targets.tolist() == [0, 1]
