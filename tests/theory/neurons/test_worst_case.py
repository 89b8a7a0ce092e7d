"""NC-6, NC-8 and NC-9: exact cases by hand, degenerate ones, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import sipp_theory


def test_nothing_dropped_is_certified_as_nothing() -> None:
    worst = sipp_theory.worst_relu_sum(np.zeros(3), np.ones((3, 2)), 0.0, 0.0, [0, 0], [1, 1])
    assert 0 <= worst.bound < 1e-12


def test_stable_neurons_are_linear_and_exact() -> None:
    worst = sipp_theory.worst_relu_sum([2.0, -9.0], [[1.0], [1.0]], [5.0, -5.0], 0.5, [0.0], [1.0])
    assert worst.bound == pytest.approx(12.5) and worst.quadratic == np.inf


def test_neurons_that_cancel_are_seen_to_by_parabolas() -> None:
    """|x| - |x| out of four ReLUs: intervals say 2 and the supremum is 0."""
    worst = sipp_theory.worst_relu_sum(
        [1.0, 1.0, -1.0, -1.0], [[1.0], [-1.0], [1.0], [-1.0]], 0.0, 0.0, [0.0], [1.0], steps=300
    )
    assert worst.interval == pytest.approx(2.0)
    assert 0 <= worst.quadratic < 0.3 < worst.linear


def test_a_ball_is_no_worse_than_the_box_around_it() -> None:
    rng = np.random.default_rng(1)
    a, p = rng.normal(size=6), rng.normal(size=(6, 3))
    ball = sipp_theory.worst_relu_sum(a, p, 0.0, 0.0, np.zeros(3), 1.0)
    box = sipp_theory.worst_relu_sum(a, p, 0.0, 0.0, np.zeros(3), np.ones(3))
    assert ball.interval <= box.interval and ball.bound <= box.bound * 1.05


def test_no_search_is_the_linear_bound_alone() -> None:
    worst = sipp_theory.worst_relu_sum([1.0], [[1.0]], 0.0, 0.0, [0.0], [1.0], steps=0)
    assert worst.quadratic == np.inf and worst.bound == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1, 5, 60])
def test_a_proved_peak_is_above_and_near(size: int) -> None:
    half = np.random.default_rng(size).normal(size=(size, size))
    matrix = half + half.T
    top = np.linalg.eigvalsh(matrix)[-1]
    assert top <= sipp_theory.proven_peak(matrix) <= top + 1e-8 * size


def test_a_dead_neuron_has_no_share_and_a_lone_one_all() -> None:
    assert sipp_theory.cone_sensitivities([[-1.0], [1.0]], [1.0, 1.0]).tolist() == [0.0, 1.0]


def test_few_points_are_drawn_uniformly() -> None:
    shares, uniform = sipp_theory.peeled_sensitivities(np.eye(4))
    assert uniform and (shares == 1).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sipp_theory.worst_relu_sum([1, 2], [[1.0]], 0, 0, [0], [1]), "one a a neuron"),
        (lambda: sipp_theory.worst_relu_sum([1], [[1.0]], 0, 0, [0], [-1]), "radius must be"),
        (lambda: sipp_theory.proven_peak(np.ones((2, 3))), "must be square"),
        (lambda: sipp_theory.isolating_input([[1.0], [2.0]], 0.0, 0), "linearly dependent"),
        (lambda: sipp_theory.cone_sensitivities([[1.0]], [1.0], "half"), "cone must be"),  # type: ignore[arg-type]
        (lambda: sipp_theory.cone_sensitivities([[1.0]], [1.0, 1.0]), "one weight a neuron"),
        (lambda: sipp_theory.sign_ratio([[1.0]], [0.0]), "weights must be above 0"),
        (lambda: sipp_theory.peeled_sensitivities([[0.0]]), "must not all be 0"),
    ],
)
def test_refusals_name_the_culprit(call: object, words: str) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=words):
        call()
