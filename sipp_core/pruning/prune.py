"""`prune`: calibrate -> allocate -> sample -> apply, on a copy of the user's model."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from sipp_core.network.layers import prunable_layers
from sipp_core.network.selection import LayerChoice
from sipp_core.pruning.arguments import make_request, named_in
from sipp_core.pruning.measured import measured_errors
from sipp_core.pruning.method import Method, bounds_of, find_method, variant
from sipp_core.pruning.report import notes_on, nothing_holds, with_measured, with_rows
from sipp_core.pruning.request import Keep, Request
from sipp_core.pruning.result import PruneResult
from sipp_core.pruning.writing import refuse_masks
from sipp_core.runtime import provenance
from sipp_core.runtime.arguments import in_words
from sipp_core.runtime.batch import Given
from sipp_core.runtime.copying import refuse_uncopyable
from sipp_core.runtime.execution import Progress, uncompiled
from sipp_core.runtime.inputs import Inputs, batches
from sipp_core.runtime.isolation import isolated
from sipp_core.runtime.outputs import Output
from sipp_core.runtime.padding import LEFT_OUT, Mask
from sipp_core.runtime.processes import processes
from sipp_core.runtime.provenance import Provenance, digests, fingerprint, remember
from sipp_core.sensitivity.calibrate import Calibration, calibrate
from sipp_theory import Bound


@isolated
def prune(
    model: nn.Module,
    calibration: Inputs | Calibration,
    *,
    method: str | Method,
    keep: float | None = None,
    eps: float | None = None,
    delta: float | None = None,
    scope: str | None = None,
    bound: str | Bound | None = None,
    coverage_factor: float = 1.0,
    ranking: str | None = None,
    seed: int = 0,
    layers: LayerChoice = None,
    points: int | None = None,
    batch_size: int | None = None,
    forward_size: int | None = None,
    masks: bool = False,
    refit: bool = False,
    output: Output = None,
    mask: Mask = None,
    effective: bool = False,
    candidates: int | None = None,
    pattern: str | None = None,
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
        calibration: a tensor (n, ...), a dict of forward's arguments by name, or an iterable of
            batches: tensors, dicts, (input, target) pairs (snip needs the targets) or `Batch`; or
            what `calibrate` made of them, to prune many times for one measurement.
        method: one of METHODS, or a method, such as `sipp_core.methods.SippDet(rank="mean")`. An
            argument below that it does not use is refused.
        keep: fraction of prunable weights to keep, in (0, 1].
        eps: relative error of each neuron, in (0, 1); of the network's output for CoreNet.
        delta: failure probability, in (0, 1): per neuron and input, shared by its two signs, and by
            the parts above and below 0 of an input that has both, where the bound does not speak of
            all of them (neuron); of the network for CoreNet's own bound. Budget mode: 0.05 unless
            given.
        scope: "layer" (default) keeps the fraction of every layer, "global" of all together.
        bound: a name of `sipp_theory.BOUNDS`, or a bound; default bernstein, for CoreNet methods
            corenet, and in guarantee mode neuron (SP-11) for methods that draw, at coverage factor
            1. cramer, exact and neuron use kept activation rows; in a layer that has more of them
            than `points`, cramer and exact speak of those kept, and bernstein is neuron's stand-in.
            measured, in guarantee mode, chooses by the measured error (SP-12), which is certain on
            the calibration inputs and says nothing of others; it needs no delta.
        coverage_factor: C >= 1 assumed of fresh inputs, g_j(x) <= C s_j (ES-4); 1 promises for the
            calibration inputs.
        ranking: deprecated; write method=SippDet(rank="mean").
        seed: seed of every draw, >= 0.
        layers: names, globs, types or a predicate (name, module) to choose layers; "!name" or
            Except(type) leaves out (see `calibrate`).
        points: activation rows kept per layer for cramer, exact and CoreNet++; default 1024.
        batch_size: inputs between two calls of `progress`; changes no bit of the result.
        forward_size: inputs a calibration forward pass, where memory is short (see `calibrate`).
        masks: add torch.nn.utils.prune-style weight_orig and weight_mask to the new model.
        refit: solve for the kept weights and biases again on the calibration inputs, layer by layer
            (AL-5); nothing is promised of them before, `measured` says what they do.
        output: what counts of the model's answer where that is no tensor: a name, a position, or a
            function that makes one tensor (n, ...) of it.
        mask: which positions of token inputs are measured and promised (see `calibrate`).
        candidates: draws of which each neuron takes the best, with bound="measured"; default 1.
        effective: in budget mode, drop the weights that lie on no live path from input to output
            and keep others for them, so that so many effective weights are left (AL-6).
        pattern: "n:m" (2:4) keeps n of every m inputs in a row, whatever layer; "RxC" (4x4) keeps
            whole blocks of R neurons by C inputs. Both are of a layer's matrix (out, fan_in), for
            methods that keep weights by a score; a note says what it costs in promised error.
        progress: callback (done, total, what).

    Returns:
        The result; `result.model` is a deep copy with pruned weights, same dtype and device.

    Raises:
        TypeError: wrong types of model, inputs or numbers.
        ValueError: anything out of range, not finite, tied, unsupported or without effect; the
            culprit is named and nothing has been changed.
        ConnectionError: a process of the group has ended or does not answer.

    Claim: SP-1 to SP-12, AL-1, NW-5. Source: [CN] arXiv 1804.05345, [SP] arXiv 1910.05422, [OWN].

    Example:
        >>> import torch; from sipp_core.methods import SippDet
        >>> net = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 2))
        >>> result = prune(net, torch.rand(16, 8), method=SippDet(), keep=0.5)
        >>> (result.nnz_before, result.nnz_after)
        (40, 20)
    """
    arguments = named_in(locals())
    model = uncompiled(model)
    rule = _ranked(find_method(method), ranking)
    if bound is None and isinstance(calibration, Calibration) and not calibration.points:
        arguments["bound"] = rule.default_bound if bounds_of(rule) else None
    request = make_request(rule, model, **arguments)
    if masks or not isinstance(calibration, Calibration):
        # Before `refuse_uncopyable`: what it says of a layer is plainer.
        own = prunable_layers(model, layers)
        if masks:
            refuse_masks(own)
    refuse_uncopyable(model)
    group = None
    if isinstance(calibration, Calibration):
        stats = _ready(
            calibration, rule, request, layers=layers, batch_size=batch_size,
            forward_size=forward_size, points=None if points == calibration.points else points,
            mask=mask,
        )  # fmt: skip
    else:
        group = processes()
        if group is not None:
            group.agree(
                {
                    "method": repr((rule.name, rule.settings())),
                    "target": repr(request.target),
                    "(delta, refit, effective)": (request.delta, refit, effective),
                    "pattern": pattern,
                    "(bound, coverage_factor)": (request.bound.name, request.coverage_factor),
                }
            )
        stats = calibrate_for(
            rule, request, calibration, layers=layers,
            batch_size=256 if batch_size is None else batch_size, forward_size=forward_size,
            mask=mask,
        )  # fmt: skip
    new = rule.run(request, stats)
    reports = with_rows(new.reports, stats)
    seen = _seen_again(calibration, stats, forward_size)
    if seen is not None:
        of, marks = [layer.layer for layer in stats.layers], set[bytes]()
        measured = measured_errors(model, new.model, of, _marked(seen, marks), group, stats.mask)
        if marks == stats.digests:
            reports = tuple(
                with_measured(report, measured.get(report.name), request.measured)
                for report in reports
            )
    if group is not None:
        # One seed, one set of statistics: every rank draws the same mask, or none goes on.
        group.agree({"pruned network": fingerprint(new.model)})
    remember(new.model, Provenance(stats.digests, request.seed))
    promise, target = new.promise or rule.promise(request), request.target
    notes = (*new.notes, *notes_on(request, stats, new.reports))
    # Sensitivities go before what plans keep of the network's own weights is copied.
    stats = replace(stats, layers=())
    plans = tuple(plan.owned() for plan in new.plans)
    return PruneResult(
        model=new.model,
        layers=reports,
        method=rule.name,
        seed=request.seed,
        keep=target.fraction if isinstance(target, Keep) else None,
        scope=target.scope if isinstance(target, Keep) else rule.default_scope,
        eps=eps,
        delta=request.delta,
        bound=request.bound.name,
        coverage_factor=request.coverage_factor,
        inputs=stats.inputs,
        distinct=stats.distinct,
        vacuous=nothing_holds(reports) if new.vacuous is None else new.vacuous,
        holds_for=promise.holds_for + (f"; {LEFT_OUT}" if stats.mask is not None else ""),
        notes=notes,
        claims=promise.claims,
        versions=provenance.versions(),
        original=stats.original,
        masks=new.masks,
        plans=plans,
        digests=stats.digests,
        structure=new.structure,
        arguments={
            **rule.settings(), "points": stats.points if request.points else None, "masks": masks,
            "refit": refit, "effective": effective,
            "candidates": request.candidates,
            "layers": None if layers is None else in_words(layers), "forward_size": forward_size,
            **{
                name: in_words(value)
                for name, value in (("output", output), ("mask", stats.mask))
                if value is not None
            },
            **({} if pattern is None else {"pattern": pattern}),
        },
        channels=new.channels,
    )  # fmt: skip


