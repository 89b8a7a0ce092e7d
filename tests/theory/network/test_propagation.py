"""NW-6 and NW-7: first layer, point boxes, smooth activations, Hill's edges. More in the ledger."""

from itertools import pairwise

import numpy as np
import pytest

from sipp_theory.network.cancellation import hill_tail_index
from sipp_theory.network.propagation import absolute_propagation, interval_propagation


def network(seed):
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 5, 4)
    weights, pruned, biases = [], [], []
    for fan_in, out in pairwise(widths):
        w = rng.normal(size=(out, fan_in)) * 10.0 ** rng.integers(-3, 4)
        weights.append(w)
        pruned.append(w * rng.binomial(3, 0.4, w.shape) / 1.2)
        biases.append(rng.normal(size=out) if rng.random() < 0.7 else None)
    return rng, weights, pruned, biases, int(widths[0])


def test_first_layer_is_exact_and_a_mutation_fails():
    _, weights, pruned, biases, width = network(3)
    x = np.random.default_rng(1).normal(size=(5, width))
    bound = absolute_propagation(weights, pruned, biases, x)[0]
    moved = np.abs(x @ (pruned[0] - weights[0]).T)
    np.testing.assert_allclose(bound, moved, rtol=1e-9, atol=1e-12 * moved.max())
    assert (moved > 0.999 * bound).any()


def test_unchanged_network_and_point_box():
    _, weights, pruned, biases, width = network(5)
    x = np.ones((1, width))
    assert all((b == 0).all() for b in absolute_propagation(weights, weights, biases, x))
    point = interval_propagation(weights, pruned, biases, x[0], x[0])
    single = absolute_propagation(weights, pruned, biases, x)
    for a, b in zip(single, point, strict=True):
        np.testing.assert_allclose(a[0], b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("phi", ["tanh", "sigmoid"])
def test_smooth_activations(phi):
    act = np.tanh if phi == "tanh" else lambda z: 1 / (1 + np.exp(-z))
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(2, 4))]
    pruned = [w * (rng.random(w.shape) < 0.6) for w in weights]
    x = rng.random((50, 3))
    bound = absolute_propagation(weights, pruned, [None, None], x, phi)[-1]
    moved = np.abs(act(x @ weights[0].T) @ weights[1].T - act(x @ pruned[0].T) @ pruned[1].T)
    assert (moved <= bound).all()
    box = interval_propagation(weights, pruned, [None, None], [0] * 3, [1] * 3, phi)[-1]
    assert (bound <= box * (1 + 1e-12)).all()


def test_hill_refutes_a2_on_a_ratio_with_a_density_at_zero():
    """Delta = z~/|z| with z uniform around 0 has tail index 1, so no second moment."""
    rng = np.random.default_rng(4)
    estimate = hill_tail_index(1 / np.abs(rng.uniform(-1, 1, 20_000)), 500)
    assert estimate.low < 1 < estimate.high < 2
    light = hill_tail_index(1 + rng.exponential(size=20_000), 500)
    assert light.low > 4


def test_hill_edges():
    assert hill_tail_index([1.0, 2.0, np.inf], 1).high == 0
    assert hill_tail_index([2.0, 2.0, 2.0], 2).low == np.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: absolute_propagation([], [], [], [[1.0]]), "at least one"),
        (
            lambda: absolute_propagation([[[1.0]]], [[[1.0, 2.0]]], [None], [[1.0]]),
            "pruned_weights",
        ),
        (lambda: absolute_propagation([[[1.0]]], [[[np.nan]]], [None], [[1.0]]), "pruned_weights"),
        (lambda: absolute_propagation([[[1.0]]], [[[1.0]]], [[1.0, 2.0]], [[1.0]]), "biases"),
        (lambda: absolute_propagation([[[1.0]]], [[[1.0]]], [None], [1.0]), "inputs"),
        (
            lambda: absolute_propagation([[[1.0]]], [[[1.0]]], [None], [[1.0]], "gelu"),  # type: ignore[arg-type]
            "phi",
        ),
        (lambda: interval_propagation([[[1.0]]], [[[1.0]]], [None], [1.0], [0.0]), "low"),
        (lambda: hill_tail_index([1.0, -1.0], 1), "samples"),
        (lambda: hill_tail_index([1.0, 2.0], 2), "k must"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
