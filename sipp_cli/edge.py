"""The edge of the program: every failure leaves it as one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from sipp_cli import ranks

DEBUG_VARIABLE = "SIPP_DEBUG"
UNMET, USAGE, FAULT, INTERRUPTED = 1, 2, 70, 130


def one_line(error: BaseException) -> str:
    """Say what went wrong in one line that names the culprit."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


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
                result = super().invoke(ctx)
            except BaseException as error:
                together = isinstance(error, typer.Exit) or getattr(error, "on_every_rank", False)
                self._end(ctx, error)
            together = True
            return result
        finally:
            ranks.leave(together)

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
            raise  # the reader went away; typer ends quietly
        except (ValueError, TypeError, OSError) as error:
            if os.environ.get(DEBUG_VARIABLE):
                traceback.print_exc()
            if not ranks.told_elsewhere(error):
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
