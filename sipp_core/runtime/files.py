"""The one reader and the one writer of files: read once, written whole or not at all.

What stands at the place of a new file decides how it is written: a regular file is replaced and
keeps its mode, a link is followed, a device or a pipe is written to and never replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where stale files of a killed process stay
    fcntl = None

PathOrName = str | PathLike[str]
_BLOCK = 1 << 24


def read_bytes(path: PathOrName, what: str = "file", *, most: int | None = None) -> bytes:
    """Read a regular file once, so that a concurrent save cannot mix two contents.

    Args:
        path: the file.
        what: what it is to be, for the message.
        most: largest size in bytes; None for any.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read, or is a folder, a device or a pipe.
        ValueError: it is larger than `most`.

    Example:
        >>> read_bytes("no/such/file", "saved network")
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no saved network at no/such/file
    """
    place = Path(path)
    # A pipe without a writer must not keep us waiting.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(place, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"there is no {what} at {place}") from error
    except OSError as error:
        raise type(error)(error.errno, f"cannot read: {error.strerror}", str(place)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{place} is no regular file; give the {what} as a file")
    try:
        with open(descriptor, "rb") as file:
            if most is None:
                return file.read()
            content = file.read(most + 1)
    except OSError as error:
        raise type(error)(error.errno, f"cannot read: {error.strerror}", str(place)) from error
    if len(content) > most:
        raise ValueError(f"{place} is larger than the {most:,} bytes that are read of a {what}")
    return content


def write_atomically(path: PathOrName, content: bytes) -> Path:
    """Write a file so that a reader sees the old content or the new one, never a part.

    A file that is there keeps its mode; a link keeps pointing where it does, and that file is
    written; a device or a pipe is written to as it is. What a killed writer of the same file left
    behind is removed.

    Args:
        path: where; the folder is made if needed.
        content: the bytes.

    Returns:
        The path.

    Raises:
        PermissionError: the file is there and is not writable.
        OSError: the folder cannot be made or written to; the file is named, and no partial file is
            left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder) / "a" / "b.txt", b"x").read_bytes()
        b'x'
    """
    target = Path(path)
    try:
        _write(target, content)
    except OSError as error:
        reason = error.strerror or str(error)
        text = f"cannot write {target}: {reason}; choose another folder"
        refused: OSError = (
            PermissionError(text) if isinstance(error, PermissionError) else OSError(text)
        )
        refused.errno = error.errno
        raise refused from error
    return target


def _write(target: Path, content: bytes) -> None:
    # What a link points to is written, whether it is there or not.
    place = Path(os.path.realpath(target))
    if place.is_symlink():
        raise OSError(errno.ELOOP, "it is a link that leads to itself")
    status = place.stat() if place.exists() else None
    if status is not None and not stat.S_ISREG(status.st_mode):
        if not (stat.S_ISCHR(status.st_mode) or stat.S_ISFIFO(status.st_mode)):
            raise OSError("it is a folder, a disk or a socket, no file")
        with open(place, "wb", buffering=0) as device:
            for start in range(0, len(content), _BLOCK):
                _write_all(device.fileno(), content[start : start + _BLOCK])
        return
    if status is not None and not (status.st_mode & 0o222 and os.access(place, os.W_OK)):
        raise PermissionError("it is there and may not be written to")
    place.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(place) as (descriptor, name):
        _write_all(descriptor, content)
        os.fsync(descriptor)
        if status is not None:
            with contextlib.suppress(OSError):  # another's file; its mode comes last
                os.chown(name, status.st_uid, status.st_gid)
            os.chmod(name, stat.S_IMODE(status.st_mode))
        os.replace(name, place)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextlib.contextmanager
def _temporary(place: Path) -> Iterator[tuple[int, str]]:
    """A new file beside the place, with the mode of any new file; gone unless it was renamed.

    Its writer holds a lock on it, so that others can tell it from what a killed one left.
    """
    _remove_stale(place)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        name = str(place.parent / f"{_prefix(place)}{os.urandom(6).hex()}")
        try:
            descriptor = os.open(name, flags, 0o666)
        except FileExistsError:
            continue
        if _is_ours(descriptor) and os.path.exists(name):
            break
        # Another writer took it for a stale one before it was locked, and removes it.
        os.close(descriptor)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _is_ours(descriptor: int) -> bool:
    """Lock a file; False where another holds it. A file system may have no locks."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True


def _prefix(place: Path) -> str:
    # A name may have 255 bytes; what is cut off only makes two files share what is stale.
    return f".{place.name[:60]}.tmp-"


def _remove_stale(place: Path) -> None:
    """Remove what killed writers of the same file left: files without a lock."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        for entry in os.scandir(place.parent):
            if not (entry.name.startswith(_prefix(place)) and entry.is_file(follow_symlinks=False)):
                continue
            with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)


def refuse_overwriting(
    outputs: Mapping[str, PathOrName | None], sources: Mapping[str, PathOrName | None]
) -> None:
    """Refuse to write where something is read from, or two things to one place.

    Two names of one file are found by device and inode.

    Args:
        outputs: places to write to, by what to call them; None where nothing is written.
        sources: files that are read, or folders of them, by what to call them.

    Raises:
        ValueError: two of them are one file.

    Example:
        >>> refuse_overwriting({"--out": "a.npy"}, {"--data": "./a.npy"})
        Traceback (most recent call last):
        ...
        ValueError: --out a.npy is the file that --data reads; write to another place
    """
    written: dict[object, str] = {}
    for option, path in outputs.items():
        if path is None or _is_special(path):
            continue
        here = _identity(path)
        if here in written:
            raise ValueError(
                f"{written[here]} and {option} would both be written to {path}; name two files"
            )
        written[here] = option
        for other, source in sources.items():
            if source is not None and (here == _identity(source) or _within(path, source)):
                raise ValueError(
                    f"{option} {path} is the file that {other} reads; write to another place"
                )


def _is_special(path: PathOrName) -> bool:
    place = Path(path)
    return place.exists() and not (place.is_file() or place.is_dir())


def _identity(path: PathOrName) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _within(path: PathOrName, folder: PathOrName) -> bool:
    """Whether a path is a file that is there, in a folder that is read."""
    place = Path(os.path.realpath(path))
    return (
        place.is_file() and os.path.isdir(folder) and place.is_relative_to(os.path.realpath(folder))
    )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Run a block while no other process is in one of the same path; where there are no locks, run.

    A process that dies lets go.

    Args:
        path: a file, which need not be there; a lock file is made beside it.

    Returns:
        A context manager.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place, alone(Path(place) / "net"):
        ...     pass
    """
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(path.name + ".lock"), "wb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
