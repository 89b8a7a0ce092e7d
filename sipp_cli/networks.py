"""Networks that the user names: built in or made by a factory, with weights read or trained."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sipp_cli import inputs, render

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sipp_core.zoo import Dataset


@dataclass(frozen=True)
class Network:
    """A network as the user named it.

    Attributes:
        name: the built-in name or the factory.
        model: the module, on its device.
        built_in: whether the name is a built-in one.
        flat: whether inputs of a named data set are given flat.
    """

    name: str
    model: nn.Module
    built_in: bool
    flat: bool


def device(name: str) -> torch.device:
    """Return the device of that name; refuse one that is not there."""
    import torch

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).add_(1).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"--device {name!r} is not available here: {reason}") from error
    return device


def factory(name: str, seed: int) -> nn.Module:
    """The network that package.module:factory makes, torch's generator seeded."""
    import torch
    from torch import nn

    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"--model must be package.module:factory; found {name!r}")
    # A console script looks for modules beside itself; users keep theirs where they stand.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ValueError(f"--model {name}: there is no module {error.name!r}") from error
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"--model {name}: importing {module_name!r} failed with {type(error).__name__}: {error}"
        ) from error
    try:
        make = functools.reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        raise ValueError(f"--model {name}: module {module_name!r} has no {attribute!r}") from error
    if not callable(make):
        raise TypeError(f"--model {name}: {attribute!r} is a {type(make).__name__}, no function")
    torch.manual_seed(seed)
    try:
        model = make()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"--model {name}: the factory failed with {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"--model {name}: the factory must return an nn.Module; found {type(model).__name__}"
        )
    return model


def build(name: str, seed: int, where: torch.device, images: bool = False) -> Network:
    """Build a network by its built-in name or by its factory, as yet without weights of the user's.

    A factory runs with torch's generator seeded.
    """
    from sipp_core.compression import architecture
    from sipp_core.zoo import models

    family, _, sizes = name.partition(":")
    if family in architecture.FAMILIES and sizes:
        named = architecture.named(name)
        flat = len(named.input_shape) == 1
        return Network(name, named.build(seed).to(where), built_in=False, flat=flat)
    if all(name.partition(":")):
        return Network(name, factory(name, seed).to(where), built_in=False, flat=not images)
    if name not in models.NAMES:
        raise ValueError(
            f"--model must be one of {', '.join(models.NAMES)}, dense:784,32,10, compact:28,8,12, "
            f"oriented:28,4,8,10 or package.module:factory; found {name!r}"
        )
    flat = len(models.input_shape(name)) == 1
    return Network(name, models.build(name, seed).to(where), built_in=True, flat=flat)


def fitting(path: Path, where: torch.device) -> Network:
    """Build the built-in network that a pruned file was made from."""
    import sipp_core
    from sipp_core.zoo import models

    refusals: set[str] = set()
    for name in models.NAMES:
        network = build(name, 0, where)
        try:
            sipp_core.load(path, network.model)
        except ValueError as error:
            refusals.add(str(error))
        else:
            return network
    if len(refusals) == 1 and "does not fit the model" not in next(iter(refusals)):
        # The same complaint whatever the model: the file itself is at fault.
        raise ValueError(refusals.pop())
    raise ValueError(f"{path} fits no built-in model; name its model with --model and --weights")


def is_pruned(content: bytes, path: Path) -> bool:
    """Whether a file was written by `sipp prune`; refuses what holds no tensors."""
    from sipp_core.runtime import is_torch_file, metadata_of

    return not is_torch_file(content) and "sipp" in metadata_of(content, str(path))


