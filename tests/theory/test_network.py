"""NW-1 to NW-5: composition against brute force, its two limits, the splits, CoreNet's size."""

from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipp_theory.cancellation import delta_hat, delta_ratio, kappa
from sipp_theory.network import compose, corenet_split, log_split
from sipp_theory.network_size import corenet_network_size, corenet_network_size_bound

SEEDS = st.integers(0, 2**32)
RATIOS = st.lists(st.floats(1, 1e4), min_size=1, max_size=6)


def relu(z):
    return np.maximum(z, 0)


def shaken_network(rng, eps_scale, biased):
    """Weights moved by a common factor within 1 +- eps_l per neuron and sign; one input."""
    widths = rng.integers(2, 6, 4)
    a = b = rng.random(widths[0]) + 0.1
    errors, ratios, moved = [], [], []
    for layer, (fan_in, out) in enumerate(pairwise(widths)):
        w = rng.normal(size=(out, fan_in))
        shift = rng.normal(size=out) * biased
        eps = eps_scale * rng.random()
        signs = rng.choice([-1, 1], (2, out, 1))
        shaken = np.where(w > 0, w * (1 + eps * signs[0]), w * (1 + eps * signs[1]))
        plus, minus = np.maximum(w, 0) @ a, np.maximum(-w, 0) @ a
        ratios.append(delta_ratio(plus, minus, shift).max())
        errors.append(eps)
        z, y = w @ a + shift, shaken @ b + shift
        off = np.abs(y - z)
        moved.append(
            np.divide(off, np.abs(z), out=np.where(off > 0, np.inf, 0.0), where=z != 0).max()
        )
        a, b = (relu(z), relu(y)) if layer < len(widths) - 2 else (z, y)
    return errors, ratios, moved


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.floats(1e-6, 0.05), st.booleans())
def test_composition_bounds_a_network_shaken_to_its_limits(seed, scale, biased):
    errors, ratios, moved = shaken_network(np.random.default_rng(seed), scale, biased)
    assert (np.array(moved) <= compose(errors, ratios) * (1 + 1e-9) + 1e-12).all()


def test_composition_is_attained_so_that_a_mutation_fails():
    """One neuron a layer, z = p - q: all errors conspire."""
    eps, plus, minus = 0.01, 3.0, 1.0
    u = compose([eps], [delta_ratio(plus, minus)])[0]
    worst = abs(plus * (1 + eps) - minus * (1 - eps) - (plus - minus)) / (plus - minus)
    assert worst == pytest.approx(u, rel=1e-12)
    assert worst > compose([eps * 0.99], [delta_ratio(plus, minus)])[0]


def test_without_the_bias_in_the_denominator_the_composition_is_false():
    """z = 1, b = -0.99: one percent off in z is a hundred percent off in the activation."""
    eps, bias = 0.01, -0.99
    moved = abs(relu(1 * (1 + eps) + bias) - relu(1 + bias)) / relu(1 + bias)
    assert moved == pytest.approx(1)
    assert moved > compose([eps], [1.0])[0] * 50
    assert moved <= compose([eps], [delta_ratio(1.0, 0.0, bias)])[0] * (1 + 1e-9)


def test_beyond_one_a_relu_may_wake_up_and_later_layers_promise_nothing():
    """z = 1 - 1.01 < 0 is off; with eps = 0.01 per sign it wakes up."""
    eps = 0.01
    before, after = relu(1 - 1.01), relu(1 + eps - 1.01 * (1 - eps))
    assert before == 0
    assert after > 0
    u = compose([eps, 0.0], [float(delta_ratio(1.0, 1.01)), 1.0])
    assert 1 < u[0] < 3 and u[1] == np.inf


def test_infinite_cancellation():
    assert compose([0.0, 0.1], [np.inf, 2.0]).tolist() == pytest.approx([0, 0.2])
    assert compose([0.1, 0.1], [np.inf, 2.0]).tolist() == [np.inf, np.inf]
    assert compose([[0.1], [0.2]], [2.0]).ravel().tolist() == pytest.approx([0.2, 0.4])
    assert delta_ratio([0, 1, 1, 2], [0, 1, 0, 1], [0, 0, 0, 9]).tolist()[:2] == [1, np.inf]
    assert delta_ratio(2, 1, 9) == 1


@settings(max_examples=100, deadline=None)
@given(st.floats(1e-12, 1.0), RATIOS, SEEDS)
def test_splits_meet_the_network_error(eps, ratios, seed):
    costs = np.random.default_rng(seed).gamma(0.3, size=len(ratios)) + 1e-6
    for split in (
        corenet_split(eps, ratios),
        log_split(eps, ratios),
        log_split(eps, ratios, costs),
    ):
        assert (split > 0).all()
        u = compose(split, ratios)
        assert u[-1] <= eps
        assert u.max() <= 1
    # log_split is nearly exhausted: a tenth more per layer breaks the promise for small eps.
    if 1e-9 < eps < 0.05:
        assert compose(log_split(eps, ratios) * 1.1, ratios)[-1] > eps


