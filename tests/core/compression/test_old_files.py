"""Files written once are read for ever, here and elsewhere: a change needs a new version."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from sipp_core import compress, decompress
from sipp_core.compression.architecture import FAMILIES, NUMBER_BITS
from sipp_core.compression.forms import raw_bytes
from sipp_core.zoo import models

# Counts of values of a table, and what a file with such tables was.
LONG_TABLES = [
    (1, 46, "a8c6595cfc9b51aa"), (5, 2988, "52037a4852b9f85a"), (64, 9748, "fc6d1621aa3100d6"),
    (255, 32803, "7044fb71a2bdefbe"),
]  # fmt: skip
SMALL = "a753010af7466632391032c3512ac5d6db90"
# Its images make the reader use regression, all of whose arithmetic must agree.
SMOOTH = (
    "a753019e0180fdde8a39b0070d0fad08a7e00b2ab630a63932f3fecc2ef25b8420790d82c77c2cf950b2c3c8"
    "1fe695ca40147dbfa1c0e1619ecca3b4b7e7fe6cd44b57b0f2def17cbbf6a1f8d9fa6d5bdf2fd9a454b017ab"
    "9b171eb513289f87316f854d02cf76ef9550a300bd01eda72982ff0606c1cb97cc48997259df0d77ce0f3d3d"
    "9241744746161be811aa2969562c32160a6e4bcea97c165c4d6f0a4cd865d286a2d99f"
)


# What files of such tensors were when the format was new: their length and the start of a SHA-256.
OLDER = [
    (2, 1, torch.float32, 0.25, 261, "af179627a4b11c14"),
    (3, 9, torch.float32, 0.1, 114, "e74bf9751d06efde"),
    (200, 2, torch.float32, 0.01, 688, "c3faaec6affe7b4d"),
    (30000, 1, torch.float32, 0.001, 4254, "67753073f3b58aee"),
    (100, 3, torch.bfloat16, 0.125, 427, "e16eb9e05177c5a4"),
    (7, 1, torch.int16, 3.0, 376, "48436fb6a1807b24"),
    (50, 40, torch.float16, 0.01, 119, "ff642078ebae9ad9"),
]


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
    model = decompress(bytes.fromhex(content)).state_dict()
    expected = network(*widths).state_dict()
    assert all(torch.equal(model[name], value) for name, value in expected.items())
    name = "dense:" + ",".join(map(str, widths))
    assert compress(network(*widths), architecture=name).content.hex() == content


def levels(count: int, spread: int, every: int) -> torch.Tensor:
    """Whole numbers of both signs, of which one in so many is not 0."""
    n = torch.arange(count, dtype=torch.int64)
    mixed = (n * 2654435761 + 40503) % 1000003
    return torch.where(mixed % every == 0, (mixed // every) % (2 * spread + 1) - spread, 0)


def holder(spread: int, every: int, dtype: torch.dtype, step: float) -> nn.Module:
    """A matrix, kernels, a vector in rising order, one that repeats another, and raw numbers."""
    model = nn.Module()
    shapes = {"matrix": (23, 31), "kernels": (6, 5, 3, 3), "vector": (41,), "again": (31, 23)}
    for name, shape in shapes.items():
        tensor = levels(torch.Size(shape).numel(), spread, every).reshape(shape)
        model.register_buffer(name, (tensor * step).to(dtype) + torch.zeros((), dtype=dtype))
    model.register_buffer("rising", (levels(33, spread, every).sort().values * step).to(dtype))
    model.register_buffer("table", levels(50, 3, 2).double().div(7))
    return model


@pytest.mark.parametrize(
    ("spread", "every", "dtype", "step", "size", "digest"),
    OLDER,
    ids=lambda value: str(value)[:8],
)
def test_the_bytes_are_those_of_the_first_release(
    spread: int, every: int, dtype: torch.dtype, step: float, size: int, digest: str
) -> None:
    model = holder(spread, every, dtype, step)
    content = compress(model).content
    assert (len(content), hashlib.sha256(content).hexdigest()[:16]) == (size, digest)
    found = decompress(content, model).state_dict()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


def tables(count: int) -> nn.Module:
    """Tensors of few values of many bits: as numbers, as bits alone, and of both signs."""
    n = torch.arange(1200, dtype=torch.int64)
    mixed = (n * 2654435761 + 40503) % 1000003
    entry = mixed % count
    model = nn.Module()
    odd = (entry * entry * 7919 + 31 * entry + 1).double()
    tensors = {
        "float64": (odd - odd.mean()) / 3, "float32": ((odd - 5e5) / 7).float(),
        "float16": (odd / 1e6 - 0.3).half(), "bfloat16": (odd / 9e5).bfloat16(),
        "bits": torch.where(entry == 0, -0.0, odd / 7), "int64": odd.long() * 10**11 - 10**15,
        "complex": torch.complex(odd.sqrt(), -odd).reshape(30, 40),
    }  # fmt: skip
    for name, tensor in tensors.items():
        model.register_buffer(f"of_{name}", tensor)
    return model


@pytest.mark.parametrize(("count", "size", "digest"), LONG_TABLES)
def test_tables_are_written_as_in_the_first_release(count: int, size: int, digest: str) -> None:
    model = tables(count)
    content = compress(model).content
    assert (len(content), hashlib.sha256(content).hexdigest()[:16]) == (size, digest)
    found = decompress(content, model).state_dict()
    for name, value in model.state_dict().items():
        assert raw_bytes(found[name]).tobytes() == raw_bytes(value).tobytes()


def test_every_reference_network_has_a_number_of_its_own() -> None:
    numbers = {name: family.number for name, family in FAMILIES.items()}
    assert set(models.NAMES) < set(numbers)
    assert len(set(numbers.values())) == len(numbers)
    assert all(0 < number < 1 << NUMBER_BITS for number in numbers.values())
    # What is written in files does not change.
    output = {"lenet-300-100": 1, "digits-mlp": 2, "lenet-5": 3, "vgg-small": 4, "resnet-20": 5,
            "vit-tiny": 6, "dense": 7, "compact": 8, "lenet-5-caffe": 9,
            "oriented": 10}  # fmt: skip
    assert {name: numbers[name] for name in output} == output
