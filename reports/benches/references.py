"""Other ways to the sensitivities, each as somebody would write it who has no kernel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from reports.benches.method import side_by_side
from reports.benches.subjects import Problem
from sipp_core.runtime import compiled


@compiled
def _plain_loop(weight, inverse, activations, maximum, low, high):  # pyright: ignore
    """Two lines that a compiler can turn into vector instructions, once for each sign."""
    rows, fan_in = activations.shape
    best = np.empty((2, fan_in), weight.dtype)
    for i in range(low, high):
        best[:] = 0
        for sign in range(2):
            for x in range(rows):
                r = inverse[sign, x, i]
                for j in range(fan_in):
                    best[sign, j] = max(best[sign, j], r * activations[x, j])
        for j in range(fan_in):
            w = weight[i, j]
            share = w * best[0, j] if w > 0 else -w * best[1, j]
            maximum[i, j] = min(share, weight.dtype.type(1))


def numba_loop(problems: Sequence[Problem], threads: int) -> list[Tensor]:
    """Neurons shared out to threads, each a plain compiled loop over its products."""
    maxima = []
    for one in problems:
        maximum = torch.zeros_like(one.weight)
        given = [t.numpy() for t in (one.weight, one.inverse, one.activations, maximum)]
        cuts = np.linspace(0, len(maximum), threads + 1).astype(int)
        side_by_side(
            [
                lambda low=int(a), high=int(b), given=given: _plain_loop(
                    given[0], given[1], given[2], given[3], low, high
                )
                for a, b in pairwise(cuts)
            ]
        )
        maxima.append(maximum)
    return maxima


def by_neuron(problems: Sequence[Problem]) -> list[Tensor]:
    """A Python loop over neurons, all inputs at once: shares of both signs, the larger kept."""
    maxima = []
    for one in problems:
        maximum = torch.zeros_like(one.weight)
        parts = (one.weight.clamp(min=0), (-one.weight).clamp(min=0))
        for i in range(len(maximum)):
            plus, minus = (
                part[i] * one.activations * inverse[:, i, None]
                for part, inverse in zip(parts, one.inverse, strict=True)
            )
            maximum[i] = torch.maximum(plus, minus).amax(dim=0)
        maxima.append(maximum)
    return maxima


def by_input(problems: Sequence[Problem]) -> list[Tensor]:
    """One input at a time, and for each a Python loop over neurons, as the authors' code runs."""
    maxima = []
    for one in problems:
        maximum = torch.zeros_like(one.weight)
        for x in range(len(one.activations)):
            row = Problem(one.weight, one.inverse[:, x : x + 1], one.activations[x : x + 1])
            maximum = torch.maximum(maximum, by_neuron([row])[0])
        maxima.append(maximum)
    return maxima
