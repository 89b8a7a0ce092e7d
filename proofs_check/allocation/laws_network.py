"""AL-4 to AL-6 on drawn networks: scaling, permutation, least squares, weights on no path."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from proofs_check.allocation import oracles_network as oracles
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_core.pruning import refit
from sipp_core.runtime import Float

TENTHS = st.integers(-20, 20).map(lambda k: k / 10)
Drawn = tuple[list[np.ndarray], np.ndarray]


def _matrix(draw: st.DrawFn, rows: int, columns: int) -> np.ndarray:
    values = draw(st.lists(TENTHS, min_size=rows * columns, max_size=rows * columns))
    return np.array(values).reshape(rows, columns)


@st.composite
def relu_networks(draw: st.DrawFn) -> Drawn:
    """Draw weights and biases of a network with one hidden layer, and up to 6 inputs for it."""
    widths = [draw(st.integers(least, 4)) for least in (1, 2, 1)]
    parameters = []
    for fan_in, out in itertools.pairwise(widths):
        parameters += [_matrix(draw, out, fan_in), _matrix(draw, out, 1)[:, 0]]
    return parameters, _matrix(draw, draw(st.integers(1, 6)), widths[0])


def _model(parameters: list[np.ndarray]) -> nn.Sequential:
    """The float64 network of weights and biases, with ReLUs between its layers."""
    modules: list[nn.Module] = []
    for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
        modules += [nn.Linear(*weight.shape[::-1], bias=len(bias) > 0), nn.ReLU()]
    model = nn.Sequential(*modules[:-1]).double()
    with torch.no_grad():
        values = [value for value in parameters if value.size]
        for place, value in zip(model.parameters(), values, strict=True):
            place.copy_(torch.from_numpy(value))
    return model


def _scores(parameters: list[np.ndarray], inputs: np.ndarray, refitted: bool) -> list[Float]:
    """Scores of both layers."""
    known = oracles.known_of(_model(parameters), torch.from_numpy(inputs))
    return [known[str(2 * k)].scores(parameters[2 * k], refitted) for k in range(2)]


@law("AL-4")
def hidden_layers_may_be_rescaled(setting: Setting) -> Result:
    """Twice a hidden layer and half of the next leave all scores as they are; so does 4 f for f."""

    @given(relu_networks(), st.integers(-3, 3), st.integers(-3, 3), st.booleans())
    def law(drawn: Drawn, power: int, outer: int, refitted: bool) -> None:
        (first, shift, second, end), inputs = drawn
        factor, whole = 2.0**power, 2.0**outer
        scaled = [first * factor, shift * factor, second * (whole / factor), end * whole]
        before = _scores(drawn[0], inputs, refitted)
        for old, new in zip(before, _scores(scaled, inputs, refitted), strict=True):
            assert np.array_equal(old, new), (old.tolist(), new.tolist())

    return hold(setting, law)


@law("AL-4")
def neurons_may_be_permuted(setting: Setting) -> Result:
    """Scores move with the hidden neurons, and do not depend on the order of the inputs."""

    @given(relu_networks(), st.permutations(range(4)), st.booleans())
    def law(drawn: Drawn, places: list[int], refitted: bool) -> None:
        (first, shift, second, end), inputs = drawn
        outputs = oracles.centred(_model(drawn[0])(torch.from_numpy(inputs))).detach()
        # An output that cancels to a rounding is relative to nothing but the order of its sum.
        sizes = outputs.norm(dim=1).numpy()
        assume(((sizes == 0) | (sizes > 1e-6)).all())
        order = [place for place in places if place < len(first)]
        moved = [first[order], shift[order], second[:, order], end]
        old = _scores(drawn[0], inputs, refitted)
        new = _scores(moved, inputs[::-1].copy(), refitted)
        top = max(float(scores.max()) for scores in old)
        for one, other in zip((old[0][order], old[1][:, order]), new, strict=True):
            assert np.allclose(one, other, rtol=1e-6, atol=1e-6 * top), (old, new)

    return hold(setting, law)


Regression = tuple[list[np.ndarray], np.ndarray, np.ndarray, float]


@st.composite
def regressions(draw: st.DrawFn) -> Regression:
    """Draw a linear layer with or without a bias, the kept set, inputs and a ridge."""
    width, out = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    bias = _matrix(draw, out if draw(st.booleans()) else 0, 1)[:, 0]
    bits = draw(st.lists(st.booleans(), min_size=out * width, max_size=out * width))
    inputs = _matrix(draw, draw(st.integers(1, 7)), width)
    ridge = draw(st.sampled_from([1e-2, 0.1, 1.0]))
    return [_matrix(draw, out, width), bias], np.array(bits).reshape(out, width), inputs, ridge


def _refitted(drawn: Regression) -> list[np.ndarray]:
    """Weights, and biases if there are any, after a refit on the kept set."""
    (weight, bias), mask, inputs, ridge = drawn
    dense, pruned = _model([weight, bias]), _model([weight * mask, bias])
    rows = torch.from_numpy(inputs)
    layers = oracles.layers_of(dense, rows)
    refit(dense, pruned, layers, {"0": torch.from_numpy(mask)}, rows, ridge=ridge)
    return [parameter.detach().numpy() for parameter in pruned.parameters()]


@law("AL-5")
def no_change_improves(setting: Setting) -> Result:
    """No other weights on the kept set and no other bias have a smaller ridge objective."""

    @given(regressions(), st.integers(0, 2**31 - 1))
    def law(drawn: Regression, seed: int) -> None:
        (weight, bias), mask, inputs, ridge = drawn
        refitted = _refitted(drawn)
        assert not refitted[0][~mask].any()
        spread = inputs.var(axis=0) if bias.size else np.square(inputs).mean(axis=0)
        target = inputs @ weight.T + (bias if bias.size else 0.0)

        def objective(new: np.ndarray, shift: np.ndarray | float) -> np.ndarray:
            away = ridge * np.square(new - weight * mask) @ (spread + spread.mean() / 100)
            return np.square(inputs @ new.T + shift - target).mean(axis=0) + away

        best = refitted[1] if bias.size else 0.0
        least = objective(refitted[0], best)
        rng = np.random.default_rng(seed)
        for size in (1.0, 1e-2, 1e-4):
            for _ in range(4):
                step = size * rng.normal(size=weight.shape) * mask
                shift = size * rng.normal(size=len(weight)) if bias.size else 0.0
                assert (objective(refitted[0] + step, best + shift) >= least - 1e-10).all()

    return hold(setting, law)


@law("AL-5")
def nothing_dropped_nothing_moved(setting: Setting) -> Result:
    """Where no weight is dropped, refit leaves weights and bias as they are."""

    @given(regressions())
    def law(drawn: Regression) -> None:
        parameters, mask, inputs, ridge = drawn
        refitted = _refitted((parameters, np.ones_like(mask), inputs, ridge))
        for new, old in zip(refitted, [x for x in parameters if x.size], strict=True):
            assert np.allclose(new, old, rtol=1e-9, atol=1e-9), (new.tolist(), old.tolist())

    return hold(setting, law)


@law("AL-6")
def dead_paths_score_nothing(setting: Setting) -> Result:
    """A weight into a neuron that nothing leaves, or out of one that never varies, has score 0."""

    @given(relu_networks(), st.integers(0, 3), TENTHS)
    def law(drawn: Drawn, place: int, level: float) -> None:
        parameters, inputs = drawn
        hidden = len(parameters[0])
        silent, constant = place % hidden, (place + 1) % hidden
        parameters[0][constant], parameters[1][constant] = 0.0, abs(level) + 0.1
        parameters[2][:, silent] = 0.0
        first, second = _scores(parameters, inputs, True)
        assert not first[silent].any() and not first[constant].any()
        assert not second[:, constant].any() and not second[:, silent].any()
        assert not _scores(parameters, inputs, False)[0][silent].any()

    return hold(setting, law)
