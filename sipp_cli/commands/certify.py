"""`sipp certify`: what held-out inputs prove about a pruned network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import edge, inputs, networks, options, render

if TYPE_CHECKING:
    from sipp_core import Certificate, PruneResult


def _refuse_stranger(network: networks.Network, result: PruneResult, path: Path) -> None:
    """Refuse a model that is not the one that the file was pruned from."""
    from sipp_core.runtime import fingerprint

    if fingerprint(network.model) != result.original:
        raise ValueError(
            f"{path} was pruned from another network than {network.name!r} as it is here; give the "
            "weights it was pruned from with --weights (prune --save-weights writes them)"
        )


def _show(certificate: Certificate) -> None:
    render.show(certificate.sentence())
    if certificate.disagreement is not None and certificate.observed_disagreement is not None:
        render.show(
            f"With {certificate.confidence:.0%} confidence, at most {certificate.disagreement:.2%} "
            f"of fresh inputs change their class ({certificate.observed_disagreement:.2%} did)."
        )
    render.show(
        f"Seen on the {certificate.n:,} inputs: mean error "
        f"{render.number(certificate.observed_mean)}, largest "
        f"{render.number(certificate.observed_max)}, {certificate.violations:,} above eps."
    )
    render.show(f"It speaks of {certificate.holds_for}; it assumes that")
    for line in certificate.assumptions:
        render.show(f"- {line}.")


def command(
    pruned: Annotated[Path, typer.Argument(help="File written by `sipp prune --out`.")],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "--inputs",
            help="Held-out inputs: a .npz, .npy or .pt file, or a data set (its test inputs).",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="Model of the original; by default the built-in one that the file fits."),
    ] = None,
    weights: options.Weights = None,
    train: options.Train = None,
    delta: Annotated[float, typer.Option(help="Share of inputs that may move further.")] = 0.05,
    confidence: Annotated[float, typer.Option(help="Confidence of the statement.")] = 0.99,
    eps: Annotated[
        float | None,
        typer.Option(help="Bound the share of inputs that move further than this (CT-1)."),
    ] = None,
    allow_repeats: Annotated[
        bool, typer.Option("--allow-repeats", help="Accept inputs equal to calibration inputs.")
    ] = False,
    output: options.Output = None,
    mask: options.Mask = None,
    data_dir: options.DataDir = None,
    images: options.Images = False,
    json: options.Json = False,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the training, if any; else the pruned file's.")
    ] = None,
    device: options.Device = "cpu",
) -> None:
    """Certify a pruned network on held-out inputs.

    Exit code 1: nothing could be certified.
    """
    import sipp_core
    import sipp_theory

    sipp_theory.points_needed(delta, confidence)  # refuses what is out of range before any work
    if eps is not None and not eps > 0:
        raise ValueError(f"--eps must be greater than 0; found {eps!r}")
    named = inputs.is_dataset(data)
    if not pruned.is_file():
        raise FileNotFoundError(f"there is no pruned network {pruned}")
    where = networks.device(device)
    if model is None:
        network = networks.fitting(pruned, where)
    else:
        network = networks.build(model, 0 if seed is None else seed, where, images)
    result = sipp_core.load(pruned, network.model)
    if seed is None and network.built_in:
        network = networks.build(network.name, result.seed, where)
    data_set = inputs.dataset(data, data_dir, network.flat) if named else None
    held_out = inputs.read(Path(data), network.model) if data_set is None else data_set.test_inputs
    held_out = inputs.fitted(held_out, network.model, data)
    start = result.seed if seed is None else seed
    networks.give_weights(network, weights, data_set, train, data_dir, start)
    _refuse_stranger(network, result, pruned)
    certificate = sipp_core.certify(
        network.model,
        result.model,
        held_out,
        delta=delta,
        confidence=confidence,
        eps=eps,
        allow_repeats=allow_repeats,
        output=inputs.position(output),
        mask=mask,
    )
    if json:
        render.show_json(certificate.summary() | {"sentence": certificate.sentence()})
    else:
        _show(certificate)
    if certificate.vacuous:
        raise typer.Exit(edge.UNMET)
