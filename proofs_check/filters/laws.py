"""PF on drawn layers: shares of sensitivity, their sums, and what dropping channels takes away."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import sipp_theory
from proofs_check.instances.strategies import layers
from proofs_check.kinds.laws import hold
from proofs_check.ledger.evidence import Result
from proofs_check.ledger.registry import Setting, law
from sipp_core.filters import sensitivity

Layer = tuple[np.ndarray, np.ndarray]


@st.composite
def owned(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a layer, activations of one sign, and the channel of each column."""
    weights, activations = draw(layers())
    width = weights.shape[1]
    owner = draw(st.lists(st.integers(0, 3), min_size=width, max_size=width))
    return weights, activations, np.unique(owner, return_inverse=True)[1].astype(np.int64)


def _sensitivity(layer: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    weights, activations, owner = layer
    return sensitivity.channel_sensitivity(
        torch.from_numpy(weights), torch.from_numpy(activations), owner
    )


@law("PF-1", "PF-2")
def sums_and_bounds(setting: Setting) -> Result:
    """S is 0 or from 1 to the number of channels, and s_c lies between its columns' max and sum."""

    @given(owned())
    def law(layer: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        weights, activations, owner = layer
        s = _sensitivity(layer)
        assert (s >= 0).all() and (s <= 1).all()
        assert s.sum() == 0 or s.sum() >= 1 - 1e-9
        columns = _sensitivity((weights, activations, np.arange(len(owner))))
        for c in range(len(s)):
            of_c = columns[owner == c]
            assert of_c.max() <= s[c] * (1 + 1e-9) and s[c] <= of_c.sum() * (1 + 1e-9)

    return hold(setting, law)


@law("PF-2")
def dropping_channels(setting: Setting) -> Result:
    """What the dropped channels carry of any pre-activation is at most the sum of their s_c."""

    @given(owned(), st.lists(st.booleans(), min_size=4, max_size=4))
    def law(layer: tuple[np.ndarray, np.ndarray, np.ndarray], kept: list[bool]) -> None:
        weights, activations, owner = layer
        s = _sensitivity(layer)
        keep = np.array(kept[: len(s)])
        promised = sipp_theory.dropped_share_bound(s, keep)
        for part in (np.maximum(weights, 0), np.maximum(-weights, 0)):
            z = activations @ part.T
            lost = activations @ (part * ~keep[owner]).T
            assert (lost <= promised * z * (1 + 1e-9)).all()

    return hold(setting, law)


@law("PF-1", "PF-2")
def printed_is_never_below(setting: Setting) -> Result:
    """The printed size is at least PF-2's at the number of pre-activations that it pays for."""
    unit = st.floats(1e-6, 0.999)

    @given(st.floats(1, 1e6), unit, unit, st.integers(1, 4096))
    def law(total: float, eps: float, delta: float, widest: int) -> None:
        events = max(1.0, 32 * widest**3 / delta**2)
        sharper = sipp_theory.channel_bernstein_size(total, eps, delta, events)
        assert sharper <= sipp_theory.channel_size(total, eps, delta, widest) + 1

    return hold(setting, law)
