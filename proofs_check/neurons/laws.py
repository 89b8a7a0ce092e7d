"""NC on drawn layers: any activation, bias, sign and region."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from proofs_check.neurons.instances import (
    ACTIVATION_LAYERS,
    Layer,
    activations,
    small_layers,
    small_region,
    two_networks,
)
from sipp_core.neurons import Difference


@law("NC-1g", "NC-5")
def values_stay_in_their_range(setting: Setting) -> Result:
    """No input of a region leaves the range of a neuron, and no draw leaves [-t, t]."""

    @given(small_layers(), activations, st.integers(0, 99))
    def law(layer: Layer, name: str, seed: int) -> None:
        low, high = sipp_theory.preactivation_range(
            layer.incoming, layer.bias, layer.centre, layer.radius
        )
        z = layer.points(60, seed) @ layer.incoming.T + layer.bias
        slack = 1e-9 * (1 + np.abs(z).max())
        assert (z >= low - slack).all() and (z <= high + slack).all()
        least, most = sipp_theory.activation_range(name, low, high)
        values = sipp_theory.ACTIVATIONS[name].function(z.clip(low, high))
        assert (values >= least).all() and (values <= most).all()
        middle, half = sipp_theory.middle_and_half(least, most)
        mass = sipp_theory.neuron_mass(layer.outgoing, half)
        pr = sipp_theory.neuron_probabilities(layer.outgoing, half)
        live = pr > 0
        draws = layer.outgoing[:, None, live] * (values - middle)[:, live] / pr[live]
        assert (np.abs(draws) <= mass * (1 + 1e-9)).all()

    return hold(setting, law)


@law("NC-1", "NC-1g", "NC-2", "NC-3", "NC-3g")
def sizes_and_errors(setting: Setting) -> Result:
    """More draws never promise less, NC-2's size grows with t and d, and a size is an inverse."""
    share = st.floats(1e-3, 0.9)

    @given(st.floats(1.0, 1e6), st.integers(1, 10**6), share, st.integers(1, 1000), share)
    def law(mass: float, m: int, delta: float, k: int, eps: float) -> None:
        assert sipp_theory.mussay_size(mass, 1.0, delta, k, 1.0) <= sipp_theory.mussay_size(
            2 * mass, 1.0, delta, k + 1, 1.0
        )
        for error in (sipp_theory.one_sign_error, sipp_theory.ball_error):
            assert error(mass, m + 1, delta) <= error(mass, m, delta)
        assert sipp_theory.neuron_error(mass, m, delta) >= sipp_theory.one_sign_error(
            mass, m, delta
        )
        size = sipp_theory.neuron_size(eps, delta, k)
        assert sipp_theory.neuron_error(1.0, size, delta, k) <= eps
        if size > 1:
            assert sipp_theory.neuron_error(1.0, size - 1, delta, k) > eps
        p = np.eye(2)
        wide = sipp_theory.region_error(
            [[1.0, 1.0]], p, [1.0, 1.0], [0.5, 0.5], [1.0, 1.0], m, delta
        )
        more = sipp_theory.region_error(
            [[1.0, 1.0]], p, [1.0, 1.0], [0.5, 0.5], [1.0, 1.0], m + 1, delta
        )
        assert more[0] <= wide[0]

    return hold(setting, law)


@law("NC-4")
def draws_depend_on_no_draw(setting: Setting) -> Result:
    """The number of draws for k distinct neurons is fixed, and met on average to one draw."""

    @given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.data())
    def law(loads: list[float], data: st.DataObject) -> None:
        q = np.array(loads) / sum(loads)
        k = data.draw(st.integers(1, len(q) - 1))
        m = float(sipp_theory.draws_for_distinct(q, k))
        assert (
            sipp_theory.expected_distinct(q, m - 1) <= k <= sipp_theory.expected_distinct(q, m + 1)
        )
        multipliers = sipp_theory.neuron_draw(q, int(m), np.random.default_rng(0))
        counts = multipliers * q * m
        assert abs(counts.sum() - m) < 1e-6 and np.allclose(counts, counts.round())

    return hold(setting, law)


@law("NC-6")
def certificate_for_any_parameters(setting: Setting) -> Result:
    """Whatever the parameters of the relaxation, no input of the region exceeds the bound."""

    @given(small_layers(), st.integers(0, 99))
    def law(layer: Layer, seed: int) -> None:
        rng = np.random.default_rng(seed)
        a = layer.outgoing[0]
        relaxed = sipp_theory.Relaxation(
            a, layer.incoming, layer.bias, 0.5, layer.centre, layer.radius
        )
        x = layer.points(200, seed)
        seen = (np.maximum(x @ layer.incoming.T + layer.bias, 0) @ a).max() + 0.5
        n = len(relaxed.a)
        given_ = sipp_theory.Parameters(
            rng.random(n), np.exp(rng.normal(size=n)), rng.uniform(-1, 1, n),
            np.exp(rng.normal(size=relaxed.start().scale.size)),
        )  # fmt: skip
        size = 1e-9 * (1 + np.abs(layer.incoming).max() * np.abs(a).sum() * 10)
        for bound in (relaxed.bound(given_), relaxed.linear(given_), relaxed.interval()):
            assert bound >= seen - size

    return hold(setting, law)


