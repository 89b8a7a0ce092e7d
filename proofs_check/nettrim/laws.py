"""NT-1 to NT-3 on drawn networks: what was promised of the composed error is kept."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_core.nettrim import program as nettrim_program
from sipp_core.nettrim import solution, solver
from sipp_core.runtime import generator

TOLERANCE = 1e-5
Layers = list[tuple[np.ndarray, np.ndarray]]


@st.composite
def networks(draw: st.DrawFn) -> tuple[Layers, np.ndarray, float]:
    """Two or three layers (weights, bias), inputs (P, N) and a relative radius."""
    rng = generator(draw(st.integers(0, 2**20)), 81)
    widths = [draw(st.integers(2, 5)) for _ in range(draw(st.integers(3, 4)))]
    layers = [
        (rng.normal(size=(out, fan)), rng.normal(size=out) * draw(st.sampled_from([0, 0.3])))
        for fan, out in itertools.pairwise(widths)
    ]
    points = draw(st.integers(1, 12))
    return layers, rng.normal(size=(points, widths[0])), draw(st.sampled_from([0.05, 0.3, 0.8]))


def _relu(z: np.ndarray) -> np.ndarray:
    return np.maximum(z, 0)


def _act(layer: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> np.ndarray:
    return _relu(rows @ layer[0].T + layer[1])


def _trimmed(
    layer: tuple[np.ndarray, np.ndarray], rows: np.ndarray, eps: float,
    targets: np.ndarray | None = None, gamma: float | None = None,
) -> tuple[tuple[np.ndarray, np.ndarray], solution.Trimmed]:  # fmt: skip
    trimmed = solver.trim(
        torch.from_numpy(layer[0]), torch.from_numpy(layer[1]), torch.from_numpy(rows), eps=eps,
        targets=None if targets is None else torch.from_numpy(targets.T.copy()), gamma=gamma,
    )  # fmt: skip
    assert trimmed.bias is not None
    return (trimmed.weight.numpy(), trimmed.bias.numpy()), trimmed


@law("NT-1", "NT-2")
def parallel_promise(setting: Setting) -> Result:
    """The composed error of parallel trimming is within NT-2's bound, and NT-1's layer by layer."""

    @given(networks(), st.booleans())
    def law(drawn: tuple[Layers, np.ndarray, float], normalised: bool) -> None:
        layers, rows, share = drawn
        if normalised:
            sums = [np.abs(w).sum() + np.abs(b).sum() for w, b in layers]
            layers = [(w / k, b / k) for (w, b), k in zip(layers, sums, strict=True)]
        exact, pruned, radii, norms = rows, rows, [], []
        for layer in layers:
            targets = _act(layer, exact)
            new, trimmed = _trimmed(layer, exact, share * float(np.linalg.norm(targets)))
            size = float(np.linalg.norm(targets)) + 1e-12
            eps = float(sipp_theory.retrim_error(trimmed.constraint, trimmed.overshoot))
            assert np.linalg.norm(_act(new, exact) - targets) <= eps + 1e-9 * size
            assert eps <= trimmed.eps * (1 + 1e-5) + 1e-5 * size
            if normalised:
                assert np.abs(new[0]).sum() + np.abs(new[1]).sum() <= 1 + 1e-4
            radii.append(eps)
            norms.append(min(float(np.linalg.norm(new[0], 2)), 1.0 if normalised else math.inf))
            exact, pruned = targets, _act(new, pruned)
            promised = sipp_theory.parallel_error(radii, norms)[-1]
            assert np.linalg.norm(pruned - exact) <= promised * (1 + 1e-4) + 1e-9

    return hold(setting, law, examples=12)


@law("NT-3")
def cascade_promise(setting: Setting) -> Result:
    """The composed error of a cascade is within NT-3's bound, its last layer linear or not."""

    @given(networks(), st.sampled_from([1.0, 1.1, 2.0]))
    def law(drawn: tuple[Layers, np.ndarray, float], gamma: float) -> None:
        layers, rows, share = drawn
        exact = _act(layers[0], rows)
        new, trimmed = _trimmed(layers[0], rows, share * float(np.linalg.norm(exact)))
        pruned = _act(new, rows)
        first = float(sipp_theory.retrim_error(trimmed.constraint, trimmed.overshoot))
        norms: list[float] = []
        for layer in layers[1:]:
            targets = _act(layer, exact)
            # The program's own best point and its given one: both must keep the promise.
            program = nettrim_program.layer_program(
                torch.from_numpy(layer[0]), torch.from_numpy(layer[1]), torch.from_numpy(pruned),
                eps=0.0, targets=torch.from_numpy(targets.T.copy()), gamma=gamma,
            )  # fmt: skip
            small = program.eps <= 1e-6 * (1 + float(np.linalg.norm(targets)))
            if not small and gamma > 1:
                layer_new, _ = _trimmed(layer, pruned, 0.0, targets, gamma)
            else:
                layer_new = layer
            norms.append(float(np.linalg.norm(layer[0], 2)))
            exact, pruned = targets, _act(layer_new, pruned)
            promised = sipp_theory.cascade_error(first, [gamma] * len(norms), norms)[-1]
            slack = 1e-5 * (1 + float(np.linalg.norm(exact)))
            assert np.linalg.norm(pruned - exact) <= promised + slack

    return hold(setting, law, examples=12)
