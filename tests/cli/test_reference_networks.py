"""Reference networks by name: weights that come with them, or a word that they have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sipp_core.zoo import NETWORKS, datasets

Call = Callable[..., Any]


def test_resnet_20_is_pruned_and_certified_by_the_dense_networks_commands(
    sipp: Call, cifar_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pruned.safetensors"
    where = ("--data-dir", cifar_dir)
    words = ("prune", "--model", "resnet-20", "--calibration", "cifar10", *where, "--out", out)
    ended = sipp(*words, "--keep", 0.9, "--method", "sipp-det", "--calibration-size", 64, "--json")
    assert ended.code == 0 and "weights that come with sipp (trained on cifar10" in ended.err
    result = ended.json
    assert result["inputs"] == 64 and len(result["layers"]) == 20
    assert result["nnz_after"] == pytest.approx(0.9 * result["nnz_before"], rel=1e-3)
    assert result["accuracy"]["before"] > 0.75 and result["accuracy"]["after"] > 0.5
    ended = sipp("certify", out, "--inputs", "cifar10", *where, "--json")
    assert ended.code == 0, ended.err
    certificate = ended.json
    assert certificate["n"] == 600 and certificate["kind"] == "CT-2"
    assert 0 < certificate["eps"] < 1 and not certificate["vacuous"]
    assert certificate["disagreement"] < 0.5


def test_helps_name_what_the_records_hold(sipp: Call) -> None:
    """The texts are written out, so that a help needs no torch."""
    text = " ".join(sipp("prune", "--help").out.replace("\u2502", " ").split())
    assert all(name in text for name in datasets.SOURCES)
    for name, network in NETWORKS.items():
        assert (network.pretrained is None and bool(network.recipes)) or name in text


def test_lenet_5_is_pruned_and_certified(sipp: Call, mnist_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned.safetensors"
    words = ("--data", "mnist", "--data-dir", mnist_dir, "--json")
    ended = sipp("prune", "--model", "lenet-5", *words, "--keep", 0.6, "--calibration-size", 100,
                 "--method", "sipp-det", "--out", out)  # fmt: skip
    assert ended.code == 0 and "training" not in ended.err
    assert ended.json["accuracy"]["before"] >= 0.99
    ended = sipp("certify", out, *words)
    assert ended.code == 0 and ended.json["n"] == 10_000


@pytest.mark.parametrize("name", ["vgg-small", "vit-tiny"])
def test_a_network_that_nobody_trained_is_called_untrained(
    sipp: Call, tmp_path: Path, name: str
) -> None:
    rng, out = np.random.default_rng(0), tmp_path / "pruned.safetensors"
    np.save(tmp_path / "x.npy", rng.random((4, 3, 32, 32), dtype=np.float32))
    np.save(tmp_path / "y.npy", rng.random((100, 3, 32, 32), dtype=np.float32))
    ended = sipp("prune", "--model", name, "--data", tmp_path / "x.npy", "--keep", 0.8, "--seed", 2,
                 "--method", "sipp-det", "--out", out, "--json")  # fmt: skip
    assert ended.code == 0 and f"no recipe for {name}: it is taken UNTRAINED" in ended.err
    assert ended.json["accuracy"] is None
    ended = sipp("certify", out, "--data", tmp_path / "y.npy", "--json")
    assert ended.code == 0 and "UNTRAINED, with random weights (seed 2)" in ended.err


def test_own_inputs_go_with_the_weights_that_come_with_a_network(
    sipp: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((4, 1, 28, 28), dtype=np.float32))
    words = ("prune", "--model", "lenet-5", "--data", tmp_path / "x.npy", "--keep", 0.5)
    ended = sipp(*words)
    assert ended.code == 0 and "weights that come with sipp (trained on mnist" in ended.err
    ended = sipp(*words, "--method", "sipp-det", "--ranking", "mean")
    assert ended.code == 0 and "ranked by their mean" in ended.out
    ended = sipp(*words, "--ranking", "mean")
    assert ended.code == 2 and "'sipp-network' has no parameter rank='mean'" in ended.err
