"""The circuit breaker's state: when it probes the host, how long it pauses, and what it treats as an outage."""

import time

import pytest

from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.errors import Outage, Unavailable
from neo_assets.sources.neows.retry_policy import RetryPolicy

DOWN = Unavailable("NeoWs answered 503")
POLICY = RetryPolicy(first_wait_s=0.001, trips_after=3)


def fail(breaker: Breaker, *pages: int, error: Unavailable = DOWN) -> None:
    """Record failures of pages, one after another."""
    for page in pages:
        breaker.note_failure(f"page {page}", error, time.monotonic())


def test_failures_in_a_row_at_several_pages_are_an_outage() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 1)
    assert not breaker.tripped
    fail(breaker, 2)
    assert breaker.tripped


def test_an_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 1)
    breaker.note_answer(time.monotonic())
    fail(breaker, 0, 1)
    assert not breaker.tripped


def test_one_bad_page_is_not_an_outage() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, *[7] * 6)
    assert not breaker.tripped


@pytest.mark.parametrize(
    ("pages", "tripped"),
    [
        ([7, 7, 7, 7, 7, 8], False),
        ([7, 7, 7, 7, 7, 8, 8], True),
        ([7, 7, 7, 7, 7, 8, 9], True),
        ([7, 8, 7, 8], False),
        ([7, 8, 7, 8, 7], True),
        ([1, 2, 3, 4, 5], True),
    ],
)
def test_one_bad_page_and_a_single_failure_of_another_are_not_an_outage(pages: list[int], tripped: bool) -> None:
    breaker = Breaker(RetryPolicy(first_wait_s=0.001))
    fail(breaker, *pages)
    assert breaker.tripped is tripped


def test_a_warning_names_the_page_and_the_error(caplog: pytest.LogCaptureFixture) -> None:
    fail(Breaker(POLICY), 7, 8)
    assert [record.message for record in caplog.records] == [
        "page 8: NeoWs answered 503; failure 2 in a row, next request in 0 s"
    ]


def test_requests_in_flight_when_the_outage_begins_count_once() -> None:
    breaker = Breaker(POLICY)
    sent_at = time.monotonic()
    for page in range(8):
        breaker.note_failure(f"page {page}", DOWN, sent_at)
    assert not breaker.probing
    assert not breaker.tripped


def test_an_answer_to_a_request_in_flight_at_the_last_failure_is_ignored() -> None:
    breaker = Breaker(POLICY)
    sent_at = time.monotonic()
    fail(breaker, 0, 1)
    breaker.note_answer(sent_at)
    assert breaker.probing


def test_a_single_failure_causes_no_silence() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0)
    assert (breaker.probing, breaker.silence_s) == (False, 0)


def test_the_silence_doubles() -> None:
    breaker = Breaker(RetryPolicy(first_wait_s=10, longest_wait_s=60, trips_after=9))
    silences = []
    for page in range(6):
        fail(breaker, page)
        silences.append(breaker.silence_s)
    least = [0, 20, 40, 60, 60, 60]
    assert all(low - 1 <= silence <= low + 10 for low, silence in zip(least, silences, strict=True))


def test_the_host_may_ask_for_a_longer_silence() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, error=Unavailable("503", retry_after_s=300))
    assert breaker.probing
    assert 299 < breaker.silence_s <= 300
    assert not breaker.tripped


def test_a_host_that_asks_for_a_long_silence_is_in_an_outage() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, error=Unavailable("NeoWs answered 503", retry_after_s=3600))
    assert breaker.tripped
    with pytest.raises(Outage, match=r"^NeoWs answered 503; it asks for a long pause, so no more requests "):
        breaker.refuse_if_tripped()


def test_the_error_states_the_cause_and_that_nothing_is_lost() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 1, 2)
    with pytest.raises(Outage, match=r"^NeoWs answered 503; 3 attempts in a row failed.*the pages stored so far are k"):
        breaker.refuse_if_tripped()


def test_when_it_is_reopened_a_probe_goes_out_after_the_pause_that_is_due() -> None:
    breaker = Breaker(RetryPolicy(first_wait_s=10, trips_after=3))
    fail(breaker, 0, 1, 2)
    breaker.reopen()
    assert (breaker.tripped, breaker.probing) == (False, True)
    assert 39 <= breaker.silence_s <= 50
    fail(breaker, 0, 1)
    assert not breaker.tripped
    fail(breaker, 2)
    assert breaker.tripped


def test_a_pause_too_long_to_wait_for_is_forgotten_when_it_is_reopened() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, error=Unavailable("503", retry_after_s=3600))
    breaker.reopen()
    assert (breaker.tripped, breaker.probing, breaker.silence_s) == (False, False, 0)


def test_reopening_changes_nothing_while_the_host_answers() -> None:
    breaker = Breaker(POLICY)
    breaker.reopen()
    assert (breaker.tripped, breaker.probing, breaker.silence_s) == (False, False, 0)


def test_a_reset_forgets_every_failure() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 1, 2, error=Unavailable("503", retry_after_s=3600))
    breaker.reset()
    assert (breaker.tripped, breaker.probing, breaker.silence_s) == (False, False, 0)
    breaker.refuse_if_tripped()
