"""How `neo` ends on Ctrl-C: with one line and exit code 130, whenever it is pressed.

Commands do their own cleanup. This module imports almost nothing, because Ctrl-C before it
is loaded still ends in a traceback.
"""

import os
import signal
import sys
from typing import NoReturn

EXIT_CODE = 130
"""What a shell reports for a program that Ctrl-C ended."""

_TEXT = "Stopped. Everything stored so far is kept; run the same command again to continue."

_pipe: list[int] = []
"""File descriptors: where the number of each signal can be read, and where Python writes it. Empty before `note`."""

_signals: set[int] = set()


def note() -> None:
    """Note each Ctrl-C from now on, also one that Dagster or another library keeps to itself."""
    _pipe.extend(os.pipe())
    for end in _pipe:
        os.set_blocking(end, False)
    signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)


def was_pressed() -> bool:
    """Whether Ctrl-C was pressed since `note`."""
    try:
        if _pipe:
            _signals.update(os.read(_pipe[0], 4096))
    except BlockingIOError:  # nothing new
        pass
    return signal.SIGINT in _signals


def say() -> None:
    """Print the line; on a terminal below the `^C`."""
    if sys.stderr:  # it may be closed
        print("\n" * sys.stderr.isatty() + _TEXT, file=sys.stderr)


def ignore() -> None:
    """Ignore Ctrl-C from now on, as the work is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def leave(code: int) -> NoReturn:
    """End this process at once. What it holds is left to the system: Python takes 0.8 s to free what Dagster made."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # either may be closed
        try:
            stream.flush()
        except (OSError, ValueError):  # what it goes to is full, or closed
            code = code or 1
    os._exit(code)
