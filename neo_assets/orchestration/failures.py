"""What went wrong, told to Dagster: the one place that maps our errors to `Failure`, and says whether the step or the
run may be retried.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg
from sqlalchemy.exc import DBAPIError

from neo_assets.lake.storage import LakeError
from neo_assets.sources.neows.budget import BudgetError
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing

_RUN_RETRY = "dagster/retry_on_asset_or_op_failure"
"""The tag of a run by which Dagster's run retries go (https://docs.dagster.io/deployment/execution/run-retries)."""


class StateUnwritable(Exception):
    """Dagster's own state cannot be read or written."""


class WrongConfig(Exception):
    """What a run was told cannot be; the message names the field."""


class NotComputed(Exception):
    """What landed is stored, and some of it could not be counted."""


EXPECTED = (LakeError, BudgetError, NeoWsError, NotComputed, PagesMissing, StateUnwritable, WrongConfig)
"""What can go wrong without anything being wrong with the program; the message alone tells enough."""


@contextlib.contextmanager
def told_to_dagster() -> Iterator[None]:
    """Around what a step does: turns our errors into a Dagster `Failure` of one clear line.

    One that trying again cannot help is retried neither by the step's retry policy nor by the instance's run retries;
    a run that crashes is another matter, and is.
    """
    try:
        yield
    except EXPECTED as error:
        may_retry = getattr(error, "retryable", False)
        if not may_retry:
            _forbid_run_retry(dg.OpExecutionContext.get())
        raise dg.Failure(str(error), allow_retries=may_retry) from error


def _forbid_run_retry(context: dg.OpExecutionContext) -> None:
    # Where nothing retries runs nothing need be forbidden, nor written: the disk may be what is full.
    if context.instance.run_retries_enabled:
        with contextlib.suppress(DBAPIError):  # what went wrong first is what is to be told
            context.instance.add_run_tags(context.run_id, {_RUN_RETRY: "false"})
