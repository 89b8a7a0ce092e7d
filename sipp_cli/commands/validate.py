"""`sipp validate`: rerun a paper's experiments and set our numbers beside the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sipp_cli import edge, inputs, networks, options, places, render

if TYPE_CHECKING:
    from reports import Validation


def _show(validation: Validation, summary: dict[str, Any]) -> None:
    from reports.validation import words

    render.show(f"{validation.title}. Schedule {validation.schedule}: {validation.says}.")
    render.show_table(
        f"{validation.paper}, {validation.schedule}: what the paper says and what we get",
        ("<what", "<paper says", "<we get", "<interval", "<agrees"),
        (
            (line["what"], line["paper"], line["ours"], words.interval(line) or "-", line["agrees"])
            for line in summary["lines"]
        ),
    )
    for line in validation.lines:
        if line.agrees == "not run":
            render.show(f"not run: {line.what}: {line.why}")
    for line in validation.violated:
        render.show(f"VIOLATED: {line.what}: {line.ours}")
    render.show(words.headline(summary))


def command(
    paper: Annotated[
        str, typer.Argument(help="corenet, sipp, networks (ours), nettrim, neurons or svm.")
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Embedded data, minutes; the same as --schedule quick.")
    ] = False,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="quick; reduced (MNIST on a few cores, hours); paper (as published, for a GPU); "
            "or tiny (seconds, to try out). Default: reduced."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Run only this network, as lenet-300-100, or these: A,B.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Run only these methods of sipp or networks, as A,B.")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(help="How many seeds instead of the schedule's number; intervals need two."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="JSON file for the table, the curves and their origin.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder for finished cells: the same call goes on where one stopped."),
    ] = None,
    threads: options.Threads = 1,
    jobs: options.Jobs = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Rerun a paper's experiments: what it says, what we get, and whether they agree.

    A disagreement is a finding and shown. Exit code 1: what a theorem promises did not hold.
    """
    if quick and schedule not in (None, "quick"):
        raise ValueError(f"--quick and --schedule {schedule} contradict each other; give one")
    chosen = schedule or ("quick" if quick else "reduced")
    networks.device(device)
    places.check({"--out": out}, {"--store": store, "--data-dir": inputs.data_folder(data_dir)})
    if store is None and chosen in ("reduced", "paper"):
        render.note("nothing is kept if this is stopped; --store FOLDER lets it go on")
    folder = inputs.data_folder(data_dir)

    typed = f"sipp validate {paper} --schedule {chosen} --seed {seed} --threads {threads}"
    typed += f" --only {only}" if only else ""
    typed += f" --methods {methods}" if methods else ""
    typed += (f" --seeds {seeds}" if seeds else "") + (
        f" --device {device}" if device != "cpu" else ""
    )

    from reports import validate

    with render.progress() as progress:
        validation = validate(
            paper, schedule=chosen, data_dir=folder, folder=store, device=device, seed=seed,
            threads=threads, only=only, methods=methods, seeds=seeds, jobs=jobs, command=typed,
            progress=progress,
        )  # fmt: skip
    summary = render.plain(validation.summary())
    if out is not None:
        render.write_json(out, summary)
    if json:
        render.show_json(summary)
    else:
        _show(validation, summary)
    if validation.violated:
        raise typer.Exit(edge.UNMET)
