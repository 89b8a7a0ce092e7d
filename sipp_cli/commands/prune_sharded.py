"""`sipp prune-sharded`: prune a network that does not fit into memory, block by block."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from sipp_cli import inputs, networks, options, places, render


def command(
    model: Annotated[
        str, typer.Option(help="package.module:factory; it is run without memory for weights.")
    ],
    shards: Annotated[Path, typer.Option(help="Folder of safetensors files, or one of them.")],
    data: Annotated[
        Path, typer.Option("--data", "--calibration", help="Inputs: a .npz, .npy or .pt file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the pruned shards and their report.")],
    method: Annotated[
        str, typer.Option(help="Mask method that looks at a layer alone.")
    ] = "sipp-det",
    keep: Annotated[
        float | None, typer.Option(help="Budget mode: fraction of each layer's weights to keep.")
    ] = None,
    eps: Annotated[float | None, typer.Option(help="Guarantee mode: relative error.")] = None,
    delta: Annotated[float | None, typer.Option(help="Failure probability; 0.05 if unset.")] = None,
    bound: Annotated[str | None, typer.Option(help="As for sipp prune.")] = None,
    blocks: Annotated[
        str | None,
        typer.Option(help="The ModuleList of the blocks; default: with which least is in memory."),
    ] = None,
    refit: Annotated[
        bool, typer.Option(help="Solve for the kept weights again on the calibration inputs.")
    ] = False,
    pattern: options.Pattern = None,
    sequential: Annotated[
        bool, typer.Option(help="Calibrate each block on what the pruned ones before it give.")
    ] = True,
    forward_size: Annotated[int | None, typer.Option(help="Inputs a forward pass.")] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for activations; default: inside --out.")
    ] = None,
    layers: options.Layers = None,
    mask: options.Mask = None,
    json: options.Json = False,
    seed: options.Seed = 0,
) -> None:
    """Prune a network that does not fit into memory, block by block, from safetensors shards.

    A run that was stopped goes on where it was when the same command is given again.
    """
    from sipp_core import prune_sharded
    from sipp_core.runtime import Batch
    from sipp_core.sharded import on_meta

    places.refuse_unwritable(out, folder=True)
    with on_meta():
        network = networks.factory(model, seed)
    given: Any = inputs.read(data, network)
    given = given.each(_suited) if isinstance(given, Batch) else _suited(given)
    with render.progress() as progress:
        result = prune_sharded(
            network, shards, given, out, method=method, keep=keep, eps=eps,
            delta=0.05 if delta is None else delta, bound=bound, seed=seed, layers=layers or None,
            blocks=blocks, sequential=sequential, forward_size=forward_size, refit=refit, mask=mask,
            pattern=pattern,
            scratch=scratch, progress=progress,
        )  # fmt: skip
    if json:
        render.show_json(result.summary())
        return
    rows = [
        (
            layer["name"],
            render.number(layer["nnz_before"]),
            render.number(layer["nnz_after"]),
            f"{layer['nnz_after'] / max(1, math.prod(layer['shape'])):.1%}",
            render.number(layer["eps"]),
            render.number(layer["measured"]),
        )
        for layer in result.layers
    ]
    columns = ("<layer", "before", "after", "kept", "worst eps", "measured")
    render.show_table(f"{result.method}, {len(result.blocks)} blocks", columns, rows)
    render.show(
        f"{result.nnz_after:,} of {result.nnz_before:,} weights are left, calibrated on "
        f"{result.inputs:,} inputs. Promised: {result.holds_for}."
    )
    for line in result.notes:
        render.show(f"Note: {line}")
    render.show(f"Saved to {out}")


def _suited(values: Any) -> Any:
    """Whole numbers as token ids."""
    import torch

    keep = values.is_floating_point() or values.dtype in (torch.bool, torch.int32)
    return values if keep else values.to(torch.int64)
