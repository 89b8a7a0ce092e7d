"""The `sipp` command: thin, and without torch until a command needs it."""

from sipp_cli.main import run

__all__ = ["run"]
