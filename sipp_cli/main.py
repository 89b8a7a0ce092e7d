"""The command line `sipp`: what commands there are, and how a call of one ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from sipp_cli.commands import (
    bench,
    bounds,
    certify,
    check,
    compress,
    decompress,
    diff,
    export,
    generalize,
    prune,
    prune_sharded,
    report,
    simulate,
    sparsest,
    svm,
    validate,
    verify,
)
from sipp_cli.edge import Edge

__all__ = ["run"]

app = typer.Typer(
    name="sipp",
    cls=Edge,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    prune, prune_sharded, certify, sparsest, compress, decompress, bounds, check, report,
    validate, generalize, bench, verify, diff, simulate, export,
):  # fmt: skip
    _name = _command.__name__.rpartition(".")[2].replace("_", "-")
    app.command(_name, cls=getattr(_command, "Command", None))(_command.command)
app.add_typer(svm.app, name="svm")


def _show_version(show: bool) -> None:
    if not show:
        return
    import importlib.metadata  # slow to load

    try:
        version = importlib.metadata.version("sipp-theory")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    typer.echo(f"sipp-theory {version}")
    raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Prune neural networks with guarantees, and check every bound behind them.

    Exit codes: 0 fine, 1 a guarantee is vacuous or violated, 2 usage or bad input, 130 interrupted.
    SIPP_DEBUG=1 in the environment shows where in the code a refusal comes from.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one `sipp` command and tell how it ended.

    Exit codes: 0 fine, 1 a guarantee is vacuous or violated, 2 usage or bad input, 70 a fault of
    our own (with a traceback), 130 interrupted.

    Args:
        arguments: the words after `sipp`; None takes those of the process.

    Returns:
        The exit code.

    Raises:
        Nothing: errors go to stderr and set the exit code.

    Example:
        >>> run(["bounds", "--kind", "kl", "--sensitivity-sum", "1", "--eps", "0.1", "--json"])
        {...}
        0
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="sipp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
