"""Damaged, truncated, spliced and forged files are refused, and nothing else happens."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
import torch
from torch import nn

from sipp_core import compress, decompress
from sipp_core.compression.architecture import FAMILIES, NUMBER_BITS
from sipp_core.compression.compress import MAGIC, TEMPLATE, VERSION
from sipp_core.compression.range_coder import Recorder, fixed, one_of
from sipp_core.zoo import models


def network(seed: int) -> nn.Module:
    model = models.dense((6, 5, 4), seed=seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data = (parameter.data * 4).round().clamp(-3, 3) / 4 + 0.0
    bias = model.get_parameter("fc2.bias").data
    bias.normal_(generator=torch.Generator().manual_seed(seed))
    return model


def named(seed: int = 0) -> bytes:
    return compress(network(seed), architecture="dense:6,5,4").content


def sealed(stream: bytes, template: nn.Module | None = None) -> bytes:
    """A file with a right header and checksum around any stream."""
    mark, start = VERSION, 0
    if template is not None:
        mark |= TEMPLATE
        state = template.state_dict()
        messages = [(name, tuple(value.shape), str(value.dtype)) for name, value in state.items()]
        start = zlib.crc32(repr(messages).encode())
    assert len(stream) < 1 << 14
    low, high = len(stream) & 0x7F, len(stream) >> 7
    length = bytes([low | 0x80, high]) if high else bytes([low])
    return MAGIC + bytes([mark]) + length + zlib.crc32(stream, start).to_bytes(4, "big") + stream


def refused(content: bytes, template: nn.Module | None = None) -> str:
    with pytest.raises(ValueError) as caught:
        decompress(content, template)
    assert type(caught.value) is ValueError
    message = str(caught.value)
    assert message.startswith("the content")
    return message


def test_what_is_forged_here_is_what_is_written() -> None:
    content = named()
    stream = content[len(MAGIC) + 1 + (2 if len(content) > 128 + 8 else 1) + 4 :]
    assert sealed(stream) == content
    template = compress(network(0)).content
    start = len(content) - len(stream)
    assert sealed(template[start:], network(0)) == template


def test_every_flipped_bit_is_noticed() -> None:
    content = named()
    for place, bit in itertools.product(range(len(content)), range(8)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        # Each message says what to do.
        message = refused(bytes(damaged))
        assert any(word in message for word in ("give", "compress the", "compress again", "take"))


def test_every_truncation_and_extension_is_noticed() -> None:
    content = named()
    for size in range(len(content)):
        refused(content[:size])
    for extra in (b"\0", b"\xff", content):
        assert "too long" in refused(content + extra)


def test_no_file_begins_another() -> None:
    """The code is prefix-free, which the bounds of generalization rest on."""
    files = sorted({named(seed) for seed in range(60)})
    assert len(files) > 50
    for one, two in itertools.pairwise(files):
        assert not two.startswith(one)


def test_spliced_and_random_files_are_refused() -> None:
    rng = np.random.default_rng(0)
    files = [named(seed) for seed in range(4)]
    for _ in range(1000):
        one, two = rng.choice(4, 2, replace=False)
        cut = int(rng.integers(1, min(len(files[one]), len(files[two]))))
        spliced = files[one][:cut] + files[two][cut:]
        if spliced not in files:
            refused(spliced)
    for size in rng.integers(0, 200, 2000).tolist():
        refused(rng.bytes(size))
        refused(MAGIC + bytes([VERSION]) + rng.bytes(size))


@pytest.mark.parametrize("with_template", [False, True])
def test_forged_streams_are_refused_or_make_a_network(with_template: bool) -> None:
    """Nothing but ValueError comes of a stream that no recorder wrote, its checksum being right."""
    rng = np.random.default_rng(1)
    template = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 4)).double()
    template.register_buffer("count", torch.zeros(3, dtype=torch.int64))
    template.register_buffer("codes", torch.zeros(2, 3, dtype=torch.uint8))
    template.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
    given = template if with_template else None
    true = compress(template).content if with_template else named()
    start = len(true) - next(n for n in range(len(true)) if sealed(true[-n:], given) == true)
    networks = 0
    for trial in range(1500):
        if trial % 2:
            stream = rng.bytes(int(rng.integers(0, 120)))
            if not with_template:
                # The same architecture, which the first bytes name; others may be large.
                stream = true[start : start + 4] + stream
        else:
            damaged = bytearray(true[start:])
            first = 0 if with_template else 4
            for _ in range(int(rng.integers(1, 4))):
                damaged[int(rng.integers(first, len(damaged)))] ^= 1 << int(rng.integers(8))
            stream = bytes(damaged)
        try:
            model = decompress(sealed(stream, given), given)
        except ValueError as error:
            assert str(error).startswith("the content is damaged") or "names" in str(error)
        else:
            networks += 1
            if given is not None:
                messages = [(k, v.shape, v.dtype) for k, v in model.state_dict().items()]
                assert messages == [(k, v.shape, v.dtype) for k, v in given.state_dict().items()]
    assert networks < 1500


def test_forged_parameters_are_refused_or_make_a_network() -> None:
    rng = np.random.default_rng(2)
    result = 0
    families = [family for family in FAMILIES.values() if family.weights is not None]
    for trial in range(150 * len(families)):
        recorder, count = Recorder(), int(rng.integers(0, 16))
        fixed(recorder, families[trial % len(families)].number, NUMBER_BITS)
        fixed(recorder, count, 4)
        for _ in range(count):
            bits = int(rng.integers(0, 5))
            one_of(recorder, bits, 16)
            fixed(recorder, int(rng.integers(0, 1 << bits)), bits)
        try:
            decompress(sealed(recorder.content() + rng.bytes(30)))
        except ValueError as error:
            assert str(error).startswith("the content is damaged")
        else:
            result += 1
    assert 0 < result < 300  # of 450


def test_a_forged_header_cannot_ask_for_much_memory() -> None:
    recorder = Recorder()
    fixed(recorder, FAMILIES["dense"].number, NUMBER_BITS)
    fixed(recorder, 3, 4)
    for _ in range(3):
        fixed(recorder, 15, 4)
        fixed(recorder, (1 << 15) - 1, 15)
    assert "weights" in refused(sealed(recorder.content()))
    recorder = Recorder()
    fixed(recorder, 31, NUMBER_BITS)
    assert "architecture 31" in refused(sealed(recorder.content()))
    assert "version 2" in refused(MAGIC + b"\x02" + named()[3:])
