"""Before the command line is loaded: an interrupt ends the program at once, without a traceback."""

from __future__ import annotations

import os
import signal
import threading

INTERRUPTED = 130


def leave(*_: object) -> None:
    """End the process: nothing is half done as yet, and an import would swallow an exception."""
    os.write(2, b"sipp: interrupted\n")
    os._exit(INTERRUPTED)


def expect_interrupts() -> None:
    """From now on an interrupt ends the process, unless another way of ending it is set up."""
    ours = threading.current_thread() is threading.main_thread()
    if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave)
