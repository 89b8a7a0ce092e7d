"""`sipp export`: a network in a form that another tool reads, and its sizes on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sipp_cli import inputs, networks, options, places, render
from sipp_cli.commands import compress


def command(
    network: Annotated[
        Path,
        typer.Argument(help="File written by `sipp prune --out`, or a safetensors state_dict."),
    ],
    form: Annotated[str, typer.Option("--format", help="dense, torch-sparse or onnx.")],
    out: Annotated[Path, typer.Option(help="Write the file here.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Its model: a built-in name or package.module:factory; by default the built-in "
            "one that a pruned file fits."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Inputs (.npz, .npy or .pt) to trace a factory's model by, for onnx."),
    ] = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Write a pruned network for another tool, and say what it takes on disk.

    dense: a safetensors file, zeros and all. torch-sparse: CSR matrices for torch.load. onnx: a
    graph with dense weights, for onnxruntime and others.
    """
    import torch

    import sipp_core
    from sipp_core.zoo import models

    places.check({"--out": out}, {"the network to export": network, "--data": data})
    named, holds = compress.read(network, model, seed, networks.device(device))
    example = None
    if data is not None:
        given = inputs.read(data, holds)
        example = inputs.fitted(given, holds, str(data))
    elif named.built_in:
        example = torch.zeros(2, *models.input_shape(named.name), device=device)
    file = sipp_core.export(holds, out, form, example=example)
    sizes = {
        f"{network.name} (given)": network.stat().st_size,
        "dense": file.dense,
        f"{file.form} (written)": file.bytes,
    }
    if json:
        render.show_json(
            {"out": out, "format": file.form, "bytes": file.bytes, "dense_bytes": file.dense,
             "given_bytes": network.stat().st_size, "notes": file.notes}
        )  # fmt: skip
        return
    rows = [(what, f"{size:,}", f"{size / file.dense:.2f}") for what, size in sizes.items()]
    render.show_table(f"{named.name}", ("<form", "bytes", "of dense"), rows)
    for line in file.notes:
        render.show(f"Note: {line}")
    render.show(f"Saved to {out}")
