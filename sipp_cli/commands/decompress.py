"""`sipp decompress`: the very network that a compressed file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sipp_cli import networks, options, places, render


def command(
    compressed: Annotated[Path, typer.Argument(help="File written by `sipp compress`.")],
    out: Annotated[
        Path, typer.Option(help="Write the state_dict here, a safetensors file for --weights.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="package.module:factory, for a file that names no architecture."),
    ] = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Give back the network that a compressed file holds, bit for bit."""
    import sipp_core

    places.check({"--out": out}, {"the file to decompress": compressed})
    where = networks.device(device)
    template = None if model is None else networks.build(model, seed, where).model
    decoded = sipp_core.decompress(compressed, template).to(where)
    networks.save_weights(networks.Network(str(compressed), decoded, False, True), out)
    tensors = [
        {
            "name": name,
            "shape": list(value.shape),
            "dtype": str(value.dtype).removeprefix("torch."),
            "nonzero": int((value != 0).sum()),
            "distinct": int(value.unique().numel()),
        }
        for name, value in decoded.state_dict().items()
    ]
    if json:
        render.show_json({"out": out, "tensors": tensors})
        return
    rows = [
        (
            str(tensor["name"]),
            " x ".join(map(str, tensor["shape"])) or "-",
            str(tensor["dtype"]),
            render.number(tensor["nonzero"]),
            render.number(tensor["distinct"]),
        )
        for tensor in tensors
    ]
    columns = ("<tensor", "shape", "<type", "not zero", "distinct values")
    render.show_table(f"{compressed}", columns, rows)
    render.show(f"Its weights are in {out}.")
