"""The range-coded stream: decisions come back, cost what their probabilities say, and add up."""

from __future__ import annotations

import itertools
import math
import random
import struct
from typing import Any, cast

import constriction
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipp_core.compression import magnitudes, positions, range_coder
from sipp_core.compression.adaptive import ContextModels, choose, number
from sipp_core.compression.layout import usual
from sipp_core.compression.loops import LONGEST, START, adapt, decide, logistic
from sipp_core.compression.number_formats import FORMATS, rising, shortest
from sipp_core.compression.range_coder import (
    WHOLE,
    DamagedError,
    Reader,
    Recorder,
    TooLongError,
    fixed,
    flag,
    one_of,
    write,
)

chances = st.integers(1, WHOLE - 1)
decisions = st.lists(st.tuples(st.integers(0, 1), chances), max_size=60)


@given(decisions, st.lists(st.integers(0, 65535), max_size=5), decisions)
def test_what_was_recorded_is_read(
    first: list[tuple[int, int]], words: list[int], second: list[tuple[int, int]]
) -> None:
    recorder, raw = Recorder(), np.array(words, dtype=np.int32)
    for value, one in first:
        recorder.bit(value, one)
    recorder.words(raw)
    for value, one in second:
        recorder.bit(value, one)
    content = recorder.content()
    reader = Reader(content)
    assert [reader.bit(0, one) for _, one in first] == [value for value, _ in first]
    assert reader.words(np.zeros_like(raw)).tolist() == words
    assert [reader.bit(0, one) for _, one in second] == [value for value, _ in second]
    # A stream may end a byte after what it says; the coder's own rounding is far below a bit.
    assert 8 * len(content) <= recorder.cost() + 9


@given(st.lists(st.one_of(st.tuples(st.integers(0, 1), chances), st.integers(0, 65535))),
       st.integers(0, 3))  # fmt: skip
def test_the_stream_is_that_of_constriction(items: list[Any], rare: int) -> None:
    stream = cast(Any, constriction).stream
    encoder = stream.queue.RangeEncoder()
    even = stream.model.Uniform(1 << 16)
    # Many sure decisions in a row hold back words, until a carry is certain.
    items = items * (1 + 20 * rare)
    taken = []
    for item in items:
        if isinstance(item, int):
            encoder.encode(np.array([item], dtype=np.int32), even)
            taken.append(-1 - item)
        else:
            model = stream.model.Bernoulli(item[1] / WHOLE, perfect=False)
            encoder.encode(np.array([item[0]], dtype=np.int32), model)
            taken.append(item[1] + item[0] * WHOLE)
    assert write(np.array(taken, np.int32)).tolist() == encoder.get_compressed().tolist()


