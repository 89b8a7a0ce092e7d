"""Train a reference network, the same to the last bit for the same seed and data."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress, evaluating, model_device, some_threads
from sipp_core.zoo import checkpoints
from sipp_core.zoo.architectures import OrientedEdges
from sipp_core.zoo.checkpoints import Checkpoint, State
from sipp_core.zoo.datasets import Dataset
from sipp_core.zoo.recipes import Recipe, learning_rate, recipe

__all__ = ["Recipe", "TrainResult", "accuracy", "recipe", "train"]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came of a training run.

    Attributes:
        train_accuracy: fraction of training inputs classified correctly afterwards, in [0, 1].
        test_accuracy: the same for the test inputs.
        loss: mean cross-entropy (nats) over the last epoch, as seen while training.
        recipe: how it was trained.
        seed: the seed it ran with.
        seconds: wall time; takes no part in comparisons.

    These are measurements on given samples, not guarantees.

    Example:
        >>> TrainResult(1.0, 0.98, 0.01, Recipe(1, 8, 0.1), 0, 2.5).test_accuracy
        0.98
    """

    train_accuracy: float
    test_accuracy: float
    loss: float
    recipe: Recipe
    seed: int
    seconds: float = field(compare=False)


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor, batch_size: int = 1024) -> float:
    """Fraction of inputs whose largest class score is the target's.

    The model is evaluated in evaluation mode and given back in the mode it had.

    Args:
        model: maps (batch, ...) inputs to (batch, classes) scores.
        inputs: (n, ...) float tensor, n >= 1, on any device.
        targets: (n,) int64 class numbers.
        batch_size: inputs evaluated at once, >= 1; for speed and memory only.

    Returns:
        Fraction in [0, 1]; ties go to the lower class number.

    Raises:
        ValueError: no inputs, counts that disagree, or a batch size below 1.
        TypeError: the batch size is no integer.

    A measurement on the given sample, not a guarantee.

    Example:
        >>> accuracy(nn.Identity(), torch.eye(4), torch.tensor([0, 1, 2, 0]))
        0.75
    """
    if len(inputs) == 0 or len(inputs) != len(targets):
        raise ValueError(
            "inputs and targets must have one row each per example, at least one; "
            f"found {len(inputs)} inputs and {len(targets)} targets"
        )
    size = whole("batch_size", batch_size, 1)
    device, right = model_device(model), 0
    with evaluating(model):
        for rows, classes in zip(inputs.split(size), targets.split(size), strict=True):
            scores = model(rows.to(device))
            right += int((scores.argmax(dim=1) == classes.to(device)).sum())
    return right / len(inputs)


