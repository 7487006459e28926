"""`NEO_LOG=json` for `neo`: standard error has one line of JSON for each message, whichever way a command prints it.
Standard output remains the command's result. How a line is formed is decided in `logs`.
"""

import contextlib
import io
import logging
import sys

from neo_assets import logs
from neo_assets.cli import stopping
from neo_assets.settings import Settings, SettingsError

logger = logging.getLogger(__name__)


class _Noted(io.TextIOBase):
    """A standard error whose lines are logged. It is no terminal, so nothing draws a progress bar on it."""

    def __init__(self) -> None:
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                logger.info("%s", line.strip())
        return len(text)


def begin_if_set() -> None:
    """Log as lines of JSON from now on, if the settings say so. Wrong settings are up to the command."""
    with contextlib.suppress(SettingsError):
        if Settings.load().log == "json" and not logs.are_json():
            logs.as_json()
            for handler in logging.getLogger().handlers:  # as in text, libraries are not heard after Ctrl-C
                handler.addFilter(lambda record: record.name == __name__ or not stopping.was_pressed())
            sys.stderr = _Noted()


def log_error(message: str, *, unexpected: bool = False) -> bool:
    """Log the error that ends a command, if messages are logged.

    Args:
        message: what is wrong.
        unexpected: it is an error of `neo`; its traceback is logged, too.

    Returns:
        Whether it was logged. If not, it is to be printed.
    """
    if logs.are_json():
        logger.error("%s", message, exc_info=unexpected)
    return logs.are_json()
