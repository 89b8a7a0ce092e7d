"""Certificates: what held-out inputs prove about two networks, whatever made the second one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

import sipp_theory
from sipp_core.certificates.certificate import (
    Certificate,
    accuracy_of,
    groups_of,
    make_certificate,
    point,
)
from sipp_core.certificates.corruptions import Corruption, find_corruption
from sipp_core.certificates.held_out import (
    gathered,
    labels_of,
    look_at,
    notes_on,
    origin_of,
    refuse_reuse,
)
from sipp_core.certificates.measure import Network, check_networks, measure
from sipp_core.certificates.scores import Score, UserScore, find_score
from sipp_core.runtime.execution import uncompiled
from sipp_core.runtime.inputs import Inputs
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import Mask
from sipp_core.runtime.processes import processes
from sipp_core.runtime.provenance import calibration_fingerprint, checksum, fingerprint_of

Scores = str | Score | UserScore | Sequence[str | Score | UserScore]


def _scores(given: Scores) -> list[Score]:
    several = [given] if isinstance(given, str | Score) or callable(given) else list(given)
    scores = [find_score(one) for one in several]
    names = [score.name for score in scores]
    if not scores or len(set(names)) < len(names):
        raise ValueError(f"score must name different scores, at least one; found {names!r}")
    return scores


def _laws(given: Sequence[str | Corruption]) -> list[Corruption | None]:
    if isinstance(given, str):
        raise TypeError(f"corruptions must be a list of laws; found {given!r}")
    laws = [find_corruption(one) for one in given]
    if len(set(laws)) < len(laws):
        raise ValueError(f"corruptions must differ; found {[law.name for law in laws]!r}")
    return [None, *laws]


def _groups(groups: ArrayLike | Tensor | str | None, labels: Tensor | None) -> np.ndarray | None:
    """(n,) names of groups; "class" takes the labels."""
    if groups is None:
        return None
    if isinstance(groups, str):
        if groups != "class" or labels is None:
            raise ValueError(
                f"groups must be one label an input, or 'class' with labels given; found {groups!r}"
            )
        return labels.numpy()
    values = groups.cpu().numpy() if isinstance(groups, Tensor) else np.asarray(groups)
    if values.ndim != 1 or values.dtype.kind not in "iubUS":
        raise ValueError(
            f"groups must be one text or whole number an input, (n,); found shape {values.shape} "
            f"and dtype {values.dtype}"
        )
    return values


def _mark(values: np.ndarray | Tensor | None) -> str | None:
    """SHA-256 of labels."""
    if values is None:
        return None
    if isinstance(values, np.ndarray) and values.dtype.kind in "US":
        return checksum({}, "\n".join(map(str, values)))
    return checksum({"values": torch.as_tensor(values).long()})


@isolated
def certify(
    model: Network,
    pruned: Network,
    inputs: Inputs,
    *,
    delta: float = 0.05,
    confidence: float = 0.99,
    eps: float | None = None,
    allow_repeats: bool = False,
    output: Output = None,
    mask: Mask = None,
    labels: ArrayLike | Tensor | str | None = None,
    groups: ArrayLike | Tensor | str | None = None,
    score: Scores = "relative-l2",
    corruptions: Sequence[str | Corruption] = (),
    seed: int = 0,
) -> Certificate:
    """Certify a network on held-out inputs, with no assumption but that they are i.i.d.

    Without eps (CT-2): the least eps = e_(r) with Pr(e > eps) <= delta. With eps (CT-1): the
    bound BetaInv(confidence; k+1, n-k) on Pr(e > eps), k the violations seen. Always the whole
    curve (CT-5): `eps_at(delta)` and `delta_at(eps)` of the certificate hold for all at once.

    Any two networks will do, whatever made the second of the first: pruning, quantization,
    distillation, export. Within a process group of torch.distributed every process makes the same
    call, computes its share and gets the same certificate, with the bits of one process.

    Args:
        model: the original network: a module, or a function of a batch that returns an array.
        pruned: the other one (any method; a `PruneResult.model`).
        inputs: held-out inputs, i.i.d. from the population and independent of the choice of
            `pruned`: a tensor (n, ...), a dict of forward's arguments by name, or an iterable of
            batches of these, of pairs or of `Batch`.
        delta: share of fresh inputs that may exceed eps, in (0, 1); with eps given, the share that
            decides whether the certificate is vacuous is 1.
        confidence: 1 - alpha, in (0, 1).
        eps: fixed error > 0 in the score's unit, chosen before looking at the inputs, or None.
        allow_repeats: accept inputs that equal calibration inputs (fresh draws that repeat).
        output: what counts of the model's answer where that is no tensor: a name, a position, or a
            function that makes one tensor (n, ...) of it.
        mask: which positions of the output count: the name of a tensor (n, positions) of the batch,
            such as "attention_mask", or a function of the batch that makes one.
        labels: (n,) class numbers of the inputs, or "targets" where inputs come as pairs; then
            accuracy and its drop are bounded (CT-6).
        groups: (n,) the group of each input, or "class" for its label; then every group is
            certified at confidence 1 - alpha/G (CT-7), and `worst_group` and `small_groups` named.
        score: what is compared: "relative-l2", "class-change", "top-k:K", "kl", an object of these,
            a function (before, after) -> (n,) of float64 outputs (n, ...), or several of these.
        corruptions: laws such as "gaussian:0.1", by which the inputs are perturbed at random; one
            more certificate a law and score, in `family`, all charged together (CT-7).
        seed: of the perturbations.

    Returns:
        The certificate of the first score on the inputs as they are; vacuous (eps = +inf) with the
        n that is needed where n is too small.

    Raises:
        TypeError: inputs that are no tensors, networks that cannot be called.
        ValueError: held-out inputs that were calibration inputs (when `pruned` came from `prune` or
            `load` in this process), no inputs, an argument out of range, outputs not finite.

    Claim: CT-1, CT-2, CT-5 to CT-7. Source: Clopper and Pearson 1934; Wilks 1941; Berk and Jones
    1979.

    Example:
        >>> net = torch.nn.Linear(2, 2)
        >>> certificate = certify(net, net, torch.rand(200, 2))
        >>> certificate.eps, certificate.eps_at(0.1)
        (0.0, 0.0)
    """
    if eps is not None and not eps > 0:
        raise ValueError(f"eps must be greater than 0; found {eps!r}")
    check_networks(model, pruned)
    model, pruned = uncompiled(model), uncompiled(pruned)
    scores, laws = _scores(score), _laws(corruptions)
    if eps is not None and len(scores) > 1:
        raise ValueError(f"eps={eps!r} is in the unit of one score; found {len(scores)} scores")
    statements = len(scores) * len(laws)
    level = sipp_theory.family_confidence(confidence, statements)
    sipp_theory.points_needed(delta, level)  # refuses what is out of range before any work
    held = gathered(inputs)
    truth = labels_of(labels, held)
    members = _groups(groups, truth)
    origin = origin_of(pruned)
    seen = look_at(held, origin)
    refuse_reuse(pruned, seen, allow_repeats)
    for name, values in (("labels", truth), ("groups", members)):
        if values is not None and len(values) != seen.n:
            raise ValueError(f"there are {len(values)} {name} for {seen.n} inputs")
    marks = {
        "original": fingerprint_of(model), "pruned": fingerprint_of(pruned), "inputs": seen.sha256,
        "labels": _mark(truth), "groups": _mark(members),
        "calibration": calibration_fingerprint(origin),
    }  # fmt: skip
    arguments = {
        "delta": delta, "confidence": confidence, "eps": eps, "allow_repeats": allow_repeats,
        "labels": labels if isinstance(labels, str) else labels is not None,
        "groups": groups if isinstance(groups, str) else groups is not None,
        "output": output if output is None or isinstance(output, str | int) else "a function",
        "mask": mask if mask is None or isinstance(mask, str) else "a function",
        "score": [one.name for one in scores],
        "corruptions": [law.name for law in laws if law is not None], "seed": seed,
    }  # fmt: skip
    if (group := processes()) is not None:
        group.agree({**marks, "arguments": arguments})
    extra = [claim for claim, given in (("CT-6", truth), ("CT-7", members)) if given is not None]
    certificates: list[Certificate] = []
    for law in laws:
        measured = measure(
            model, pruned, held, scores, corruption=law, seed=seed, labels=truth, output=output,
            mask=mask,
        )  # fmt: skip
        for column, one in enumerate(scores):
            errors = measured.scores[:, column]
            # An event either happens or does not: its share is what is to be known.
            fixed = 0.0 if eps is None and measured.events[column] else eps
            kind, limit, share, needed = point(errors, fixed, delta, level)
            certificate = make_certificate(
                kind, errors, measured.changed, eps=limit, delta=share, confidence=confidence,
                needed=needed, seed=None if origin is None else origin.seed, statements=statements,
            )  # fmt: skip
            by_group = ()
            if members is not None:
                by_group = groups_of(
                    members, errors, measured.changed, measured.right, eps=fixed, delta=delta,
                    level=level,
                )  # fmt: skip
            certificates.append(
                replace(
                    certificate,
                    score=one.name,
                    unit=one.unit,
                    corruption=None if law is None else law.name,
                    accuracy=accuracy_of(measured.right, level),
                    groups=by_group,
                    claims=tuple(dict.fromkeys((*certificate.claims, *extra))),
                    notes=() if certificates else notes_on(seen, errors, truth),
                    fingerprints=marks,
                    arguments=arguments,
                )
            )
    return replace(certificates[0], family=tuple(certificates[1:]))
