"""What `neo` shows of long work, on standard error: a bar of the pages that arrive, and lines above it. What the lines
say is up to `runner`.
"""

import contextlib
import logging
import sys
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from tqdm import tqdm

from neo_assets.logs import are_json
from neo_assets.schema.pages import Page
from neo_assets.settings import Settings
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets.sources.neows.source import NeoWs


class Watched(NeoWs):
    """The source of pages, with a progress bar. Counts the pages fetched."""

    bar: "tqdm[Any]"

    def __init__(self, settings: Settings, policy: RetryPolicy) -> None:
        super().__init__(settings, policy)
        self.fetched = 0
        """Number of pages fetched so far."""

    def pages(self, numbers: Iterable[int]) -> Generator[Page, None, None]:
        """Fetch Browse pages like `NeoWs.pages`, and show each one that was taken."""
        with contextlib.closing(super().pages(numbers)) as pages:
            for page in pages:
                yield page
                self.fetched += 1  # the consumer has taken it, and is storing it
                self.bar.update()


@contextlib.contextmanager
def shown(neows: Watched) -> Iterator[None]:
    """Show the pages that arrive, and the package's warnings of waits and retries; Dagster's UI shows these too."""
    # The bar appears only on a terminal, the lines above it everywhere.
    with tqdm(total=0, unit="page", disable=None, leave=False) as neows.bar:
        if not are_json():
            _LOGGER.addHandler(_WARNINGS)
        try:
            yield
        finally:
            _LOGGER.removeHandler(_WARNINGS)


def say(line: str) -> None:
    """Print a line above the bar."""
    tqdm.write(line, file=sys.stderr)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"  {record.getMessage()}")


_LOGGER, _WARNINGS = logging.getLogger("neo_assets"), _Warnings(logging.WARNING)