def _seen_again(
    calibration: Inputs | Calibration, stats: Calibration, size: int | None
) -> Iterator[Given] | None:
    """The calibration inputs once more, if they can be had; a stream is gone once it was read."""
    if stats.held_inputs is not None:
        return batches(stats.held_inputs, size)
    if isinstance(calibration, Calibration | Iterator):
        return None
    return batches(calibration, size)


def _marked(stream: Iterator[Given], marks: set[bytes]) -> Iterator[Given]:
    """The stream, its fingerprints gathered: read again, a loader may give others, or none."""
    with contextlib.suppress(TypeError, ValueError):
        for batch in stream:
            marks.update(digests(batch))
            yield batch


def _ranked(method: Method, ranking: str | None) -> Method:
    """The variant of the method that the old spelling names."""
    if ranking is None or (ranking == "max" and "rank" not in method.settings()):
        return method
    instance = variant(method, {"rank": ranking})
    text = f"ranking= goes in the next release; write method=sipp_core.methods.{instance!r}"
    warnings.warn(text, DeprecationWarning, stacklevel=4)
    return instance


def calibrate_for(
    method: Method,
    request: Request,
    calibration: Inputs,
    *,
    layers: LayerChoice = None,
    batch_size: int = 256,
    forward_size: int | None = None,
    mask: Mask = None,
) -> Calibration:
    """Measure what a method needs for a request."""
    needs = method.needs(request)
    return calibrate(
        request.model,
        calibration,
        layers=layers,
        batch_size=batch_size,
        forward_size=forward_size,
        points=request.points,
        statistics=needs.statistics,
        validation_every=needs.held_out,
        inputs=needs.inputs or request.runs_again,
        seed=request.seed,
        output=request.output,
        mask=mask,
        progress=request.progress,
    )


