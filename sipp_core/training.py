"""Train a reference network, the same to the last bit for the same seed and data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from sipp_core._arguments import positive, whole
from sipp_core.datasets import Dataset
from sipp_core.running import Progress, evaluating, model_device, one_thread

__all__ = ["Recipe", "TrainResult", "accuracy", "recipe", "train"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to train a model.

    Attributes:
        epochs: passes over the training inputs, >= 1.
        batch_size: inputs a step, >= 1.
        lr: peak learning rate of Adam, > 0; no unit.

    Claim: none (plumbing).

    Example:
        >>> Recipe(epochs=20, batch_size=64, lr=0.002).epochs
        20
    """

    epochs: int
    batch_size: int
    lr: float


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


_RECIPES: dict[tuple[str, str], Recipe] = {
    ("digits-mlp", "digits"): Recipe(epochs=40, batch_size=64, lr=3e-3),
    ("lenet-300-100", "mnist"): Recipe(epochs=15, batch_size=128, lr=2e-3),
    ("lenet-300-100", "fashion-mnist"): Recipe(epochs=15, batch_size=128, lr=1e-3),
    ("lenet-5", "mnist"): Recipe(epochs=4, batch_size=128, lr=3e-3),
    ("lenet-5", "fashion-mnist"): Recipe(epochs=8, batch_size=128, lr=3e-3),
}


def recipe(model_name: str, dataset_name: str) -> Recipe:
    """Default training recipe of a built-in model on a built-in data set.

    Args:
        model_name: a name from `sipp_core.models.NAMES`.
        dataset_name: a name from `sipp_core.datasets.NAMES`.

    Returns:
        The recipe.

    Raises:
        ValueError: there is none, because the model does not fit the data set.

    Claim: none (plumbing).

    Example:
        >>> recipe("lenet-300-100", "mnist").batch_size
        128
    """
    found = _RECIPES.get((model_name, dataset_name))
    if found is None:
        known = ", ".join(f"{model} on {data}" for model, data in _RECIPES)
        raise ValueError(f"no recipe for {model_name!r} on {dataset_name!r}; there are: {known}")
    return found


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


def _check(model: nn.Module, dataset: Dataset) -> None:
    """Refuse a model that cannot learn these data, before a single weight has moved."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            "model must have a parameter to train; found none that requires a gradient"
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


def _learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first twentieth, then half a cosine down to zero."""
    warm_up = max(1, steps // 20)
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _run(
    model: nn.Module, dataset: Dataset, asked: Recipe, seed: int, progress: Progress | None
) -> float:
    """Train in place; return the mean loss of the last epoch."""
    device = model_device(model)
    inputs, targets = dataset.train_inputs.to(device), dataset.train_targets.to(device)
    generator = torch.Generator().manual_seed(seed)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trainable, lr=asked.lr)
    per_epoch = math.ceil(len(inputs) / asked.batch_size)
    step, mean = 0, math.inf
    for epoch in range(asked.epochs):
        total = torch.zeros((), device=device)
        for batch in torch.randperm(len(inputs), generator=generator).split(asked.batch_size):
            optimizer.param_groups[0]["lr"] = _learning_rate(
                step, asked.epochs * per_epoch, asked.lr
            )
            rows = batch.to(device)
            loss = nn.functional.cross_entropy(model(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
            step += 1
        mean = float(total) / len(inputs)
        if not math.isfinite(mean):
            raise RuntimeError(
                f"training diverged: the loss of epoch {epoch + 1} is {mean}; use a smaller lr "
                f"than {asked.lr} and start from a new model"
            )
        if progress is not None:
            progress(epoch + 1, asked.epochs, "training")
    return mean


def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a classifier in place with Adam, a warm-up and a cosine down to zero.

    The same seed, data and starting weights give the same weights, bit for bit, on any number of
    cores (training runs in one thread); another kind of processor or a GPU may differ by float
    rounding. The global random state is left as it was. The model is left in evaluation mode.

    Args:
        model: maps (batch, ...) float32 inputs to (batch, classes) scores; changed in place.
        dataset: what to learn; see `sipp_core.datasets.load`.
        epochs: passes over the training inputs, >= 1.
        batch_size: inputs a step, >= 1; the last batch of an epoch may be smaller.
        lr: peak learning rate, finite and > 0; no unit.
        seed: order of the batches (and dropout, if any), in [0, 2**63).
        progress: called as progress(done, total, "training") after each epoch.

    Returns:
        Accuracies and loss afterwards.

    Raises:
        ValueError: an argument is out of range or the model does not fit the data set; nothing has
            been changed then.
        TypeError: epochs, batch_size or seed is no integer, or lr no number.
        RuntimeError: the loss ceased to be finite.

    Claim: none (plumbing). Accuracies are measurements, not guarantees.

    Example:
        >>> from sipp_core import datasets, models
        >>> model, data = models.build("digits-mlp"), datasets.load("digits")
        >>> train(model, data, epochs=2, batch_size=64, lr=3e-3).test_accuracy > 0.8
        True
    """
    asked = Recipe(
        whole("epochs", epochs, 1), whole("batch_size", batch_size, 1), positive("lr", lr)
    )
    order = whole("seed", seed, 0, 2**63)
    _check(model, dataset)
    started = time.perf_counter()
    model.train()
    with _own_randomness(model_device(model), order), one_thread():
        loss = _run(model, dataset, asked, order, progress)
    model.eval()
    return TrainResult(
        train_accuracy=accuracy(model, dataset.train_inputs, dataset.train_targets),
        test_accuracy=accuracy(model, dataset.test_inputs, dataset.test_targets),
        loss=loss,
        recipe=asked,
        seed=order,
        seconds=time.perf_counter() - started,
    )
