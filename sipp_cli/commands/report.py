"""`sipp report`: train, prune, bound, check, certify, and write the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sipp_cli import edge, networks, options, places, render
from sipp_cli.benchmarks import read_benchmarks, run_benchmarks
from sipp_cli.ledger import run_ledger


def _refuse_dataset(dataset: str) -> None:
    """Refuse what the page, which speaks of dense networks, cannot be about."""
    from sipp_core.zoo import NETWORKS, datasets

    networks = {name: NETWORKS[source.network] for name, source in datasets.SOURCES.items()}
    dense = [name for name, network in networks.items() if len(network.input_shape) == 1]
    if dataset in networks and dataset not in dense:
        raise ValueError(
            f"--dataset {dataset} has no report: its page speaks of dense networks, whose network "
            "theorem (NW-5) does not hold for shared weights and shortcuts. Run `sipp prune "
            f"--model {networks[dataset].name} --calibration {dataset} --out FILE`, then `sipp "
            f"certify FILE --inputs {dataset}`"
        )
    if dataset not in dense:
        raise ValueError(f"--dataset must be one of {', '.join(dense)}; found {dataset!r}")


def _compare(files: list[Path] | None, out: Path, json: bool) -> None:
    """Write the page that sets saved networks side by side."""
    from reports.comparison import build_comparison

    if not files:
        raise ValueError("--networks needs saved networks: sipp report --networks A B ...")
    page = build_comparison(files, out)
    if json:
        render.show_json({"page": page, "numbers": page.with_suffix(".json")})
    else:
        render.show(f"The comparison is at {page}")


def command(
    files: Annotated[
        list[Path] | None, typer.Argument(help="With --networks: saved networks to compare.")
    ] = None,
    networks_: Annotated[
        bool,
        typer.Option(
            "--networks",
            help="Instead set saved networks (ours or another tool's) side by side on one page.",
        ),
    ] = False,
    dataset: Annotated[
        str, typer.Option("--dataset", "--data", help="digits, mnist or fashion-mnist.")
    ] = "digits",
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports/out"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer seeds and ratios.")] = False,
    ledger: Annotated[
        str, typer.Option(help="Profile of the claims page: quick, full, or none to leave it out.")
    ] = "quick",
    bench: Annotated[
        str,
        typer.Option(
            help="Benchmarks page: quick (a minute or two), full (a quarter of an hour), none, or "
            "a file that `sipp bench --json` wrote."
        ),
    ] = "none",
    validation: Annotated[
        str,
        typer.Option(
            help="Validation page: results (those that come with the package), none, or a folder "
            "of files that `sipp validate --out` wrote."
        ),
    ] = "results",
    generalization: Annotated[
        str,
        typer.Option(
            help="Generalization page: results (those that come with the package), none, or a "
            "folder of files that `sipp generalize --out --file` wrote, NAME.json and NAME.sipp."
        ),
    ] = "results",
    jobs: options.Jobs = None,
    store: options.Store = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Build the report: one page to read, results.json behind it, and the figures.

    Exit code 1: a guarantee was violated, or a benchmark's check. Vacuous bounds are part of the
    report and told there.
    """
    if networks_:
        places.refuse_unwritable(out, folder=True)
        _compare(files, out, json)
        return
    if files:
        raise ValueError(f"{files[0]}: name saved networks with --networks")
    _refuse_dataset(dataset)
    places.refuse_unwritable(out, folder=True)
    networks.device(device)

    if ledger not in ("none", "quick", "full"):
        raise ValueError(f"--ledger must be quick, full or none; found {ledger!r}")
    timed = None
    if bench not in ("none", "quick", "full"):
        if not Path(bench).is_file():
            raise ValueError(f"--bench must be quick, full, none or a file; found {bench!r}")
        timed = read_benchmarks(Path(bench))
    reran, proved = [], []
    if validation != "none":
        from reports.validation import load as papers

        reran = papers(None if validation == "results" else validation)
    if generalization != "none":
        from reports.generalization import load as certified

        proved = certified(None if generalization == "results" else generalization)
    checked = None
    if ledger != "none":
        run = run_ledger(
            ledger, seed=seed, data_dir=data_dir, store=store, device=device, jobs=jobs
        )
        checked = run.summary()

    if bench in ("quick", "full"):
        timed = run_benchmarks(bench, seed=seed, data_dir=data_dir, device=device)

    import reports

    with render.progress() as progress:
        built = reports.build(
            dataset,
            out,
            data_dir=data_dir,
            seed=seed,
            device=device,
            quick=quick,
            ledger=checked,
            bench=None if timed is None else timed.summary(),
            validation=reran,
            generalization=proved,
            progress=progress,
            jobs=jobs or (-1 if device == "cpu" else 1),
        )
    if json:
        render.show_json(
            {
                "index": built.index,
                "results": built.results,
                "vacuous": built.vacuous,
                "violated": built.violated,
            }
        )
    else:
        render.show(f"The report is at {built.index}")
        if built.violated:
            render.show("A guarantee was violated; the page says which.")
    if built.violated:
        raise typer.Exit(edge.UNMET)
