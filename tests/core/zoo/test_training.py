"""Training: accurate enough, the same for the same seed, and nothing changed by a refused call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from sipp_core.zoo import datasets, models, training


@pytest.fixture(scope="module")
def digits() -> datasets.Dataset:
    return datasets.load("digits")


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def with_dropout() -> nn.Module:
    model = models.build("digits-mlp", seed=1)
    return nn.Sequential(nn.Dropout(0.2), model)


def test_digits_reach_the_accuracy_that_the_report_builds_on(digits: datasets.Dataset) -> None:
    recipe = training.recipe("digits-mlp", "digits")
    model = models.build("digits-mlp", seed=0)
    seen: list[tuple[int, int, str]] = []
    result = training.train(
        model,
        digits,
        recipe,
        seed=0,
        progress=lambda done, total, what: seen.append((done, total, what)),
    )
    assert result.test_accuracy >= 0.96 and result.train_accuracy >= 0.99
    assert result.recipe == recipe and result.seed == 0 and result.seconds > 0
    assert result.test_accuracy == training.accuracy(
        model, digits.test_inputs, digits.test_targets, batch_size=7
    )
    assert not model.training
    assert seen == [(k + 1, recipe.epochs, "training") for k in range(recipe.epochs)]


@pytest.mark.parametrize("build", [lambda: models.build("digits-mlp", seed=1), with_dropout])
def test_the_same_seed_gives_the_same_bits(
    digits: datasets.Dataset, build: Callable[[], nn.Module]
) -> None:
    runs: list[list[torch.Tensor]] = []
    for seed in (3, 3, 4):
        torch.rand(5)  # where the global generator stands must not matter
        state = torch.get_rng_state()
        model = build()
        training.train(model, digits, training.Recipe(2, 100, 0.01), seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        runs.append(weights(model))
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


def test_a_convolutional_model_learns_from_images() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.arange(200) % 10
    inputs = torch.rand(200, 1, 28, 28, generator=generator) * 0.2
    for row, target in enumerate(targets.tolist()):
        inputs[row, 0, 2 * target : 2 * target + 4] = 1.0
    data = datasets.Dataset("stripes", inputs, targets, inputs, targets, 10, "made here")
    model = models.build("lenet-5", seed=0)
    result = training.train(model, data, training.Recipe(8, 20, 3e-3))
    assert result.train_accuracy > 0.95


def test_accuracy_counts_and_gives_each_part_its_mode_back() -> None:
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.9))
    model[0].eval()
    assert training.accuracy(model, torch.eye(3), torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)
    assert model.training and not model[0].training and model[1].training
    with pytest.raises(ValueError, match="found 0 inputs and 0 targets"):
        training.accuracy(model, torch.zeros(0, 3), torch.zeros(0))
    with pytest.raises(ValueError, match="found 3 inputs and 2 targets"):
        training.accuracy(model, torch.eye(3), torch.zeros(2))
    with pytest.raises(ValueError, match="batch_size must be at least 1; found 0"):
        training.accuracy(model, torch.eye(3), torch.zeros(3), batch_size=0)


@pytest.mark.parametrize(
    ("epochs", "batch_size", "lr", "seed", "error", "message"),
    [
        (0, 8, 0.1, 0, ValueError, "epochs must be at least 1; found 0"),
        (1, 0, 0.1, 0, ValueError, "batch_size must be at least 1; found 0"),
        (1, 8, 0.0, 0, ValueError, "lr must be finite and above 0"),
        (1, 8, float("nan"), 0, ValueError, "lr must be finite and above 0; found nan"),
        (1, 8, 0.1, -1, ValueError, "seed must be in"),
        (1.5, 8, 0.1, 0, TypeError, r"epochs must be an integer; found 1\.5"),
        (1, 8, "fast", 0, TypeError, "lr must be a number; found 'fast'"),
    ],
)
def test_bad_settings_are_refused_before_a_weight_moves(
    digits: datasets.Dataset,
    epochs: int,
    batch_size: int,
    lr: float,
    seed: int,
    error: type[Exception],
    message: str,
) -> None:
    model = models.build("digits-mlp")
    before = weights(model)
    with pytest.raises(error, match=message):
        training.train(model, digits, training.Recipe(epochs, batch_size, lr), seed=seed)
    assert same(weights(model), before) and model.training


def test_a_model_that_does_not_fit_is_refused(digits: datasets.Dataset) -> None:
    def run(model: nn.Module) -> None:
        training.train(model, digits, training.Recipe(1, 8, 0.01))

    with pytest.raises(ValueError, match=r"does not take inputs of shape \(1, 64\).*'digits'"):
        run(models.build("lenet-300-100"))
    with pytest.raises(ValueError, match=r"at least 10 classes; found \(1, 3\)"):
        run(nn.Linear(64, 3))
    with pytest.raises(ValueError, match="parameter to train"):
        run(nn.Identity())


def test_divergence_is_said(digits: datasets.Dataset) -> None:
    model = models.build("digits-mlp")
    with pytest.raises(RuntimeError, match="training diverged: the loss of epoch 1 is"):
        training.train(model, digits, training.Recipe(1, 8, 1e30))


def test_real_mnist_is_learnt_in_seconds(mnist_dir: Path) -> None:
    data = datasets.load("mnist", data_dir=mnist_dir)
    model = models.build("lenet-300-100")
    result = training.train(model, data, training.Recipe(2, 128, 2e-3))
    assert result.test_accuracy > 0.965


@pytest.mark.gpu
def test_a_gpu_learns_as_well_and_its_randomness_is_left_alone(digits: datasets.Dataset) -> None:
    model = with_dropout().to("cuda")
    state = torch.cuda.get_rng_state()
    result = training.train(model, digits, training.Recipe(20, 64, 3e-3))
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert result.test_accuracy >= 0.95
    assert next(model.parameters()).device.type == "cuda"


@pytest.mark.parametrize("build", [models.oriented, models.compact])
def test_fixed_layers_are_computed_once_and_no_bit_changes(
    build: Callable[..., nn.Module], digits: datasets.Dataset
) -> None:
    images = torch.rand(130, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    data = replace(
        digits, train_inputs=images[:90], train_targets=digits.train_targets[:90],
        test_inputs=images[90:], test_targets=digits.test_targets[:40],
    )  # fmt: skip
    sizes = (20, 4, 3, 4) if build is models.oriented else (20, 4)
    first, other = build(sizes), build(sizes)
    fixed = [0, 0]
    for k, net in enumerate((first, other)):
        layer = next(iter(net.children()))
        layer.register_forward_hook(lambda *_, k=k: fixed.__setitem__(k, fixed[k] + 1))
    # A hook on the whole network sees whole inputs, so nothing may be left out of a pass.
    other.register_forward_hook(lambda *_: None)
    results = [training.train(net, data, training.Recipe(2, 32, 1e-2)) for net in (first, other)]
    assert fixed[0] < 6 < fixed[1]
    assert same(weights(first), weights(other))
    assert results[0].train_accuracy == results[1].train_accuracy
    assert results[0].test_accuracy == results[1].test_accuracy
    assert not any(module.training for module in first.modules())
