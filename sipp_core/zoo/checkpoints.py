"""Where a training run stands, written after each epoch so that it can go on after a break."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core.runtime.execution import model_device
from sipp_core.runtime.files import write_atomically
from sipp_core.runtime.provenance import fingerprint
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe


@dataclass
class Standing:
    """Where a training run stands.

    Attributes:
        model: the network as it is now.
        optimizer: with its momenta.
        generator: dice of the order and of crops, on the CPU.
        epoch: epochs done.
        loss: mean loss of the last of them, nats; +inf before the first.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    epoch: int = 0
    loss: float = math.inf


@dataclass(frozen=True)
class Book:
    """The file that a run is written to, and what it says so far.

    Attributes:
        path: the file.
        run: which run this is; what the file must agree with.
        found: what the file holds, None while there is none.
    """

    path: Path
    run: dict[str, Any]
    found: dict[str, Any] | None


def read(path: Path, model: nn.Module, dataset: Dataset, asked: Recipe, seed: int) -> Book:
    """Read a run's checkpoint if there is one, before anything is changed."""
    data = hashlib.blake2b(digest_size=16)
    for tensor in (dataset.train_inputs, dataset.train_targets):
        data.update(tensor.cpu().contiguous().numpy().data)
    run = {
        "recipe": asdict(asked),
        "seed": seed,
        "starting model": fingerprint(model),
        "data": data.hexdigest(),
    }
    if not path.exists():
        return Book(path, run, None)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        known = found["run"]
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"checkpoint {path} is damaged or was not written by sipp ({reason}); remove it to "
            "start anew"
        ) from error
    for name, value in run.items():
        if known.get(name) != value:
            raise ValueError(
                f"checkpoint {path} is of another run: its {name} differs; remove it, or name "
                "another file"
            )
    return Book(path, run, found)


def resume(standing: Standing, book: Book) -> None:
    """Go on where a checkpoint stopped, if there is one."""
    if (found := book.found) is None:
        return
    standing.model.load_state_dict(found["model"])
    standing.optimizer.load_state_dict(found["optimizer"])
    standing.generator.set_state(found["order"])
    torch.set_rng_state(found["randomness"]["cpu"])
    if "cuda" in found["randomness"]:
        torch.cuda.set_rng_state(found["randomness"]["cuda"], model_device(standing.model))
    standing.epoch, standing.loss = found["epoch"], found["loss"]


def write(standing: Standing, book: Book) -> None:
    """Write a checkpoint, whole or not at all."""
    content = io.BytesIO()
    torch.save(
        {
            "run": book.run,
            "epoch": standing.epoch,
            "loss": standing.loss,
            "model": standing.model.state_dict(),
            "optimizer": standing.optimizer.state_dict(),
            "order": standing.generator.get_state(),
            "randomness": _randomness(model_device(standing.model)),
        },
        content,
    )
    write_atomically(book.path, content.getvalue())


def _randomness(device: torch.device) -> dict[str, Tensor]:
    """Where the generators stand that dropout and its like draw from."""
    found = {"cpu": torch.get_rng_state()}
    return found if device.type != "cuda" else found | {"cuda": torch.cuda.get_rng_state(device)}
