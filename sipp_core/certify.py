"""Certificates: what held-out inputs prove about a pruned network, whatever method made it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

import sipp_theory
from sipp_core.describing import versions
from sipp_core.prune import prune
from sipp_core.result import PruneResult
from sipp_core.running import Progress, evaluating, forward, model_device
from sipp_core.streams import Inputs, batches, digests, recall

BATCH = 256
KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)


@dataclass(frozen=True)
class Certificate:
    """A statement about fresh inputs that held-out inputs prove at a confidence.

    Attributes:
        kind: "CT-2" (eps found for a given delta), "CT-1" (violation rate found for a given eps) or
            "CT-3" (both given, the network found; see `sparsest`).
        eps: relative L2 output error |f^(x) - f(x)|/|f(x)|; +inf where nothing can be certified.
        delta: share of fresh inputs that may exceed eps (kind CT-1: the bound found).
        confidence: over the draw of the held-out inputs; of the eps statement and of the
            disagreement statement each.
        n: held-out inputs.
        violations: held-out inputs whose error exceeds eps.
        observed_mean: mean error over the held-out inputs.
        observed_max: largest error over them.
        disagreement: bound on the share of fresh inputs whose predicted class changes (CT-1); None
            for a model without at least two outputs.
        observed_disagreement: share of the held-out inputs whose class changed, or None.
        vacuous: whether nothing is certified.
        needed_n: least number of held-out inputs at which this kind can certify anything.
        holds_for: in words, which inputs the statement speaks of.
        assumptions: what it rests on.
        claims: THEORY ids.
        versions: versions of the packages used.
        seed: seed of the pruning run, or None where unknown.

    Claim: CT-1, CT-2, CT-3. Source: Clopper and Pearson 1934; Wilks 1941; Maurer et al. 1995.
    """

    kind: str
    eps: float
    delta: float
    confidence: float
    n: int
    violations: int
    observed_mean: float
    observed_max: float
    disagreement: float | None
    observed_disagreement: float | None
    vacuous: bool
    needed_n: int
    holds_for: str
    assumptions: tuple[str, ...]
    claims: tuple[str, ...]
    versions: dict[str, str] = field(repr=False)
    seed: int | None

    def sentence(self) -> str:
        """The certificate in one plain sentence."""
        if self.vacuous:
            return (
                f"Nothing can be certified from {self.n} held-out inputs: "
                f"at least {self.needed_n} are needed."
                if self.n < self.needed_n
                else f"Nothing can be certified: the error is unbounded on the {self.n} inputs."
            )
        share = f"at most {self.delta:.2%} of fresh inputs"
        return (
            f"With {self.confidence:.0%} confidence, {share} move the output by more than "
            f"eps = {self.eps:.4g} (relative L2), from {self.n} held-out inputs."
        )

    def summary(self) -> dict[str, object]:
        """All fields, ready for JSON."""
        plain: dict[str, object] = asdict(self)
        return plain | {"assumptions": list(self.assumptions), "claims": list(self.claims)}


def _outputs(model: nn.Module, batch: Tensor) -> Tensor:
    output = forward(model, batch.to(model_device(model)), "inputs")
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return one tensor; found {type(output).__name__}")
    if output.ndim == 0 or output.shape[0] != batch.shape[0]:
        raise ValueError(
            f"the model must answer each of {batch.shape[0]} inputs; found an output of shape "
            f"{tuple(output.shape)}"
        )
    return output.detach().double().cpu().reshape(batch.shape[0], -1)


def _check_models(model: object, pruned: object) -> None:
    for name, module in (("model", model), ("pruned", pruned)):
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{name} must be an nn.Module (a result's .model); found {type(module).__name__}"
            )


def output_errors(
    model: nn.Module, pruned: nn.Module, inputs: Inputs, *, batch_size: int = BATCH
) -> tuple[np.ndarray, np.ndarray]:
    """Relative L2 output error and change of the predicted class, input by input.

    e(x) = |f^(x) - f(x)|_2/|f(x)|_2; 0 where both are 0, +inf where only f(x) is.

    Args:
        model: the original.
        pruned: the pruned one.
        inputs: a tensor (n, ...), or an iterable of batches or pairs.
        batch_size: inputs a forward pass.

    Returns:
        ((n,) float64 errors, (n,) bool class changed, (0,) for models of one output).

    Raises:
        TypeError: a model that returns no tensor.
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
        for batch in batches(inputs, batch_size, "inputs"):
            before, after = _outputs(model, batch), _outputs(pruned, batch)
            _compare(before, after, errors, changed, sum(len(e) for e in errors))
    return np.concatenate(errors), np.concatenate([*changed, np.zeros(0, dtype=bool)])


