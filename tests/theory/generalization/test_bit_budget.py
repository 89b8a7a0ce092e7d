"""Prices of choices: exact sums, Elias' code by its words, Kraft's inequality to the last digit."""

import itertools
import math

import numpy as np
import pytest

from sipp_theory import (
    RULES_BITS,
    BitBudget,
    Charge,
    choice_bits,
    count_bits,
    kraft_sum,
    require_prefix_code,
    search_bits,
)


def delta_word(value):
    """Elias' delta code of value + 1, written out."""
    number = bin(value + 1)[2:]
    size = bin(len(number))[2:]
    return "0" * (len(size) - 1) + size + number[1:]


def test_counts_have_the_lengths_of_a_code():
    words = [delta_word(v) for v in range(3000)]
    assert count_bits(np.arange(3000)).tolist() == [len(w) for w in words]
    listed = sorted(words)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(listed))
    assert all(
        count_bits(v) == len(delta_word(v)) for v in (2**31 - 2, 2**31 - 1, 2**52, 2**53 - 1)
    )


def test_the_code_of_counts_is_complete():
    # Numbers below 2^(2^f - 1) - 1 fill all but 2^-f of the Kraft sum.
    for f in (1, 2, 3, 4):
        lengths = count_bits(np.arange(2 ** (2**f - 1) - 1))
        assert kraft_sum(lengths) == 1 - 2.0**-f


def test_choices():
    assert choice_bits([1, 2, 4, 2**40]).tolist() == [0, 1, 2, 40]
    for count in (3, 5, 7, 1000, 12345):
        bits = float(choice_bits(count))
        assert math.log2(count) < bits < math.log2(count) + 1e-14
        require_prefix_code(np.full(count, bits))
        with pytest.raises(ValueError, match="Kraft sum of at most 1.*found 1.0"):
            require_prefix_code(np.full(count, bits * (1 - 1e-15) - 1e-15))


def test_a_search_pays_for_its_rules_too():
    assert search_bits([1, 4]).tolist() == [RULES_BITS, 34.0] == [32.0, 34.0]
    for count in (3, 5, 1000):
        bits = float(search_bits(count))
        assert 32 + math.log2(count) <= bits < 32 + math.log2(count) + 1e-13
        assert kraft_sum(np.full(count, bits)) <= 2.0**-32


def test_kraft_sums_are_exact_or_above():
    assert kraft_sum([]) == 0 and kraft_sum([0]) == 1
    unary = [*range(1, 200), 199]
    assert kraft_sum(unary) == 1
    require_prefix_code(unary)
    assert kraft_sum([1, 1, 3000]) > 1
    with pytest.raises(ValueError, match="Kraft sum"):
        require_prefix_code([1, 1, 3000])
    assert kraft_sum([1e300]) > 0
    inverse_squares = 2 * np.log2(np.arange(1, 10_000))
    assert kraft_sum(inverse_squares) == pytest.approx(math.pi**2 / 6, abs=2e-4)
    with pytest.raises(ValueError, match="lengths must be at least 0; found -1.0 at index 1"):
        kraft_sum([2, -1])


def test_a_budget_adds_up():
    rows = [("the file", 6000.0, "750 bytes"), ("keep ratio", 3.0, "one of 8"), ("seed", 0.1, "")]
    budget = BitBudget(tuple(Charge(*row) for row in rows))
    assert budget.total >= 6003.1 and budget.total == pytest.approx(6003.1)
    assert BitBudget(()).total == 0
    assert BitBudget((Charge("a", 1.0, ""), Charge("b", 2.0**-60, ""))).total > 1


def test_credits_and_nameless_items_are_refused():
    with pytest.raises(ValueError, match="bits of 'rounding' must be .*at least 0; found -2"):
        Charge("rounding", -2, "a credit")
    with pytest.raises(ValueError, match="bits of 'file' must be finite"):
        Charge("file", math.inf, "")
    with pytest.raises(ValueError, match="what must name the item"):
        Charge("", 1.0, "")
    with pytest.raises(ValueError, match="charges must name each item once; found 'seed' twice"):
        BitBudget((Charge("seed", 1.0, ""), Charge("seed", 1.0, "")))
    with pytest.raises(ValueError, match="value must be below 2\\^53"):
        count_bits(2.0**53)
    with pytest.raises(ValueError, match="options must be at least 1; found 0"):
        choice_bits(0)
