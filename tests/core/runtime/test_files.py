"""One reader and one writer: nothing is lost, replaced by mistake, opened up or left behind."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sipp_core.runtime import files
from sipp_core.runtime.files import read_bytes, refuse_overwriting, write_atomically

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_file_that_may_not_be_written_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"cannot write .*net: it is there and may not"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


@posix
def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "a" / "net", tmp_path / "link", tmp_path / "dangling"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "not" / "yet")
    for path in (link, dangling):
        write_atomically(path, b"new")
        assert path.is_symlink() and path.read_bytes() == b"new"
    assert target.read_bytes() == b"new" and (tmp_path / "not" / "yet").is_file()


@posix
def test_a_device_and_a_pipe_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    before = os.stat("/dev/null")
    write_atomically("/dev/null", b"x" * 100)
    assert os.stat("/dev/null").st_rdev == before.st_rdev
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"y" * 300_000)
    reader.join()
    assert got == [b"y" * 300_000] and stat.S_ISFIFO(pipe.stat().st_mode)


@posix
def test_a_pipe_and_a_folder_are_no_files_to_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=f"{path} is no regular file"):
            read_bytes(path, "network")
    with pytest.raises(FileNotFoundError, match="there is no network at .*absent"):
        read_bytes(tmp_path / "absent", "network")
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(ValueError, match="larger than the 10 bytes"):
        read_bytes(tmp_path / "large", most=10)
    assert read_bytes(tmp_path / "large", most=11) == bytes(11)


def test_a_full_disk_is_said_with_the_files_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(OSError, match="cannot write .*net: No space left"):
        write_atomically(tmp_path / "net", b"x")
    assert not list(tmp_path.iterdir())


@posix
def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(_: int) -> int:
        raise AssertionError

    monkeypatch.setattr(os, "umask", touched)
    write_atomically(tmp_path / "net", b"x")


KILLED = """
import os, signal, sys
from sipp_core.runtime import files
files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomically(sys.argv[1], b"half")
"""


@pytest.mark.skipif(files.fcntl is None, reason="no locks")
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "net", b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == b"old"
    with files._temporary(path) as (descriptor, living):  # another process at work
        os.write(descriptor, b"other")
        write_atomically(path, b"new")
        assert Path(living).read_bytes() == b"other"
    assert [p.name for p in tmp_path.iterdir()] == ["net"] and path.read_bytes() == b"new"


def test_threads_that_write_one_file_leave_one_of_their_contents(tmp_path: Path) -> None:
    contents = [bytes([k]) * 50_000 for k in range(8)]
    path = tmp_path / "net"
    threads = [threading.Thread(target=write_atomically, args=(path, c)) for c in contents]
    for thread in threads:
        thread.start()
    seen = {read_bytes(path) for _ in range(50) if path.exists()}
    for thread in threads:
        thread.join()
    assert seen <= set(contents) and read_bytes(path) in contents
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


@posix
def test_a_new_file_that_another_writer_takes_for_stale_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, sync, taken = files.fcntl.flock, os.fsync, list[str]()

    def taken_at_first(descriptor: int, how: int) -> None:
        if not taken:
            (name,) = os.listdir(tmp_path)
            taken.append(name)
            raise BlockingIOError
        lock(descriptor, how)

    def removed_meanwhile(descriptor: int) -> None:
        (tmp_path / taken[0]).unlink()
        sync(descriptor)

    monkeypatch.setattr(files.fcntl, "flock", taken_at_first)
    monkeypatch.setattr(os, "fsync", removed_meanwhile)
    assert write_atomically(tmp_path / "net", b"new").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_what_is_read_is_not_written(tmp_path: Path) -> None:
    source, folder = tmp_path / "in.npy", tmp_path / "data"
    source.write_bytes(b"x")
    folder.mkdir()
    (folder / "train").write_bytes(b"y")
    os.link(source, tmp_path / "hard")
    (tmp_path / "soft").symlink_to(source)
    for name in ("in.npy", "hard", "soft", "./data/../in.npy"):
        with pytest.raises(ValueError, match="--out .* is the file that --data reads"):
            refuse_overwriting({"--out": tmp_path / name}, {"--data": source})
    with pytest.raises(ValueError, match="is the file that --data-dir reads"):
        refuse_overwriting({"--out": folder / "train"}, {"--data-dir": folder})
    with pytest.raises(ValueError, match="--a and --b would both be written"):
        refuse_overwriting({"--a": tmp_path / "new", "--b": tmp_path / "data/../new"}, {})
    refuse_overwriting({"--a": "/dev/null", "--b": "/dev/null", "--c": None}, {"--data": source})
    refuse_overwriting({"--out": folder / "new", "--c": tmp_path / "other"}, {"--data": folder})