def _compare(
    before: Tensor, after: Tensor, errors: list[np.ndarray], changed: list[np.ndarray], first: int
) -> None:
    if before.shape != after.shape:
        raise ValueError(
            f"the models answer in different shapes: {tuple(before.shape)} and {tuple(after.shape)}"
        )
    for name, output in (("model", before), ("pruned", after)):
        bad = ~torch.isfinite(output).all(dim=1)
        if bad.any():
            raise ValueError(
                f"{name} has an output that is not finite at input {first + int(bad.nonzero()[0])}"
            )
    distance, size = (after - before).norm(dim=1), before.norm(dim=1)
    ratio = torch.where(distance == 0, torch.zeros_like(distance), distance / size)
    errors.append(ratio.numpy())
    if before.shape[1] > 1:
        changed.append((before.argmax(1) != after.argmax(1)).numpy())


def _refuse_reuse(pruned: nn.Module, inputs: Inputs, allow_repeats: bool) -> None:
    origin = recall(pruned)
    if origin is None or allow_repeats:
        return
    total, reused = 0, 0
    for batch in batches(inputs, BATCH, "inputs"):
        marks = digests(batch)
        total += len(marks)
        reused += sum(mark in origin.digests for mark in marks)
    if reused:
        raise ValueError(
            f"{reused} of {total} held-out inputs were calibration inputs: a certificate needs "
            "inputs that the pruning has not seen. (If the population really repeats inputs and "
            "these are fresh draws, pass allow_repeats=True.)"
        )


def _gathered(inputs: Inputs) -> Inputs:
    """Keep a one-shot iterator for the two passes that certifying makes."""
    if hasattr(inputs, "__len__") or not hasattr(inputs, "__iter__"):
        return inputs
    return list(inputs)


