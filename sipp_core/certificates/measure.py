"""Run two networks on held-out inputs and compare what they answer, input by input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sipp_core.certificates.corruptions import Corruption
from sipp_core.certificates.errors import wrong
from sipp_core.certificates.scores import ClassChange, RelativeL2, Score
from sipp_core.runtime.batch import Given, run
from sipp_core.runtime.execution import evaluating, forward, model_device
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.numbers import Bool, Float
from sipp_core.runtime.outputs import Output, refuse_other_count, refuse_unbatched
from sipp_core.runtime.outputs import scores as scores_of
from sipp_core.runtime.padding import Mask, padding_mask
from sipp_core.runtime.processes import processes

# Any two networks: modules, or functions of a batch that return an array.
Network = nn.Module | Callable[[Tensor], Any]


@dataclass(frozen=True, eq=False)
class Measurements:
    """What two networks answered.

    Attributes:
        scores: (n, k) float64, one column a score.
        events: (k,) which scores are 0 or 1.
        changed: (n,) whether the predicted class changed; (0,) for outputs not (n, classes).
        right: (2, n) whether the original and the other network were right; (2, 0) without labels.
    """

    scores: Float
    events: Bool
    changed: Bool
    right: Bool


def check_networks(model: object, pruned: object) -> None:
    """Refuse what is no network."""
    for name, network in (("model", model), ("pruned", pruned)):
        if not callable(network):
            raise TypeError(
                f"{name} must be an nn.Module (a result's .model) or a function of a batch; found "
                f"{type(network).__name__}"
            )


def answers(network: Network, batch: Given, choice: Output, padding: Tensor | None) -> Tensor:
    """Scores of a batch, (n, ...) float64 on the CPU; 0 at positions that are padding."""
    if isinstance(network, nn.Module):
        answer = forward(network, batch.to(model_device(network), copy=True), "inputs")
    else:
        answer = run(network, batch.clone())
        if isinstance(answer, np.ndarray):
            answer = torch.from_numpy(answer)
    output = scores_of(answer, choice)
    refuse_other_count(output, batch, "inputs")
    if output.ndim == 0:
        raise ValueError(
            f"the model must answer each of {len(batch)} inputs; found an output of shape ()"
        )
    output = output.detach().double().cpu()
    if padding is not None:
        if output.shape[: padding.ndim] != padding.shape:
            raise ValueError(
                f"mask= of shape {tuple(padding.shape)} does not fit outputs of shape "
                f"{tuple(output.shape)}: it tells positions of the output apart here"
            )
        output = output.masked_fill(
            ~padding.cpu().reshape(padding.shape + (1,) * (output.ndim - padding.ndim)), 0.0
        )
    return output if output.ndim > 1 else output[:, None]


def _few_numbers(batch: Given) -> bool:
    """Whether a batch may be one input without a batch dimension: a row, an image, a volume."""
    return isinstance(batch, Tensor) and batch.is_floating_point() and batch.ndim in (1, 2, 3, 4)


def measure(
    model: Network, pruned: Network, inputs: Inputs, scores: Sequence[Score], *,
    corruption: Corruption | None = None, seed: int = 0, labels: Tensor | None = None,
    forward_size: int | None = None, output: Output = None, mask: Mask = None,
) -> Measurements:  # fmt: skip
    """Compare two networks on a stream of inputs.

    Within a process group of torch.distributed the batches are shared out; every process gets the
    whole, with the bits of one.
    """
    check_networks(model, pruned)
    group, first, failure = processes(), 0, None
    rows: list[np.ndarray] = []
    shape: tuple[int, ...] = ()
    with ExitStack() as stack:
        for network in (model, pruned):
            if isinstance(network, nn.Module):
                stack.enter_context(evaluating(network))
        stack.enter_context(torch.no_grad())
        try:
            for number, batch in enumerate(batches(inputs, forward_size, "inputs")):
                if group is None or group.mine(number):
                    given = batch if corruption is None else corruption(batch, first, seed)
                    padding = padding_mask(mask, given)
                    before, after = (answers(m, given, output, padding) for m in (model, pruned))
                    if not rows and _few_numbers(batch) and isinstance(model, nn.Module):
                        one = batch.to(model_device(model), copy=True)
                        refuse_unbatched(model, one, "inputs")
                    _refuse(before, after, first)
                    mine = None if labels is None else labels[first : first + len(batch)]
                    columns = _compare(before, after, scores, mine, first)
                    rows.append(columns.numpy())
                    shape = tuple(before.shape)
                first += len(batch)
            if labels is not None and len(labels) != first:
                raise ValueError(f"there are {len(labels)} labels for {first} inputs")
        except Exception as error:  # the other ranks must hear of it
            if group is None:
                raise
            failure = error
    if group is not None:
        group.settle(failure, first)
        width = 4 + len(scores)
        part = torch.from_numpy(np.concatenate([*rows, np.zeros((0, width))]))
        rows = [t.numpy() for t in group.gather(part)]
        shape = tuple(max(group.gather_json(list(shape)), key=len))
    table = np.concatenate(rows)
    table = table[np.argsort(table[:, 0], kind="stable")]
    known = table[:, 1:4] >= 0
    return Measurements(
        scores=np.ascontiguousarray(table[:, 4:]),
        events=np.array([score.happens(shape) for score in scores], dtype=bool),
        changed=table[:, 1].astype(bool) if known[:, 0].all() else np.zeros(0, dtype=bool),
        right=table[:, 2:4].T.astype(bool) if known[:, 1].all() else np.zeros((2, 0), dtype=bool),
    )


def _refuse(before: Tensor, after: Tensor, first: int) -> None:
    """Refuse answers that differ in shape or are not finite."""
    if before.shape != after.shape:
        raise ValueError(
            f"the models answer in different shapes: {tuple(before.shape)} and {tuple(after.shape)}"
        )
    for name, output in (("model", before), ("pruned", after)):
        bad = ~torch.isfinite(output).flatten(1).all(dim=1)
        if bad.any():
            raise ValueError(
                f"{name} has an output that is not finite at input {first + int(bad.nonzero()[0])}"
            )


def _compare(
    before: Tensor, after: Tensor, scores: Sequence[Score], labels: Tensor | None, first: int
) -> Tensor:
    """(n, 4 + k): place, class changed, right before, right after (-1: unknown), scores."""
    count, classes = len(before), before.ndim == 2 and before.shape[1] > 1
    table = torch.full((count, 4 + len(scores)), -1.0, dtype=torch.float64)
    table[:, 0] = torch.arange(first, first + count)
    if classes:
        table[:, 1] = ClassChange()(before, after)
    if labels is not None:
        if not classes:
            raise ValueError(
                f"labels need outputs (n, classes); found outputs of shape {tuple(before.shape)}"
            )
        bad = (labels < 0) | (labels >= before.shape[1])
        if bad.any():
            place = int(bad.nonzero()[0])
            raise ValueError(
                f"label {int(labels[place])} of input {first + place} is no class: the model has "
                f"{before.shape[1]}"
            )
        table[:, 2], table[:, 3] = ~wrong(before, labels), ~wrong(after, labels)
    for column, score in enumerate(scores, start=4):
        values = score(before, after)
        if torch.isnan(values).any():
            place = first + int(torch.isnan(values).nonzero()[0])
            raise ValueError(f"score {score.name!r} is NaN at input {place}")
        table[:, column] = values
    return table


@isolated
def output_errors(
    model: Network, pruned: Network, inputs: Inputs, *, forward_size: int | None = None,
    output: Output = None, mask: Mask = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Relative L2 output error and change of the predicted class, input by input.

    e(x) = |f^(x) - f(x)|_2/|f(x)|_2; 0 where both are 0, +inf where only f(x) is.

    Args:
        model: the original: a module, or a function of a batch.
        pruned: the other network.
        inputs: a tensor (n, ...), a dict of forward's arguments by name, or an iterable of batches
            of these, of pairs or of `Batch`.
        forward_size: inputs a forward pass, where memory is short; by default as in `calibrate`.
        output: what counts of the model's answer, as in `prune`.
        mask: which positions of the output count, as in `prune`; the others' errors do not.

    Returns:
        ((n,) float64 errors, (n,) bool class changed, (0,) for outputs that are not (n, classes)).

    Raises:
        TypeError: a model that returns several tensors, none of which is chosen.
        ValueError: no inputs, outputs of different shapes, or outputs that are not finite.

    Claim: none (plumbing, the score of THEORY section 5).

    Example:
        >>> net = nn.Linear(2, 2)
        >>> output_errors(net, net, torch.ones(3, 2))[0].tolist()
        [0.0, 0.0, 0.0]
    """
    measured = measure(
        model, pruned, inputs, [RelativeL2()], forward_size=forward_size, output=output, mask=mask
    )
    return measured.scores[:, 0], measured.changed
