"""Certificates: what held-out inputs prove about a pruned network, whatever method made it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.certificate import Certificate, make_certificate
from sipp_core.runtime.batch import Batch, Given
from sipp_core.runtime.execution import evaluating, forward, model_device
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output, refuse_other_count, refuse_unbatched, scores
from sipp_core.runtime.padding import Mask, padding_mask
from sipp_core.runtime.provenance import digests, recall


def _outputs(model: nn.Module, batch: Given, choice: Output, padding: Tensor | None) -> Tensor:
    """Scores of a batch, (n, ...) float64; 0 at positions that are padding."""
    answer = forward(model, batch.to(model_device(model), copy=True), "inputs")
    output = scores(answer, choice)
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
    return output


def _check_models(model: object, pruned: object) -> None:
    for name, module in (("model", model), ("pruned", pruned)):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{name} must be an nn.Module (a result's .model); found {type(module).__name__}"
            )


@isolated
def output_errors(
    model: nn.Module,
    pruned: nn.Module,
    inputs: Inputs,
    *,
    forward_size: int | None = None,
    output: Output = None,
    mask: Mask = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Relative L2 output error and change of the predicted class, input by input.

    e(x) = |f^(x) - f(x)|_2/|f(x)|_2; 0 where both are 0, +inf where only f(x) is.

    Args:
        model: the original.
        pruned: the pruned one.
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
    _check_models(model, pruned)
    errors, changed = [], []
    with evaluating(model), evaluating(pruned):
        for batch in batches(inputs, forward_size, "inputs"):
            padding = padding_mask(mask, batch)
            before, after = (_outputs(m, batch, output, padding) for m in (model, pruned))
            if not errors and _few_numbers(batch):
                refuse_unbatched(model, batch.to(model_device(model), copy=True), "inputs")
            _compare(before, after, errors, changed, sum(len(e) for e in errors))
    return np.concatenate(errors), np.concatenate([*changed, np.zeros(0, dtype=bool)])


def _compare(
    before: Tensor, after: Tensor, errors: list[np.ndarray], changed: list[np.ndarray], first: int
) -> None:
    if before.shape != after.shape:
        raise ValueError(
            f"the models answer in different shapes: {tuple(before.shape)} and {tuple(after.shape)}"
        )
    # Scores of positions (pixels, tokens) are no classes of the input.
    classes = before.ndim == 2 and before.shape[1] > 1
    before, after = (output.reshape(len(output), -1) for output in (before, after))
    for name, output in (("model", before), ("pruned", after)):
        bad = ~torch.isfinite(output).all(dim=1)
        if bad.any():
            raise ValueError(
                f"{name} has an output that is not finite at input {first + int(bad.nonzero()[0])}"
            )
    distance, size = (after - before).norm(dim=1), before.norm(dim=1)
    ratio = torch.where(distance == 0, torch.zeros_like(distance), distance / size)
    errors.append(ratio.numpy())
    if classes:
        changed.append((before.argmax(1) != after.argmax(1)).numpy())


def _few_numbers(batch: Given) -> bool:
    """Whether a batch may be one input without a batch dimension: a row, an image, a volume."""
    return isinstance(batch, Tensor) and batch.is_floating_point() and batch.ndim in (1, 2, 3, 4)


def refuse_reuse(pruned: nn.Module, inputs: Inputs, allow_repeats: bool) -> None:
    """Refuse held-out inputs that the pruned model was calibrated on, where that is known."""
    origin = recall(pruned)
    if origin is None or allow_repeats:
        return
    total, reused = 0, 0
    for batch in batches(inputs, None, "inputs"):
        marks = digests(batch)
        total += len(marks)
        reused += sum(mark in origin.digests for mark in marks)
    if reused:
        raise ValueError(
            f"{reused} of {total} held-out inputs were calibration inputs: a certificate needs "
            "inputs that the pruning has not seen. (If the population really repeats inputs and "
            "these are fresh draws, pass allow_repeats=True.)"
        )


def gathered(inputs: Inputs) -> Inputs:
    """Keep a one-shot iterator for the two passes that certifying makes."""
    if isinstance(inputs, Batch) or hasattr(inputs, "__len__") or not hasattr(inputs, "__iter__"):
        return inputs
    return list(inputs)


@isolated
def certify(
    model: nn.Module,
    pruned: nn.Module,
    inputs: Inputs,
    *,
    delta: float = 0.05,
    confidence: float = 0.99,
    eps: float | None = None,
    allow_repeats: bool = False,
    output: Output = None,
    mask: Mask = None,
) -> Certificate:
    """Certify a pruned network on held-out inputs, with no assumption but that they are i.i.d.

    Without eps (CT-2): the least eps = e_(r) with Pr(e > eps) <= delta. With eps (CT-1): the
    bound BetaInv(confidence; k+1, n-k) on Pr(e > eps), k the violations seen.

    Args:
        model: the original network.
        pruned: the pruned one (any method; a `PruneResult.model`).
        inputs: held-out inputs, i.i.d. from the population and independent of the choice of
            `pruned`: a tensor (n, ...), a dict of forward's arguments by name, or an iterable of
            batches of these, of pairs or of `Batch`.
        delta: share of fresh inputs that may exceed eps, in (0, 1); with eps given, the share that
            decides whether the certificate is vacuous is 1.
        confidence: 1 - alpha, in (0, 1).
        eps: fixed relative error > 0, chosen before looking at the inputs, or None.
        allow_repeats: accept inputs that equal calibration inputs (fresh draws that repeat).
        output: what counts of the model's answer where that is no tensor: a name, a position, or a
            function that makes one tensor (n, ...) of it.
        mask: which positions of the output count: the name of a tensor (n, positions) of the batch,
            such as "attention_mask", or a function of the batch that makes one.

    Returns:
        The certificate; vacuous (eps = +inf) with the n that is needed where n is too small.

    Raises:
        TypeError: inputs that are no tensors.
        ValueError: held-out inputs that were calibration inputs (when `pruned` came from `prune` or
            `load` in this process), no inputs, an argument out of range, outputs not finite.

    Claim: CT-1, CT-2. Source: Clopper and Pearson 1934; Wilks 1941.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> certify(net, net, torch.rand(200, 2)).eps
        0.0
    """
    if eps is not None and not eps > 0:
        raise ValueError(f"eps must be greater than 0; found {eps!r}")
    _check_models(model, pruned)
    needed = int(sipp_theory.points_needed(delta, confidence))
    held = gathered(inputs)
    refuse_reuse(pruned, held, allow_repeats)
    errors, changed = output_errors(model, pruned, held, output=output, mask=mask)
    origin = recall(pruned)
    seed = None if origin is None else origin.seed
    if eps is None:
        kind, share = "CT-2", delta
        eps = float(sipp_theory.error_quantile(errors, delta, confidence))
    else:
        kind, needed, violations = "CT-1", 1, int((errors > eps).sum())
        share = float(sipp_theory.violation_bound(violations, len(errors), confidence))
    return make_certificate(
        kind, errors, changed, eps=float(eps), delta=share, confidence=confidence, needed=needed,
        seed=seed,
    )  # fmt: skip
