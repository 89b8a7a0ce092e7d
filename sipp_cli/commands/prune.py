"""`sipp prune`: prune a network and say what is promised, and for which inputs."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from sipp_cli import edge, inputs, networks, options, places, pruning, ranks, render, usefulness

if TYPE_CHECKING:
    from torch import nn

    from sipp_cli.usefulness import Usefulness
    from sipp_core import PruneResult
    from sipp_core.methods import Method, Needs


class Command(TyperCommand):
    """`sipp prune`; its help ends with the names of all methods."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help; the methods are known where it is read."""
        from sipp_core.methods import registered

        self.epilog = f"Methods: {', '.join(registered())}."
        super().format_help(ctx, formatter)


def _needs(
    rule: Method, model: nn.Module, arguments: dict[str, Any], layers: list[str] | None
) -> Needs:
    """Let `prune` check its arguments before minutes are spent on training: it reads no input."""
    from sipp_core.pruning import make_request, prune

    with contextlib.suppress(pruning.ArgumentsValid):
        prune(model, pruning.NoInputs(), method=rule, layers=layers, **arguments)
    request = make_request(rule, model, **arguments)
    return rule.needs(request)


def _promise(result: PruneResult) -> str:
    """Say in one line what is promised, and for which inputs."""
    if result.eps is not None and result.vacuous:
        return "Promised: nothing; the bound is vacuous and lets no live weight go."
    empty = sum(layer.vacuous_neurons for layer in result.layers)
    neurons = sum(layer.shape[0] for layer in result.layers)
    if empty == neurons and not result.vacuous:
        return f"Promised: {result.holds_for}."
    if empty == neurons:
        return "Promised: nothing; at this budget every neuron's eps is 1 or more (vacuous)."
    but = f" Nothing for {empty:,} of {neurons:,} neurons, whose eps is 1 or more." if empty else ""
    return f"Promised (delta = {result.delta:g}): {result.holds_for}.{but}"


def _neurons(result: PruneResult) -> str | None:
    """What SP-12 measured of the neurons, None where it is not known of each layer."""
    import numpy as np

    errors = [layer.measured_neuron for layer in result.layers if layer.measured_neuron is not None]
    if len(errors) < len(result.layers) or not errors:
        return None
    every = np.concatenate(errors)
    finite = every[np.isfinite(every)]
    moving, which = len(every) - len(finite), "every neuron"
    if moving:
        which = (
            f"{moving:,} of {len(every):,} neurons are moved at rows where their z~ is 0, which no "
            "relative error describes; every other"
        )
    return (
        f"Measured on the calibration inputs, of the weights as stored: {which} within "
        f"{render.number(float(finite.max(initial=0.0)))} of z~ at each row, given its layer's "
        "input (SP-12)."
    )


def _show(result: PruneResult, seen: Usefulness, out: Path | None) -> None:
    rows = [
        (
            layer.name,
            render.number(layer.nnz_before),
            render.number(layer.nnz_after),
            f"{layer.nnz_after / max(1, math.prod(layer.shape)):.1%}",
            render.number(layer.eps),
            "-" if layer.measured is None else render.number(layer.measured),
            render.number(layer.whole),
            render.number(layer.dead),
            render.number(layer.vacuous_neurons),
        )
        for layer in result.layers
    ]
    columns = (
        "<layer",
        "before",
        "after",
        "kept",
        "worst eps",
        "measured",
        "whole",
        "dead",
        "vacuous",
    )
    render.show_table(f"{result.method}, bound {result.bound}, seed {result.seed}", columns, rows)
    render.show(
        f"{result.nnz_after:,} of {result.nnz_before:,} weights are left "
        f"({result.kept:.1%} of all), calibrated on {result.inputs:,} inputs."
    )
    if seen.accuracy is not None:
        render.show(
            f"Test accuracy {seen.accuracy['before']:.2%} before, {seen.accuracy['after']:.2%} "
            "after (measured, not promised)."
        )
    if (moved := seen.moved()) is not None:
        render.show(moved)
    render.show(_promise(result))
    if (neurons := _neurons(result)) is not None:
        render.show(neurons)
    for line in result.notes:
        render.show(f"Note: {line}")
    if out is not None:
        render.show(f"Saved to {out}")


