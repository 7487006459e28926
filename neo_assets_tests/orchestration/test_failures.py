"""Our errors as Dagster failures: one line each, and retries only where they can help."""

from collections.abc import Iterator

import dagster as dg
import pytest

from neo_assets.lake.storage import LakeError, LakeUnreachable
from neo_assets.orchestration.failures import WrongConfig, failing_in_one_line
from neo_assets.sources.neows.budget import BudgetError
from neo_assets.sources.neows.errors import (
    KeyRejected,
    NeoWsError,
    NotAPage,
    NotFound,
    Outage,
    PagesMissing,
    Unavailable,
)

MISSING = NotFound("host answered 404")


@pytest.mark.parametrize(
    ("failed", "asked", "message"),
    [
        ({3: MISSING}, 50, "1 of 50 pages could not be fetched, the others were stored (page 3): host answered 404"),
        ({3: MISSING, 9: NotAPage("empty")}, 2, "2 of 2 pages could not be fetched (pages 3, 9): host answered 404"),
        (
            dict.fromkeys(range(7), MISSING),
            8,
            "7 of 8 pages could not be fetched, the others were stored (pages 0, 1, 2, 3, 4, ...): host answered 404",
        ),
    ],
)
def test_missing_pages_are_reported_in_one_line(failed: dict[int, NeoWsError], asked: int, message: str) -> None:
    assert str(PagesMissing(failed, asked)) == message


@pytest.mark.parametrize(
    ("errors", "concerns_all", "retryable"),
    [
        ([MISSING], False, False),
        ([MISSING, NotAPage("")], False, False),
        ([MISSING, KeyRejected("")], True, False),
        ([NotAPage(""), Outage("")], True, True),
    ],
)
def test_missing_pages_are_retryable_if_all_their_errors_are(
    errors: list[NeoWsError], concerns_all: bool, retryable: bool
) -> None:
    error = PagesMissing(dict(enumerate(errors)), 9)
    assert (error.concerns_all, error.retryable) == (concerns_all, retryable)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance that retries every failed run twice, as `run_retries` in `dagster.yaml` can request."""
    with dg.instance_for_test({"run_retries": {"enabled": True, "max_retries": 2}}) as instance:
        yield instance


def run_of(raises: Exception, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run a step that fails, with a retry policy that allows three attempts."""

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def step() -> None:
        with failing_in_one_line():
            raise raises

    @dg.job
    def goes_wrong() -> None:
        step()

    return goes_wrong.execute_in_process(instance=instance, raise_on_error=False)


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        (LakeError("the disk is full"), False),
        (LakeUnreachable("S3 does not answer"), True),
        (BudgetError("the ledger cannot be used"), False),
        (KeyRejected("403"), False),
        (Unavailable("503"), True),
        (PagesMissing({0: MISSING}, 1), False),
        (PagesMissing({0: Unavailable("503")}, 1), True),
        (PagesMissing({0: Unavailable("503"), 1: MISSING}, 2), False),
        (WrongConfig("not_before: 'yesterday' is not a time"), False),
    ],
)
def test_an_expected_error_is_one_line_and_a_permanent_one_is_never_retried(
    error: Exception, retries: bool, instance: dg.DagsterInstance
) -> None:
    result = run_of(error, instance)
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert failure.step_failure_data.user_failure_data.description == str(error)
    restarted = [event for event in result.all_events if event.event_type_value == "STEP_RESTARTED"]
    assert len(restarted) == (2 if retries else 0)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags["dagster/will_retry"] == str(retries).lower()


def test_a_bug_keeps_its_traceback(instance: dg.DagsterInstance) -> None:
    (failure,) = run_of(ZeroDivisionError(), instance).get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert "ZeroDivisionError" in error.to_string()
    assert "test_failures.py" in error.to_string()
