"""Files written once are read for ever, here and elsewhere: a change needs a new version."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sipp_core import compress, decompress
from sipp_core.compression.architecture import FAMILIES, NUMBER_BITS
from sipp_core.zoo import models

SMALL = "a753010af7466632391032c3512ac5d6db90"
# Its images make the reader use regression, all of whose arithmetic must agree.
SMOOTH = (
    "a753019e0180fdde8a39b0070d0fad08a7e00b2ab630a63932f3fecc2ef25b8420790d82c77c2cf950b2c3c8"
    "1fe695ca40147dbfa1c0e1619ecca3b4b7e7fe6cd44b57b0f2def17cbbf6a1f8d9fa6d5bdf2fd9a454b017ab"
    "9b171eb513289f87316f854d02cf76ef9550a300bd01eda72982ff0606c1cb97cc48997259df0d77ce0f3d3d"
    "9241744746161be811aa2969562c32160a6e4bcea97c165c4d6f0a4cd865d286a2d99f"
)


def slope(row: int) -> torch.Tensor:
    """An image of 8 x 8 pixels that rises in one direction."""
    pixel = torch.arange(64)
    across, down = pixel % 8 - 3.5, pixel // 8 - 3.5
    return (across * ((row * 5) % 7 - 3) + down * ((row * 3) % 5 - 2)) / 6


def network(*widths: int) -> nn.Module:
    model = models.dense(widths)
    for k, parameter in enumerate(model.parameters()):
        n = torch.arange(parameter.numel())
        levels = ((n * n * 7 + 3 * n + k) % 11 - 5).reshape(parameter.shape)
        if parameter.ndim == 2 and parameter.shape[1] == 64:
            levels = torch.stack([slope(row) for row in range(len(parameter))]).round()
        parameter.data = levels.clamp(-2, 2) / 4 + 0.0
    return model


@pytest.mark.parametrize(("content", "widths"), [(SMALL, (4, 3)), (SMOOTH, (64, 12, 10))])
def test_a_file_of_version_1_says_what_it_said(content: str, widths: tuple[int, ...]) -> None:
    found = decompress(bytes.fromhex(content)).state_dict()
    wanted = network(*widths).state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    name = "dense:" + ",".join(map(str, widths))
    assert compress(network(*widths), architecture=name).content.hex() == content


def test_every_reference_network_has_a_number_of_its_own() -> None:
    numbers = {name: family.number for name, family in FAMILIES.items()}
    assert set(models.NAMES) < set(numbers)
    assert len(set(numbers.values())) == len(numbers)
    assert all(0 < number < 1 << NUMBER_BITS for number in numbers.values())
    # What is written in files does not change.
    told = {"lenet-300-100": 1, "digits-mlp": 2, "lenet-5": 3, "vgg-small": 4, "resnet-20": 5,
            "vit-tiny": 6, "dense": 7, "compact": 8, "lenet-5-caffe": 9}  # fmt: skip
    assert {name: numbers[name] for name in told} == told