def _check(model: nn.Module, dataset: Dataset, recipe: Recipe) -> None:
    """Refuse a model that cannot learn these data, before a single weight has moved."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "model must have a parameter to train; found none that requires a gradient"
        )
    if (recipe.crop or recipe.flip) and dataset.train_inputs.ndim != 4:
        raise ValueError(
            "crop and flip are for images (n, channels, height, width); found inputs of shape "
            f"{tuple(dataset.train_inputs.shape)}"
        )
    one = dataset.train_inputs[:1].to(model_device(model))
    try:
        with evaluating(model):
            scores = model(one)
    except RuntimeError as error:
        raise ValueError(
            f"model does not take inputs of shape {tuple(one.shape)} as data set "
            f"{dataset.name!r} gives them (flat or images?): {error}"
        ) from error
    if scores.ndim != 2 or scores.shape[1] < dataset.num_classes:
        raise ValueError(
            f"model must give (batch, classes) scores with at least {dataset.num_classes} "
            f"classes; found {tuple(scores.shape)} for one input"
        )


@contextmanager
def _own_randomness(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the generators that dropout and its like draw from, and restore them afterwards."""
    devices = []
    if device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for index in devices:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if recipe.optimizer == "adam":
        return torch.optim.Adam(trainable, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        trainable,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def augmented(images: Tensor, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random parts of the images, padded with zeros, and mirror images of some of them.

    Shapes: images (n, channels, height, width), crop zeros on every side of them; returns the same.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2.

    Example:
        >>> augmented(torch.ones(2, 1, 4, 4), 0, True, torch.Generator()).sum().item()
        32.0
    """
    n, _, height, width = images.shape
    if crop:
        offsets = torch.randint(2 * crop + 1, (2, n), generator=generator).to(images.device)
        padded = nn.functional.pad(images, (crop, crop, crop, crop))
        parts = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = parts[torch.arange(n, device=images.device), :, offsets[0], offsets[1]]
    if flip:
        mirrored = (torch.rand(n, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    return images


def _epoch(state: State, inputs: Tensor, targets: Tensor, recipe: Recipe) -> float:
    """Train for one epoch; return its mean loss."""
    device = inputs.device
    per_epoch = math.ceil(len(inputs) / recipe.batch_size)
    layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    total = torch.zeros((), device=device)
    order = torch.randperm(len(inputs), generator=state.generator)
    for index, batch in enumerate(order.split(recipe.batch_size)):
        state.optimizer.param_groups[0]["lr"] = learning_rate(
            recipe, state.epoch * per_epoch + index, per_epoch
        )
        rows = batch.to(device)
        seen = inputs[rows]
        if recipe.crop or recipe.flip:
            seen = augmented(seen, recipe.crop, recipe.flip, state.generator)
        with mixed:
            scores = state.model(seen.contiguous(memory_format=layout))
        loss = nn.functional.cross_entropy(scores.float(), targets[rows])
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        total += loss.detach() * len(rows)
    return float(total) / len(inputs)


@contextmanager
def _channels_last(model: nn.Module, innermost: bool) -> Iterator[None]:
    """Keep the weights with channels innermost for a while, if they are to be so."""
    if not innermost:
        yield
        return
    try:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


# What computes each input by itself and the same each time, as long as it has no weights.
_FIXED = (nn.AvgPool2d, nn.GroupNorm, OrientedEdges)


def _ahead(model: nn.Module, dataset: Dataset, recipe: Recipe) -> tuple[nn.Module, Dataset]:
    """The layers that learn, and what the fixed ones before them make of the inputs, once.

    The layers are the model's own. Where inputs change from epoch to epoch or what is made of them
    is no smaller, everything is left as it is.
    """
    as_given = model, dataset
    changing = recipe.crop or recipe.flip or recipe.channels_last or recipe.precision != "float32"
    hooked = model._forward_hooks or model._forward_pre_hooks
    if type(model) is not nn.Sequential or changing or hooked:
        return as_given
    layers = list(model._modules.items())
    count = 0
    while count < len(layers) and _is_fixed(layers[count][1]):
        count += 1
    fixed, rest = (nn.Sequential(OrderedDict(part)) for part in (layers[:count], layers[count:]))
    one = dataset.train_inputs[:1].to(model_device(model))
    with evaluating(fixed):
        if not 0 < count < len(layers) or fixed(one).numel() >= one.numel():
            return as_given
        train, test = (
            torch.cat([fixed(rows.to(one.device)).to(rows.device) for rows in inputs.split(1000)])
            for inputs in (dataset.train_inputs, dataset.test_inputs)
        )
    return rest.train(model.training), replace(dataset, train_inputs=train, test_inputs=test)


def _is_fixed(module: nn.Module | None) -> bool:
    return module is not None and type(module) in _FIXED and not module.state_dict()


def _run(
    model: nn.Module, dataset: Dataset, recipe: Recipe, seed: int, file: Checkpoint | None,
    progress: Progress | None,
) -> float:  # fmt: skip
    """Train in place; return the mean loss of the last epoch."""
    device = model_device(model)
    inputs, targets = dataset.train_inputs.to(device), dataset.train_targets.to(device)
    state = State(model, _optimizer(model, recipe), torch.Generator().manual_seed(seed))
    if file is not None:
        checkpoints.resume(state, file)
    while state.epoch < recipe.epochs:
        state.loss = _epoch(state, inputs, targets, recipe)
        state.epoch += 1
        if not math.isfinite(state.loss):
            raise RuntimeError(
                f"training diverged: the loss of epoch {state.epoch} is {state.loss}; use a "
                f"smaller lr than {recipe.lr} and start from a new model"
            )
        if file is not None:
            checkpoints.write(state, file)
        if progress is not None:
            progress(state.epoch, recipe.epochs, "training")
    return state.loss


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    threads: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    **fields: Any,
) -> TrainResult:
    """Train a classifier in place by a recipe.

    The same seed, data and starting weights give the same weights, bit for bit, on any number of
    cores (training runs in one thread by default); another number of threads, kind of
    processor or a GPU may differ by float rounding. The global random state is left as it was. The
    model is left in evaluation mode.

    Args:
        model: maps (batch, ...) float32 inputs to (batch, classes) scores; changed in place.
        dataset: what to learn; see `sipp_core.datasets.load`.
        recipe: how long, how fast and by which optimizer.
        seed: order of the batches (and crops, and dropout, if any), in [0, 2**63).
        threads: CPU threads, >= 1; part of the result's definition.
        checkpoint: a file to write after each epoch; if it is there, the run goes on from it and
            ends with the same bits as one that was never interrupted.
        progress: called as progress(done, total, "training") after each epoch.
        **fields: of a `Recipe`, instead of one; deprecated, with a warning.

    Returns:
        Accuracies and loss afterwards.

    Raises:
        ValueError: an argument is out of range, the model does not fit the data set, or the
            checkpoint is damaged or of another run; no weight has been changed then.
        TypeError: no recipe, or seed or threads is no integer.
        RuntimeError: the loss ceased to be finite.
        OSError: the checkpoint cannot be written.

    Accuracies are measurements, not guarantees.

    Example:
        >>> from sipp_core.zoo import datasets, models
        >>> model, data = models.build("digits-mlp"), datasets.load("digits")
        >>> train(model, data, Recipe(2, 64, 3e-3)).test_accuracy > 0.8
        True
    """
    if fields:
        if recipe is not None:
            raise TypeError(f"train takes a recipe or its fields; found both ({', '.join(fields)})")
        recipe = Recipe(**fields)
        given = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        warnings.warn(
            f"train(..., {given}) is the old spelling; give recipe=Recipe({given})",
            DeprecationWarning,
            stacklevel=2,
        )
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe; found {recipe!r}")
    order, count = whole("seed", seed, 0, 2**63), whole("threads", threads, 1)
    _check(model, dataset, recipe)
    file = None
    if checkpoint is not None:
        file = checkpoints.read(Path(checkpoint), model, dataset, recipe, order)
    started = time.perf_counter()
    model.train()
    with (
        _own_randomness(model_device(model), order),
        some_threads(count),
        _channels_last(model, recipe.channels_last),
    ):
        learning, seen = _ahead(model, dataset, recipe)
        loss = _run(learning, seen, recipe, order, file, progress)
    model.eval()
    return TrainResult(
        train_accuracy=accuracy(learning, seen.train_inputs, seen.train_targets),
        test_accuracy=accuracy(learning, seen.test_inputs, seen.test_targets),
        loss=loss,
        recipe=recipe,
        seed=order,
        seconds=time.perf_counter() - started,
    )
