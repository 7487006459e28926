"""A client under a budget: which key is asked with, what is done with one that is not let through, and the pace."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from neo_assets.neows import errors
from neo_assets.neows.budget import Budget
from neo_assets.neows.client import NeoWsClient
from neo_assets_tests.neows.examples import body
from neo_assets_tests.neows.fetching import (
    KEY,
    OTHER_KEY,
    OVER_LIMIT,
    Server,
    failure,
    fetch,
    gateway,
    page_asked,
    whole,
)


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Callable[..., Budget]]:
    made: list[Budget] = []

    def budget(*keys: str, per_hour: int = 1000, per_second: float = 1e6, **options: Any) -> Budget:
        made.append(Budget(tmp_path / "ledger", "neows.example", keys, per_hour, per_second, **options))
        return made[-1]

    yield budget
    for one in made:
        one.close()


# --- a page


def test_a_key_that_is_turned_away_leaves_the_work_to_the_others(budget: Callable[..., Budget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return gateway(403, "API_KEY_DISABLED") if request.headers["X-Api-Key"] == KEY else whole(request)

    server = Server(then=answer)
    keys = [KEY, OTHER_KEY]
    pages, failed = fetch(server, range(10), keys=keys, budget=budget(*keys), concurrency=1)
    assert failed == {}
    assert len(pages) == 10
    assert Counter(request.headers["X-Api-Key"] for request in server.requests)[KEY] <= 1


def test_all_keys_turned_away_is_the_end(budget: Callable[..., Budget]) -> None:
    server = Server(then=lambda request: gateway(403, "API_KEY_DISABLED"))
    keys = [KEY, OTHER_KEY]
    assert type(failure(server, keys=keys, budget=budget(*keys))) is errors.KeyRejected
    assert len(server.requests) == 2


@pytest.mark.parametrize("keys", [(KEY,), (KEY, OTHER_KEY)], ids=["one key", "two keys"])
def test_all_keys_turned_away_while_others_wait_for_the_budget_is_the_end(
    budget: Callable[..., Budget], keys: tuple[str, ...]
) -> None:
    server = Server(then=lambda request: gateway(403, "API_KEY_INVALID"))
    pages, failed = fetch(server, range(20), keys=keys, budget=budget(*keys, per_second=20))
    assert pages == {}
    assert failed.keys() == set(range(20))
    assert {type(error) for error in failed.values()} == {errors.KeyRejected}
    assert len(server.requests) <= len(keys)


def test_a_key_over_its_limit_is_left_alone_and_another_goes_on(
    budget: Callable[..., Budget], caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["X-Api-Key"] == KEY:
            return httpx.Response(429, text=OVER_LIMIT, headers={"Retry-After": "2870"})
        return whole(request)

    server = Server(then=answer)
    ledger = budget(KEY, OTHER_KEY)
    pages, failed = fetch(server, range(10), keys=[KEY, OTHER_KEY], budget=ledger, concurrency=1)
    assert failed == {}
    assert len(pages) == 10
    assert Counter(request.headers["X-Api-Key"] for request in server.requests) == {KEY: 1, OTHER_KEY: 10}
    assert KEY in ledger.parked()
    assert "this key is left alone until" in caplog.text
    assert KEY not in caplog.text


def test_a_key_that_may_be_used_at_once_is_used_soon(budget: Callable[..., Budget]) -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": "0"}))
    begun = time.monotonic()
    pages, failed = fetch(server, budget=budget(KEY))
    assert (list(pages), failed) == ([0], {})
    assert time.monotonic() - begun >= 1


def test_a_stated_limit_is_kept(budget: Callable[..., Budget]) -> None:
    times = []

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(time.time())
        return httpx.Response(200, content=body(number=page_asked(request)), headers={"X-RateLimit-Limit": "3"})

    pages, _ = fetch(Server(then=answer), range(7), budget=budget(KEY, hour_s=1), concurrency=1)
    assert len(pages) == 7
    assert times[-1] - times[0] > 1.5  # two hours, but that the first may come late


def test_a_key_with_nothing_left_pauses(budget: Callable[..., Budget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body(number=page_asked(request)), headers={"X-RateLimit-Remaining": "0"})

    ledger = budget(KEY)
    fetch(Server(then=answer), budget=ledger)
    assert ledger.parked() == {KEY}


def test_retries_are_paid_from_the_budget_too(budget: Callable[..., Budget]) -> None:
    server = Server(*[httpx.Response(503)] * 3)
    ledger = budget(KEY, per_hour=4, hour_s=1000)
    fetch(server, budget=ledger)
    assert len(server.requests) == 4
    assert ledger.reserve().at > time.time() + 900


def test_requests_of_all_workers_keep_their_distance(budget: Callable[..., Budget]) -> None:
    times = []

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(time.time())
        return whole(request)

    fetch(Server(then=answer), range(8), budget=budget(KEY, per_second=10))
    assert times[-1] - times[0] > 0.4  # 0.7, but that the first may come late


def test_who_waits_for_the_budget_and_is_stopped_gives_the_slot_back(budget: Callable[..., Budget]) -> None:
    ledger = budget(KEY, per_second=0.01)
    taken = ledger.reserve()

    async def stopped() -> None:
        async with NeoWsClient("http://neows.example", [KEY], ledger) as client:
            waiting = asyncio.create_task(client.fetch_page(0))
            await asyncio.sleep(0.3)
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(stopped())
    assert ledger.reserve().at == pytest.approx(taken.at + 100)
