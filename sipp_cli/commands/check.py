"""`sipp check`: Monte Carlo against the claims, on neurons of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import edge, inputs, networks, options, render

if TYPE_CHECKING:
    from proofs_check import Coverage, FirstCheck


def _words(verdicts: Sequence[Coverage], where: str) -> str:
    return ", ".join(sorted({v.verdict for v in verdicts if v.where == where})) or "-"


def _show(found: FirstCheck) -> None:
    rows = []
    for row in found.rows:
        for claim, size in row.sizes.items():
            verdicts = [c for c in row.coverages if c.claim == claim]
            rows.append(
                (
                    row.layer,
                    render.number(row.neuron),
                    "+" if row.sign > 0 else "-",
                    render.number(row.sensitivity_sum),
                    render.number(row.weights),
                    claim,
                    render.number(size),
                    render.number(row.tightness.get(claim)),
                    _words(verdicts, "calibration"),
                    _words(verdicts, "fresh-covered"),
                )
            )
    columns = ("<layer", "neuron", "sign", "S_sum", "weights", "<claim", "asked", "asked/needed",
               "<on calibration inputs", "<on fresh inputs it speaks of")  # fmt: skip
    render.show_table(
        f"claims against Monte Carlo: eps = {found.eps:g}, delta = {found.delta:g}, "
        f"{found.trials:,} trials (asked: draws; SP-6 weights kept; SP-8 the inclusion rate c)",
        columns,
        rows,
    )
    if found.refuted:
        render.show(f"Refuted on calibration inputs: {', '.join(found.refuted)}.")
    else:
        render.show("No claim was refuted on calibration inputs.")


def command(
    data: Annotated[
        str, typer.Option("--data", "--dataset", help="digits, mnist or fashion-mnist.")
    ] = "digits",
    eps: Annotated[float, typer.Option(help="Relative error.")] = 0.1,
    delta: Annotated[float, typer.Option(help="Failure probability.")] = 0.05,
    trials: Annotated[int, typer.Option(help="Pruned versions drawn per verdict.")] = 20_000,
    neurons: Annotated[int, typer.Option(help="Neurons per layer.")] = 2,
    calibration_size: Annotated[int, typer.Option(help="Calibration inputs.")] = 256,
    fresh_size: Annotated[int, typer.Option(help="Fresh inputs.")] = 256,
    weights: options.Weights = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Draw many pruned versions of neurons and see whether the claims hold, and how tightly.

    Exit code 1: a claim is refuted on calibration inputs.
    """
    import sipp_theory

    for value, least, name in ((trials, 1, "--trials"), (neurons, 1, "--neurons")):
        if value < least:
            raise ValueError(f"{name} must be at least {least}; found {value}")
    # Refuses what is out of range before minutes are spent on training.
    sipp_theory.bernstein_size(1.0, eps, delta)
    if data not in networks.USUAL:
        raise ValueError(f"--data must be one of {', '.join(networks.USUAL)}; found {data!r}")
    where = networks.device(device)
    network = networks.build(networks.USUAL[data], seed, where)
    data_set = inputs.dataset(data, data_dir, network.flat)
    calibration = inputs.some(data_set.train_inputs, calibration_size, seed, "--calibration-size")
    fresh = inputs.some(data_set.test_inputs, fresh_size, seed, "--fresh-size")
    networks.give_weights(network, weights, data_set, None, data_dir, seed)

    from proofs_check import first_check

    with render.progress() as progress:
        found = first_check(
            network.model,
            calibration.to(where),
            fresh.to(where),
            eps=eps,
            delta=delta,
            neurons_per_layer=neurons,
            trials=trials,
            seed=seed,
            progress=progress,
        )
    if json:
        render.show_json(found.summary())
    else:
        _show(found)
    if found.refuted:
        raise typer.Exit(edge.UNMET)
