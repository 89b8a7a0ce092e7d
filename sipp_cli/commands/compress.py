"""`sipp compress`: a network as a short file, and what each part of it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sipp_cli import networks, options, places, render

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sipp_core import Compressed


def read(
    source: Path, model: str | None, seed: int, where: torch.device
) -> tuple[networks.Network, nn.Module]:
    """The architecture, and the network that the file holds, its masks folded into its weights."""
    import sipp_core
    from sipp_core.network import unmask
    from sipp_core.runtime import read_bytes

    content = read_bytes(source, "network")
    if not networks.is_pruned(content, source):
        if model is None:
            raise ValueError(f"{source} holds weights alone; name their model with --model")
        network = networks.build(model, seed, where)
        networks.load_weights(network, source, content, exactly=True)
        return network, network.model
    network = (
        networks.fitting(source, where) if model is None else networks.build(model, seed, where)
    )
    return network, unmask(sipp_core.load(source, network.model).model)


def _architecture(name: str) -> str | None:
    from sipp_core.compression import architecture

    return name if name.partition(":")[0] in architecture.FAMILIES else None


def _show(file: Compressed, weights: int, nonzero: int, out: Path) -> None:
    rows = [
        (layer or "(file)", part, render.number(round(bits, 1)), f"{bits / file.bits:.1%}")
        for layer, part, bits in file.sections
    ]
    render.show_table(f"{out}", ("<layer", "<part", "bits", "share"), rows)
    render.show(
        f"{len(file.content):,} bytes = {file.bits:,} bits, {file.bits / max(weights, 1):.3g} "
        f"for each of {weights:,} weights, {nonzero:,} of which are not zero."
    )
    raw = sum(bits for _, part, bits in file.sections if part.endswith("bytes"))
    if raw > file.bits / 2:
        render.note(
            f"{raw / file.bits:.0%} of the file are weights as they are; quantise them to few "
            "values for a short file"
        )


def command(
    network: Annotated[
        Path,
        typer.Argument(help="File written by `sipp prune --out`, or a safetensors state_dict."),
    ],
    out: Annotated[Path, typer.Option(help="Write the compressed network here.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Its model: a built-in name, dense:784,32,10, compact:28,8,12, "
            "oriented:28,4,8,10 or package.module:factory; by default the built-in one that a "
            "pruned file fits."
        ),
    ] = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Write a network as a short file that gives it back bit for bit.

    Masks of pruning are folded into the weights. A file of a factory's model is read with --model.
    """
    import sipp_core

    places.check({"--out": out}, {"the network to compress": network})
    where = networks.device(device)
    named, holds = read(network, model, seed, where)
    packed = sipp_core.compress(holds, architecture=_architecture(named.name))
    packed.save(out)
    values = list(holds.state_dict().values())
    weights = sum(value.numel() for value in values)
    nonzero = sum(int((value != 0).sum()) for value in values)
    if not json:
        _show(packed, weights, nonzero, out)
        return
    sections = [
        {"layer": layer, "part": part, "bits": bits} for layer, part, bits in packed.sections
    ]
    render.show_json(
        {
            "out": out,
            "model": named.name,
            "bytes": len(packed.content),
            "bits": packed.bits,
            "weights": weights,
            "nonzero": nonzero,
            "sections": sections,
        }
    )
