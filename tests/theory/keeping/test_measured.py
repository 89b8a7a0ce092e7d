"""SP-12: the measured error against rational arithmetic, its edge cases and refusals."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sipp_theory import measured_error
from sipp_theory.numeric.checks import UNIT, Float


def exactly(weight: Float, stored: Float, rows: Float, shift: Float) -> list[Fraction | None]:
    """Largest ratio of each neuron in rational numbers; None where it is infinite."""
    answer: list[Fraction | None] = []
    for old, new, moved in zip(weight, stored, shift, strict=True):
        worst: Fraction | None = Fraction(0)
        for row in rows:
            terms = [
                (Fraction(float(w)), Fraction(float(v)), Fraction(float(a)))
                for w, v, a in zip(old, new, row, strict=True)
            ]
            total = sum((abs(w * a) for w, _, a in terms), Fraction(0))
            error = abs(sum(((v - w) * a for w, v, a in terms), Fraction(float(moved))))
            if error and not total:
                worst = None
            elif error and worst is not None:
                worst = max(worst, error / total)
        answer.append(worst)
    return answer


# Few values that cancel, any value of a usual size, and float32's own.
USUAL = (
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0, -0.1])
    | st.floats(-100, 100).map(lambda x: x if abs(x) > 1e-30 else 0.0)
    | st.floats(-100, 100, width=32)
)


@st.composite
def instances(draw, numbers):
    out, k, n = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(1, 5))
    weight = draw(arrays.arrays(np.float64, (out, k), elements=numbers))
    other = draw(arrays.arrays(np.float64, (out, k), elements=numbers))
    # Kept, dropped, and changed weights.
    fate = draw(arrays.arrays(np.int64, (out, k), elements=st.integers(0, 2)))
    rows = draw(arrays.arrays(np.float64, (n, k), elements=numbers))
    moves = st.just(0.0) | numbers
    shift = draw(st.just(np.zeros(out)) | arrays.arrays(np.float64, out, elements=moves))
    return weight, np.choose(fate, [weight, 0 * weight, other]), rows, shift


@given(instances(USUAL))
def test_it_is_never_below_the_exact_maximum_and_hardly_above(instance):
    weight, stored, rows, shift = instance
    values = measured_error(weight, stored, rows, shift)
    assert values.shape == shift.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weight == stored, 0, np.abs((stored - weight) / weight)).max(axis=1)
    for value, exact, most in zip(values, exactly(*instance), ratio, strict=True):
        assert (value == np.inf) == (exact is None)
        if exact is not None:
            assert exact <= Fraction(float(value))
            assert (value == 0) <= (exact == 0)
            # Where terms cancel, what is charged is a rounding of theirs, not of the sum.
            if np.isfinite(most) and not shift.any():
                charged = Fraction(float(most)) * Fraction(40 * UNIT)
                assert Fraction(float(value)) <= exact * Fraction(1 + 1e-9) + charged


@given(instances(st.floats(0.1, 10)))
def test_without_cancellation_it_is_1e_9_above_at_most(instance):
    weight, stored, rows, _ = instance
    stored = np.minimum(weight, stored)
    values = measured_error(weight, stored, rows)
    for value, exact in zip(values, exactly(weight, stored, rows, 0 * weight[:, 0]), strict=True):
        assert exact is not None
        assert exact <= Fraction(float(value)) <= exact * Fraction(1 + 1e-9)


EXTREME = (
    st.sampled_from([0.0, 1.0, -1.0, 2.0**-1074, -3 * 2.0**-1074, 2.0**-1022, 1e-200, -1e-160])
    | st.sampled_from([1e200, -1e308, 1e150, 1.7e308, 2.0**-399, 2.0**401])
    | st.floats(allow_nan=False, allow_infinity=False)
)


@given(instances(EXTREME))
def test_products_that_underflow_or_overflow_never_hide_an_error(instance):
    values = measured_error(*instance)
    for value, exact in zip(values, exactly(*instance), strict=True):
        assert value == np.inf if exact is None else value == np.inf or exact <= Fraction(value)
        assert value >= 0


@pytest.mark.parametrize(
    ("weight", "stored", "rows", "shift", "expected"),
    [
        # By hand: half of z~ is lost at the second row, a quarter at the first.
        ([[1, 1]], [[1, 0]], [[3, 1], [1, 1]], 0, 0.5),
        # Signs of inputs and weights cancel in z, never in z~.
        ([[1, -1]], [[1, 0]], [[2, 2], [-1, 3]], 0, 0.75),
        ([[1, 1]], [[2, 2]], [[1, -1]], 0, 0.0),
        # Errors of two weights cancel in the one row, and add up in the other.
        ([[2, 2]], [[1, 3]], [[1, 1]], 0, 0.0),
        ([[2, 2]], [[1, 3]], [[1, -1]], 0, 0.5),
        # A new weight where there was none: as any other, where z~ > 0.
        ([[1, 0]], [[1, 2]], [[4, 1], [1, 0]], 0, 0.5),
        ([[1, 0]], [[1, 2]], [[0, 1]], 0, np.inf),
        # A moved bias: relative to z~, infinitely so where z~ = 0.
        ([[1, 1]], [[1, 1]], [[1, 3], [2, 2]], -1, 0.25),
        ([[1, 1]], [[1, 1]], [[0, 0]], 1e-300, np.inf),
        ([[1, 1]], [[0, 1]], [[1, 3]], [1], 0.0),
        # A neuron without weights.
        ([[0, 0]], [[0, 0]], [[1, 3]], 0, 0.0),
        ([[0, 0]], [[1, 0]], [[1, 3]], 0, np.inf),
        ([[0, 0]], [[1, 0]], [[0, 3]], 0, 0.0),
        # Everything dropped.
        ([[1, 5]], [[0, 0]], [[1, 3], [0, 0]], 0, 1.0),
        # What goes never fires.
        ([[1, 5, 2]], [[1, 0, 0]], [[1, 0, 0], [3, 0, 0]], 0, 0.0),
        # No rows, no inputs.
        ([[1, 5]], [[0, 0]], np.zeros((0, 2)), 0, 0.0),
        (np.zeros((1, 0)), np.zeros((1, 0)), np.zeros((3, 0)), 0, 0.0),
    ],
)
def test_by_hand(weight, stored, rows, shift, expected):
    (value,) = measured_error(weight, stored, rows, shift)
    assert expected <= value <= expected * (1 + 1e-13) + 1e-14


def test_weights_whose_inputs_never_fire_are_exactly_nothing():
    weight, rows = np.random.default_rng(0).normal(size=(2, 4, 50))
    rows[:, 10:30] = 0
    stored = weight.copy()
    stored[:, 12:28] = 0
    assert (measured_error(weight, stored, rows) == 0).all()


def test_nothing_changed_is_exactly_nothing():
    rng = np.random.default_rng(0)
    weight, rows = rng.normal(size=(4, 50)), rng.normal(size=(20, 50))
    assert (measured_error(weight, weight, rows) == 0).all()
    stored = weight.copy()
    stored[2, 7] = np.nextafter(stored[2, 7], 9)
    assert (measured_error(weight, stored, rows) > 0).tolist() == [False, False, True, False]


def test_neurons_and_shifts_are_apart():
    """One neuron at a time says the same, and the shift broadcasts."""
    rng = np.random.default_rng(1)
    weight, stored = rng.normal(size=(3, 9)), rng.normal(size=(3, 9))
    rows, shift = rng.normal(size=(7, 9)), rng.normal(size=3)
    whole = measured_error(weight, stored, rows, shift)
    for i in range(3):
        (one,) = measured_error(weight[i : i + 1], stored[i : i + 1], rows, shift[i])
        assert one == pytest.approx(whole[i], rel=1e-14)
    (row,) = np.max([measured_error(weight[:1], stored[:1], r[None], shift[0]) for r in rows], 0)
    assert row == pytest.approx(whole[0], rel=1e-14)
    same = measured_error(weight, stored, rows, 0.5)
    assert (same == measured_error(weight, stored, rows, np.full(3, 0.5))).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (([1.0], [1.0], [[1.0]]), r"weight and stored must be \(out, k\) .* found shapes \(1,\)"),
        (([[1.0]], [[1.0, 2.0]], [[1.0]]), r"found shapes \(1, 1\), \(1, 2\) and \(1, 1\)"),
        (([[1.0]], [[1.0]], [[1.0, 2.0]]), r"rows \(n, k\)"),
        (([[1.0]], [[1.0]], [1.0]), r"rows \(n, k\)"),
        (([[np.nan]], [[1.0]], [[1.0]]), "weight must be finite"),
        (([[1.0]], [[np.inf]], [[1.0]]), "stored must be finite; found inf"),
        (([[1.0]], [[1.0]], [[1.0], [np.nan]]), r"rows must be finite; found nan at index \(1, 0"),
        (([[1.0]], [[1.0]], [[1.0]], np.inf), "shift must be finite"),
        (
            ([[1.0]], [[1.0]], [[1.0]], [0.0, 1.0]),
            r"shift must be one number a neuron; found shape \(2,",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        measured_error(*call)
    with pytest.raises(TypeError, match="must be real numbers"):
        measured_error([["a"]], [[1.0]], [[1.0]])
