"""The source of pages by the settings: NASA, another server, or the embedded simulator."""

import time
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from neo_assets.sources.neows import source as resources
from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.orchestration.assets.graph import at
from neo_assets_tests.settings import settings_of

if TYPE_CHECKING:
    from neo_assets.schema.pages import Page


@pytest.mark.parametrize(
    ("values", "source", "where"),
    [
        ({}, "simulator", "the embedded simulator"),
        ({"nasa_api_keys": "some-key"}, "nasa", "https://api.nasa.gov/neo/rest/v1"),
        ({"nasa_api_keys": "some-key", "base_url": "http://mirror/v1"}, None, "http://mirror/v1"),
    ],
)
def test_where_pages_come_from(values: dict[str, str], source: str | None, where: str) -> None:
    neows = NeoWs(settings_of(**values))
    assert (neows.source, neows.where) == (source, where)


def test_without_a_key_the_embedded_simulator_answers() -> None:
    pages: list[Page] = []
    NeoWs(settings_of()).fetch([0, 7], pages.append)
    assert sorted((page.number, page.source, page.neos) for page in pages) == [
        (0, "simulator", 20),
        (7, "simulator", 20),
    ]


def test_every_fetch_is_of_one_and_the_same_catalogue() -> None:
    pages: list[Page] = []
    for _ in range(2):
        NeoWs(settings_of()).fetch([3], pages.append)
    assert pages[0].body == pages[1].body


def test_a_server_is_asked_under_the_budget(served: Served) -> None:
    pages: list[Page] = []
    settings = at(served)
    NeoWs(settings).fetch(range(3), pages.append)
    assert sorted(page.number for page in pages) == sorted(served.pages) == [0, 1, 2]
    assert settings.request_ledger.is_file()


def test_who_listens_is_told_of_every_page_that_was_stored(served: Served) -> None:
    events: list[tuple[str, int]] = []
    neows = NeoWs(at(served), on_page=lambda page: events.append(("told", page.number)))
    neows.fetch([2], lambda page: events.append(("stored", page.number)))
    assert events == [("stored", 2), ("told", 2)]


def test_pages_that_cannot_be_had_are_told_and_the_others_stored(served: Served) -> None:
    served.answers = {1: Response(status_code=404), 3: Response(status_code=400)}
    pages: list[Page] = []
    with pytest.raises(PagesMissing, match=r"^2 of 4 pages could not be had, the others were stored \(page 1, 3\): "):
        NeoWs(at(served)).fetch(range(4), pages.append)
    assert sorted(page.number for page in pages) == [0, 2]


def test_a_forecast_is_the_budgets(served: Served) -> None:
    neows = NeoWs(at(served, requests_per_hour=10))
    now = time.time()
    assert now <= neows.forecast(10) < now + 60
    assert now + 3600 < neows.forecast(11) < now + 3700


def test_the_simulator_is_foreseen_to_answer_at_once() -> None:
    assert NeoWs(settings_of()).forecast(2_100) <= time.time()


def test_no_pages_are_no_requests(served: Served) -> None:
    NeoWs(at(served)).fetch([], lambda page: None)
    assert served.pages == []


def test_an_outage_is_known_from_one_page_set_to_the_next(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "Breaker", lambda: Breaker(0.01))
    served.answers = dict.fromkeys(range(4), Response(status_code=503))
    neows = NeoWs(at(served))
    for page in range(4):
        with pytest.raises(PagesMissing) as caught:
            neows.fetch([page], lambda page: None)
        assert caught.value.concerns_all is (page % 2 > 0)
    assert served.pages == [0] * 5 + [1] + [2] * 5 + [3], "whoever asks again after it was told sees whether it is over"
