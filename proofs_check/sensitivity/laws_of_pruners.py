"""Scaling and permutation laws of the pruners, where they hold.

Scaling. A positive factor on all weights of a layer, on single rows of weights or on single inputs
changes no share (ES-3), hence no choice: with powers of two every method gives the same bits times
the factor, the drawn ones with the same seed too. Magnitudes, and draws from the whole matrix by
magnitude, compare weights of different neurons, so a factor on a single row changes the choice, and
Wanda adds up rows of inputs, so one on a single input does; there they are given one factor for
all.

Permutation. A permutation of inputs or neurons permutes the sensitivities, and with them what a
method promises, where no two weights are tied: ties go to the earlier weight, so the choice itself
is not equivariant, but what is chosen is worth the same. The laws below are about that worth and
about probabilities. They do not hold for the methods that round AL-1's real numbers
of draws in the order of the pairs, nor, draw by draw, for any drawn method: the same
seed throws the same dice at other weights, and only the law of the outcome is permuted.
"""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

import sipp_core
from proofs_check.instances import methods
from proofs_check.instances.strategies import layers
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_core.methods import CoreNet, CoreNetPlusPlus, Magnitude, Method, Wanda

ROUNDING = 1e-9
KEEP = st.sampled_from([0.25, 0.5, 0.75, 1.0])
LAYERS = layers(neurons=4, inputs=6, points=5)
DICE = st.integers(0, 2**32 - 1).map(np.random.default_rng)
Layer = tuple[np.ndarray, np.ndarray]


def _pruned(layer: Layer, method: Method, keep: float) -> sipp_core.PruneResult:
    """A network of that one layer, pruned; the result's model holds its weights."""
    model = nn.Linear(layer[0].shape[1], layer[0].shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(torch.from_numpy(np.ascontiguousarray(layer[0])))
    points = torch.from_numpy(np.ascontiguousarray(layer[1]))
    return sipp_core.prune(model, points, method=method, keep=keep, seed=3)


def _weights(result: sipp_core.PruneResult) -> np.ndarray:
    weight = result.model.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach().numpy()


def _usable(layer: Layer, method: Method) -> bool:
    """CoreNet refuses eta eta* = 1, where K would be 0; CoreNet++ sets every 5th point aside."""
    alone = isinstance(method, CoreNet) and layer[0].size == 1
    return not alone and not (isinstance(method, CoreNetPlusPlus) and len(layer[1]) < 5)


@law("ES-3")
def scaling_of_methods(setting: Setting) -> Result:
    """Powers of two on weights and on inputs scale what a method leaves, as far as it goes."""

    def law(layer: Layer, method: Method, keep: float, up: list[int], down: list[int]) -> None:
        assume(_usable(layer, method))
        rows = np.resize(up[:1] if methods.compares_rows(method) else up, len(layer[0]))
        by_row = np.ldexp(1.0, rows)[:, None]
        inputs = np.resize(down[:1] if isinstance(method, Wanda) else down, len(layer[1]))
        by_input = np.ldexp(1.0, inputs)[:, None]
        plain = _weights(_pruned(layer, method, keep))
        scaled = _weights(_pruned((layer[0] * by_row, layer[1] * by_input), method, keep))
        assert np.array_equal(scaled, plain * by_row)

    few = st.lists(st.integers(-9, 9), min_size=1, max_size=4)
    return hold(
        setting, given(LAYERS, st.sampled_from(methods.SCALED), KEEP, few, few)(law), examples=60
    )


@law("ES-3", "SP-6")
def permutation_of_what_is_kept(setting: Setting) -> Result:
    """Methods that keep the largest keep weights of the same worth whatever their order."""

    def law(layer: Layer, method: Method, keep: float, random: np.random.Generator) -> None:
        weights, rows = layer
        i, j, x = (random.permutation(n) for n in (*weights.shape, len(rows)))
        results = []
        for one in (layer, (weights[i][:, j], rows[x][:, j])):
            worth = np.abs(one[0]) if isinstance(method, Magnitude) else _sensitivities(one)
            results.append(np.sort(worth[_weights(_pruned(one, method, keep)) != 0]))
        assert np.allclose(results[0], results[1], rtol=ROUNDING, atol=0)

    return hold(
        setting, given(LAYERS, st.sampled_from(methods.KEEP_LARGEST), KEEP, DICE)(law), examples=30
    )


@law("ES-3", "SP-8")
def permutation_of_probabilities(setting: Setting) -> Result:
    """Inclusion probabilities and numbers of draws are permuted with inputs and neurons."""

    def law(layer: Layer, method: Method, keep: float, random: np.random.Generator) -> None:
        assume(_usable(layer, method))
        weights, rows = layer
        i, j, x = (random.permutation(n) for n in (*weights.shape, len(rows)))
        plain = _pruned(layer, method, keep).plans[0]
        other = _pruned((weights[i][:, j], rows[x][:, j]), method, keep).plans[0]
        assert np.allclose(plain.probability[i][:, j], other.probability, rtol=ROUNDING, atol=0)
        # CoreNet's draws are S_sum times one factor, rounded up.
        assert (abs(plain.draws[:, i] - other.draws) <= 1).all()

    return hold(
        setting, given(LAYERS, st.sampled_from(methods.PERMUTED), KEEP, DICE)(law), examples=30
    )


def _sensitivities(layer: Layer) -> np.ndarray:
    weights, rows = (torch.from_numpy(np.ascontiguousarray(part)) for part in layer)
    return sipp_core.empirical_sensitivity(weights, rows).numpy()
