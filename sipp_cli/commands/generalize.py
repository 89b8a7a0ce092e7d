"""`sipp generalize`: a pruned network as a file, and what is certified of its true error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from sipp_cli import edge, inputs, networks, options, places, render

Json = dict[str, Any]
T = TypeVar("T")


def _list(option: str, words: str | None, read: Callable[[str], T]) -> list[T] | None:
    """Values with commas between, or None where the option was not given."""
    if words is None:
        return None
    try:
        return [read(word) for word in words.split(",")]
    except ValueError as error:
        raise ValueError(f"{option} takes values with commas between; found {words!r}") from error


def _show_bounds(rows: list[Json], delta: float) -> None:
    from reports.generalization import words

    render.show_table(
        f"Upper bounds on the share of new inputs got wrong, each {words.sure(delta)} sure",
        ("<bound", "<claim", "prior before the data", "prior from half of them", "<speaks of"),
        (
            (row["name"], row["claim"], row["all"] or "-", row["half"] or "-", row["subject"])
            for row in rows
        ),
    )


def _show_errors(facts: Json, network: str, train: int, tests: int) -> None:
    from reports.generalization import words

    render.show(
        f"{network}: {words.rate(train, facts['n'])} of {facts['n']:,} training inputs wrong, "
        f"{words.rate(tests, facts['test_n'])} of {facts['test_n']:,} test inputs."
    )


def _show(facts: Json) -> None:
    from reports.generalization import words

    best = words.chosen(facts)
    dense = facts["dense"]
    _show_errors(facts, f"{facts['net']} as trained", dense["train_errors"], dense["test_errors"])
    _show_errors(
        facts, f"The file ({words.setting(best)}), {facts['file']['bytes']:,} bytes",
        best["errors"], best["test_errors"],
    )  # fmt: skip
    _show_bounds(words.table(facts), facts["delta"])
    total = sum(charge["bits"] for charge in facts["budget"])
    render.show_table(
        f"What the network costs to tell: {total:,.1f} bits",
        ("<item", "bits", "share", "<why"),
        (
            (charge["what"], f"{charge['bits']:,.1f}", f"{charge['bits'] / total:.1%}",
             charge["why"])
            for charge in facts["budget"]
        ),
    )  # fmt: skip
    render.show_table(
        "How the bound moves with the candidates (* has the least)",
        ("<candidate", "weights kept", "bits", "training error", "test error", "bound"),
        (
            (words.setting(one) + (" *" if place == facts["best"] else ""), f"{one['kept']:.1%}",
             f"{one['bits']:,}", words.rate(one["errors"], facts["n"]),
             words.rate(one["test_errors"], facts["test_n"]), words.amount(one["bound"]))
            for place, one in enumerate(facts["candidates"])
        ),
    )  # fmt: skip
    render.show_table(
        "How the bound of this file moves with the number of training inputs that are counted",
        ("inputs", "errors", "binomial", "kl", "Hoeffding"),
        (
            (f"{one['n']:,}", f"{one['errors']:,}",
             *(words.amount(one[form]) for form in ("binomial", "kl", "hoeffding")))
            for one in facts["by_n"]
        ),
    )  # fmt: skip
    origin = facts["made"]
    render.show(f"{origin['seconds']:,.0f} s on {origin['machine']}.")
    render.show(words.largest(facts))
    render.show(words.promise(facts))
    render.show(
        "It speaks of inputs drawn as the training ones were, not of shifted data, and of the "
        "network in this file only."
    )


def _show_check(facts: Json) -> None:
    from reports.generalization import words

    _show_errors(
        facts, f"{facts['net']} in {facts['bytes']:,} bytes", facts["errors"], facts["test_errors"]
    )
    rows = [
        {**row, "all": words.amount(row["value"]), "half": None,
         "subject": "the network in the file"}
        for row in facts["bounds"]
    ]  # fmt: skip
    _show_bounds(rows, facts["delta"])
    render.show(
        f"{facts['bits']:,} bits of the file"
        + (f" and {facts['choice_bits']:.1f} for rules and search" if facts["choice_bits"] else "")
        + f"; sha256 {facts['sha256']}; {facts['seconds']:.0f} s."
    )
    origin = "as published" if facts["data_known"] else "not known to be the published ones"
    render.show(
        f"Counted on {facts['n']:,} training inputs of {facts['data']}, {origin}; sha256 of inputs "
        f"and targets {facts['data_sha256']}."
    )
    if facts["distinct"] < facts["n"]:
        render.show(
            f"WARNING: only {facts['distinct']:,} of them are distinct. The bound takes them for "
            "independent draws; where they repeat for another reason it means nothing."
        )
    render.show(words.promise(facts))


def _only_searching(**given: object) -> None:
    for option, value in given.items():
        if value is not None:
            raise ValueError(
                f"{'NET' if option == 'net' else '--' + option} says how to find a file; --verify "
                "reads a finished one: leave it out"
            )


def command(
    net: Annotated[
        str | None,
        typer.Argument(
            help="An architecture, as lenet-5, oriented:28,4,8,10, compact:28,6,10 or dense:64,10; "
            "the usual one of the data if unset."
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="digits or mnist.")] = "digits",
    delta: Annotated[
        float, typer.Option(help="Probability with which a bound may fail, over the training set.")
    ] = 0.05,
    keep: Annotated[
        str | None, typer.Option(help="Fractions of weights to try, as 0.04,0.025.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Numbers of values that a weight may take, as 5,9.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Pruning methods to try, as sipp-det,magnitude; or none.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the trained network and finished candidates, taken up again."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Write the compressed network with the least bound here.")
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            help="Train nothing: decode this compressed network, count its errors on all training "
            "inputs, and say what that certifies."
        ),
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="With --verify: charge a search among so many files, as `sipp generalize` does. "
            "Not needed for the bound to hold, which it does for all files at once."
        ),
    ] = None,
    threads: options.Threads = 1,
    jobs: options.Jobs = None,
    data_dir: options.DataDir = None,
    json: options.Json = False,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
) -> None:
    """Certify a pruned network's error on new inputs, from the bits of a file that decodes to it.

    Candidates are pruned, trained on few levels, written and read back; the file with the least
    bound is taken. Exit code 1: the certified bound (GN-3) is vacuous.
    """
    networks.device(device)
    folder = inputs.data_folder(data_dir)
    if verify is not None:
        _only_searching(
            net=net, keep=keep, levels=levels, method=method, store=store, file=file, jobs=jobs
        )
    elif candidates is not None:
        raise ValueError("--candidates is counted by a search itself; give it with --verify only")
    if not 1 <= threads <= options.MOST_THREADS:
        raise ValueError(
            f"--threads must be at least 1 and at most {options.MOST_THREADS}; found {threads}"
        )
    sources = {"--verify": verify, "--store": store, "--data-dir": folder}
    places.check({"--out": out, "--file": file}, sources)

    if verify is not None:
        from reports.generalization import verify as check

        facts = check(
            verify, data, delta=delta, candidates=1 if candidates is None else candidates,
            data_dir=folder, device=device, threads=threads,
        )  # fmt: skip
    else:
        chosen = {"keep": keep, "levels": levels, "method": method}
        typed = " ".join(
            [f"sipp generalize{'' if net is None else f' {net}'} --data {data} --delta {delta:g}"]
            + [f"--{name} {words}" for name, words in chosen.items() if words is not None]
            + [f"--seed {seed} --threads {threads}"]
            + ([f"--device {device}"] if device != "cpu" else [])
        )
        if file is None:
            render.note("the network itself is not kept; --file FILE.sipp keeps it")
        facts = _searched(
            net=net, data=data, delta=delta, keeps=_list("--keep", keep, float),
            levels=_list("--levels", levels, int), methods=_list("--method", method, str),
            folder=store, data_dir=folder, seed=seed, threads=threads, jobs=jobs, device=device,
            command=typed, file=file,
        )  # fmt: skip
    if out is not None:
        render.write_json(out, facts)
    if json:
        render.show_json(facts)
    else:
        (_show if verify is None else _show_check)(facts)
    if facts["bounds"][0]["vacuous"]:
        raise typer.Exit(edge.UNMET)


def _searched(*, file: Path | None, **options: Any) -> Json:
    from reports.generalization import generalize

    with render.progress() as progress:
        result = generalize(**options, progress=progress)
    if file is not None:
        result.file.save(file)
    return result.summary()