def command(
    model: options.Model,
    data: options.Calibration,
    method: Annotated[
        str | None,
        typer.Option(
            help="Pruning method, named below; sipp-network with --keep, sipp-poisson with --eps, "
            "sipp-det with --pattern."
        ),
    ] = None,
    keep: Annotated[
        float | None, typer.Option(help="Budget mode: fraction of weights to keep.")
    ] = None,
    eps: Annotated[float | None, typer.Option(help="Guarantee mode: relative error.")] = None,
    delta: Annotated[float | None, typer.Option(help="Failure probability; 0.05 if unset.")] = None,
    bound: Annotated[
        str | None,
        typer.Option(
            help="corenet, bernstein, kl, cramer, exact, neuron, neuron-exact; or measured, where "
            "weights are chosen by their measured errors."
        ),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="With --bound measured: the best of so many draws a neuron.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Budget per layer or global; default: the method's.")
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Activation rows kept per layer for cramer and exact.")
    ] = None,
    coverage_factor: Annotated[
        float, typer.Option(help="C of g <= C s assumed of fresh inputs.")
    ] = 1.0,
    calibration_size: Annotated[
        str | None,
        typer.Option(
            help="Use a random choice of so many calibration inputs, or all. If unset: all of a "
            "file, of a data set what ES-4 asks for."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of the method, NAME=VALUE; repeatable: rank=mean."),
    ] = None,
    refit: Annotated[
        bool, typer.Option(help="Solve for the kept weights again on the calibration inputs.")
    ] = False,
    effective: Annotated[
        bool, typer.Option(help="Keep so many weights on live paths from input to output.")
    ] = False,
    pattern: options.Pattern = None,
    ranking: Annotated[
        str | None, typer.Option(help="Until the next release; write --set rank=mean.")
    ] = None,
    layers: options.Layers = None,
    output: options.Output = None,
    mask: options.Mask = None,
    weights: options.Weights = None,
    train: options.Train = None,
    data_dir: options.DataDir = None,
    images: options.Images = False,
    out: Annotated[Path | None, typer.Option(help="Write the pruned network here.")] = None,
    save_weights: Annotated[
        Path | None, typer.Option(help="Write the original's weights here, for `sipp certify`.")
    ] = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Prune a trained network with a promise for every neuron.

    Started by torchrun, the processes share the calibration; the first one writes and prints.

    Exit code 1: guarantee mode (--eps) in which the bound lets no live weight go.
    """
    named = inputs.is_dataset(data)
    places.check(
        {"--out": out, "--save-weights": save_weights},
        {"--weights": weights, "--data": inputs.data_folder(data_dir) if named else data},
    )
    network = networks.build(model, seed, networks.device(ranks.device(device)), images)
    usual_method = "sipp-poisson" if keep is None else usefulness.USUAL
    if pattern is not None:
        usual_method = "sipp-det"
    rule = pruning.method_of(method or usual_method, setting or [], ranking)
    arguments = {
        "keep": keep,
        "eps": eps,
        "delta": 0.05 if delta is None else delta,
        "scope": scope,
        "bound": bound,
        "candidates": candidates,
        "coverage_factor": coverage_factor,
        "points": points,
        "refit": refit,
        "effective": effective,
        "pattern": pattern,
        "seed": seed,
        "output": inputs.position(output),
    }
    needs = _needs(rule, network.model, arguments, layers or None)
    data_set = inputs.dataset(data, data_dir, network.flat) if named else None
    given: Any
    given = inputs.read(Path(data), network.model) if data_set is None else data_set.train_inputs
    given = inputs.fitted(given, network.model, data)
    # Of a file that the user made, all.
    usual = "all" if calibration_size is None and data_set is None else calibration_size
    count, why = pruning.calibration_size(
        usual, len(given), network.model, layers or None, arguments["delta"],
        needs.inputs or refit or effective,
    )  # fmt: skip
    given = inputs.some(given, count, seed, "--calibration-size")
    if needs.targets and data_set is not None:
        given = [(given, inputs.some(data_set.train_targets, count, seed, ""))]
    ranks.join()
    ranks.only_first(
        lambda: networks.give_weights(network, weights, data_set, train, data_dir, seed)
    )
    ranks.share(network.model)

    import sipp_core

    with render.progress() if ranks.rank() == 0 else contextlib.nullcontext() as progress:
        result = sipp_core.prune(
            network.model, given, method=rule, **arguments, layers=layers or None, mask=mask,
            progress=progress,
        )  # fmt: skip

    def again(share: float) -> PruneResult:
        settings: dict[str, Any] = arguments | {"keep": share}
        return sipp_core.prune(
            network.model, given, method=rule, **settings, layers=layers or None, mask=mask
        )

    # Every process of a launch measures and prunes again alike: they share the calibration.
    how: dict[str, Any] = {"output": arguments["output"], "mask": mask}
    seen, warning = usefulness.measured(network, result, given, data_set, **how), None
    if seen.broken and not json:
        enough = None
        if keep is not None:
            enough = usefulness.useful(
                keep, lambda share: usefulness.measured(
                    network, again(share), given, data_set, **how
                ),
            )  # fmt: skip
        warning = usefulness.warning(seen, enough, rule.name)

    def finish() -> None:
        if save_weights is not None:
            networks.save_weights(network, save_weights)
        if out is not None:
            result.save(out)
        if json:
            render.show_json(
                result.summary()
                | {
                    "accuracy": seen.accuracy,
                    "changed": seen.changed,
                    "error": seen.error,
                    "broken": seen.broken,
                    "out": out,
                    "calibration_size": why,
                }
            )
        else:
            if warning is not None:
                render.show(warning)
            _show(result, seen, out)
            if why is not None:
                render.show(f"Calibrated on {why}.")

    ranks.only_first(finish)
    if result.eps is not None and result.vacuous:
        raise typer.Exit(edge.UNMET)
