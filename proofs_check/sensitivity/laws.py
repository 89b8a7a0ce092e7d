"""Laws of shares and sensitivities (ES-1 to ES-3), for the numpy reference and the torch kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import sipp_core
import sipp_theory
from proofs_check.instances.strategies import layers
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law

ROUNDING = 1e-12
Layer = tuple[np.ndarray, np.ndarray]
WAYS = st.sampled_from(["numpy", "torch"])
POWERS = st.integers(-30, 30)


def _sensitivity(way: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Both implementations behind one face, float64."""
    if way == "numpy":
        return lambda w, a: np.asarray(sipp_theory.sensitivity(w, a))
    return lambda w, a: sipp_core.empirical_sensitivity(
        torch.from_numpy(np.ascontiguousarray(w)), torch.from_numpy(np.ascontiguousarray(a))
    ).numpy()


def _parts(activations: np.ndarray) -> np.ndarray:
    """The non-negative rows that signed ones count as."""
    return np.concatenate([np.maximum(activations, 0), np.maximum(-activations, 0)])


@law("ES-1")
def shares(setting: Setting) -> Result:
    """Shares lie in [0, 1]; a row adds up to 1 if anything of that sign flows, and to 0 if not."""

    def law(layer: Layer, sign: int) -> None:
        for row in layer[0]:
            g = sipp_theory.shares(row, layer[1], sign)
            assert ((g >= 0) & (g <= 1)).all()
            live = ((sign * row > 0) & (layer[1] > 0)).any(axis=1)
            assert (abs(g.sum(axis=1) - live) <= ROUNDING).all()

    return hold(setting, given(layers(), st.sampled_from([1, -1]))(law))


@law("ES-2")
def sums(setting: Setting) -> Result:
    """A live sign of a neuron has 1 <= S_sum <= min(edges, points), whatever the layer."""

    def law(layer: Layer, way: str) -> None:
        weights, rows = layer[0], _parts(layer[1])
        s = _sensitivity(way)(*layer)
        for mask in (weights > 0, weights < 0):
            total = np.where(mask, s, 0).sum(axis=1)
            # A point where nothing flows through a neuron is no point of that neuron.
            points = (mask[:, None, :] & (rows > 0)[None]).any(axis=2).sum(axis=1)
            live = points > 0
            bound = sipp_theory.sensitivity_sum_bound(mask.sum(axis=1), points)
            assert (total <= bound * (1 + ROUNDING)).all()
            assert (total[live] >= 1 - ROUNDING).all()

    return hold(setting, given(layers(signed_activations=True), WAYS)(law))


@law("ES-3")
def scaling(setting: Setting) -> Result:
    """Powers of two on rows of weights and activations change no bit; other factors the last."""

    def law(layer: Layer, way: str, up: list[int], down: list[int], factor: float) -> None:
        weights, rows = layer
        s = _sensitivity(way)(weights, rows)
        by_neuron = np.ldexp(1.0, np.resize(up, len(weights)))[:, None]
        by_row = np.ldexp(1.0, np.resize(down, len(rows)))[:, None]
        assert np.array_equal(_sensitivity(way)(weights * by_neuron, rows * by_row), s)
        other = _sensitivity(way)(-factor * weights, rows / factor)
        assert np.allclose(other, s, rtol=ROUNDING, atol=0)

    few = st.lists(POWERS, min_size=1, max_size=4)
    factors = st.sampled_from([3.0, 1 / 7, 1e9])
    return hold(setting, given(layers(signed_activations=True), WAYS, few, few, factors)(law))


@law("ES-3")
def order(setting: Setting) -> Result:
    """Permuted neurons, inputs and points give the permuted sensitivities."""

    def law(layer: Layer, way: str, random: np.random.Generator) -> None:
        weights, rows = layer
        s = _sensitivity(way)(weights, rows)
        i, j, x = (random.permutation(n) for n in (*weights.shape, len(rows)))
        permuted = _sensitivity(way)(weights[i][:, j], rows[x][:, j])
        assert np.allclose(permuted, s[i][:, j], rtol=ROUNDING, atol=0)

    rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)
    return hold(setting, given(layers(signed_activations=True), WAYS, rngs)(law))


@law("ES-3")
def growth(setting: Setting) -> Result:
    """More points never lower a sensitivity, and points seen before leave it as it is."""

    def law(layer: Layer, way: str, first: int) -> None:
        weights, rows = layer
        s = _sensitivity(way)(weights, rows)
        fewer = _sensitivity(way)(weights, rows[: 1 + first % len(rows)])
        # One row more may change how a product is summed, hence the last bits.
        assert (fewer <= s * (1 + ROUNDING)).all()
        again = _sensitivity(way)(weights, np.concatenate([rows, rows[::-1]]))
        assert np.allclose(again, s, rtol=ROUNDING, atol=0)

    return hold(setting, given(layers(signed_activations=True), WAYS, st.integers(0, 5))(law))


@law("ES-1", "ES-3")
def streaming(setting: Setting) -> Result:
    """A stream gives the same bits however it is cut, and what the whole batch gives."""

    def law(layer: Layer, cuts: list[int], size: int) -> None:
        weights, rows = layer
        model = nn.Linear(weights.shape[1], weights.shape[0], dtype=torch.float64)
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(weights))
        points = torch.from_numpy(rows)
        pieces = [
            p for p in torch.tensor_split(points, sorted(c % len(rows) for c in cuts)) if len(p)
        ]
        cut = sipp_core.calibrate(model, pieces, forward_size=size, statistics={"mean"}).layers[0]
        one = sipp_core.calibrate(model, points, forward_size=size, statistics={"mean"}).layers[0]
        for name in ("sensitivity", "mean", "live"):
            assert torch.equal(getattr(cut, name), getattr(one, name)), name
        whole = _sensitivity("torch")(weights, rows)
        assert np.allclose(cut.sensitivity.numpy(), whole, rtol=ROUNDING, atol=0)

    ends = st.lists(st.integers(0, 5), max_size=3)
    return hold(
        setting, given(layers(signed_activations=True), ends, st.integers(1, 7))(law), examples=25
    )