def test_held_back_words_and_their_carry_are_those_of_constriction() -> None:
    stream = cast(Any, constriction).stream
    rng = np.random.default_rng(5)
    held = 0
    for last in (0, 1) * 20:
        # Always the middle of what is left, so that the next word stays open.
        ones = np.where(rng.random(400) < 0.5, WHOLE // 2, WHOLE // 2 + 1)
        values = np.append([1, *[0] * 60], rng.integers(0, 2, 400))[: 1 + 60 * last + 100]
        ones = np.append([WHOLE // 2, *[WHOLE // 2] * 60], ones)[: values.size]
        values[1:61] = last
        encoder = stream.queue.RangeEncoder()
        chances = stream.model.Bernoulli(perfect=False)
        encoder.encode(values.astype(np.int32), chances, ones / WHOLE)
        result = write((ones + values * WHOLE).astype(np.int32))
        assert result.tolist() == encoder.get_compressed().tolist()
        held += int((result == 0xFFFFFFFF).any() or (result == 0).any())
    assert held


@given(decisions)
def test_the_cost_is_that_of_the_probabilities(found: list[tuple[int, int]]) -> None:
    recorder = Recorder()
    for value, one in found:
        recorder.bit(value, one)
    exact = -sum(math.log2((one if value else WHOLE - one) / WHOLE) for value, one in found)
    assert recorder.cost() == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("at_once", [1, 2, range_coder.AT_ONCE])
def test_parts_are_what_they_hold_also_those_taken_over(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_coder, "AT_ONCE", at_once)
    recorder, other = Recorder(), Recorder()
    recorder.part("a", "x")
    flag(recorder, 1)
    other.part("b", "y")
    other.words(np.array([3, 4], dtype=np.int32))
    fixed(other, 5, 3)
    other.part("b", "z")
    recorder.extend(other)
    assert recorder.parts() == [("a", "x", 1.0), ("b", "y", 35.0), ("b", "z", 0.0)]
    reader = Reader(recorder.content())
    assert flag(reader, 0) == 1
    assert reader.words(np.zeros(2, np.int32)).tolist() == [3, 4]
    assert fixed(reader, 0, 3) == 5


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 100])
def test_one_of_so_many_costs_the_logarithm(count: int) -> None:
    for value in range(count):
        recorder = Recorder()
        assert one_of(recorder, value, count) == value
        assert recorder.cost() == pytest.approx(math.log2(count), abs=1e-4)
        assert one_of(Reader(recorder.content()), 0, count) == value


@given(st.lists(st.integers(0, 1 << 40), max_size=20), st.lists(st.integers(0, 6), max_size=20))
def test_numbers_and_choices_come_back(numbers: list[int], choices: list[int]) -> None:
    recorder, contexts = Recorder(), ContextModels()
    for value in numbers:
        number(recorder, contexts, "n", value)
    for value in choices:
        choose(recorder, contexts, "c", value, 7)
    reader, contexts = Reader(recorder.content()), ContextModels()
    assert [number(reader, contexts, "n", 0) for _ in numbers] == numbers
    assert [choose(reader, contexts, "c", 0, 7) for _ in choices] == choices


def test_a_number_beyond_all_bounds_is_refused() -> None:
    recorder, contexts = Recorder(), ContextModels()
    pairs = contexts.pairs(("n", "number"), LONGEST + 1)
    for length in range(1, LONGEST + 1):
        adapt(*recorder.room(1), pairs[length], 1, START, START)
    with pytest.raises(DamagedError, match="beyond all bounds"):
        number(Reader(recorder.content()), ContextModels(), "n", 0)


@given(st.sets(st.integers(0, 2**15 - 1), max_size=40))
def test_rising_numbers_save_their_order(values: set[int]) -> None:
    listed = sorted(values)
    recorder = Recorder()
    assert rising(recorder, listed, len(listed), 15) == listed
    assert rising(Reader(recorder.content()), [], len(listed), 15) == listed
    # Numbers that crowd together are cheaper: no chance is taken to be less than one in 2^20.
    free = 15 * len(listed) - math.log2(math.factorial(len(listed)))
    assert recorder.cost() <= free + 0.02
    spread = sorted(random.Random(0).sample(range(2**15), len(listed)))
    apart = Recorder()
    rising(apart, spread, len(spread), 15)
    assert apart.cost() == pytest.approx(free, abs=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 11), (5, 2)])
def test_enumeration_takes_the_binomial_coefficient(rows: int, columns: int) -> None:
    size = rows * columns
    for chosen in range(size + 1):
        counted = Recorder()
        number(counted, ContextModels(), "count", chosen)
        for places in itertools.islice(itertools.combinations(range(size), chosen), 0, None, 17):
            mask = np.array([k in places for k in range(size)], np.uint8)
            recorder = Recorder()
            positions.enumerative(recorder, ContextModels(), mask, usual((rows, columns)))
            free = math.log2(math.comb(size, chosen))
            assert recorder.cost() - counted.cost() == pytest.approx(free, abs=1e-3)


@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_every_way_to_say_positions_is_read_back(rows: int, columns: int, data) -> None:
    bits = st.lists(st.integers(0, 1), min_size=rows * columns, max_size=rows * columns)
    mask, layout = np.array(data.draw(bits), np.uint8), usual((rows, columns))
    for way in positions.WAYS:
        recorder = Recorder()
        assert np.array_equal(way(recorder, ContextModels(), mask, layout), mask)
        read = way(Reader(recorder.content()), ContextModels(), np.zeros_like(mask), layout)
        assert np.array_equal(read, mask), way


