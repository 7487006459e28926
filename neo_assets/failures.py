"""What went wrong, told to Dagster: the one place that maps our errors to `Failure` and decides whether a retry is
allowed.
"""

import contextlib
from collections.abc import Iterator, Mapping

import dagster as dg

from neo_assets.lake.storage import LakeError
from neo_assets.neows.budget import BudgetError
from neo_assets.neows.errors import NeoWsError
from neo_assets.words import counted, some


class StateUnwritable(Exception):
    """Dagster's own state cannot be read or written."""


class PagesMissing(Exception):
    """Some pages of a set could not be had; those that could are kept."""

    def __init__(self, failed: Mapping[int, NeoWsError], asked: int) -> None:
        """`failed`: the pages with their errors; `asked`: how many were asked for."""
        self.errors = list(failed.values())
        kept = ", the others were stored" if asked > len(failed) else ""
        self.summary = f"{len(failed)} of {counted(asked, 'page')} could not be had{kept}"
        pages = some(list(failed), most=5)
        super().__init__(f"{self.summary} (page {pages}): {self.errors[0]}")

    @property
    def concerns_all(self) -> bool:
        """Whether other page sets will fail in the same way."""
        return any(error.concerns_all for error in self.errors)

    @property
    def retryable(self) -> bool:
        """Whether a later attempt may help."""
        return any(error.retryable for error in self.errors)


EXPECTED = (LakeError, BudgetError, NeoWsError, PagesMissing, StateUnwritable)
"""What can go wrong without anything being wrong with the program; the message alone tells enough."""


@contextlib.contextmanager
def told_to_dagster() -> Iterator[None]:
    """Turn our errors into a Dagster `Failure` of one clear line, which is retried only where that can help."""
    try:
        yield
    except EXPECTED as error:
        raise dg.Failure(str(error), allow_retries=getattr(error, "retryable", False)) from error
