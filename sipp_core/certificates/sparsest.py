"""CT-3: the sparsest network that provably meets a target, by fixed-sequence testing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

import sipp_theory
from sipp_core.certificates.certificate import Certificate, make_certificate, needed_points
from sipp_core.certificates.held_out import gathered, look_at, origin_of, refuse_reuse
from sipp_core.certificates.measure import output_errors
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.method import Method, find_method
from sipp_core.pruning.prune import calibrate_for, prune
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.execution import Progress, uncompiled
from sipp_core.runtime.inputs import Inputs
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import Mask
from sipp_core.sensitivity.calibrate import Calibration

KEEPS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02)


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


@isolated
def sparsest(
    model: nn.Module,
    calibration: Inputs | Calibration,
    holdout: Inputs,
    *,
    eps: float,
    delta: float,
    confidence: float = 0.99,
    method: str | Method = "sipp-network",
    keeps: Sequence[float] = KEEPS,
    scope: str | None = None,
    seed: int = 0,
    allow_repeats: bool = False,
    output: Output = None,
    mask: Mask = None,
    progress: Progress | None = None,
) -> SparsestResult:
    """Find the sparsest pruned network that provably meets a target on fresh inputs.

    Keep ratios are tested from dense to sparse, each at level 1 - confidence, and the first failure
    ends the search; the family-wise error stays at that level because the order was fixed before.

    Args:
        model: the trained network; not changed.
        calibration: inputs to prune on, or a calibration made of them, as in `prune`.
        holdout: held-out inputs, i.i.d., disjoint from the calibration inputs.
        eps: target relative L2 output error, > 0.
        delta: share of fresh inputs that may exceed it, in (0, 1).
        confidence: 1 - alpha of the whole search, in (0, 1).
        method: pruning method, as in `prune`.
        keeps: keep ratios in (0, 1], strictly decreasing; fixed before looking at the hold-out.
        scope: as in `prune`.
        seed: as in `prune`.
        allow_repeats: as in `certify`.
        output: as in `prune` and `certify`.
        mask: as in `prune` and `certify`.
        progress: callback (done, total, what).

    Returns:
        The sparsest accepted network with its certificate, and the path of the search.

    Raises:
        TypeError: as `prune`.
        ValueError: as `prune` and `certify`; or keeps not strictly decreasing.

    Claim: CT-3. Source: Maurer et al. 1995, fixed-sequence testing.

    Example:
        >>> import torch; net = nn.Sequential(nn.Linear(4, 3))
        >>> found = sparsest(net, torch.rand(32, 4), torch.rand(200, 4), eps=0.5, delta=0.1,
        ...                  keeps=(1.0,))
        >>> found.certificate.violations
        0
    """
    if not eps > 0:
        raise ValueError(f"eps must be greater than 0; found {eps!r}")
    ratios = list(keeps)
    falling = all(a > b for a, b in itertools.pairwise(ratios))
    if not ratios or not falling or not 0 < ratios[-1] <= ratios[0] <= 1:
        raise ValueError(
            f"keeps must be strictly decreasing and not empty, within (0, 1]; found {ratios!r}"
        )
    model = uncompiled(model)
    needed = needed_points(delta, confidence)
    held = gathered(holdout)
    rule = find_method(method)
    first = make_request(rule, model, keep=ratios[0], scope=scope, seed=seed, output=output)
    measured = (
        calibration
        if isinstance(calibration, Calibration)
        else calibrate_for(rule, first, calibration, mask=mask)
    )
    best: tuple[PruneResult, np.ndarray, np.ndarray] | None = None
    counts: list[int] = []
    for index, keep in enumerate(ratios):
        if progress is not None:
            progress(index, len(ratios), f"keep {keep:g}")
        candidate = prune(
            model, measured, method=rule, keep=keep, scope=scope, seed=seed, output=output
        )
        if index == 0:
            seen = look_at(held, origin_of(candidate.model))
            refuse_reuse(candidate.model, seen, allow_repeats)
        errors, changed = output_errors(model, candidate.model, held, output=output, mask=mask)
        counts.append(int((errors > eps).sum()))
        tested = sipp_theory.fixed_sequence(counts, len(errors), delta, confidence)
        if tested.last != index:
            break
        best = candidate, errors, changed
    certificate = None
    if best is not None:
        certificate = make_certificate(
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
