"""Where a training run stands, written after each epoch so that it can go on after a break."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core.runtime.execution import model_device
from sipp_core.runtime.files import read_bytes, write_atomically
from sipp_core.runtime.provenance import fingerprint
from sipp_core.runtime.tensor_files import is_torch_file, read_torch
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe

# Bytes that a checkpoint may unpack to.
MOST = 1 << 34
_MAGIC = b"sipp checkpoint\n"


@dataclass
class State:
    """Where a training run stands: epochs done, and the mean loss of the last of them in nats."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    epoch: int = 0
    loss: float = math.inf


@dataclass(frozen=True)
class Checkpoint:
    """A run's file, which run it must be of, and what it holds, None while there is none."""

    path: Path
    run: dict[str, Any]
    held: dict[str, Any] | None


def read(path: Path, model: nn.Module, dataset: Dataset, recipe: Recipe, seed: int) -> Checkpoint:
    """Read a run's checkpoint if there is one, before anything is changed."""
    data = hashlib.blake2b(digest_size=16)
    for tensor in (dataset.train_inputs, dataset.train_targets):
        data.update(tensor.cpu().contiguous().numpy().data)
    run = {
        "recipe": asdict(recipe),
        "seed": seed,
        "starting model": fingerprint(model),
        "data": data.hexdigest(),
    }
    try:
        content = read_bytes(path, "checkpoint")
    except FileNotFoundError:
        return Checkpoint(path, run, None)
    try:
        held = read_torch(_unsealed(content), str(path), MOST)
        known = dict(held["run"])
    except (ValueError, KeyError, TypeError) as error:
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
    return Checkpoint(path, run, held)


def resume(state: State, file: Checkpoint) -> None:
    """Go on where a checkpoint stopped, if there is one."""
    if (held := file.held) is None:
        return
    state.model.load_state_dict(held["model"])
    state.optimizer.load_state_dict(held["optimizer"])
    state.generator.set_state(held["order"])
    torch.set_rng_state(held["randomness"]["cpu"])
    if "cuda" in held["randomness"]:
        torch.cuda.set_rng_state(held["randomness"]["cuda"], model_device(state.model))
    state.epoch, state.loss = held["epoch"], held["loss"]


def write(state: State, file: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all."""
    content = io.BytesIO()
    torch.save(
        {
            "run": file.run,
            "epoch": state.epoch,
            "loss": state.loss,
            "model": state.model.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "order": state.generator.get_state(),
            "randomness": _randomness(model_device(state.model)),
        },
        content,
    )
    seal = hashlib.sha256(content.getvalue()).digest()
    write_atomically(file.path, _MAGIC + seal + content.getvalue())


def _unsealed(content: bytes) -> bytes:
    """What was sealed; checkpoints of older releases are torch files without a seal."""
    if is_torch_file(content):
        return content
    start = len(_MAGIC) + hashlib.sha256().digest_size
    seal, rest = content[len(_MAGIC) : start], content[start:]
    if not content.startswith(_MAGIC) or hashlib.sha256(rest).digest() != seal:
        raise ValueError("its checksum does not match")
    return rest


def _randomness(device: torch.device) -> dict[str, Tensor]:
    """Where the generators stand that dropout and its like draw from."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type != "cuda" else states | {"cuda": torch.cuda.get_rng_state(device)}
