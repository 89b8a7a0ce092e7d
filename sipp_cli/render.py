"""What is shown: tables, notes, JSON and progress bars. Nothing is computed here."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Callback = Callable[[int, int, str], None]

# Off a terminal there is no width to fit; columns must not be cut there.
FILE_WIDTH = 160


def plain(value: Any) -> Any:
    """Turn a result into what JSON knows.

    JSON has no infinite numbers: they become the strings "inf", "-inf" and "nan", which float()
    reads back. Keys become strings, tuples and arrays lists, paths text.
    """
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


# Where JSON goes while stdout is another's.
_stdout: list[TextIO] = []


@contextmanager
def json_alone(active: bool) -> Iterator[None]:
    """Run a block in which stdout takes `show_json` alone; what else is printed goes to stderr."""
    if not active:
        yield
        return
    _stdout.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
        sys.stdout.flush()
    finally:
        _stdout.pop()


def show_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    text = json.dumps(plain(value), indent=2, allow_nan=False)
    typer.echo(text, file=_stdout[-1] if _stdout else None)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document, whole or not at all."""
    from sipp_core.runtime import write_atomically

    text = json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def number(value: float | int | None) -> str:
    """Write a number for people: grouped if whole, four digits otherwise, a dash for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(float(value))
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"


class _Console(Console):
    """A console that leaves it to the edge of the program what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _console() -> Console:
    console = _Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console = _Console(file=sys.stdout, highlight=False, width=FILE_WIDTH)
    return console


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout; columns that begin with '<' are text and flush left."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        text = column.startswith("<")
        table.add_column(column.removeprefix("<"), justify="left" if text else "right")
    for row in rows:
        # A file name with brackets is no markup.
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    _console().print(table)


def show(line: str) -> None:
    """Print one line of text on stdout, never cut or broken."""
    typer.echo(line)


def note(line: str) -> None:
    """Say something about the run on stderr, where it disturbs no reader of the result."""
    typer.echo(f"note: {line}", err=True)


@contextmanager
def progress() -> Iterator[Callback | None]:
    """Draw a progress bar on stderr while the block runs, if stderr is a terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=None)

        def update(done: int, total: int, what: str) -> None:
            # A total of 0 means that it is unknown.
            bars.update(task, description=what, completed=done, total=total or None)

        yield update
