"""CT-3: the sparsest network that provably meets a target, by fixed-sequence testing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike

from numpy.typing import ArrayLike
from torch import Tensor, nn

import sipp_theory
from sipp_core.certificates.certificate import (
    Certificate,
    accuracy_of,
    make_certificate,
    needed_points,
    point,
)
from sipp_core.certificates.held_out import (
    gathered,
    labels_of,
    look_at,
    refuse_reuse,
)
from sipp_core.certificates.measure import Measurements, measure
from sipp_core.certificates.scores import RelativeL2
from sipp_core.certificates.search_record import SearchRecord, Tested
from sipp_core.pruning.arguments import make_request
from sipp_core.pruning.method import Method, find_method
from sipp_core.pruning.prune import calibrate_for, prune
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime.arguments import in_words
from sipp_core.runtime.execution import Progress, model_device, uncompiled
from sipp_core.runtime.inputs import Inputs
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import Mask
from sipp_core.runtime.processes import processes
from sipp_core.runtime.provenance import (
    Provenance,
    calibration_fingerprint,
    fingerprint,
    versions,
)
from sipp_core.sensitivity.calibrate import Calibration

KEEPS = (
    0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02,
)  # fmt: skip
# Share of fresh inputs that the error of a network found by its accuracy is reported for.
SHARE = 0.05


@dataclass(frozen=True, eq=False)
class SparsestResult:
    """The sparsest network of a path that provably meets a target.

    Attributes:
        result: the pruning result, or None if not even the densest passed.
        certificate: its certificate, or None: of kind CT-3 for a target (eps, delta); for a target
            drop its `accuracy` says what is proved of the drop.
        keeps: keep ratios tested, dense to sparse, up to and including the first that failed.
        violations: of each, held-out inputs whose error exceeds eps; for a target drop, those that
            the original alone gets right.
        confidence: family-wise: the chance that the accepted network misses the target is at most
            1 - confidence, all tests taken together.
        eps: the target error, or None.
        delta: the target share, or None.
        drop: the target drop of accuracy, or None.
        drops: of each, the drop of accuracy that is proved; empty for a target (eps, delta).

    Claim: CT-3, CT-6. Source: Maurer et al. 1995, fixed-sequence testing.
    """

    result: PruneResult | None
    certificate: Certificate | None
    keeps: tuple[float, ...]
    violations: tuple[int, ...]
    confidence: float
    eps: float | None
    delta: float | None
    drop: float | None = None
    drops: tuple[float, ...] = ()

    def summary(self) -> dict[str, object]:
        """All fields, ready for JSON; of the network what its own summary says."""
        return {
            **{field.name: getattr(self, field.name) for field in fields(self)},
            "result": None if self.result is None else self.result.summary(),
            "certificate": None if self.certificate is None else self.certificate.summary(),
        }


@isolated
def sparsest(
    model: nn.Module,
    calibration: Inputs | Calibration,
    holdout: Inputs,
    *,
    eps: float | None = None,
    delta: float | None = None,
    drop: float | None = None,
    labels: ArrayLike | Tensor | str | None = None,
    confidence: float = 0.99,
    method: str | Method = "sipp-network",
    keeps: Sequence[float] = KEEPS,
    scope: str | None = None,
    seed: int = 0,
    allow_repeats: bool = False,
    output: Output = None,
    mask: Mask = None,
    store: str | PathLike[str] | None = None,
    progress: Progress | None = None,
) -> SparsestResult:
    """Find the sparsest pruned network that provably meets a target on fresh inputs.

    Within a process group of torch.distributed every process makes the same call, calibration and
    tests are shared out as in `calibrate` and `certify`, and each gets the same result, with the
    bits of one process.

    The target is an error eps that at most a share delta of fresh inputs exceeds, or a drop of
    accuracy. Keep ratios are tested from dense to sparse, each at level 1 - confidence, and the
    first failure ends the search; the family-wise error stays at that level because the order was
    fixed before.

    Args:
        model: the trained network; not changed.
        calibration: inputs to prune on, or a calibration made of them, as in `prune`.
        holdout: held-out inputs, i.i.d., disjoint from the calibration inputs.
        eps: target relative L2 output error, > 0.
        delta: share of fresh inputs that may exceed it, in (0, 1).
        drop: in place of both: the original's accuracy on fresh inputs less the pruned network's,
            at most; in (0, 1).
        labels: with `drop`, as in `certify`.
        confidence: 1 - alpha of the whole search, in (0, 1).
        method: pruning method, as in `prune`.
        keeps: keep ratios in (0, 1], strictly decreasing; fixed before looking at the hold-out.
        scope: as in `prune`.
        seed: as in `prune`.
        allow_repeats: as in `certify`.
        output: as in `prune` and `certify`.
        mask: as in `prune` and `certify`.
        store: folder for what was tested; the same call goes on there after it was stopped, with
            the bits of one that was not, on any number of processes. None keeps nothing.
        progress: callback (done, total, what).

    Returns:
        The sparsest accepted network with its certificate, and the path of the search.

    Raises:
        TypeError: as `prune`.
        ValueError: as `prune` and `certify`; no target or two; or keeps not strictly decreasing.
        ConnectionError: a process of the group has ended or does not answer; what was tested by
            then is in `store`.
        OSError: the store cannot be written to.

    Claim: CT-3, CT-6. Source: Maurer et al. 1995, fixed-sequence testing.

    Example:
        >>> import torch; net = nn.Sequential(nn.Linear(4, 3))
        >>> best = sparsest(net, torch.rand(32, 4), torch.rand(200, 4), eps=0.5, delta=0.1,
        ...                 keeps=(1.0,))
        >>> best.certificate.violations
        0
        >>> held = torch.rand(2000, 4)
        >>> best = sparsest(net, torch.rand(32, 4), held, drop=0.01, labels=net(held).argmax(1),
        ...                 keeps=(1.0,))
        >>> round(best.certificate.accuracy.drop, 4)
        0.0026
    """
    _refuse_search(eps, delta, drop, keeps)
    if (drop is None) != (labels is None):
        raise ValueError(
            f"labels go with a target drop: give both, or neither; found drop={drop!r} and "
            f"{'no labels' if labels is None else 'labels'}"
        )
    ratios = list(keeps)
    model = uncompiled(model)
    share = SHARE if delta is None else delta
    needed = needed_points(share, confidence)
    held = gathered(holdout)
    truth = labels_of(labels, held)
    rule = find_method(method)
    first = make_request(rule, model, keep=ratios[0], scope=scope, seed=seed, output=output)
    measured = (
        calibration
        if isinstance(calibration, Calibration)
        else calibrate_for(rule, first, calibration, mask=mask)
    )
    group = processes()
    if group is not None:
        targets = {"(eps, delta, drop, confidence)": (eps, delta, drop, confidence)}
        group.agree(targets | {"keeps": ratios, "(method, scope)": (rule.name, scope)})
    origin = None if measured is None else Provenance(measured.digests, seed)
    seen = look_at(held, origin)
    refuse_reuse(model, seen, allow_repeats)
    if truth is not None and len(truth) != seen.n:
        raise ValueError(f"there are {len(truth)} labels for {seen.n} inputs")
    if group is not None:
        group.agree({"held-out inputs": seen.sha256})
    search: dict[str, object] = {}
    if store is not None:
        search = {
            "model": fingerprint(model), "device": str(model_device(model)),
            "calibration": (calibration_fingerprint(origin), measured.inputs, measured.points),
            "held-out": seen.sha256, "labels": None if truth is None else truth.tolist(),
            "target": (eps, delta, drop, confidence), "keeps": ratios, "scope": scope, "seed": seed,
            "method": repr((rule.name, rule.settings())), "output": in_words(output),
            "mask": in_words(mask), "versions": versions(),
        }  # fmt: skip
    record = SearchRecord(store, search, ratios, group)

    def attempt(keep: float) -> tuple[PruneResult, Measurements, str]:
        """Prune at a ratio and look at every held-out input."""
        candidate = prune(
            model, measured, method=rule, keep=keep, scope=scope, seed=seed, output=output
        )
        network = fingerprint(candidate.model)
        if group is not None:
            group.agree({"pruned network": network})
        outputs = measure(
            model, candidate.model, held, [RelativeL2()], labels=truth, output=output, mask=mask
        )
        return candidate, outputs, network

    def tested(keep: float, outputs: Measurements, network: str) -> Tested:
        """What is counted of a network."""
        if eps is not None:
            return Tested(keep, int((outputs.scores[:, 0] > eps).sum()), None, network)
        accuracy = accuracy_of(outputs.right, confidence)
        assert accuracy is not None
        return Tested(keep, accuracy.broken, accuracy.drop, network)

    best: tuple[PruneResult, Measurements] | None = None
    path: list[Tested] = []
    accepted: Tested | None = None
    for index, keep in enumerate(ratios):
        if progress is not None:
            progress(index, len(ratios), f"keep {keep:g}")
        latest: tuple[PruneResult, Measurements] | None = None
        if index < len(record.tested):
            one = record.tested[index]
        else:
            candidate, outputs, network = attempt(keep)
            latest, one = (candidate, outputs), tested(keep, outputs, network)
            record.add(one)
        path.append(one)
        if one.drop is None or drop is None:
            counts = [each.count for each in path]
            passed = sipp_theory.fixed_sequence(counts, seen.n, share, confidence).last
        else:
            passed = index if one.drop <= drop else index - 1
        if passed != index:
            break
        accepted, best = one, latest
    if accepted is not None and best is None:
        result, outputs, network = attempt(accepted.keep)
        if tested(accepted.keep, outputs, network) != accepted:
            raise ValueError(
                f"{record.path} holds another network at keep={accepted.keep} than this machine "
                "makes; remove it to search anew"
            )
        best = result, outputs
    return SparsestResult(
        result=None if best is None else best[0],
        certificate=None
        if best is None
        else _certificate(best[1], eps, share, confidence, needed, seed, len(ratios)),
        keeps=tuple(one.keep for one in path),
        violations=tuple(one.count for one in path),
        confidence=confidence,
        eps=eps,
        delta=delta,
        drop=drop,
        drops=tuple(one.drop for one in path if one.drop is not None),
    )


def _refuse_search(
    eps: float | None, delta: float | None, drop: float | None, keeps: Sequence[float]
) -> None:
    """Refuse anything but one target, whole, and keep ratios from dense to sparse."""
    if (drop is None) == (eps is None) or (eps is None) != (delta is None):
        raise ValueError(
            "give one target: eps and delta, or drop (with labels); found "
            f"eps={eps!r}, delta={delta!r}, drop={drop!r}"
        )
    if eps is not None and not eps > 0:
        raise ValueError(f"eps must be greater than 0; found {eps!r}")
    if drop is not None and not 0 < drop < 1:
        raise ValueError(f"drop must lie in (0, 1); found {drop!r}")
    ratios = list(keeps)
    falling = all(a > b for a, b in itertools.pairwise(ratios))
    if not ratios or not falling or not 0 < ratios[-1] <= ratios[0] <= 1:
        raise ValueError(
            f"keeps must be strictly decreasing and not empty, within (0, 1]; found {ratios!r}"
        )


def _certificate(
    measured: Measurements, eps: float | None, delta: float, confidence: float, needed: float,
    seed: int, family: int,
) -> Certificate:  # fmt: skip
    """What is proved of the accepted network; all but the target is charged for the choice."""
    errors = measured.scores[:, 0]
    if eps is not None:
        return make_certificate(
            "CT-3", errors, measured.changed, eps=eps, delta=delta, confidence=confidence,
            needed=needed, seed=seed, family=family,
        )  # fmt: skip
    level = sipp_theory.family_confidence(confidence, family)
    kind, limit, share, needed = point(errors, None, delta, level)
    certificate = make_certificate(
        kind, errors, measured.changed, eps=limit, delta=share, confidence=confidence,
        needed=needed, seed=seed, family=family,
    )  # fmt: skip
    target, rest = accuracy_of(measured.right, confidence), accuracy_of(measured.right, level)
    assert target is not None and rest is not None
    return replace(
        certificate,
        accuracy=replace(target, lower=rest.lower),
        claims=("CT-3", "CT-6", *certificate.claims),
    )
