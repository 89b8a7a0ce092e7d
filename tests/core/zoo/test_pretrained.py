"""Weights that come with the package: as good as they say, and never a damaged byte of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch

from sipp_core.zoo import datasets, make_pretrained, models, pretrained, recipes, training

WEIGHTS = Path(str(files("sipp_core.zoo"))) / "weights"
LEAST = {"lenet-5": 0.99, "resnet-20": 0.84}


@pytest.mark.parametrize("name", pretrained.DATASETS)
def test_what_is_said_of_a_file_is_true_of_it(name: str) -> None:
    facts = pretrained.facts(name)
    path = WEIGHTS / f"{name}-{facts.dataset}.safetensors"
    assert path.stat().st_size < 2_000_000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == facts.sha256
    assert facts.recipe == recipes.recipe(name, facts.dataset)
    assert facts.test_accuracy >= LEAST[name] and facts.train_accuracy >= LEAST[name]
    assert repr(name) in facts.command and f"seed={facts.seed}" in facts.command
    model = models.pretrained(name)
    assert not model.training and all(p.requires_grad for p in model.parameters())
    assert all(v.dtype in (torch.float32, torch.int64) for v in model.state_dict().values())
    untrained = models.build(name, facts.seed).state_dict()
    moved = [k for k, v in model.state_dict().items() if not torch.equal(v, untrained[k])]
    assert len(moved) == len(untrained)
    # A model of one's own each time: nobody's changes reach another.
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert next(models.pretrained(name).parameters()).abs().sum() > 0


def test_the_package_data_hold_every_file(repository: Path) -> None:
    settings = tomllib.loads((repository / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["sipp_core"]
    held = {path.name for pattern in patterns for path in (repository / "sipp_core").glob(pattern)}
    for name, data in pretrained.DATASETS.items():
        assert {f"{name}-{data}.safetensors", f"{name}-{data}.json"} <= held


def test_lenet_5_is_as_good_on_real_mnist_as_is_said(mnist_dir: Path) -> None:
    data = datasets.load("mnist", mnist_dir, flat=False)
    result = training.accuracy(models.pretrained("lenet-5"), data.test_inputs, data.test_targets)
    assert result == pytest.approx(pretrained.facts("lenet-5").test_accuracy, abs=5e-4)


def test_resnet_20_is_as_good_on_real_images_as_is_said(cifar_dir: Path) -> None:
    """On the first 60 test images of each class: at most 4 standard deviations away."""
    data = datasets.load("cifar10", cifar_dir, flat=False)
    model, message = models.pretrained("resnet-20"), pretrained.facts("resnet-20").test_accuracy
    result = training.accuracy(model, data.test_inputs, data.test_targets)
    n = len(data.test_inputs)
    assert n == 600 and abs(result - message) <= 4 * (message * (1 - message) / n) ** 0.5


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WEIGHTS, tmp_path / "weights"))


def _edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[9000] ^= 1
    path.write_bytes(content)


SPOILT: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "a bit": (
        lambda p: _flip(p / "lenet-5-mnist.safetensors"),
        ValueError,
        "lenet-5-mnist.safetensors is damaged: its SHA-256 is .*install sipp-theory anew",
    ),
    "cut": (
        lambda p: (p / "lenet-5-mnist.safetensors").write_bytes(
            (p / "lenet-5-mnist.safetensors").read_bytes()[:-1]
        ),
        ValueError,
        "is damaged: its SHA-256",
    ),
    "no weights": (
        lambda p: (p / "lenet-5-mnist.safetensors").unlink(),
        FileNotFoundError,
        "there is no .*lenet-5-mnist.safetensors; install",
    ),
    "no facts": (
        lambda p: (p / "lenet-5-mnist.json").unlink(),
        FileNotFoundError,
        "there is no .*lenet-5-mnist.json; install",
    ),
    "no json": (
        lambda p: (p / "lenet-5-mnist.json").write_text("{"),
        ValueError,
        "lenet-5-mnist.json is damaged",
    ),
    "a strange fact": (
        lambda p: _edit(p / "lenet-5-mnist.json", colour="red"),
        ValueError,
        "lenet-5-mnist.json is damaged .*colour",
    ),
    "another recipe": (
        lambda p: _edit(p / "lenet-5-mnist.json", recipe={"epochs": 0}),
        ValueError,
        "lenet-5-mnist.json is damaged",
    ),
    "another model": (
        lambda p: _edit(p / "lenet-5-mnist.json", model="resnet-20", dataset="cifar10"),
        ValueError,
        "speaks of resnet-20 on cifar10",
    ),
    "no safetensors": (
        lambda p: (
            (p / "lenet-5-mnist.safetensors").write_bytes(b"junk"),
            _edit(p / "lenet-5-mnist.json", sha256=hashlib.sha256(b"junk").hexdigest()),
        ),
        ValueError,
        "is no safetensors file",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_damage_is_named(case: str, copy: Path) -> None:
    spoil, error, message = SPOILT[case]
    assert pretrained.state("lenet-5", copy)
    spoil(copy)
    with pytest.raises(error, match=message):
        pretrained.state("lenet-5", copy)


def test_models_without_weights_are_named() -> None:
    for name in ("vgg-small", "nonsense"):
        with pytest.raises(ValueError, match=f"no weights come with '{name}'; there are some for"):
            models.pretrained(name)


def test_weights_are_made_twice_the_same(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.rand(40, 1, 28, 28, generator=generator), torch.arange(40) % 10
    data = datasets.Dataset("mnist", inputs, targets, inputs, targets, 10, "made here")
    quick = dataclasses.replace(recipes.recipe("lenet-5", "mnist"), epochs=2, batch_size=10)
    calls = []
    for folder, checkpoint in (("a", None), ("b", tmp_path / "run.pt")):
        path = make_pretrained.make(
            "lenet-5", data, tmp_path / folder, recipe=quick, seed=3, checkpoint=checkpoint
        )
        calls.append(path.read_bytes())
        facts = pretrained.facts("lenet-5", tmp_path / folder)
        assert (facts.recipe, facts.seed, facts.description) == (quick, 3, "made here")
        assert pretrained.state("lenet-5", tmp_path / folder).keys()
    assert calls[0] == calls[1]
    with pytest.raises(ValueError, match="made for .*found 'resnet-20' on 'mnist'"):
        make_pretrained.make("resnet-20", data, tmp_path)
