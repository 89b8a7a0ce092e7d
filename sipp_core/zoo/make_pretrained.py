"""Make the weights that come with the package: train by the recipe, write, and say how."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
from dataclasses import asdict
from os import PathLike
from pathlib import Path

import torch
from safetensors.torch import save

from sipp_core.runtime.execution import Progress
from sipp_core.runtime.files import write_atomically
from sipp_core.zoo import models, pretrained, training
from sipp_core.zoo.datasets import Dataset

__all__ = ["make"]


def make(
    name: str,
    dataset: Dataset,
    folder: str | PathLike[str],
    *,
    recipe: training.Recipe | None = None,
    seed: int = 0,
    checkpoint: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train a reference network and write its weights with what there is to know about them."""
    if pretrained.DATASETS.get(name) != dataset.name:
        known = ", ".join(f"{model} on {data}" for model, data in pretrained.DATASETS.items())
        raise ValueError(f"weights are made for {known}; found {name!r} on {dataset.name!r}")
    recipe = recipe or training.recipe(name, dataset.name)
    model = models.build(name, seed)
    done = training.train(
        model, dataset, recipe, seed=seed, checkpoint=checkpoint, progress=progress
    )
    content = save({k: v.contiguous().clone() for k, v in model.state_dict().items()})
    facts = pretrained.Shipped(
        model=name,
        dataset=dataset.name,
        description=dataset.description,
        recipe=recipe,
        seed=seed,
        test_accuracy=done.test_accuracy,
        train_accuracy=done.train_accuracy,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=(
            'SIPP_DATA_DIR=DIR python -c "from sipp_core.zoo import datasets, make_pretrained; '
            f"make_pretrained.make({name!r}, datasets.load({dataset.name!r}, flat=False), "
            f"'sipp_core/zoo/weights', seed={seed})\""
        ),
        torch=str(torch.__version__),
        processor=f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    path = Path(folder) / f"{name}-{dataset.name}.safetensors"
    write_atomically(path, content)
    text = json.dumps(asdict(facts), indent=2) + "\n"
    write_atomically(path.with_suffix(".json"), text.encode())
    return path
