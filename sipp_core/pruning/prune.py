"""`prune`: calibrate -> allocate -> sample -> apply, on a copy of the user's model."""

from __future__ import annotations

import math

import torch
from torch import nn

from sipp_core.methods import filters, low_rank, nettrim
from sipp_core.network.selection import LayerChoice
from sipp_core.pruning import baselines, budget, by_mean, describing, guarantee, sampling
from sipp_core.pruning.fitting import VALIDATION_EVERY
from sipp_core.pruning.job import Job, Sparsifier
from sipp_core.pruning.promise import BOUNDS, INSTANCE_BOUNDS
from sipp_core.pruning.result import PruneResult
from sipp_core.runtime import provenance
from sipp_core.runtime.arguments import whole
from sipp_core.runtime.execution import Progress
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.processes import processes
from sipp_core.runtime.provenance import Provenance, fingerprint, remember
from sipp_core.sensitivity.calibrate import Calibration, calibrate

SPARSIFIERS: dict[str, Sparsifier] = dict.fromkeys(budget.RULES, sampling.sparsify) | {
    "svd": low_rank.sparsify,
    **dict.fromkeys(nettrim.METHODS, nettrim.sparsify),
    **dict.fromkeys(filters.METHODS, filters.sparsify),
}
METHODS = tuple(SPARSIFIERS)
# They run the model on the calibration inputs again, and need them all at once.
REVISITING = (*nettrim.METHODS, *filters.METHODS)
DEFAULT_DELTA = 0.05
# Rows kept per layer for instance-exact bounds when the caller does not say.
DEFAULT_POINTS = 1024


def _fraction(name: str, value: float | None, closed: bool) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number; found {value!r}")
    if not (0 < value < 1 or (closed and value == 1)):
        raise ValueError(f"{name} must lie in (0, 1{']' if closed else ')'}; found {value!r}")


