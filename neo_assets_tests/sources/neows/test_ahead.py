"""Pages that are fetched before they are asked for, because the caller has said that it will ask for them."""

import itertools
import time
from contextlib import closing

import psutil
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neo_assets.sources.neows.client import CONCURRENCY
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.integration.harness import wait_until
from neo_assets_tests.orchestration.assets.graph import at
from neo_assets_tests.sources.neows.test_fetcher_process import fetcher_of, has_ended, held, slots_taken
from neo_assets_tests.sources.neows.test_source import numbers


def fetch_ahead(served: Served, neows: NeoWs, *pages: int) -> None:
    """Fetch page 0, and then, ahead, these pages, until all of them are asked for."""
    neows.expect(pages)
    assert numbers(neows, 0) == [0]
    wait_until(lambda: len(served.pages) == 1 + len(pages))
    assert sorted(served.pages) == [0, *pages]


def test_expected_pages_are_fetched_while_the_caller_computes(served: Served, neows: NeoWs) -> None:
    fetch_ahead(served, neows, 1, 2, 3)
    assert numbers(neows, 1, 2, 3) == [1, 2, 3]
    assert sorted(served.pages) == [0, 1, 2, 3]
    assert neows.requests == 4


def test_nothing_is_fetched_ahead_before_all_pages_asked_for_have_come(served: Served, neows: NeoWs) -> None:
    neows.expect([5])
    with closing(neows.pages(range(4))) as pages:
        for _ in range(4):
            next(pages)
        time.sleep(0.3)
        assert 5 not in served.pages
        assert next(pages, None) is None
        wait_until(lambda: 5 in served.pages)


def test_no_more_pages_wait_than_fit_in_memory(served: Served, neows: NeoWs) -> None:
    neows.expect(range(1, 80))
    assert numbers(neows, 0) == [0]
    wait_until(lambda: len(served.pages) == 1 + 32 + CONCURRENCY)
    time.sleep(0.5)
    assert len(served.pages) == 1 + 32 + CONCURRENCY
    assert numbers(neows, *range(1, 80)) == [*range(1, 80)]
    assert sorted(served.pages) == [*range(80)]


def test_if_other_pages_are_asked_for_those_come(served: Served, neows: NeoWs) -> None:
    fetch_ahead(served, neows, 1, 2)
    assert numbers(neows, 2, 3) == [2, 3]
    assert served.pages.count(3) == 1


def test_an_expectation_is_for_the_next_call_only(served: Served, neows: NeoWs) -> None:
    served.answers = {0: Response(status_code=404)}
    neows.expect([1])
    with pytest.raises(PagesMissing):
        numbers(neows, 0)
    assert numbers(neows, 2) == [2]
    time.sleep(0.3)
    assert served.pages == [0, 2]


def test_pages_that_are_asked_for_are_not_expected_again(served: Served, neows: NeoWs) -> None:
    neows.expect([1, 2])
    assert numbers(neows, 1, 2) == [1, 2]
    time.sleep(0.3)
    assert sorted(served.pages) == [1, 2]


def test_no_pages_asked_for_still_begin_what_is_expected(served: Served, neows: NeoWs) -> None:
    """As when all pages of a page set are stored."""
    neows.expect([1])
    assert numbers(neows) == []
    wait_until(lambda: served.pages == [1])
    assert numbers(neows, 1) == served.pages == [1]


def test_pages_that_fail_ahead_are_reported_to_who_asks_for_them(
    served: Served, neows: NeoWs, caplog: pytest.LogCaptureFixture
) -> None:
    tries = itertools.count(1)

    async def fail_once(scope: Scope, receive: Receive, send: Send) -> None:
        await (Response(status_code=503) if next(tries) == 1 else served.app)(scope, receive, send)

    served.answers = {1: Response(status_code=404), 2: fail_once}
    neows.expect([1, 2, 3])
    assert numbers(neows, 0) == [0]
    wait_until(lambda: len(served.pages) == 5)
    assert not caplog.records
    came: list[int] = []
    with pytest.raises(PagesMissing) as caught:
        came.extend(page.number for page in neows.pages([1, 2, 3]))
    assert list(caught.value.failed) == [1]
    assert [record.getMessage()[:21] for record in caplog.records] == ["page 2, attempt 1 of "]


def test_if_the_process_is_killed_pages_ahead_are_fetched_again(served: Served, neows: NeoWs) -> None:
    fetch_ahead(served, neows, 1, 2)
    fetcher = fetcher_of(psutil.Process())
    fetcher.kill()
    wait_until(lambda: has_ended(fetcher))
    assert numbers(neows, 1, 2) == [1, 2]


def test_closing_cancels_what_is_fetched_ahead(served: Served) -> None:
    with NeoWs(at(served, requests_per_hour=1)) as neows:
        neows.expect([1])
        assert numbers(neows, 0) == [0]
        wait_until(lambda: slots_taken(neows))
    assert not slots_taken(neows)
    assert served.pages == [0]


def test_a_page_that_is_slow_ahead_keeps_no_other_call_waiting(served: Served, neows: NeoWs) -> None:
    with held(served, 1):
        fetch_ahead(served, neows, 1)
        assert neows.stats()
