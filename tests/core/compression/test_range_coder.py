"""The range-coded stream: decisions come back, cost what their probabilities say, and add up."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipp_core.compression import positions
from sipp_core.compression.adaptive import LONGEST, Book, adapt, choose, decide, logistic, number
from sipp_core.compression.layout import usual
from sipp_core.compression.number_formats import FORMATS, rising, shortest
from sipp_core.compression.range_coder import (
    WHOLE,
    DamagedError,
    Reader,
    Recorder,
    fixed,
    flag,
    one_of,
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


@given(decisions)
def test_the_cost_is_that_of_the_probabilities(found: list[tuple[int, int]]) -> None:
    recorder = Recorder()
    for value, one in found:
        recorder.bit(value, one)
    exact = -sum(math.log2((one if value else WHOLE - one) / WHOLE) for value, one in found)
    assert recorder.cost() == pytest.approx(exact, rel=1e-12)


def test_parts_are_what_they_hold_also_those_taken_over() -> None:
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
    recorder, book = Recorder(), Book()
    for value in numbers:
        number(recorder, book, "n", value)
    for value in choices:
        choose(recorder, book, "c", value, 7)
    reader, book = Reader(recorder.content()), Book()
    assert [number(reader, book, "n", 0) for _ in numbers] == numbers
    assert [choose(reader, book, "c", 0, 7) for _ in choices] == choices


def test_a_number_beyond_all_bounds_is_refused() -> None:
    recorder, book = Recorder(), Book()
    for length in range(1, LONGEST + 1):
        adapt(recorder, book.pair(("n", "length", length)), 1)
    with pytest.raises(DamagedError, match="beyond all bounds"):
        number(Reader(recorder.content()), Book(), "n", 0)


@given(st.sets(st.integers(0, 2**15 - 1), max_size=40))
def test_rising_numbers_save_their_order(values: set[int]) -> None:
    listed = sorted(values)
    recorder = Recorder()
    assert rising(recorder, listed, len(listed), 15) == listed
    assert rising(Reader(recorder.content()), [], len(listed), 15) == listed
    free = 15 * len(listed) - math.log2(math.factorial(len(listed)))
    assert recorder.cost() == pytest.approx(free, abs=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (1, 11), (5, 2)])
def test_enumeration_takes_the_binomial_coefficient(rows: int, columns: int) -> None:
    size = rows * columns
    for chosen in range(size + 1):
        counted = Recorder()
        number(counted, Book(), "count", chosen)
        for places in itertools.islice(itertools.combinations(range(size), chosen), 0, None, 17):
            mask = [int(k in places) for k in range(size)]
            recorder = Recorder()
            positions.enumerative(recorder, Book(), mask, usual((rows, columns)))
            free = math.log2(math.comb(size, chosen))
            assert recorder.cost() - counted.cost() == pytest.approx(free, abs=1e-3)


@given(st.integers(1, 6), st.integers(1, 12), st.data())
def test_every_way_to_say_positions_is_read_back(rows: int, columns: int, data) -> None:
    bits = st.lists(st.integers(0, 1), min_size=rows * columns, max_size=rows * columns)
    mask, layout = data.draw(bits), usual((rows, columns))
    for way in positions.WAYS:
        recorder = Recorder()
        assert way(recorder, Book(), mask, layout) == mask
        assert way(Reader(recorder.content()), Book(), [0] * len(mask), layout) == mask, way


def test_gaps_and_counts_beyond_the_layer_are_refused() -> None:
    layout = usual((2, 3))
    for what, way in (("gap", positions.gaps), ("count", positions.enumerative)):
        recorder = Recorder()
        number(recorder, Book(), what, 99)
        with pytest.raises(DamagedError, match="than"):
            way(Reader(recorder.content()), Book(), [0] * 6, layout)


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
    told, false = Recorder(), Recorder()
    good, bad = [0.0, 0.3], [0.0, 0.3]
    for bit, noise in zip(bits, rng.integers(0, 2, 4000).tolist(), strict=True):
        decide(told, [(good, 2.0 * bit - 1)], bit)
        decide(false, [(bad, 2.0 * noise - 1)], bit)
    assert told.cost() < 4000 / 20
    assert false.cost() < 4000 + 12