def _check(
    method: str, keep: float | None, eps: float | None, delta: float | None, scope: str,
    bound: str | None, coverage_factor: float, points: int | None, masks: bool,
) -> str:  # fmt: skip
    """Validate the arguments of `prune`; return the bound to use."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; found {method!r}")
    if (keep is None) == (eps is None):
        raise ValueError(
            "give either keep=... (budget mode) or eps=... and delta=... (guarantee mode); found "
            f"keep={keep!r}, eps={eps!r}"
        )
    _fraction("keep", keep, closed=True)
    _fraction("eps", eps, closed=False)
    _fraction("delta", delta, closed=False)
    if eps is not None and delta is None and method not in nettrim.METHODS:
        raise ValueError("guarantee mode needs delta=..., the failure probability, beside eps")
    if scope not in ("layer", "global"):
        raise ValueError(f"scope must be 'layer' or 'global'; found {scope!r}")
    if isinstance(coverage_factor, bool) or not isinstance(coverage_factor, int | float):
        raise TypeError(f"coverage_factor must be a number; found {coverage_factor!r}")
    if not (math.isfinite(coverage_factor) and coverage_factor >= 1):
        raise ValueError(f"coverage_factor must be at least 1; found {coverage_factor!r}")
    chosen = bound or ("corenet" if method in describing.CORENET else "bernstein")
    if chosen not in BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(BOUNDS)}; found {chosen!r}")
    if method in describing.CORENET and eps is not None and chosen != "corenet":
        raise ValueError(
            f"method {method!r} in guarantee mode has its own network-wide bound 'corenet' (NW-5); "
            f"for bound={chosen!r} take method='sipp-rand', which draws the same way"
        )
    bounded = (*guarantee.RULES, *describing.CORENET)
    if eps is not None and method in budget.RULES and method not in bounded:
        raise ValueError(
            f"method {method!r} has no guarantee mode: no bound asks it for a number of weights; "
            "give keep=... instead of eps"
        )
    if method == "sipp-poisson" and chosen == "corenet":
        raise ValueError("bound 'corenet' is for draws with replacement; sipp-poisson has none")
    if chosen in INSTANCE_BOUNDS and coverage_factor != 1:
        raise ValueError(f"bound {chosen!r} speaks of calibration rows only: coverage_factor is 1")
    if points is not None:
        whole("points", points, 1)
    if method == "svd" and (eps is not None or scope == "global"):
        raise ValueError(
            "svd takes keep=... and scope='layer': it promises no neuron an error to aim at, and "
            f"divides no budget among layers; found eps={eps!r}, scope={scope!r}"
        )
    if method in filters.METHODS and chosen != "bernstein":
        raise ValueError(
            f"method {method!r} takes bound='bernstein' (PF-2); for PF-1 as printed call "
            f"prune_filters(bound='printed'); found {chosen!r}"
        )
    if method in describing.REWRITING and masks:
        raise ValueError(f"method {method!r} writes new weights, not masks; leave masks=False")
    return chosen


def prune(
    model: nn.Module,
    calibration: Inputs | Calibration,
    *,
    method: str,
    keep: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    scope: str = "layer",
    bound: str | None = None,
    coverage_factor: float = 1.0,
    ranking: str = "max",
    seed: int = 0,
    layers: LayerChoice = None,
    points: int | None = None,
    batch_size: int = 256,
    forward_size: int | None = None,
    masks: bool = False,
    progress: Progress | None = None,
) -> PruneResult:
    """Prune a trained model, with a promise for every neuron.

    Budget mode (`keep`): the promised errors are as small as the allocation AL-1 makes them.
    Guarantee mode (`eps`, `delta`): the fewest weights with which the bound promises, for each
    neuron and each calibration input, Pr(|z^ - z| <= eps z~) >= 1 - delta over the draws; a neuron
    whose bound asks for as many draws as it has weights is kept whole. Promises are relative to
    the layer's own input; errors of earlier layers come on top (NW-1, NW-7), and `certify` measures
    the whole network.

    Weights that no calibration input ever reached (s = 0, all of a dead neuron's) are removed,
    which changes nothing on the calibration set; they are counted in the report. Biases stay.

    Inside an initialised group of torch.distributed the calibration is shared out as `calibrate`
    says: every rank makes the same call and gets the same result; save it on rank 0. Given a
    `Calibration` nothing is shared, and a rank may prune alone.

    Args:
        model: nn.Module with Linear or Conv layers; never changed.
        calibration: a tensor (n, ...), or an iterable of batches or (input, target) pairs (snip
            needs the targets); or what `calibrate` made of them, to prune many times for one
            measurement.
        method: one of METHODS.
        keep: fraction of prunable weights to keep, in (0, 1].
        eps: relative error of each neuron, in (0, 1); of the network's output for CoreNet.
        delta: failure probability, in (0, 1): per neuron and input, shared by its two signs; of the
            network for CoreNet's own bound. Budget mode: 0.05 unless given.
        scope: "layer" keeps the fraction of every layer, "global" of all together.
        bound: "corenet", "bernstein", "kl", "cramer" or "exact"; default bernstein, for CoreNet
            methods corenet. cramer and exact use kept activation rows.
        coverage_factor: C >= 1 assumed of fresh inputs, g_j(x) <= C s_j (ES-4); 1 promises for the
            calibration inputs.
        ranking: "max", or in budget mode for sipp-det and sipp-recentred "mean": keep the weights
            of largest mean sensitivity. What is promised is still what SP-6 says on the maxima.
        seed: seed of every draw, >= 0.
        layers: names, globs, types or a predicate (name, module) to choose layers; "!name" or
            Except(type) leaves out (see `calibrate`).
        points: activation rows kept per layer for cramer, exact and CoreNet++; default 1024.
        batch_size: inputs between two calls of `progress`; changes no bit of the result.
        forward_size: inputs a calibration forward pass, where memory is short (see `calibrate`).
        masks: add torch.nn.utils.prune-style weight_orig and weight_mask to the new model.
        progress: callback (done, total, what).

    Returns:
        The result; `result.model` is a deep copy with pruned weights, same dtype and device.

    Raises:
        TypeError: wrong types of model, inputs or numbers.
        ValueError: anything out of range, not finite, tied or unsupported; the culprit is named and
            nothing has been changed.
        ConnectionError: a process of the group has ended or does not answer.

    Claim: SP-1 to SP-10, AL-1, NW-5. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 2))
        >>> result = prune(net, torch.rand(16, 8), method="sipp-det", keep=0.5)
        >>> (result.nnz_before, result.nnz_after)
        (40, 20)
    """
    chosen = _check(method, keep, eps, delta, scope, bound, coverage_factor, points, masks)
    by_mean.check(ranking, method, eps)
    seed = whole("seed", seed, 0)
    amplified = method == "corenet++"
    wanted = (points or DEFAULT_POINTS) if chosen in INSTANCE_BOUNDS or amplified else 0
    group, inputs = None, None
    if isinstance(calibration, Calibration):
        if method in REVISITING:
            raise ValueError(
                f"method {method!r} runs the model on the calibration inputs again; give the "
                "inputs, not a calibration made of them"
            )
        stats = _ready(calibration, model, layers, wanted, amplified)
    else:
        group = processes()
        if group is not None:
            asked = {"method": method, "(keep, eps, delta)": (keep, eps, delta), "scope": scope}
            group.agree(asked | {"(bound, coverage_factor)": (chosen, coverage_factor)})
            group.agree({"ranking": ranking})
        if method in REVISITING:
            calibration = inputs = torch.cat(list(batches(calibration, batch_size)))
        stats = calibrate(
            model,
            calibration,
            layers=layers,
            batch_size=batch_size,
            forward_size=forward_size,
            points=wanted,
            validation_every=VALIDATION_EVERY if amplified else 0,
            seed=seed,
            statistics={"wanda": {"energy"}, "snip": {"gradients"}}.get(method, set())
            | ({"mean"} if ranking == "mean" else set()),
            progress=progress,
        )
    lacking = baselines.missing(method, stats.layers)
    if lacking is not None:
        raise ValueError(
            f"the calibration lacks what method {method!r} looks at; calibrate with {lacking}"
        )
    job = Job(
        model=model,
        stats=stats,
        inputs=inputs,
        method=method,
        keep=None if keep is None else float(keep),
        eps=None if eps is None else float(eps),
        delta=DEFAULT_DELTA if delta is None else float(delta),
        scope=scope,
        bound=chosen,
        coverage_factor=float(coverage_factor),
        seed=seed,
        masks=masks,
        ranking=ranking,
        progress=progress,
    )
    new = SPARSIFIERS[method](job)
    if group is not None:
        # One seed, one set of statistics: every rank draws the same mask, or none goes on.
        group.agree({"pruned network": fingerprint(new.model)})
    guaranteed = keep is None
    notes = (*new.notes, *describing.notes_on(stats, new.reports, chosen, guaranteed))
    remember(new.model, Provenance(stats.digests, seed))
    return PruneResult(
        model=new.model,
        layers=new.reports,
        method=method,
        seed=seed,
        keep=keep,
        scope=scope,
        eps=eps,
        delta=job.delta,
        bound=chosen,
        coverage_factor=job.coverage_factor,
        inputs=stats.inputs,
        distinct=stats.distinct,
        vacuous=describing.is_vacuous(new.plans, new.reports, guaranteed)
        if new.vacuous is None
        else new.vacuous,
        holds_for=describing.holds_for(method, chosen, guaranteed, coverage_factor, amplified),
        notes=notes,
        claims=describing.claims_of(method, chosen, guaranteed, ranking == "mean"),
        versions=provenance.versions(),
        original=stats.original,
        masks=new.masks,
        plans=new.plans,
        digests=stats.digests,
        structure=new.structure,
    )


def _ready(
    calibration: Calibration, model: nn.Module, layers: LayerChoice, points: int, amplified: bool
) -> Calibration:
    """Check that a calibration made beforehand is of this network and holds what is needed."""
    if calibration.original != fingerprint(model):
        raise ValueError(
            "the calibration is of another network, or its weights have changed since; calibrate "
            "this one"
        )
    if layers is not None:
        raise ValueError("layers= was settled when the calibration was made; give it to calibrate")
    if points and not calibration.points:
        raise ValueError(
            "the calibration kept no activation rows, which this bound or method looks at; "
            f"calibrate with points={points}"
        )
    if bool(calibration.validation) != amplified:
        raise ValueError(
            f"corenet++ and nothing else needs calibrate(validation_every={VALIDATION_EVERY}), "
            "which sets inputs aside"
        )
    return calibration
