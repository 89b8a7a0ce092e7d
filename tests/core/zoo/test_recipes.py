"""Recipes: every one fits, rates are what they say, crops are parts, and breaks change no bit."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sipp_core.zoo import datasets, models, recipes, training
from sipp_core.zoo.recipes import Recipe, learning_rate
from sipp_core.zoo.training import augmented

SIZES = {"digits": 64, "mnist": 784, "fashion-mnist": 784, "cifar10": 3072}
TINY: dict[str, Any] = {
    "epochs": 4, "batch_size": 10, "lr": 0.05, "optimizer": "sgd", "momentum": 0.9,
    "nesterov": True, "weight_decay": 1e-3, "warm_up": 0.2, "crop": 1, "flip": True,
}  # fmt: skip


class Stop(Exception):
    """The power fails."""


def images(count: int = 32) -> datasets.Dataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(count, 3, 8, 8, generator=generator)
    targets = torch.arange(count) % 3
    return datasets.Dataset("squares", inputs, targets, inputs, targets, 3, "made here")


def network(seed: int = 0) -> nn.Module:
    """Convolutions, batch statistics and dropout: everything that carries a state."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(6 * 64, 3),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return model


def weights(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("schedule", recipes.SCHEDULES)
def test_every_recipe_fits_its_model_and_data(schedule: str) -> None:
    result = 0
    for name in models.NAMES:
        for data in datasets.NAMES:
            try:
                recipes.recipe(name, data, schedule)
            except ValueError:
                continue
            assert math.prod(models.input_shape(name)) == SIZES[data]
            result += 1
    assert result >= 5


def test_what_there_is_no_recipe_for_is_named() -> None:
    with pytest.raises(ValueError, match="no recipe for 'lenet-5' on 'digits'; there are"):
        recipes.recipe("lenet-5", "digits")
    with pytest.raises(ValueError, match="no recipe of a paper for 'digits-mlp' on 'digits'"):
        recipes.recipe("digits-mlp", "digits", "paper")
    with pytest.raises(ValueError, match="schedule must be one of short, paper; found 'long'"):
        recipes.recipe("lenet-5", "mnist", "long")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"optimizer": "lbfgs"}, ValueError, "optimizer must be one of adam, sgd; found 'lbfgs'"),
        ({"precision": "half"}, ValueError, "precision must be one of float32, bfloat16"),
        ({"momentum": 1.0}, ValueError, r"momentum must lie in \[0, 1\); found 1.0"),
        ({"weight_decay": -0.1}, ValueError, r"weight_decay must lie in \[0, inf\); found -0.1"),
        ({"warm_up": math.nan}, ValueError, "warm_up must lie in .*found nan"),
        ({"warm_up": "slow"}, TypeError, "warm_up must be a number; found 'slow'"),
        ({"optimizer": "adam"}, ValueError, "momentum and nesterov are for optimizer='sgd'"),
        ({"momentum": 0.0}, ValueError, "nesterov needs a momentum above 0"),
        ({"milestones": (2, 2)}, ValueError, r"milestones must ascend; found \(2, 2\)"),
        ({"milestones": (4,)}, ValueError, r"milestones must be in \[1, 4\); found 4"),
        ({"crop": -1}, ValueError, "crop must be at least 0; found -1"),
    ],
)
def test_bad_recipes_are_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Recipe(**TINY | changes)
    model = network()
    before = weights(model)
    with pytest.raises(error, match=message):
        training.train(model, images(), **TINY | changes)
    assert same(weights(model), before)


def test_crops_of_flat_inputs_are_refused() -> None:
    data = datasets.load("digits")
    with pytest.raises(ValueError, match=r"crop and flip are for images .* shape \(1437, 64\)"):
        training.train(models.build("digits-mlp"), data, Recipe(1, 8, 0.1, flip=True))


def test_the_fields_of_a_recipe_are_its_old_spelling() -> None:
    new, old = network(), network()
    expected = training.train(new, images(), Recipe(1, 16, 0.01, flip=True), seed=2)
    message = r"give recipe=Recipe\(epochs=1, batch_size=16, lr=0.01, flip=True\)"
    with pytest.warns(DeprecationWarning, match=message):
        result = training.train(old, images(), epochs=1, batch_size=16, lr=0.01, flip=True, seed=2)
    assert result == expected and same(weights(old), weights(new))
    before = weights(old)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"lr": 0.1}, "missing 2 required"), ({"speed": 1}, "'speed'"),
    ]  # fmt: skip
    for words, mistake in mistakes:
        with pytest.raises(TypeError, match=mistake):
            training.train(old, images(), **words)
    with pytest.raises(TypeError, match=r"a recipe or its fields; found both \(lr\)"):
        training.train(old, images(), Recipe(1, 16, 0.01), lr=0.1)
    with pytest.raises(TypeError, match="recipe must be a Recipe; found None"):
        training.train(old, images())
    assert same(weights(old), before)


