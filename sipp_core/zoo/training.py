"""Train a reference network, the same to the last bit for the same seed and data."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress, evaluating, model_device, some_threads
from sipp_core.zoo import checkpoints
from sipp_core.zoo.checkpoints import Book, Standing
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
        recipe: what was asked for.
        seed: the seed it ran with.
        seconds: wall time; takes no part in comparisons.

    Claim: none (plumbing). These are measurements on given samples, not guarantees.

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

    Claim: none (plumbing). A measurement on the given sample, not a guarantee.

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
        for rows, wanted in zip(inputs.split(size), targets.split(size), strict=True):
            scores = model(rows.to(device))
            right += int((scores.argmax(dim=1) == wanted.to(device)).sum())
    return right / len(inputs)


def _check(model: nn.Module, dataset: Dataset, asked: Recipe) -> None:
    """Refuse a model that cannot learn these data, before a single weight has moved."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "model must have a parameter to train; found none that requires a gradient"
        )
    if (asked.crop or asked.flip) and dataset.train_inputs.ndim != 4:
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
    devices = [] if device.type != "cuda" else [torch.cuda.current_device()]
    if device.type == "cuda" and device.index is not None:
        devices = [device.index]
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        for index in devices:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def _optimizer(model: nn.Module, asked: Recipe) -> torch.optim.Optimizer:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if asked.optimizer == "adam":
        return torch.optim.Adam(trainable, lr=asked.lr, weight_decay=asked.weight_decay)
    return torch.optim.SGD(
        trainable,
        lr=asked.lr,
        momentum=asked.momentum,
        nesterov=asked.nesterov,
        weight_decay=asked.weight_decay,
    )


def _epoch(standing: Standing, inputs: Tensor, targets: Tensor, asked: Recipe) -> float:
    """Train for one epoch; return its mean loss."""
    device = inputs.device
    per_epoch = math.ceil(len(inputs) / asked.batch_size)
    layout = torch.channels_last if asked.channels_last else torch.contiguous_format
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=asked.precision == "bfloat16")
    total = torch.zeros((), device=device)
    order = torch.randperm(len(inputs), generator=standing.generator)
    for index, batch in enumerate(order.split(asked.batch_size)):
        standing.optimizer.param_groups[0]["lr"] = learning_rate(
            asked, standing.epoch * per_epoch + index, per_epoch
        )
        rows = batch.to(device)
        seen = inputs[rows]
        if asked.crop or asked.flip:
            seen = augmented(seen, asked.crop, asked.flip, standing.generator)
        with mixed:
            scores = standing.model(seen.contiguous(memory_format=layout))
        loss = nn.functional.cross_entropy(scores.float(), targets[rows])
        standing.optimizer.zero_grad()
        loss.backward()
        standing.optimizer.step()
        total += loss.detach() * len(rows)
    return float(total) / len(inputs)