def _ready(
    calibration: Calibration, method: Method, request: Request, **settled: object
) -> Calibration:
    """Check that a calibration made beforehand is of this network and holds what is needed."""
    if calibration.original != fingerprint(request.model):
        raise ValueError(
            "the calibration is of another network, or its weights have changed since; calibrate "
            "this one"
        )
    given = [name for name, value in settled.items() if value is not None]
    if given:
        raise ValueError(
            f"{', '.join(f'{name}=' for name in given)} was settled when the calibration was made; "
            "give it to calibrate"
        )
    needs = method.needs(request)
    missing = sorted(needs.statistics - calibration.statistics)
    lacking = [f"statistics={set(missing)!r}"] if missing else []
    if request.points and not calibration.points:
        lacking.append(f"points={request.points}")
    if (needs.inputs or request.runs_again) and calibration.held_inputs is None:
        lacking.append("inputs=True")
    if needs.held_out and not calibration.validation:
        lacking.append(f"validation_every={needs.held_out}")
    if lacking:
        raise ValueError(
            f"the calibration lacks what method {method.name!r} looks at; calibrate with "
            + ", ".join(lacking)
        )
    if calibration.validation and not needs.held_out:
        raise ValueError(
            f"the calibration set inputs aside (validation_every=), which method {method.name!r} "
            "does not look at; calibrate without"
        )
    return calibration
