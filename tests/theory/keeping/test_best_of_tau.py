"""SP-10: arguments, degenerate cases and what cannot be drawn; the claim is in the ledger."""

import pytest

from sipp_theory.keeping.best_of_tau import (
    best_of_tau,
    candidates,
    dead_neuron_violation,
    mean_error_bound,
    selected_violation,
)


def test_mean_error_bound_charges_what_cannot_be_drawn():
    bound = mean_error_bound([[0.5, 0.5], [0.0, 0.0]], [1.0, 0.0], [1, 10**12])
    assert bound == pytest.approx([0.25, 0.25], rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: candidates(0), "delta"),
        (lambda: best_of_tau(0.5, 10, 3), "sensitivity_sum"),
        (lambda: best_of_tau(2, 0, 3), "m must"),
        (lambda: best_of_tau(2, 1, 3, factor=1.0), "factor"),
        (lambda: selected_violation(0, 0.1), "tau"),
        (lambda: dead_neuron_violation(5, 0.1, 0), "neurons"),
        (lambda: mean_error_bound([[0.5, 0.5]], [0.5, 0.6], 1), "sum to 1"),
        (lambda: mean_error_bound([[0.5, 0.5]], [1.0], 1), "shares"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_zero_dead_and_vacuous_cases():
    assert best_of_tau(0.0, 5, 2).mean_error == 0
    assert best_of_tau(1.0, 5, 2).mean_error == 0
    assert selected_violation(100, 0.5) == 1
    assert dead_neuron_violation(0, 0.1) == 1
    assert selected_violation(1, 0.3) == 0.3
