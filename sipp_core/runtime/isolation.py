"""A call that what surrounds it does not change, and that changes nothing around it.

Hooks, modes and precision switches belong to a model or to the whole process, so two threads that
run models through this library take turns.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import numpy as np
import torch

P = ParamSpec("P")
R = TypeVar("R")

# What numpy may do of an error that does not end a call of ours.
QUIET = ("ignore", "warn")
_TURN = threading.RLock()
# The device that the caller made torch's default, which the caller's own model may count on.
_users_device: ContextVar[torch.device | None] = ContextVar("_users_device", default=None)


@contextmanager
def isolation() -> Iterator[None]:
    """Run a block with numpy's own handling of errors, tensors on the CPU, and no inference mode.

    One thread at a time; others wait.

    Example:
        >>> with np.errstate(all="raise"), isolation():
        ...     float(np.float64(1e-308) / 1e10)
        1e-318
    """
    with ExitStack() as stack:
        stack.enter_context(_TURN)
        loud = [kind for kind, what in np.geterr().items() if what not in QUIET]
        usual = {kind: "ignore" if kind == "under" else "warn" for kind in loud}
        stack.enter_context(np.errstate(**usual))  # pyright: ignore[reportArgumentType]
        stack.enter_context(torch.inference_mode(False))
        device = torch.get_default_device()
        if device.type != "cpu":
            token = _users_device.set(device)
            stack.callback(_users_device.reset, token)
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def as_the_user_has_it() -> Iterator[None]:
    """Run a block, a forward pass of the user's model, with the user's own default device.

    Example:
        >>> with torch.device("meta"), isolation(), as_the_user_has_it():
        ...     torch.ones(1).device
        device(type='meta')
    """
    device = _users_device.get()
    if device is None:
        yield
    else:
        with device:
            yield


def isolated(function: Callable[P, R]) -> Callable[P, R]:
    """Make every call of a function one in isolation.

    Example:
        >>> with torch.device("meta"):
        ...     isolated(torch.ones)(1).device
        device(type='cpu')
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with isolation():
            return function(*args, **kwargs)

    return call
