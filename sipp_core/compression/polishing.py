"""The last layer's weights moved among their levels, until the bound on the error falls no more.

Training minimises a loss and knows a file's bits by a price. What counts in the end are whole
errors and bits: with the layers before it fixed, each weight of the last layer is set to the level
of least errors + price * bits, one after the other, again and again (coordinate descent).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.errors import exact_scores, wrong
from sipp_core.network.masks import duplicate

Float = np.ndarray
PASSES = 20
# Errors and bits over which the slopes of the bound are taken, where there are enough inputs.
STEP = 64


def price_of_a_bit(errors: int, n: int, bits: float, delta: float) -> float:
    """How many errors on the training inputs weigh as much as a bit of the file, by GN-3."""
    step = max(1, min(STEP, n // 8))
    here = {"errors": min(errors, n - step), "n": n, "bits": bits, "delta": delta}
    bounds = [
        float(sipp_theory.occam_bound("binomial", **(here | more)))
        for more in ({}, {"bits": bits + step}, {"errors": here["errors"] + step})
    ]
    return (bounds[1] - bounds[0]) / max(bounds[2] - bounds[0], 1e-12)


def polished(
    model: nn.Module, inputs: Tensor, targets: Tensor, bits: float, delta: float
) -> nn.Module:
    """A copy whose last layer, a Linear on few levels, errs less for its bits; else a plain copy.

    Weights and biases take values that their tensor holds already. `bits` are those of the file as
    it is, by which a bit is weighed against an error.

    Shapes: inputs (n, ...), targets (n,).
    """
    new = duplicate(model)
    if not (isinstance(new, nn.Sequential) and len(new) > 1):
        return new
    head = new[-1]
    if not isinstance(head, nn.Linear):
        return new
    before = exact_scores(new[:-1], inputs)
    if before.ndim != 2:
        return new
    scores = nn.functional.linear(before, head.weight.cpu().double(), _double(head.bias))
    missed = int(wrong(scores, targets.cpu()).sum())
    price = price_of_a_bit(missed, len(targets), bits, delta)
    # A bias is the weight of an input that is always 1.
    parts = [(head.weight, before.numpy())]
    if head.bias is not None:
        parts.append((head.bias, np.ones((len(before), 1))))
    tensors = [_Levels(parameter, price) for parameter, _ in parts]
    columns = np.hstack([rows for _, rows in parts])
    owners = [(k, j) for k, (_, rows) in enumerate(parts) for j in range(rows.shape[1])]
    right = targets.cpu().numpy()
    for _ in range(PASSES):
        values = columns @ np.hstack([tensor.values for tensor in tensors]).T
        classes = range(values.shape[1])
        if not sum(_one_class(c, values, right, columns, owners, tensors) for c in classes):
            break
    with torch.no_grad():
        for (parameter, _), tensor in zip(parts, tensors, strict=True):
            parameter.copy_(torch.from_numpy(tensor.values.reshape(parameter.shape)))
    return new


def _double(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.cpu().double()


class _Levels:
    """A tensor's values as (classes, inputs), its levels, and what each costs, in errors."""

    def __init__(self, parameter: Tensor, price: float) -> None:
        self.values = parameter.detach().cpu().double().numpy().reshape(len(parameter), -1).copy()
        self.levels, counts = np.unique(self.values, return_counts=True)
        self.counts, self.price = counts + 0.5, price

    def costs(self, current: float) -> Float:
        """Of each level, were the current value taken back."""
        counts = self.counts - (self.levels == current)
        return -self.price * np.log2(counts / counts.sum())

    def move(self, place: tuple[int, int], level: int) -> None:
        """Give a place another level."""
        self.counts[self.levels == self.values[place]] -= 1
        self.counts[level] += 1
        self.values[place] = self.levels[level]


def _one_class(
    c: int, scores: Float, right: np.ndarray, columns: Float, owners: list[tuple[int, int]],
    tensors: list[_Levels],
) -> int:  # fmt: skip
    """Go through a class's weights once; how many moved. Its scores are kept up to date.

    Shapes: scores (n, classes), right (n,), columns (n, inputs).
    """
    mine = scores[np.arange(len(right)), right]
    others = scores.copy()
    others[np.arange(len(right)), right] = -np.inf
    others[:, c] = -np.inf
    rivals = others.max(axis=1)
    own = right == c
    # Elsewhere the class can only do harm, and only where nothing else has.
    rows = np.flatnonzero(own | (mine > rivals))
    # Right: above the rivals on its own inputs, below the right score on the others.
    sign = np.where(own[rows], 1.0, -1.0)
    margin = sign * (scores[rows, c] - np.where(own, rivals, mine)[rows])
    slopes = columns[rows] * sign[:, None]
    moved = 0
    for column, (k, j) in enumerate(owners):
        tensor, slope = tensors[k], slopes[:, column]
        now = tensor.values[c, j]
        wrong = np.array([
            np.count_nonzero(margin + (level - now) * slope <= 0) for level in tensor.levels
        ])  # fmt: skip
        total = wrong + tensor.costs(now)
        best = int(np.argmin(total))
        if total[best] < total[np.searchsorted(tensor.levels, now)] - 1e-9:
            margin = margin + (tensor.levels[best] - now) * slope
            scores[:, c] += (tensor.levels[best] - now) * columns[:, column]
            tensor.move((c, j), best)
            moved += 1
    return moved
