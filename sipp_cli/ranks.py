"""One command in many processes, as torchrun starts them: rank 0 speaks and writes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from sipp_core.runtime import Processes

_joined: list[Processes] = []


def rank() -> int:
    """Rank of this process, 0 if it is the only one."""
    return int(os.environ.get("RANK", "0")) if _many() else 0


NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# How long the processes of one launch wait for one another before they share work.
JOIN_SECONDS = 120.0


def check() -> None:
    """Refuse what a launcher's variables cannot be."""
    if not all(name in os.environ for name in NAMES):
        return
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        if not os.environ.get(name, "0").isdecimal():
            raise ValueError(
                f"{name} in the environment must be a whole number, as torchrun sets it; found "
                f"{os.environ[name]!r}"
            )
    if int(os.environ["RANK"]) >= max(1, int(os.environ["WORLD_SIZE"])):
        raise ValueError(
            f"RANK in the environment must be below WORLD_SIZE; found {os.environ['RANK']} and "
            f"{os.environ['WORLD_SIZE']}"
        )


def _many() -> bool:
    numbers = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    given = all(name in os.environ for name in NAMES) and all(map(str.isdecimal, numbers))
    return given and int(os.environ["WORLD_SIZE"]) > 1


def device(name: str) -> str:
    """Share out the GPUs of a machine: a plain 'cuda' is each process's own."""
    if name != "cuda" or not _many():
        return name
    import torch

    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % max(1, torch.cuda.device_count())}"


def join() -> None:
    """Join the group of processes that a launcher started, if one did.

    Gloo carries GPU runs too: statistics cross once, it names a dead process at once where NCCL
    waits for its timeout and ends the process, and several ranks may share one GPU.
    """
    if not _many():
        return
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    from sipp_core.runtime import process_group

    wait = timedelta(seconds=JOIN_SECONDS)
    try:
        shared, rank, size = next(rendezvous("env://", timeout=wait))
        # A launcher that restarts keeps its store, with where the dead of an earlier start were.
        start = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"sipp/{start}", shared)
        store.set(str(rank), "here")
        for other in range(size):
            store.wait([str(other)], wait)
    except (RuntimeError, ConnectionError) as error:
        raise ConnectionError(
            f"not all {os.environ['WORLD_SIZE']} processes came within {JOIN_SECONDS:.0f} s: one "
            "has ended, or was never started. Start all of them again"
        ) from error
    store.set_timeout(dist.default_pg_timeout)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
    group = process_group()
    assert group is not None
    _joined.append(group)


def only_first(step: Callable[[], object]) -> None:
    """Do something in one process; where it fails, all of them end the same way."""
    if _joined:
        _joined[-1].only_first(step)
    else:
        step()


def share(model: nn.Module) -> None:
    """Give every process the parameters and buffers that rank 0 has."""
    if _joined:
        for tensor in model.state_dict().values():
            tensor.copy_(_joined[-1].from_first(tensor))


def reported_elsewhere(error: BaseException) -> bool:
    """Whether rank 0 reports the same error, so that this process need not."""
    return rank() != 0 and getattr(error, "on_every_rank", False)


def leave(together: bool) -> None:
    """Leave the group; together, so that rank 0 reports before a launcher sees a failure."""
    if not _joined:
        return
    import torch.distributed as dist

    group = _joined.pop()
    if together:
        with contextlib.suppress(ConnectionError):
            group.count(1)
    dist.destroy_process_group()


def end(code: int) -> None:
    """End a process of a launch at once, with all that it wrote; one alone goes on.

    Threads of gloo that outlive their group abort a process while Python is taken down
    (pytorch#190489), and the launcher then ends the others too.
    """
    if not _many():
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
