"""How our errors become Dagster failures, and whether a step or a run may be retried after them. The errors themselves
are defined where they arise.
"""

import contextlib
from collections.abc import Iterator

import dagster as dg
from sqlalchemy.exc import DBAPIError

from neo_assets.lake.storage import LakeError
from neo_assets.pipeline.metrics.contract import EngineError
from neo_assets.products.postgres import PostgresError
from neo_assets.products.requests import ReportFailed
from neo_assets.products.requests_database import RequestsUnusable
from neo_assets.sources.neows.budget import BudgetError
from neo_assets.sources.neows.errors import NeoWsError, PagesMissing

_RUN_RETRY = "dagster/retry_on_asset_or_op_failure"
"""Tag that allows or forbids Dagster's run retries (https://docs.dagster.io/deployment/execution/run-retries)."""


class StateUnusable(Exception):
    """Dagster's own state cannot be used: unreadable, unwritable, corrupt, wrongly configured, or another lake's."""


class WrongConfig(Exception):
    """A run is launched with config that is not allowed, or without a page set; the message says what is allowed."""


EXPECTED = (
    *(LakeError, EngineError, BudgetError, NeoWsError, PagesMissing, PostgresError, StateUnusable, WrongConfig),
    *(RequestsUnusable, ReportFailed),
)
"""Errors that are not bugs: the message alone explains what to do."""


@contextlib.contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn an expected error inside a step into a Dagster `Failure` of one line.

    If a retry cannot help, neither the step's retry policy nor the instance's run retries apply. Crashed runs are not
    affected: they may be retried.
    """
    try:
        yield
    except EXPECTED as error:
        may_retry = getattr(error, "retryable", False)
        if not may_retry:
            _forbid_run_retry(dg.OpExecutionContext.get())
        raise dg.Failure(str(error), allow_retries=may_retry) from error


def _forbid_run_retry(context: dg.OpExecutionContext) -> None:
    # If the instance never retries runs, write nothing: the failure may be a full disk.
    if context.instance.run_retries_enabled:
        with contextlib.suppress(DBAPIError, StateUnusable):  # the first error is the one to report
            context.instance.add_run_tags(context.run_id, {_RUN_RETRY: "false"})
