"""NC-1 to NC-5, NC-7: degenerate layers, what is refused, and what is vacuous."""

from __future__ import annotations

import numpy as np
import pytest

import sipp_theory


def test_a_layer_that_moves_nothing_has_no_mass_and_no_probabilities() -> None:
    assert sipp_theory.neuron_mass([[0.0, 1.0]], [3.0, 0.0]) == 0
    assert not sipp_theory.neuron_probabilities([[0.0, 1.0]], [3.0, 0.0]).any()
    assert sipp_theory.neuron_error(0.0, 5, 0.1) == 0


def test_a_filter_weighs_what_its_offsets_add_up_to() -> None:
    w = np.ones((2, 3, 9))
    assert sipp_theory.neuron_mass(w, [1.0, 1.0, 1.0]) == pytest.approx(27.0)


def test_one_draw_of_one_neuron_is_that_neuron() -> None:
    result = sipp_theory.neuron_draw([1.0], 3, np.random.default_rng(0))
    assert result.tolist() == [1.0]


def test_a_neuron_that_matters_but_cannot_be_drawn_costs_everything() -> None:
    error = sipp_theory.region_error(
        [[1.0, 1.0], [1.0, 0.0]], np.eye(2), [1.0, 1.0], [1.0, 0.0], [1.0, 1.0], 10, 0.1
    )
    assert error[0] == np.inf and np.isfinite(error[1])


def test_twice_as_many_draws_as_three_halves_of_a_ball_save() -> None:
    wide = sipp_theory.ball_error(1.0, 50, 0.05, constant=2.0)
    assert sipp_theory.ball_error(1.0, 50, 0.05) < wide


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sipp_theory.neuron_mass([1.0], [1.0]), "outgoing must be"),
        (lambda: sipp_theory.neuron_mass([[1.0, 2.0]], [1.0]), "half_width"),
        (lambda: sipp_theory.neuron_mass([[1.0]], [-1.0]), "half_width must be at least 0"),
        (lambda: sipp_theory.neuron_draw([0.5], 3, np.random.default_rng(0)), "add up to 1"),
        (lambda: sipp_theory.neuron_error(1.0, 0, 0.1), "m must be at least 1"),
        (lambda: sipp_theory.neuron_error(1.0, 1, 1.0), "delta must be strictly"),
        (lambda: sipp_theory.ball_error(1.0, 1, 0.1, constant=1.0), "constant must be"),
        (lambda: sipp_theory.mussay_size(2.0, 0.0, 0.1, 3, 1.0), "eps and constant"),
        (lambda: sipp_theory.network_error([np.eye(1)], [np.ones(1)]), "1 layers have 2 errors"),
        (lambda: sipp_theory.activation_range("swish", 0, 1), "activation must be one of"),
        (lambda: sipp_theory.activation_range("relu", 1, 0), "swapped"),
        (lambda: sipp_theory.middle_and_half(1, 0), "swapped"),
        (lambda: sipp_theory.preactivation_range([[1.0]], 0.0, [0.0, 0.0], 1.0), "centre has"),
        (lambda: sipp_theory.support([[1.0]], [1.0, 1.0]), "one half width a column"),
        (lambda: sipp_theory.support([[1.0]], -1.0), "radius must be at least 0"),
    ],
)
def test_refusals_name_the_culprit(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=words):
        call()