def certify(
    model: nn.Module,
    pruned: nn.Module,
    inputs: Inputs,
    *,
    delta: float = 0.05,
    confidence: float = 0.99,
    eps: float | None = None,
    allow_repeats: bool = False,
) -> Certificate:
    """Certify a pruned network on held-out inputs, with no assumption but that they are i.i.d.

    Without eps (CT-2): the least eps = e_(r) with Pr(e > eps) <= delta. With eps (CT-1): the
    bound BetaInv(confidence; k+1, n-k) on Pr(e > eps), k the violations seen.

    Args:
        model: the original network.
        pruned: the pruned one (any method; a `PruneResult.model`).
        inputs: held-out inputs, i.i.d. from the population and independent of the choice of
            `pruned`: a tensor (n, ...), or an iterable of batches or pairs.
        delta: share of fresh inputs that may exceed eps, in (0, 1); with eps given, the share that
            decides whether the certificate is vacuous is 1.
        confidence: 1 - alpha, in (0, 1).
        eps: fixed relative error > 0, chosen before looking at the inputs, or None.
        allow_repeats: accept inputs that equal calibration inputs (fresh draws that repeat).

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
    held = _gathered(inputs)
    _refuse_reuse(pruned, held, allow_repeats)
    errors, changed = output_errors(model, pruned, held)
    origin = recall(pruned)
    seed = None if origin is None else origin.seed
    if eps is None:
        kind, found, share = (
            "CT-2",
            float(sipp_theory.error_quantile(errors, delta, confidence)),
            delta,
        )
    else:
        violations = int((errors > eps).sum())
        kind, found, needed = "CT-1", float(eps), 1
        share = float(sipp_theory.violation_bound(violations, len(errors), confidence))
    return _certificate(
        kind, errors, changed, eps=found, delta=share, confidence=confidence, needed=needed,
        seed=seed,
    )  # fmt: skip


def _certificate(
    kind: str, errors: np.ndarray, changed: np.ndarray, *, eps: float, delta: float,
    confidence: float, needed: int, seed: int | None, family: int = 1,
) -> Certificate:  # fmt: skip
    """Put a certificate together; `family` counts the networks the hold-out chose among."""
    n = len(errors)
    switched = int(changed.sum()) if changed.size else None
    # The chosen network is one of `family`: its disagreement is bounded for all of them at once.
    level = 1 - (1 - confidence) / family
    return Certificate(
        kind=kind,
        eps=eps,
        delta=delta,
        confidence=confidence,
        n=n,
        violations=int((errors > eps).sum()),
        observed_mean=float(errors.mean()),
        observed_max=float(errors.max()),
        disagreement=None
        if switched is None
        else float(sipp_theory.violation_bound(switched, n, level)),
        observed_disagreement=None if switched is None else switched / n,
        vacuous=not np.isfinite(eps) or delta >= 1,
        needed_n=needed,
        holds_for="fresh inputs from the population that the held-out inputs were drawn from",
        assumptions=(
            "the held-out inputs are i.i.d. draws from that population",
            "they played no part in training or calibration"
            + (
                ", nor in the choice of the pruned network"
                if family == 1
                else "; the choice among the keep ratios is paid for"
            ),
        ),
        claims=tuple(dict.fromkeys((kind, "CT-1"))),
        versions=versions(),
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class SparsestResult:
    """The sparsest network of a path that provably meets (eps, delta).

    Attributes:
        result: the pruning result, or None if not even the densest passed.
        certificate: its CT-3 certificate, or None.
        keeps: keep ratios tested, dense to sparse, up to and including the first that failed.
        violations: held-out violations of each.
        confidence: family-wise: the chance that the accepted network misses (eps, delta) is at most
            1 - confidence, all tests taken together.
        eps: the target error.
        delta: the target share.

    Claim: CT-3. Source: Maurer et al. 1995, fixed-sequence testing.
    """

    result: PruneResult | None
    certificate: Certificate | None
    keeps: tuple[float, ...]
    violations: tuple[int, ...]
    confidence: float
    eps: float
    delta: float


def sparsest(
    model: nn.Module,
    calibration: Inputs,
    holdout: Inputs,
    *,
    eps: float,
    delta: float,
    confidence: float = 0.99,
    method: str = "sipp-hybrid",
    keeps: Sequence[float] = KEEPS,
    scope: str = "layer",
    seed: int = 0,
    allow_repeats: bool = False,
    progress: Progress | None = None,
) -> SparsestResult:
    """Find the sparsest pruned network that provably meets a target on fresh inputs.

    Keep ratios are tested from dense to sparse, each at level 1 - confidence, and the first failure
    ends the search; the family-wise error stays at that level because the order was fixed before.

    Args:
        model: the trained network; not changed.
        calibration: inputs to prune on, as in `prune`; re-iterable.
        holdout: held-out inputs, i.i.d., disjoint from the calibration inputs.
        eps: target relative L2 output error, > 0.
        delta: share of fresh inputs that may exceed it, in (0, 1).
        confidence: 1 - alpha of the whole search, in (0, 1).
        method: pruning method, as in `prune`.
        keeps: keep ratios in (0, 1], strictly decreasing; fixed before looking at the hold-out.
        scope: as in `prune`.
        seed: as in `prune`.
        allow_repeats: as in `certify`.
        progress: callback (done, total, what).

    Returns:
        The sparsest accepted network with its certificate, and the path of the search.

    Raises:
        TypeError: as `prune`.
        ValueError: as `prune` and `certify`; or keeps not strictly decreasing.

    Claim: CT-3. Source: Maurer et al. 1995, fixed-sequence testing.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3))
        >>> found = sparsest(net, torch.rand(32, 4), torch.rand(200, 4), eps=0.5, delta=0.1,
        ...                  keeps=(1.0,))
        >>> found.certificate.violations
        0
    """
    if not eps > 0:
        raise ValueError(f"eps must be greater than 0; found {eps!r}")
    ratios = list(keeps)
    if not ratios or any(b >= a for a, b in itertools.pairwise(ratios)):
        raise ValueError(f"keeps must be strictly decreasing and not empty; found {ratios!r}")
    calibration, held = _gathered(calibration), _gathered(holdout)
    best: tuple[PruneResult, np.ndarray, np.ndarray] | None = None
    counts: list[int] = []
    for index, keep in enumerate(ratios):
        if progress is not None:
            progress(index, len(ratios), f"keep {keep:g}")
        candidate = prune(model, calibration, method=method, keep=keep, scope=scope, seed=seed)
        if index == 0:
            _refuse_reuse(candidate.model, held, allow_repeats)
        errors, changed = output_errors(model, candidate.model, held)
        counts.append(int((errors > eps).sum()))
        tested = sipp_theory.fixed_sequence(counts, len(errors), delta, confidence)
        if tested.last != index:
            break
        best = candidate, errors, changed
    certificate = None
    if best is not None:
        needed = int(sipp_theory.points_needed(delta, confidence))
        certificate = _certificate(
            "CT-3", best[1], best[2], eps=eps, delta=delta, confidence=confidence, needed=needed,
            seed=seed, family=len(ratios),
        )  # fmt: skip
    return SparsestResult(
        result=None if best is None else best[0],
        certificate=certificate,
        keeps=tuple(ratios[: len(counts)]),
        violations=tuple(counts),
        confidence=confidence,
        eps=eps,
        delta=delta,
    )