def test_split_saves_a_quarter_only_for_small_eps():
    ratios = [3.0, 2.0]
    for eps, share in ((1e-6, 0.25), (1.0, 0.5203)):
        part = (corenet_split(eps, ratios) / log_split(eps, ratios)) ** 2
        assert part == pytest.approx(share, rel=1e-4)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_log_split_is_the_cheapest(seed):
    rng = np.random.default_rng(seed)
    costs, ratios = rng.gamma(1, size=3) + 0.01, [1.0, 1.0, 1.0]
    best = log_split(0.5, ratios, costs)
    other = rng.dirichlet(np.ones(3)) * best.sum() + 1e-300
    assert (costs / best**2).sum() <= (costs / other**2).sum() * (1 + 1e-9)


def test_splits_with_an_infinite_delta_afford_nothing():
    assert corenet_split(0.5, [np.inf, 2.0]).tolist() == pytest.approx([0, 0.0625])
    assert log_split(0.5, [2.0, np.inf]).tolist() == [0, 0]


def test_kappa_and_delta_hat_against_mpmath():
    with mp.workdps(50):
        edges, delta = mp.mpf(410) * 784, mp.mpf(0.1)
        root = mp.sqrt(2 * mp.log(edges) / 2)
        want = root * (1 + root * mp.log(8 * edges / delta))
        got = float(kappa(410, 784, 0.1))
        assert want <= got <= want * (1 + mp.mpf(10) ** -14)
        assert delta_hat([1, 7.0], 410, 784, 0.1) >= want + 7
    assert delta_hat([1, np.inf], 410, 784, 0.1) == np.inf


def test_kappa_covers_a_subexponential_delta():
    """The worst law that A2 admits in the tail: E - 1/lam-exponential, far beyond its share."""
    eta, star, delta = 10, 10, 0.1
    lam = np.log(eta * star) / 2
    size = int(np.ceil(np.log(8 * eta * star / delta) * 2 * lam))
    rng = np.random.default_rng(0)
    sample = rng.exponential(lam / 2, (20_000, size + 1))
    allowed = sample[:, :-1].mean(axis=1) + kappa(eta, star, delta)
    assert (sample[:, -1] > allowed).mean() <= delta / (4 * eta)


def test_network_size_against_mpmath():
    sums, ratios = [np.array([[9.0, 0.0], [4.0, 1.0]]), np.array([[2.5, 3.0]])], [4.0, 2.0]
    eps, delta, eta, star = 0.3, 0.05, 3, 5
    got = corenet_network_size(sums, ratios, eps, delta, eta, star)
    total = 0
    with mp.workdps(50):
        for layer, value in enumerate(sums):
            growth = mp.mpf(np.prod(ratios[layer:])) ** 2
            for (i, j), s in np.ndenumerate(value):
                want = mp.ceil(
                    32
                    * 4
                    * growth
                    * mp.mpf(s)
                    * mp.log(mp.mpf(15))
                    * mp.log(8 * eta / mp.mpf(delta))
                    / mp.mpf(eps) ** 2
                )
                assert got.sizes[layer][i, j] == float(want)
                total += want + 1 if s > 0 else 0
    assert got.nnz == float(total) and not got.vacuous
    assert compose(got.errors, ratios)[-1] <= eps


def test_network_size_is_sp2_at_the_split_error():
    """32 L^2 prod^2 / eps^2 is the 8/eps_l^2 of SP-2."""
    ratios = [4.0, 2.0]
    got = corenet_network_size([[7.0], [5.0]], ratios, 0.3, 0.05, 3, 5)
    log = np.log(15) * np.log(8 * 3 / 0.05)
    for layer, s in enumerate((7.0, 5.0)):
        assert got.sizes[layer][0] == pytest.approx(8 * s * log / got.errors[layer] ** 2, rel=1e-4)


def test_network_size_vacuous_dead_and_instance_independent():
    size = corenet_network_size([[2.0, 0.0], [2.0]], [2.0, np.inf], 0.3, 0.05, 3, 5)
    assert size.vacuous and size.nnz == np.inf and size.sizes[0][1] == 0
    assert corenet_network_size([[0.0]], [np.inf], 0.3, 0.05, 3, 5).nnz == 0
    free = corenet_network_size_bound([[784, 0], [300]], 452, [2.0, 3.0], 0.3, 0.05, 410, 784)
    tight = corenet_network_size([[9.0, 0], [4.0]], [2.0, 3.0], 0.3, 0.05, 410, 784)
    assert free.nnz > tight.nnz
    same = corenet_network_size([[452.0, 0], [300.0]], [2.0, 3.0], 0.3, 0.05, 410, 784)
    assert free.nnz == same.nnz


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compose([-0.1], [2.0]), "errors"),
        (lambda: compose([0.1], [0.5]), "delta_hats"),
        (lambda: compose(0.1, 2.0), "one entry a layer"),
        (lambda: log_split(1.5, [2.0]), "eps"),
        (lambda: log_split(0.5, [2.0, 3.0], [1.0, 0.0]), "costs"),
        (lambda: log_split(0.5, [2.0, 3.0], [1.0]), "costs"),
        (lambda: corenet_network_size([[2.0]], [2.0, 2.0], 0.5, 0.1, 2, 2), "delta_hats"),
        (lambda: delta_hat([np.nan], 2, 2, 0.1), "mean_delta"),
        (lambda: delta_ratio(-1, 1), "positive"),
        (lambda: kappa(0, 2, 0.1), "eta"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
