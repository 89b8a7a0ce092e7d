"""Whether held-out inputs are what a certificate assumes: fresh, each seen once, in no order."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from sipp_core.runtime.batch import Batch, kind_of
from sipp_core.runtime.inputs import Inputs, batches, held_pairs
from sipp_core.runtime.numbers import Float, generator
from sipp_core.runtime.provenance import Provenance, digests, recall

STREAM, PERMUTATIONS, BLOCKS = 92, 999, 1000


@dataclass(frozen=True)
class HeldOut:
    """The held-out inputs, looked at once.

    Attributes:
        n: how many.
        sha256: of their numbers, in their order.
        repeated: inputs that equal one before them.
        reused: inputs that were calibration inputs, as far as that is known.
    """

    n: int
    sha256: str
    repeated: int
    reused: int


def gathered(inputs: Inputs) -> Inputs:
    """Keep a one-shot iterator for the passes that certifying makes."""
    if isinstance(inputs, Batch) or hasattr(inputs, "__len__") or not hasattr(inputs, "__iter__"):
        return inputs
    return list(inputs)


def look_at(inputs: Inputs, origin: Provenance | None) -> HeldOut:
    """Fingerprint the inputs and count those seen before."""
    whole, seen, reused = hashlib.sha256(), Counter[bytes](), 0
    for number, batch in enumerate(batches(inputs, None, "inputs")):
        tensors = [batch] if isinstance(batch, Tensor) else list(batch.tensors)
        if number == 0:
            shapes = [(str(t.dtype), tuple(t.shape[1:])) for t in tensors]
            whole.update(f"{shapes} {kind_of(batch)}".encode())
        for place in range(len(batch)) if len(tensors) > 1 else [slice(None)]:
            for tensor in tensors:
                row = tensor[place].detach().cpu().contiguous().reshape(-1)
                whole.update(row.view(torch.uint8).numpy().tobytes())
        marks = digests(batch)
        seen.update(marks)
        reused += sum(mark in origin.digests for mark in marks) if origin else 0
    n = sum(seen.values())
    return HeldOut(n, whole.hexdigest(), n - len(seen), reused)


def refuse_reuse(pruned: object, held: HeldOut, allow_repeats: bool) -> None:
    """Refuse held-out inputs that the pruned model was calibrated on, where that is known."""
    if held.reused and not allow_repeats:
        raise ValueError(
            f"{held.reused} of {held.n} held-out inputs were calibration inputs: a certificate "
            "needs inputs that the pruning has not seen. (If the population really repeats inputs "
            "and these are fresh draws, pass allow_repeats=True.)"
        )


def origin_of(network: object) -> Provenance | None:
    """What is known of a network's origin."""
    return recall(network) if isinstance(network, nn.Module) else None


def order_p_value(values: Float, seed: int = 0) -> float:
    """Chance of so much order in exchangeable values, by permutations; (n,), at least 1/1000.

    Values are ranked, averaged over at most 1,000 neighbourhoods (which stay exchangeable), and
    permuted 999 times: a trend, or neighbours that are alike, stand out. The smaller of the two
    p-values is doubled.
    """
    ranks = np.unique(values, return_inverse=True)[1].astype(float)
    if len(ranks) < 20 or ranks.max() == 0:
        return 1.0
    size = -(-len(ranks) // BLOCKS)
    kept = len(ranks) - len(ranks) % size
    means = ranks[:kept].reshape(-1, size).mean(axis=1)
    means -= means.mean()
    places = np.arange(len(means)) - (len(means) - 1) / 2
    orders = means[_permutations(len(means), seed)]
    trend = np.abs(orders @ places)
    alike = (orders[:, 1:] * orders[:, :-1]).sum(axis=1)
    least = min(float((s >= s[0] - 1e-9 * abs(s[0])).mean()) for s in (trend, alike))
    return min(1.0, 2 * least)


@lru_cache(maxsize=1)
def _permutations(n: int, seed: int) -> NDArray[np.int16]:
    """(PERMUTATIONS + 1, n) the order as it is, and random ones."""
    rng = generator(seed, STREAM)
    drawn = (rng.permutation(n) for _ in range(PERMUTATIONS))
    return np.vstack([np.arange(n), *drawn]).astype(np.int16)


def notes_on(held: HeldOut, errors: Float, labels: Tensor | None) -> tuple[str, ...]:
    """What a reader should know of the held-out inputs; nothing of it is charged."""
    notes = []
    if held.repeated:
        notes.append(
            f"{held.repeated} of the {held.n} held-out inputs equal one before them: unless the "
            "population itself repeats inputs they are no independent draws, and the certificate "
            "claims too much"
        )
    if held.reused:
        notes.append(
            f"{held.reused} of the {held.n} held-out inputs equal calibration inputs, which was "
            "allowed"
        )
    orders = (("errors", errors), ("labels", None if labels is None else labels.double().numpy()))
    for what, values in orders:
        if values is not None and order_p_value(values) <= 0.002:
            notes.append(
                f"the {what} of the held-out inputs stand in an order that no chance explains (p "
                "<= 0.002 by permutation): if they come in the order of a file or of time, see "
                "that all of the population is among them"
            )
    return tuple(notes)


def labels_of(labels: ArrayLike | Tensor | str | None, inputs: Inputs) -> Tensor | None:
    """(n,) int64 class numbers; "targets" takes those of (input, target) pairs."""
    if labels is None:
        return None
    if isinstance(labels, str):
        if labels != "targets":
            raise ValueError(f"labels must be class numbers, or 'targets'; found {labels!r}")
        pairs = held_pairs(inputs, "inputs")
        labels = torch.cat([batch.targets for batch in pairs if batch.targets is not None])
    values = torch.as_tensor(labels).detach().cpu()
    if values.ndim != 1 or values.is_floating_point() or values.is_complex():
        raise ValueError(
            f"labels must be one whole class number an input, (n,); found shape "
            f"{tuple(values.shape)} and dtype {values.dtype}"
        )
    return values.long()