@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_every_way_to_say_magnitudes_and_signs_is_read_back(rows: int, columns: int, data) -> None:
    size = st.sampled_from([-1, 0, 1, 2, 17, 18, 19, 40, 1 << 24])
    drawn = data.draw(st.lists(size, min_size=rows * columns, max_size=rows * columns))
    sizes, layout = np.array(drawn), usual((rows, columns))
    mask, sizes = (sizes >= 0).astype(np.uint8), np.maximum(sizes, 0)
    signs = mask & (sizes % 3 == 0)
    for way in magnitudes.MAGNITUDES:
        recorder = Recorder()
        assert np.array_equal(way(recorder, ContextModels(), sizes, mask, layout), sizes)
        read = way(Reader(recorder.content()), ContextModels(), np.zeros_like(sizes), mask, layout)
        assert np.array_equal(read, sizes), way
    for way in magnitudes.SIGNS:
        recorder = Recorder()
        assert np.array_equal(way(recorder, ContextModels(), signs, sizes, mask, layout), signs)
        read = way(
            Reader(recorder.content()), ContextModels(), np.zeros_like(signs), sizes, mask, layout
        )
        assert np.array_equal(read, signs), way


@given(decisions, st.floats(0, 100))
def test_a_limit_ends_nothing_that_keeps_to_it(items: list[tuple[int, int]], limit: float) -> None:
    free, limited = Recorder(), Recorder(limit)
    ended = False
    for value, one in items:
        free.bit(value, one)
        try:
            limited.bit(value, one)
        except TooLongError:
            ended = True
            break
    if ended:
        assert free.cost() > limit
    else:
        # What is left of the limit is no less than it is: a decision may cost more than is counted.
        assert free.cost() <= limit + 1 + 20 * len(items)
        assert limited.content() == free.content()


def test_far_too_long_ends_early() -> None:
    mask = np.random.default_rng(0).integers(0, 2, 10_000).astype(np.uint8)
    for way in positions.WAYS:
        recorder = Recorder(1000)
        with pytest.raises(TooLongError):
            way(recorder, ContextModels(), mask, usual((100, 100)))
        assert 500 < recorder.cost() < 2000


def test_gaps_and_counts_beyond_the_layer_are_refused() -> None:
    layout = usual((2, 3))
    for what, way in (("gap", positions.gaps), ("count", positions.enumerative)):
        recorder = Recorder()
        number(recorder, ContextModels(), what, 99)
        with pytest.raises(DamagedError, match="than"):
            way(Reader(recorder.content()), ContextModels(), np.zeros(6, np.uint8), layout)


@given(st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False))
def test_formats_hold_what_they_say_they_hold(value: float) -> None:
    held = [way for way in FORMATS if way.pattern(value) is not None]
    assert held[-1].name == "float64" and FORMATS[shortest([value])] is held[0]
    for way in held:
        pattern = way.pattern(value)
        assert pattern is not None and 0 <= pattern < 1 << way.bits
        assert way.number(pattern) == value


@pytest.mark.parametrize("way", FORMATS, ids=lambda way: way.name)
def test_patterns_rise_with_their_numbers(way) -> None:
    patterns = sorted({k * ((1 << way.bits) - 1) // 500 for k in range(501)})
    numbers = [way.number(pattern) for pattern in patterns]
    finite = [x for x in numbers if math.isfinite(x)]
    assert finite == sorted(finite) and len(set(finite)) == len(finite)


def test_the_shortest_format_by_hand() -> None:
    for value, name in [(0.25, "power of two"), (0.375, "minifloat"), (1 + 2**-7, "bfloat16"),
                        (1 + 2**-10, "float16"), (0.1, "float64"), (3e38, "float64"),
                        (struct.unpack("f", struct.pack("f", 0.1))[0], "float32")]:  # fmt: skip
        assert FORMATS[shortest([value])].name == name


def test_the_logistic_function_is_close_and_symmetric() -> None:
    for x in np.linspace(-13, 13, 2001).tolist():
        assert logistic(x) == pytest.approx(1 / (1 + math.exp(-x)), abs=2e-5)
        assert logistic(-x) == 1 - logistic(x)


def test_a_hint_that_is_right_becomes_cheap_and_a_wrong_one_harmless() -> None:
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, 4000).tolist()
    output, false = Recorder(), Recorder()
    good, bad = np.array([[0.0, 0.3]]), np.array([[0.0, 0.3]])
    first, size = np.zeros(1, np.int64), np.ones(1)
    for bit, noise in zip(bits, rng.integers(0, 2, 4000).tolist(), strict=True):
        size[0] = 2.0 * bit - 1
        decide(*output.room(1), good, first, size, 1, bit)
        size[0] = 2.0 * noise - 1
        decide(*false.room(1), bad, first, size, 1, bit)
    assert output.cost() < 4000 / 20
    assert false.cost() < 4000 + 12
