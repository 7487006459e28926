"""Pages that are fetched before they are asked for, while the caller computes others."""

import time
from collections.abc import Iterator

import pytest
from starlette.responses import Response

from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.integration.harness import PATIENCE_S
from neo_assets_tests.orchestration.assets.graph import at


@pytest.fixture
def neows(served: Served) -> Iterator[NeoWs]:
    with NeoWs(at(served, requests_per_second=1_000)) as neows:
        yield neows


def numbers(neows: NeoWs, *pages: int) -> list[int]:
    return sorted(page.number for page in neows.pages(pages))


def wait_for(served: Served, requests: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while len(served.pages) < requests:
        assert time.monotonic() < end, f"only {served.pages} were requested"
        time.sleep(0.01)


def test_pages_are_fetched_ahead_once_the_others_have_arrived(served: Served, neows: NeoWs) -> None:
    neows.read_ahead([3, 4])
    assert numbers(neows, 0, 1, 2) == [0, 1, 2]
    wait_for(served, 5)
    assert served.pages[3:] == [3, 4]
    assert numbers(neows, 2, 3, 4) == [2, 3, 4]
    assert sorted(served.pages) == [0, 1, 2, 2, 3, 4]


def test_their_requests_count_once_they_are_asked_for(served: Served, neows: NeoWs) -> None:
    neows.read_ahead([3, 4])
    numbers(neows, 0, 1, 2)
    wait_for(served, 5)
    assert neows.requests == 3
    numbers(neows, 3, 4)
    assert neows.requests == 5


def test_pages_that_are_not_asked_for_next_are_given_up(served: Served, neows: NeoWs) -> None:
    neows.read_ahead([3, 4])
    numbers(neows, 0)
    wait_for(served, 3)
    assert numbers(neows, 4, 1) == [1, 4]
    assert numbers(neows, 3) == [3]
    assert served.pages.count(3) == 2
    assert neows.requests == len(served.pages) == 5


def test_an_error_shows_when_the_page_is_asked_for(served: Served, neows: NeoWs) -> None:
    served.answers = {3: Response(status_code=404)}
    neows.read_ahead([3, 4])
    assert numbers(neows, 0) == [0]
    wait_for(served, 3)
    with pytest.raises(PagesMissing, match="page 3"):
        numbers(neows, 3, 4)


def test_nothing_is_fetched_ahead_after_an_error(served: Served, neows: NeoWs) -> None:
    served.answers = {0: Response(status_code=404)}
    neows.read_ahead([3])
    with pytest.raises(PagesMissing):
        numbers(neows, 0)
    assert numbers(neows, 1) == [1]
    assert served.pages == [0, 1]


def test_only_what_the_budget_allows_at_once_is_fetched_ahead(served: Served) -> None:
    with NeoWs(at(served, requests_per_second=1_000, requests_per_hour=3)) as neows:
        neows.read_ahead([1, 2, 3, 4])
        numbers(neows, 0)
        wait_for(served, 3)
        assert neows.forecast(1) < time.time() + 3_700, "the others have taken a place in the queue"