def load_weights(
    network: Network, path: Path, content: bytes | None = None, *, exactly: bool = False
) -> None:
    """Read a state_dict into the network; refuse one that does not fit, or fits only when rounded.

    Args:
        network: where the weights go.
        path: a safetensors file, or one of torch.save with tensors only.
        content: its bytes, if they have been read.
        exactly: whether every type must be the file's own, so that the file can be made again.
    """
    from sipp_core.runtime import read_bytes, read_state, with_versions

    model = network.model
    own = {name: value for name, value in model.state_dict().items() if hasattr(value, "dtype")}
    if content is None:
        content = read_bytes(path, "weights file")
    room = sum(value.numel() * 16 for value in own.values()) + 2**26
    state = read_state(content, str(path), room)
    if "calibration/digests" in state:
        raise ValueError(
            f"{path} is a pruned network written by sipp; --weights takes the original's"
        )
    faults = [f"it has no {name!r}" for name in own if name not in state]
    faults += [f"{name!r} is not in the model" for name in sorted(set(state) - set(own))]
    for name, value in own.items():
        given = state.get(name)
        if given is None:
            continue
        if given.shape != value.shape:
            faults.append(f"{name!r} has shape {tuple(given.shape)}, not {tuple(value.shape)}")
        elif given.dtype != value.dtype and (exactly or not _holds(value.dtype, given)):
            faults.append(
                f"{name!r} is {given.dtype}, the model's is {value.dtype}: it would be rounded or "
                "come back as another type (convert the file, or give a factory of that type)"
            )
    if faults:
        more = f" (and {len(faults) - 4} more)" if len(faults) > 4 else ""
        raise ValueError(f"{path} does not fit {network.name}: {'; '.join(faults[:4])}{more}")
    model.load_state_dict(with_versions(state, model))


def _holds(dtype: torch.dtype, values: Tensor) -> bool:
    """Whether a dtype holds values without rounding one of them."""
    import torch

    if torch.promote_types(values.dtype, dtype) == dtype:
        return True
    if values.is_complex():
        return False
    return bool((values.to(dtype).to(values.dtype) == values).all())


def save_weights(network: Network, path: Path) -> None:
    """Write the network's state_dict to a safetensors file, whole or not at all."""
    from safetensors.torch import save

    from sipp_core.runtime import write_atomically

    state = network.model.state_dict()
    # Views of one tensor cannot be written, so each gets memory of its own.
    write_atomically(path, save({k: v.cpu().contiguous().clone() for k, v in state.items()}))


def train(network: Network, data: Dataset, seed: int) -> None:
    """Train a built-in network by its recipe, and say so."""
    from sipp_core.zoo import training

    recipe = training.recipe(network.name, data.name)
    render.note(
        f"no --weights: training {network.name} on {data.name} first "
        f"({recipe.epochs} epochs, seed {seed})"
    )
    with render.progress() as progress:
        try:
            done = training.train(network.model, data, recipe, seed=seed, progress=progress)
        except RuntimeError as error:
            raise ValueError(f"{network.name} on {data.name}: {error}") from error
    render.note(f"trained in {done.seconds:.1f} s: {done.test_accuracy:.2%} of test inputs right")


def _taken(network: Network, data: Dataset | None, seed: int) -> bool:
    """Give a built-in network the weights that come with it, or leave random ones where none do."""
    from sipp_core.zoo import NETWORKS, pretrained

    learnt = NETWORKS[network.name].pretrained
    if learnt is not None and (data is None or data.name == learnt):
        network.model.load_state_dict(pretrained.state(network.name))
        facts = pretrained.facts(network.name)
        render.note(
            f"no --weights: {network.name} has the weights that come with sipp (trained on {learnt}"
            f", {facts.test_accuracy:.2%} of test inputs right)"
        )
        return True
    if not NETWORKS[network.name].recipes:
        render.note(
            f"no --weights, and there is no recipe for {network.name}: it is taken UNTRAINED, with "
            f"random weights (seed {seed})"
        )
        return True
    return False


def give_weights(
    network: Network, weights: Path | None, data: Dataset | None, on: str | None,
    data_dir: Path | None, seed: int,
) -> None:  # fmt: skip
    """Read the weights, take those that come with the network or train it, as the options say.

    `data` is the data set that the inputs came from, if any; `on` the one that --train names.
    """
    if weights is not None:
        if on is not None:
            raise ValueError("give either --weights or --train, not both")
        load_weights(network, weights)
    elif not network.built_in:
        if on is not None:
            raise ValueError(
                f"--train trains built-in models only; give --weights for {network.name}"
            )
        render.note(f"no --weights: {network.name} is taken as its factory made it")
    elif on is not None:
        if data is None or data.name != on:
            data = inputs.dataset(on, data_dir, network.flat)
        train(network, data, seed)
    elif not _taken(network, data, seed):
        if data is None:
            raise ValueError(
                f"{network.name} needs --weights FILE.safetensors, or --train with the name of a "
                "data set to train it on"
            )
        train(network, data, seed)
