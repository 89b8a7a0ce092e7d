"""Forward passes that torch.fx cannot record go through torch.export: same network, or a reason."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sipp_core import load, prune_filters
from sipp_core.filters.recording import record, same_operations


class Base(nn.Module):
    """What all compute."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="circular")
        self.norm, self.act = nn.BatchNorm2d(8), nn.ReLU6()
        self.second = nn.Conv2d(8, 8, 3, padding="same")
        self.hidden, self.head = nn.Linear(128, 10), nn.Linear(10, 3)
        self.drop = nn.Dropout()

    def body(self, image: Tensor) -> Tensor:
        x = F.max_pool2d(self.second(self.act(self.norm(self.first(image)))), 2)
        x = self.drop(x)[:, :, :4, :4].flatten(1)
        return self.head(F.gelu(self.hidden(x.view(x.size(0), -1))))


class Plain(Base):
    """What torch.fx records; the others compute the same."""

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


class Checked(Base):
    def forward(self, image: Tensor) -> Tensor:
        assert len(image.shape) == 4 and image.shape[1] == 3
        return self.body(image)


class Star(Base):
    def forward(self, *images: Tensor) -> Tensor:
        assert len(images) == 1
        return self.body(*images)


class Cache:
    """No container that torch knows."""


class ByKeyword(Base):
    """As transformers writes it: everything optional, and an answer of many parts."""

    def forward(
        self, image: Tensor | None = None, mask: Tensor | None = None, *, flag: bool = False,
        **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        if image is None or more:
            raise ValueError("an image is needed, and nothing else")
        if mask is not None:
            image = image * mask
        return {"logits": -self.body(image) if flag else self.body(image), "cache": Cache()}


class Optional(Base):
    """torch.fx alone would follow the wrong branch, in silence."""

    def forward(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.body(image) if mask is None else image.flatten(1)[:, :3] * mask


class ByValue(Base):
    def forward(self, image: Tensor) -> Tensor:
        return self.body(image) if image.mean() > 0 else self.body(-image)


class Counting(Base):
    """Conditions on, and numbers from, how many channels there are: nobody sees them in a graph."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, image: Tensor) -> Tensor:
        assert len(image.shape) == 4
        x = self.second(self.act(self.first(image)))
        if self.way == "branches" and x.shape[1] > 7:
            x = 2 * x
        if self.way == "scales":
            x = x / x.shape[1] ** 0.5
        if self.way == "asserts":
            assert x.shape[1] == 8
        return self.head(self.hidden(x[:, :, :4, :4].flatten(1)))


def images(n: int = 12) -> Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def seeded(kind: type[nn.Module], *given: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*given).eval()


GIVEN: dict[str, tuple[type[nn.Module], Any]] = {
    "a condition on the shape": (Checked, images()),
    "any number of inputs": (Star, images()),
    "a tensor by keyword": (ByKeyword, {"image": images()}),
    "two and a setting": (
        ByKeyword, {"mask": torch.ones(12, 1, 1, 1), "image": images(), "flag": False},
    ),
    "a default": (Optional, images()),
}  # fmt: skip


@pytest.mark.parametrize("what", GIVEN)
def test_the_same_network_comes_out_as_of_a_twin_that_fx_records(what: str, tmp_path: Any) -> None:
    kind, inputs = GIVEN[what]
    model, twin = seeded(kind), seeded(Plain)
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    result = prune_filters(model, inputs, keep=0.5)
    expected = prune_filters(twin, images(), keep=0.5)
    state = result.model.state_dict()
    assert state.keys() == expected.model.state_dict().keys()
    for name, value in expected.model.state_dict().items():
        assert torch.equal(state[name], value), name
    assert result.channels is not None and expected.channels is not None
    assert result.channels.whole == expected.channels.whole
    assert result.channels.parameters_after < result.channels.parameters_before / 2
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
        assert all(vars(module)[key] is value for key, value in before[name].items())
    result.save(tmp_path / "small")
    again = load(tmp_path / "small", seeded(kind)).model
    answers = [each(images()) for each in (again, expected.model)]
    first = answers[0]["logits"] if isinstance(answers[0], dict) else answers[0]
    torch.testing.assert_close(first, answers[1])


def test_a_branch_by_value_is_refused_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"ByValue cannot .*torch\.fx: .*torch\.export: .*guard"):
        prune_filters(seeded(ByValue), images(), keep=0.5)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize("way", ["branches", "scales", "asserts", "nothing"])
def test_what_depends_on_the_number_of_channels_keeps_it(way: str) -> None:
    model = seeded(Counting, way)
    result = prune_filters(model, images(), keep=0.5)
    assert result.channels is not None
    frozen = [reason for group in result.channels.groups for reason in group.frozen]
    x = images()
    if way == "nothing":
        assert not frozen and result.channels.shapes
        return
    assert set(frozen) == {
        "the forward pass computes with the number of channels, or depends on it"
    }
    assert not result.channels.shapes and result.nnz_after <= result.nnz_before / 2
    assert result.model(x).shape == (12, 3)


def test_graphs_are_told_apart() -> None:
    x = images(2)
    one, other = (record(seeded(Counting, way), x) for way in ("scales", "nothing"))
    assert one.exported and other.exported
    assert same_operations(one, one) and not same_operations(one, other)
    assert not record(seeded(Plain), x).exported
