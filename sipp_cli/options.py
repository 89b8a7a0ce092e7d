"""Options that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# More crash torch.
MOST_THREADS = 1024

Json = Annotated[
    bool, typer.Option("--json", help='Print JSON (infinite numbers as "inf") instead of tables.')
]
Seed = Annotated[int, typer.Option(help="Seed of every draw and of training.")]
Model = Annotated[str, typer.Option(help="Built-in model, or package.module:factory.")]
Calibration = Annotated[
    str,
    typer.Option(
        "--data",
        "--calibration",
        help="Calibration inputs: a .npz, .npy or .pt file, or digits, mnist, fashion-mnist, "
        "cifar10.",
    ),
]
Device = Annotated[str, typer.Option(help="Where torch computes: cpu, cuda, cuda:1, mps.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the IDX files of mnist or fashion-mnist, or the JPEGs of cifar10; else "
        "SIPP_DATA_DIR."
    ),
]
Store = Annotated[
    str | None,
    typer.Option(help="Folder for finished checks: the same call goes on where one stopped."),
]
Threads = Annotated[
    int, typer.Option(help="CPU threads of training; part of the result's definition.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Processes, -1 for one a core; they change no bit. Default: one, but for the "
        "ledger and the report one a core."
    ),
]
Images = Annotated[
    bool,
    typer.Option(
        "--images",
        help="Give inputs of a named data set to your own model as (n, 1, h, w) images, not flat.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The model's trained weights: a safetensors file (state_dict).")
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        help="Layers to prune, by name or glob pattern; !NAME leaves out; repeatable.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        help="What counts of an answer that is no tensor: a name (logits) or a position (0)."
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(help="Name of the array that says which token positions count: attention_mask."),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="What a runtime is fast at: 2:4 keeps 2 of every 4 inputs in a row, 4x4 whole blocks."
    ),
]
Train = Annotated[
    str | None,
    typer.Option(
        help="Data set to train a built-in model on. Else, without --weights, it has those that "
        "come with it (lenet-5, resnet-20) or is trained on --data; vgg-small and vit-tiny stay "
        "untrained."
    ),
]
