"""`sipp sparsest`: the fewest weights that are certified to meet a target on fresh inputs."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sipp_cli import certifying, edge, inputs, networks, options, places, pruning, ranks, render

if TYPE_CHECKING:
    from sipp_core import SparsestResult


def _show(best: SparsestResult, out: Path | None) -> None:
    if best.result is None or best.certificate is None:
        render.show(
            f"Not even {best.keeps[0]:.1%} of the weights are certified to meet the target."
        )
    else:
        render.show(
            f"The fewest weights that are certified: {best.result.nnz_after:,} of "
            f"{best.result.nnz_before:,} ({best.result.kept:.1%}), by {best.result.method}."
        )
    drop = best.drop is not None
    rows = [
        (f"{keep:.1%}", f"{count:,}", *([f"{best.drops[place]:.2%}"] if drop else []))
        for place, (keep, count) in enumerate(zip(best.keeps, best.violations, strict=True))
    ]
    columns = ("keep", "broken" if drop else "violations", *(["drop proved"] if drop else []))
    render.show_table("from dense to sparse, up to the first that fails", columns, rows)
    if best.certificate is not None:
        for line in best.certificate.sentences():
            render.show(line)
    if out is not None and best.result is not None:
        render.show(f"Saved to {out}")


def _keeps(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"--keeps are numbers from dense to sparse, as 0.5,0.2,0.1; found {text!r}"
        ) from None


def command(
    model: options.Model,
    data: options.Calibration,
    held: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            help="Held-out inputs: a file, or a data set (its test inputs); default: "
            "the calibration's data set.",
        ),
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="Target: relative output error, with --delta.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="Share of fresh inputs that may exceed it; 0.05 if unset.")
    ] = None,
    drop: Annotated[
        float | None,
        typer.Option(help="Target in place of --eps: how much accuracy may fall, as 0.01."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="With --drop: class numbers in a .npy file; default: the targets of the inputs."
        ),
    ] = None,
    confidence: Annotated[float, typer.Option(help="Confidence of the whole search.")] = 0.99,
    method: Annotated[str, typer.Option(help="Pruning method, as in sipp prune.")] = "sipp-network",
    keeps: Annotated[
        str | None,
        typer.Option(help="Fractions to test, dense to sparse: 0.5,0.2,0.1; fixed beforehand."),
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Budget per layer or global; default: the method's.")
    ] = None,
    calibration_size: Annotated[
        str | None,
        typer.Option(help="Use a random choice of so many calibration inputs, or all."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of the method, NAME=VALUE; repeatable: rounds=4."),
    ] = None,
    output: options.Output = None,
    mask: options.Mask = None,
    weights: options.Weights = None,
    train: options.Train = None,
    data_dir: options.DataDir = None,
    images: options.Images = False,
    allow_repeats: Annotated[
        bool, typer.Option("--allow-repeats", help="Accept inputs equal to calibration inputs.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(help="Folder for what was tested: the same call goes on where one stopped."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the network here.")] = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Find the fewest weights that are certified to meet a target on fresh inputs.

    The target is a relative output error (--eps) or a drop of accuracy (--drop).

    Started by torchrun, the processes share calibration and tests; the first one writes and prints.

    Exit code 1: not even the densest network is certified.
    """
    import sipp_core
    import sipp_theory
    from sipp_core.pruning import make_request

    share = 0.05 if eps is not None and delta is None else delta
    if (eps is None) == (drop is None):
        raise ValueError("give one target: --eps, with --delta, or --drop")
    sipp_theory.points_needed(share or 0.05, confidence)  # refuses what is out of range
    if labels is not None and drop is None:
        raise ValueError(f"--labels {labels} go with --drop; the target here is --eps")
    named = inputs.is_dataset(data)
    source = data if held is None and named else held
    if source is None:
        raise ValueError("--inputs names the held-out inputs: a file or a data set")
    places.check({"--out": out}, {"--weights": weights, "--data": data, "--inputs": source})
    if store is not None:
        places.refuse_unwritable(Path(store), folder=True)
    network = networks.build(model, seed, networks.device(ranks.device(device)), images)
    rule = pruning.method_of(method, setting or [])
    needs = rule.needs(make_request(rule, network.model, keep=1.0, scope=scope))
    train_set = inputs.dataset(data, data_dir, network.flat) if named else None
    test_set = train_set if source == data else None
    if test_set is None and inputs.is_dataset(source):
        test_set = inputs.dataset(source, data_dir, network.flat)
    given: Any
    given = inputs.read(Path(data), network.model) if train_set is None else train_set.train_inputs
    given = inputs.fitted(given, network.model, data)
    usual = "all" if calibration_size is None and train_set is None else calibration_size
    count, why = pruning.calibration_size(usual, len(given), network.model, None, 0.05, True)
    given = inputs.some(given, count, seed, "--calibration-size")
    if train_set is not None and needs.targets:
        given = [(given, inputs.some(train_set.train_targets, count, seed, ""))]
    fresh: Any
    fresh = inputs.read(Path(source), network.model) if test_set is None else test_set.test_inputs
    fresh = inputs.fitted(fresh, network.model, source)
    truth = None
    if drop is not None:
        truth = certifying.labels_from(labels or "targets", "targets", fresh, test_set, "--labels")
    search = functools.partial(
        sipp_core.sparsest, network.model, holdout=fresh, eps=eps, delta=share, drop=drop,
        labels=truth, confidence=confidence, method=rule, scope=scope, seed=seed, mask=mask,
        allow_repeats=allow_repeats, output=inputs.position(output), store=store,
        **({} if keeps is None else {"keeps": _keeps(keeps)}),
    )  # fmt: skip
    # All that can be refused is, before minutes are spent on training.
    with contextlib.suppress(pruning.ArgumentsValid):
        search(pruning.NoInputs())
    ranks.join()
    ranks.only_first(
        lambda: networks.give_weights(network, weights, train_set, train, data_dir, seed)
    )
    ranks.share(network.model)

    with render.progress() if ranks.rank() == 0 else contextlib.nullcontext() as progress:
        best = search(given, progress=progress)

    def finish() -> None:
        if out is not None and best.result is not None:
            best.result.save(out)
        if json:
            render.show_json(best.summary() | {"out": out, "calibration_size": why})
        else:
            _show(best, out)
            if why is not None:
                render.show(f"Calibrated on {why}.")

    ranks.only_first(finish)
    if best.result is None:
        raise typer.Exit(edge.UNMET)
