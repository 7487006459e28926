"""Our errors as Dagster is told them: one line, and a retry only where that can help."""

import dagster as dg
import pytest

from neo_assets.failures import PagesMissing, told_to_dagster
from neo_assets.lake.storage import LakeError
from neo_assets.neows.budget import BudgetError
from neo_assets.neows.errors import KeyRejected, NeoWsError, NotAPage, NotFound, Outage, Unavailable

MISSING = NotFound("host answered 404")


@pytest.mark.parametrize(
    ("failed", "asked", "message"),
    [
        ({3: MISSING}, 50, "1 of 50 pages could not be had, the others were stored (page 3): host answered 404"),
        ({3: MISSING, 9: NotAPage("empty")}, 2, "2 of 2 pages could not be had (page 3, 9): host answered 404"),
        (
            dict.fromkeys(range(7), MISSING),
            8,
            "7 of 8 pages could not be had, the others were stored (page 0, 1, 2, 3, 4, ...): host answered 404",
        ),
    ],
)
def test_missing_pages_are_told_in_one_line(failed: dict[int, NeoWsError], asked: int, message: str) -> None:
    assert str(PagesMissing(failed, asked)) == message


@pytest.mark.parametrize(
    ("errors", "concerns_all", "retryable"),
    [
        ([MISSING], False, False),
        ([MISSING, NotAPage("")], False, True),
        ([MISSING, KeyRejected("")], True, False),
        ([NotAPage(""), Outage("")], True, True),
    ],
)
def test_missing_pages_have_the_verdict_of_their_errors(
    errors: list[NeoWsError], concerns_all: bool, retryable: bool
) -> None:
    error = PagesMissing(dict(enumerate(errors)), 9)
    assert (error.concerns_all, error.retryable) == (concerns_all, retryable)


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        (LakeError("the disk is full"), False),
        (BudgetError("the ledger cannot be used"), False),
        (KeyRejected("403"), False),
        (Unavailable("503"), True),
        (PagesMissing({0: MISSING}, 1), False),
        (PagesMissing({0: Unavailable("503")}, 1), True),
    ],
)
def test_an_expected_error_is_a_failure_of_one_line(error: Exception, retries: bool) -> None:
    with pytest.raises(dg.Failure) as caught, told_to_dagster():
        raise error
    assert caught.value.description == str(error)
    assert caught.value.allow_retries is retries
    assert caught.value.__cause__ is error


def test_an_error_in_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), told_to_dagster():
        1 / 0  # noqa: B018