@contextmanager
def _channels_last(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Keep the weights with channels innermost for a while, if that is wanted."""
    if not wanted:
        yield
        return
    try:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        yield
    finally:
        model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def _run(
    model: nn.Module, dataset: Dataset, asked: Recipe, seed: int, book: Book | None,
    progress: Progress | None,
) -> float:  # fmt: skip
    """Train in place; return the mean loss of the last epoch."""
    device = model_device(model)
    inputs, targets = dataset.train_inputs.to(device), dataset.train_targets.to(device)
    standing = Standing(model, _optimizer(model, asked), torch.Generator().manual_seed(seed))
    if book is not None:
        checkpoints.resume(standing, book)
    while standing.epoch < asked.epochs:
        standing.loss = _epoch(standing, inputs, targets, asked)
        standing.epoch += 1
        if not math.isfinite(standing.loss):
            raise RuntimeError(
                f"training diverged: the loss of epoch {standing.epoch} is {standing.loss}; use a "
                f"smaller lr than {asked.lr} and start from a new model"
            )
        if book is not None:
            checkpoints.write(standing, book)
        if progress is not None:
            progress(standing.epoch, asked.epochs, "training")
    return standing.loss


def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    optimizer: str = "adam",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    warm_up: float = 0.05,
    milestones: tuple[int, ...] = (),
    crop: int = 0,
    flip: bool = False,
    precision: str = "float32",
    channels_last: bool = False,
    seed: int = 0,
    threads: int = 1,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier in place; unless told otherwise with Adam, a warm-up and a cosine.

    The same seed, data and starting weights give the same weights, bit for bit, on any number of
    cores (training runs in one thread unless told otherwise); another number of threads, kind of
    processor or a GPU may differ by float rounding. The global random state is left as it was. The
    model is left in evaluation mode. `train(model, data, **asdict(recipe))` follows a recipe.

    Args:
        model: maps (batch, ...) float32 inputs to (batch, classes) scores; changed in place.
        dataset: what to learn; see `sipp_core.datasets.load`.
        epochs: passes over the training inputs, >= 1.
        batch_size: inputs a step, >= 1; the last batch of an epoch may be smaller.
        lr: peak learning rate, finite and > 0; no unit.
        optimizer: "adam" or "sgd"; this and what follows as in `Recipe`.
        momentum: of sgd, in [0, 1).
        nesterov: whether sgd looks ahead.
        weight_decay: factor of the weights added to their gradients, >= 0.
        warm_up: share of the steps over which the rate rises, in [0, 1).
        milestones: epochs after which the rate is a tenth; empty for half a cosine down to 0.
        crop: zeros around images of which a random part is taken, >= 0.
        flip: whether half of the images are mirrored left to right.
        precision: "float32" or "bfloat16".
        channels_last: whether convolutions see channels as the innermost axis.
        seed: order of the batches (and crops, and dropout, if any), in [0, 2**63).
        threads: CPU threads, >= 1; part of the result's definition.
        checkpoint: a file to write after each epoch; if it is there, the run goes on from it and
            ends with the same bits as one that was never interrupted.
        progress: called as progress(done, total, "training") after each epoch.

    Returns:
        Accuracies and loss afterwards.

    Raises:
        ValueError: an argument is out of range, the model does not fit the data set, or the
            checkpoint is damaged or of another run; no weight has been changed then.
        TypeError: epochs, batch_size or seed is no integer, or lr no number.
        RuntimeError: the loss ceased to be finite.
        OSError: the checkpoint cannot be written.

    Claim: none (plumbing). Accuracies are measurements, not guarantees.

    Example:
        >>> from sipp_core.zoo import datasets; from sipp_core.zoo import models
        >>> model, data = models.build("digits-mlp"), datasets.load("digits")
        >>> train(model, data, epochs=2, batch_size=64, lr=3e-3).test_accuracy > 0.8
        True
    """
    asked = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        warm_up=warm_up,
        milestones=milestones,
        crop=crop,
        flip=flip,
        precision=precision,
        channels_last=channels_last,
    )
    order, count = whole("seed", seed, 0, 2**63), whole("threads", threads, 1)
    _check(model, dataset, asked)
    book = None
    if checkpoint is not None:
        book = checkpoints.read(Path(checkpoint), model, dataset, asked, order)
    started = time.perf_counter()
    model.train()
    with (
        _own_randomness(model_device(model), order),
        some_threads(count),
        _channels_last(model, asked.channels_last),
    ):
        loss = _run(model, dataset, asked, order, book, progress)
    model.eval()
    return TrainResult(
        train_accuracy=accuracy(model, dataset.train_inputs, dataset.train_targets),
        test_accuracy=accuracy(model, dataset.test_inputs, dataset.test_targets),
        loss=loss,
        recipe=asked,
        seed=order,
        seconds=time.perf_counter() - started,
    )


def augmented(images: Tensor, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Random parts of the images, padded with zeros, and mirror images of some of them.

    Args:
        images: (n, channels, height, width).
        crop: zeros on every side before a part of the old size is cut out, >= 0.
        flip: whether each image is mirrored left to right with probability 1/2.
        generator: dice, on the CPU.

    Returns:
        (n, channels, height, width), the same dtype and device.

    Claim: none (plumbing). Source: He et al. 2016, arXiv 1512.03385, section 4.2.

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
