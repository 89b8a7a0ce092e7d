"""The `sipp` command: thin, and without torch until a command needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipp_core.runtime import lazily

if TYPE_CHECKING:
    from sipp_cli.main import run

__all__ = ["run"]

# Loading the commands takes a while, in which a program must be able to end.
__getattr__ = lazily(__name__, {"main": "run"})
