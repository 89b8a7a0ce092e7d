"""`sipp simulate`: CoreNet's sentence about the network, by simulation, beside its theorem."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sipp_cli import edge, inputs, networks, options, render

CALIBRATION = 512


def command(
    model: options.Model,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "--calibration",
            help="Calibration inputs: a .npz, .npy or .pt file, or a data set (training inputs).",
        ),
    ],
    held_out: Annotated[
        str | None,
        typer.Option(
            "--inputs",
            "--held-out",
            help="Held-out inputs, a file; by default the test inputs of the data set.",
        ),
    ] = None,
    method: Annotated[str, typer.Option(help="Method that prunes.")] = "corenet",
    eps: Annotated[float, typer.Option(help="Relative error of each entry of the output.")] = 0.3,
    delta: Annotated[float, typer.Option(help="Failure probability over draw and input.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of the statement.")] = 0.99,
    draws: Annotated[
        list[float] | None, typer.Option(help="Numbers of draws to test, falling; repeatable.")
    ] = None,
    keep: Annotated[
        list[float] | None,
        typer.Option(help="Shares of weights to test instead, falling; repeatable."),
    ] = None,
    calibration_size: Annotated[
        int, typer.Option(help="Calibration inputs of a data set.")
    ] = CALIBRATION,
    allow_repeats: Annotated[
        bool, typer.Option("--allow-repeats", help="Accept inputs equal to calibration inputs.")
    ] = False,
    output: options.Output = None,
    mask: options.Mask = None,
    weights: options.Weights = None,
    train: options.Train = None,
    data_dir: options.DataDir = None,
    images: options.Images = False,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Find how many draws, or weights, CoreNet's sentence about the network truly needs (CT-8).

    Every output within a factor 1 +- eps at a fresh input, but with probability delta over the draw
    and the input: each held-out input meets a draw of its own. What CoreNet's theorem (NW-5) asks
    for stands beside it.

    Exit code 1: no budget could be proved.
    """
    named = inputs.is_dataset(data)
    if not named and held_out is None:
        raise ValueError("--inputs names the held-out inputs of calibration inputs from a file")
    network = networks.build(model, seed, networks.device(device), images)
    data_set = inputs.dataset(data, data_dir, network.flat) if named else None
    given: Any
    if data_set is not None:
        given = inputs.some(data_set.train_inputs, calibration_size, seed, "--calibration-size")
    else:
        given = inputs.read(Path(data), network.model)
    held: Any = (
        data_set.test_inputs
        if data_set is not None and held_out is None
        else inputs.read(Path(str(held_out)), network.model)
    )
    given, held = (
        inputs.fitted(some, network.model, name)
        for some, name in ((given, data), (held, held_out or data))
    )
    networks.give_weights(network, weights, data_set, train, data_dir, seed)

    import sipp_core

    with render.progress() as progress:
        result = sipp_core.least_budget(
            network.model, given, held, eps=eps, delta=delta, confidence=confidence, method=method,
            draws=draws or None, keeps=keep or None, seed=seed, allow_repeats=allow_repeats,
            output=inputs.position(output), mask=mask, progress=progress,
        )  # fmt: skip
    if json:
        render.show_json(result.summary())
    else:
        rows = [
            (f"{budget:.4g}", f"{kept:,.0f}", f"{failed:,} of {result.n:,}")
            for budget, kept, failed in zip(
                result.budgets, result.weights, result.failures, strict=True
            )
        ]
        unit = "draws" if result.unit == "draws" else "share to keep"
        render.show_table(
            f"{result.method}, eps = {eps:g}, delta = {delta:g}, seed {seed}",
            (unit, "weights left", "pairs that leave"), rows,
        )  # fmt: skip
        render.show(result.sentence())
    if result.vacuous:
        raise typer.Exit(edge.UNMET)
