"""`sipp verify`: make a certificate again from the files, and say whether it is true of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sipp_cli import certifying, edge, networks, options, ranks, render


def command(
    certificate: Annotated[
        Path, typer.Argument(help="certificate.json, or a safetensors file that carries one.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", "--inputs", help="The held-out inputs; by default as on file."),
    ] = None,
    pruned: Annotated[
        str | None, typer.Option(help="The certified network; by default as on file.")
    ] = None,
    original: Annotated[
        str | None, typer.Option(help="The original network; by default as on file.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of networks given by weights.")] = None,
    weights: options.Weights = None,
    labels: Annotated[str | None, typer.Option(help="File of labels; as on file.")] = None,
    groups: Annotated[str | None, typer.Option(help="File of groups; as on file.")] = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    device: options.Device = "cpu",
) -> None:
    """Make a certificate again from the files alone: is it true of this network and these inputs?

    It says yes or no, and what differs: the networks, the inputs or their order, a number, the
    version. It does not prove that the inputs were held out, nor who made the certificate.

    Exit code 1: no.
    """
    from sipp_core.certificates import differences, read_certificate, sealed

    networks.device(device)  # what is wrong with the call is no fault of the certificate
    recorded = read_certificate(certificate)
    call = certifying.read_call(
        recorded.call, data=data, pruned=pruned, original=original, model=model,
        weights=None if weights is None else str(weights), labels=labels, groups=groups,
        data_dir=None if data_dir is None else str(data_dir), device=device,
    )  # fmt: skip
    lines = sealed(recorded)
    if not lines:
        try:
            lines = differences(recorded, certifying.certificate_of(call))
        except (ValueError, TypeError) as error:
            lines = [f"it cannot be made again: {edge.one_line(error)}"]

    def finish() -> None:
        if json:
            render.show_json(
                {"verified": not lines, "differences": lines, "statement": recorded.statement}
            )
        elif lines:
            render.show("no: the certificate is not confirmed.")
            for line in lines:
                render.show(f"- {line}")
        else:
            render.show("yes: made again from the files, the certificate says the same.")
            for line in recorded.statement:
                render.show(line)
            render.show(
                "Not proved by this: that the inputs are independent draws of what will come, that "
                "they had no part in making the network, and who made the certificate."
            )

    ranks.only_first(finish)
    if lines:
        raise typer.Exit(edge.UNMET)