def test_the_rate_rises_once_and_falls_to_zero() -> None:
    recipe = recipes.recipe("resnet-20", "cifar10")
    rates = [learning_rate(recipe, k, 391) for k in range(recipe.epochs * 391)]
    top = rates.index(max(rates))
    assert rates[top] == recipe.lr and 0 < rates[0] < recipe.lr / 100 and 0 < rates[-1] < 1e-5
    assert all(a < b for a, b in itertools.pairwise(rates[: top + 1]))
    falling = rates[top + 1 :]  # the first step of the cosine repeats the peak
    assert all(a > b for a, b in itertools.pairwise(falling))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("resnet-20", "cifar10", {0: 0.1, 90: 0.1, 91: 0.01, 135: 0.01, 136: 0.001, 181: 0.001}),
        ("lenet-5", "mnist", {0: 0.01, 29: 0.01, 30: 0.001, 44: 0.001, 45: 0.0001, 49: 0.0001}),
    ],
)
def test_the_papers_rates_fall_at_the_papers_epochs(
    name: str, data: str, expected: dict[int, float]
) -> None:
    recipe = recipes.recipe(name, data, "paper")
    for epoch, rate in expected.items():
        for step in (epoch * 7, epoch * 7 + 6):
            assert learning_rate(recipe, step, 7) == pytest.approx(rate, rel=1e-12)


def test_a_crop_is_a_part_of_the_padded_image_and_a_flip_its_mirror_image() -> None:
    x = torch.arange(6 * 2 * 4 * 5).float().reshape(6, 2, 4, 5) + 1
    shown = augmented(x, 2, True, torch.Generator().manual_seed(1))
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    seen = set()
    for k in range(6):
        parts = {
            (dy, dx, mirrored): part.flip(2) if mirrored else part
            for dy in range(5)
            for dx in range(5)
            for mirrored, part in ((m, padded[k, :, dy : dy + 4, dx : dx + 5]) for m in (0, 1))
        }
        result = [key for key, part in parts.items() if torch.equal(part, shown[k])]
        assert len(result) == 1
        seen |= set(result)
    assert len(seen) > 3 and {mirrored for *_, mirrored in seen} == {0, 1}
    assert torch.equal(augmented(x, 0, False, torch.Generator()), x)


@pytest.mark.parametrize("changes", [{}, {"channels_last": True, "precision": "bfloat16"},
                                     {"optimizer": "adam", "momentum": 0.0, "nesterov": False},
                                     {"milestones": (2,)}])  # fmt: skip
@pytest.mark.parametrize("breaks", [1, 3])
def test_an_interrupted_run_ends_with_the_same_bits(
    changes: dict[str, Any], breaks: int, tmp_path: Path
) -> None:
    recipe = Recipe(**TINY | changes)
    whole = network()
    expected = training.train(whole, images(), recipe, seed=5)
    path = tmp_path / "run.pt"

    def fail(done: int, total: int, what: str) -> None:
        if done == breaks:
            raise Stop

    broken = network()
    state = torch.get_rng_state()
    with pytest.raises(Stop):
        training.train(broken, images(), recipe, seed=5, checkpoint=path, progress=fail)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.is_contiguous() for p in broken.parameters())
    torch.rand(3)
    epochs: list[int] = []
    resumed = network()
    result = training.train(
        resumed, images(), recipe, seed=5, checkpoint=path,
        progress=lambda done, total, what: epochs.append(done),
    )  # fmt: skip
    assert epochs == list(range(breaks + 1, 5))
    assert same(weights(resumed), weights(whole)) and result == expected
    # A finished run is only read.
    again = network()
    assert training.train(again, images(), recipe, seed=5, checkpoint=path) == expected
    assert same(weights(again), weights(whole))


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    training.train(network(), images(), Recipe(**TINY), checkpoint=path)
    others: dict[str, tuple[nn.Module, datasets.Dataset, dict[str, Any], int]] = {
        "recipe": (network(), images(), {"lr": 0.06}, 0),
        "seed": (network(), images(), {}, 1),
        "starting model": (network(seed=1), images(), {}, 0),
        "data": (network(), images(31), {}, 0),
    }
    for what, (model, data, changes, seed) in others.items():
        before = weights(model)
        with pytest.raises(ValueError, match=f"is of another run: its {what} differs; remove it"):
            training.train(model, data, Recipe(**TINY | changes), seed=seed, checkpoint=path)
        assert same(weights(model), before) and model.training


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    if content is None:
        training.train(network(), images(), Recipe(**TINY), checkpoint=path)
        content = path.read_bytes()[:-400]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="run.pt is damaged or was not written by sipp .*remove"):
        training.train(network(), images(), Recipe(**TINY), checkpoint=path)
    assert path.read_bytes() == content


def test_a_checkpoint_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write"):
        training.train(network(), images(), Recipe(**TINY), checkpoint=tmp_path / "file" / "run.pt")


def test_two_threads_are_allowed_and_none_is_not() -> None:
    before = torch.get_num_threads()
    quick = Recipe(epochs=1, batch_size=16, lr=0.01)
    assert training.train(network(), images(), quick, threads=2).loss > 0
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads must be at least 1; found 0"):
        training.train(network(), images(), quick, threads=0)


def test_nesterov_differs_from_plain_momentum_and_decay_shrinks() -> None:
    def end(**changes: Any) -> Tensor:
        model = network()
        training.train(model, images(), Recipe(**TINY | changes))
        return torch.cat([p.detach().ravel() for p in model.parameters()])

    assert not torch.equal(end(), end(nesterov=False))
    assert end(weight_decay=0.5).norm() < end(weight_decay=0.0).norm()
