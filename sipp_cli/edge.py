"""The edge of the program: every failure leaves it as one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from sipp_cli import ranks, render
from sipp_cli.early import INTERRUPTED, leave

DEBUG_VARIABLE, AS_JSON = "SIPP_DEBUG", "sipp.json"
UNMET, USAGE, FAULT, NOBODY_READS = 1, 2, 70, 141


def one_line(error: BaseException) -> str:
    """Say what went wrong in one line that names the culprit."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Run a block in which no Ctrl-C is lost; gives a function that says whether there was one.

    An interrupt that arrives in a destructor, in a callback of the garbage collector or of a weak
    reference is printed and forgotten, and one during an import becomes an ImportError.
    """
    count, hook = [0], sys.unraisablehook
    again: list[threading.Timer] = []

    def note(number: int, frame: FrameType | None) -> None:
        count[0] += 1
        signal.default_int_handler(number, frame)

    def forgotten(error: sys.UnraisableHookArgs) -> None:
        if not issubclass(error.exc_type, KeyboardInterrupt):
            hook(error)
            return
        again.append(
            threading.Timer(0.05, signal.raise_signal, (signal.SIGINT,))
        )  # later, elsewhere
        again[-1].start()

    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or (
        before not in (signal.default_int_handler, leave)
    ):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = forgotten
    try:
        yield lambda: count[0] > 0
    finally:
        for timer in again:
            timer.cancel()
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Run a block without joblib's warning that it renews a worker that has grown.

    Nothing is lost by it: what the worker was at is handed out again.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        yield


def _is_usage(error: Exception) -> bool:
    # typer carries its parser's exceptions under a private name that differs between versions.
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


class Edge(TyperGroup):
    """Group of commands that turns exceptions into messages and exit codes, in one place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context names; of many processes, all end the same way."""
        together = False
        try:
            try:
                json = ctx.meta.get(AS_JSON, False)
                with interrupts() as interrupted, render.json_alone(json), _quiet():
                    try:
                        ranks.check()
                        result = super().invoke(ctx)
                        sys.stdout.flush()
                    except Exception as error:
                        # What an interrupted import or callback makes of an interrupt.
                        if interrupted() and not isinstance(error, typer.Exit):
                            raise KeyboardInterrupt from error
                        raise
                    if interrupted():
                        raise KeyboardInterrupt
            except BaseException as error:
                together = isinstance(error, typer.Exit) or getattr(error, "on_every_rank", False)
                self._end(ctx, error)
            together = True
            return result
        finally:
            ranks.leave(together)

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Note whether stdout is to hold JSON alone."""
        ctx.meta[AS_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def _end(self, ctx: Any, error: BaseException) -> NoReturn:
        """Say what went wrong and choose the exit code."""
        try:
            raise error
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            self._say(ctx, "interrupted; files are written whole or not at all")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader went away. What is still held back for it must not be tried again.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(NOBODY_READS) from None
        except SystemExit as end:
            self._say(ctx, f"code of yours ended the program, by sys.exit({end.code!r})")
            raise typer.Exit(USAGE) from None
        except (ValueError, TypeError, OSError) as error:
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exc()
            if not ranks.reported_elsewhere(error):
                self._say(ctx, one_line(error))
            raise typer.Exit(USAGE) from None
        except Exception as error:
            if _is_usage(error):
                message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
                self._say(ctx, f"{message} (see --help)")
                raise typer.Exit(USAGE) from None
            # Exit code 1 would read as a broken guarantee.
            traceback.print_exc()
            self._say(ctx, f"internal error, please report it: {one_line(error)}")
            raise typer.Exit(FAULT) from None

    @staticmethod
    def _say(ctx: Any, message: str) -> None:
        command = f"sipp {ctx.invoked_subcommand}" if ctx.invoked_subcommand else "sipp"
        if ranks.rank():
            command += f" (rank {ranks.rank()})"
        sys.stdout.flush()
        typer.echo(f"{command}: {message}", err=True)