@law("NC-6")
def the_search_never_makes_it_worse(setting: Setting) -> Result:
    """The certified bound is at most the LP's and the intervals', and no input exceeds it."""

    @given(small_layers(), st.integers(0, 99))
    def law(layer: Layer, seed: int) -> None:
        a = layer.outgoing[0]
        worst = sipp_theory.worst_relu_sum(
            a, layer.incoming, layer.bias, 0.0, layer.centre, layer.radius, steps=15
        )
        assert worst.bound <= worst.linear and worst.bound <= worst.interval
        x = layer.points(200, seed)
        seen = (np.maximum(x @ layer.incoming.T + layer.bias, 0) @ a).max()
        assert worst.bound >= seen - 1e-9 * (1 + abs(seen))

    return hold(setting, law, examples=20)


@law("NC-7")
def pruned_layer_by_layer(setting: Setting) -> Result:
    """Two hidden layers lose neurons; no input exceeds the sum of the moved-on errors."""

    @given(st.integers(0, 2**20), activations)
    def law(seed: int, name: str) -> None:
        rng = np.random.default_rng(seed)
        act = sipp_theory.ACTIVATIONS[name]
        w = [rng.normal(size=s) for s in ((5, 3), (4, 5), (2, 4))]
        x = rng.uniform(-1, 1, (100, 3))
        gone = [rng.random(5) < 0.5, rng.random(4) < 0.5]
        h1 = act.function(x @ w[0].T)
        h2 = act.function(h1 @ w[1].T)
        c1, c2 = w[1] * ~gone[0], w[2] * ~gone[1]
        first = np.abs(h1 @ (w[1] - c1).T).max(axis=0)
        second = np.abs(h2 @ (w[2] - c2).T).max(axis=0)
        pruned = act.function(h1 @ c1.T) @ c2.T
        promised = sipp_theory.network_error([c2], [first, second], act.lipschitz)
        assert (np.abs(h2 @ w[2].T - pruned) <= promised * (1 + 1e-9) + 1e-12).all()

    return hold(setting, law)


@law("NC-10")
def no_input_leaves_the_relaxation(setting: Setting) -> Result:
    """Scores and their difference stay within what is bounded: any activation, box or ball."""

    @given(st.integers(0, 2**20), st.sampled_from(sorted(ACTIVATION_LAYERS)), st.integers(0, 2))
    def law(seed: int, act: str, hidden: int) -> None:
        rng = np.random.default_rng(seed)
        sizes = [int(n) for n in rng.integers(1, 6, hidden + 2)]
        first, second = two_networks(rng, act, sizes)
        region = small_region(rng, sizes[0])
        both = Difference(first, second, region.domain())
        x, unit = region.sample(200, seed), torch.eye(sizes[-1], dtype=torch.float64)
        f, g = first(x), second(x)
        slack = 1e-12 * (1 + f.abs().max() + g.abs().max())
        for value, difference, seen in ((1, 0, f), (0, 1, g - f), (1, 1, g), (-1, 0.5, None)):
            exact = value * f + difference * (g - f) if seen is None else seen
            high = both.bound(value * unit, difference * unit)[0]
            low = -both.bound(-value * unit, -difference * unit)[0]
            assert (exact <= high + slack).all() and (exact >= low - slack).all()

    return hold(setting, law)


@law("NC-9")
def peeled_shares_hold(setting: Setting) -> Result:
    """No input exceeds a coreset's factor or a peeled share; few points are uniform."""

    @given(st.integers(0, 2**20), st.integers(1, 2), st.integers(2, 24))
    def law(seed: int, rank: int, n: int) -> None:
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(n, rank))
        x = rng.normal(size=(300, rank))
        z = np.abs(x @ points.T)
        chosen, factor = sipp_theory.linf_coreset(points)
        assert (z.max(axis=1) <= factor * z[:, chosen].max(axis=1) * (1 + 1e-6)).all()
        shares, uniform = sipp_theory.peeled_sensitivities(points)
        assert uniform == (n < 2 * np.linalg.matrix_rank(points) ** 2)
        assert ((z / z.sum(axis=1, keepdims=True)).max(axis=0) <= shares * (1 + 1e-6)).all()

    return hold(setting, law)
