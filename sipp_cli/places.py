"""Places that a command writes to, looked at before any work is done."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path


def check(outputs: Mapping[str, Path | None], sources: Mapping[str, Path | str | None]) -> None:
    """Refuse places that cannot be written to, and those that hold what the command reads.

    Args:
        outputs: files to write, by the names of their options; None where nothing is written.
        sources: files that are read, or folders of them, by the names of theirs.
    """
    from sipp_core.runtime import refuse_overwriting

    for path in outputs.values():
        if path is not None:
            refuse_unwritable(path, folder=False)
    refuse_overwriting(outputs, sources)


def refuse_unwritable(path: Path, *, folder: bool) -> None:
    """Refuse a place that cannot be written to, before any work; nothing is left behind there."""
    if not folder and path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    if not folder and path.exists():
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            return  # written to as it is
        if not mode & 0o222:
            raise PermissionError(f"cannot write {path}: it is there and may not be written to")
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise OSError(f"cannot write to {path}: {place}: {error.strerror or error}") from error
