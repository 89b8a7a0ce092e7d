"""Weights of reference networks that come with the package, and how they were made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from os import PathLike
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from sipp_core.zoo.networks import NETWORKS
from sipp_core.zoo.schedules import Recipe

__all__ = ["DATASETS", "Shipped", "facts", "state"]

DATASETS = {name: one.pretrained for name, one in NETWORKS.items() if one.pretrained}
"""Models that come with weights, and the data set that these learnt."""

Folder = str | PathLike[str] | None


@dataclass(frozen=True, slots=True)
class Shipped:
    """How a file of weights was made.

    Attributes:
        model: name of the built-in model.
        dataset: name of the data set.
        description: what the data were.
        recipe: how it was trained.
        seed: of the starting weights and of the training.
        test_accuracy: fraction of the data set's test inputs classified correctly, in [0, 1].
        train_accuracy: the same for the training inputs.
        date: the day, as YYYY-MM-DD.
        command: what to run for the same file.
        torch: version of torch that it was made with.
        processor: kind of processor that it was made on; another may round otherwise.
        sha256: of the file of weights, 64 hexadecimal digits.

    Accuracies are measurements on given samples, not guarantees.
    """

    model: str
    dataset: str
    description: str
    recipe: Recipe
    seed: int
    test_accuracy: float
    train_accuracy: float
    date: str
    command: str
    torch: str
    processor: str
    sha256: str


def _place(folder: Folder) -> Traversable:
    return files("sipp_core.zoo") / "weights" if folder is None else Path(folder)


def _known(name: str) -> str:
    if name not in DATASETS:
        raise ValueError(f"no weights come with {name!r}; there are some for {', '.join(DATASETS)}")
    return f"{name}-{DATASETS[name]}"


def facts(name: str, folder: Folder = None) -> Shipped:
    """How the weights of a model were made, as the file beside them says.

    Args:
        name: a key of `DATASETS`.
        folder: where the files are; by default those of the package.

    Returns:
        The facts.

    Raises:
        ValueError: no weights come with this model, or the file is damaged.
        FileNotFoundError: the file is missing.

    Example:
        >>> facts("lenet-5").dataset
        'mnist'
    """
    path = _place(folder) / f"{_known(name)}.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; install sipp-theory anew")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        recipe = fields.pop("recipe")
        recipe["milestones"] = tuple(recipe["milestones"])
        shipped = Shipped(recipe=Recipe(**recipe), **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); install sipp-theory anew") from error
    if (shipped.model, shipped.dataset) != (name, DATASETS[name]):
        raise ValueError(
            f"{path} speaks of {shipped.model} on {shipped.dataset}; install sipp-theory anew"
        )
    return shipped


def state(name: str, folder: Folder = None) -> dict[str, Tensor]:
    """Weights and buffers of a model, once their digest is found to be right.

    Args:
        name: a key of `DATASETS`.
        folder: where the files are; by default those of the package.

    Returns:
        A state_dict on the CPU.

    Raises:
        ValueError: no weights come with this model, or a file is damaged.
        FileNotFoundError: a file is missing.

    Example:
        >>> tuple(state("lenet-5")["conv1.weight"].shape)
        (6, 1, 5, 5)
    """
    expected = facts(name, folder).sha256
    path = _place(folder) / f"{_known(name)}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; install sipp-theory anew")
    content = path.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != expected:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {digest}, not {expected}; install sipp-theory anew"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
