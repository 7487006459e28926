"""A client with a budget: which key it uses, how it treats rejected keys, and its pace."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from neo_assets.sources.neows import errors
from neo_assets_tests.sources.neows.examples import body
from neo_assets_tests.sources.neows.fetching import (
    KEY,
    OTHER_KEY,
    OVER_LIMIT,
    NotedBudget,
    Server,
    client_of,
    failure,
    fetch,
    gateway,
    page_asked,
    whole,
)


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Callable[..., NotedBudget]]:
    made: list[NotedBudget] = []

    def budget(*keys: str, per_hour: int = 1000, per_second: float = 1e6, **options: float) -> NotedBudget:
        made.append(NotedBudget(tmp_path / "ledger", "neows.example", keys, per_hour, per_second, **options))
        return made[-1]

    yield budget
    for one in made:
        one.close()


# --- a page


def test_other_keys_take_over_from_a_rejected_one(budget: Callable[..., NotedBudget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return gateway(403, "API_KEY_DISABLED") if request.headers["X-Api-Key"] == KEY else whole(request)

    server = Server(then=answer)
    keys = [KEY, OTHER_KEY]
    pages, failed = fetch(server, range(10), keys=keys, budget=budget(*keys), concurrency=1)
    assert failed == {}
    assert len(pages) == 10
    assert Counter(request.headers["X-Api-Key"] for request in server.requests)[KEY] <= 1


def test_it_is_an_error_if_all_keys_are_rejected(budget: Callable[..., NotedBudget]) -> None:
    server = Server(then=lambda request: gateway(403, "API_KEY_DISABLED"))
    keys = [KEY, OTHER_KEY]
    assert type(failure(server, keys=keys, budget=budget(*keys))) is errors.KeyRejected
    assert len(server.requests) == 2


@pytest.mark.parametrize("keys", [(KEY,), (KEY, OTHER_KEY)], ids=["one key", "two keys"])
def test_it_is_an_error_if_all_keys_are_rejected_while_requests_wait_for_the_budget(
    budget: Callable[..., NotedBudget], keys: tuple[str, ...]
) -> None:
    server = Server(then=lambda request: gateway(403, "API_KEY_INVALID"))
    # Slots far apart, as requests whose slot is due are sent at once.
    pages, failed = fetch(server, range(20), keys=keys, budget=budget(*keys, per_second=4), concurrency=2)
    assert pages == {}
    assert failed.keys() == set(range(20))
    assert {type(error) for error in failed.values()} == {errors.KeyRejected}
    assert len(server.requests) <= len(keys)


def test_a_key_over_its_limit_is_parked_and_another_continues(
    budget: Callable[..., NotedBudget], caplog: pytest.LogCaptureFixture
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
    assert "this key is not used until" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.slow
def test_a_key_that_may_be_used_at_once_is_used_soon(budget: Callable[..., NotedBudget]) -> None:
    server = Server(httpx.Response(429, headers={"Retry-After": "0"}))
    ledger = budget(KEY)
    pages, failed = fetch(server, budget=ledger)
    assert (list(pages), failed) == ([0], {})
    first, second = ledger.times()
    assert 1 <= second - first < 30, "a key is parked for a minute only if the host does not say for how long"


def assert_none_came_early(came: list[float], ledger: NotedBudget) -> None:
    """Each request arrived in its slot or later, within the hundredth of a second that the two clocks may differ."""
    assert len(came) <= len(ledger.given_out)
    assert all(at >= slot - 0.01 for at, slot in zip(sorted(came), ledger.times(), strict=False))


def test_a_stated_limit_is_kept(budget: Callable[..., NotedBudget]) -> None:
    came = []

    def answer(request: httpx.Request) -> httpx.Response:
        came.append(time.time())
        return httpx.Response(200, content=body(number=page_asked(request)), headers={"X-RateLimit-Limit": "3"})

    ledger = budget(KEY, hour_s=0.4)
    pages, _ = fetch(Server(then=answer), range(7), budget=ledger, concurrency=1)
    assert len(pages) == 7
    assert all(later - earlier > 0.4 for earlier, later in zip(ledger.times(), ledger.times()[3:], strict=False))
    assert_none_came_early(came, ledger)


@pytest.mark.parametrize(
    ("policy", "heeded"),
    [
        ('"hour";q=3;w=20', 20),
        ("3;w=20", 20),
        ('"day";q=1000;w=86400, "hour";q=3;w=20', 20),
        ('"hour";q=3;w=999999999', 86_400),
        ('"other";q=4;w=20', 3600),
        ('"hour";q=3', 3600),
        ('"hour";q=3;w=0', 3600),
        ('"hour";q=3;w=' + "9" * 5000, 3600),
        ("nonsense", 3600),
    ],
    ids=lambda policy: str(policy)[:50],
)
def test_a_stated_window_is_learned(budget: Callable[..., NotedBudget], policy: str, heeded: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"X-RateLimit-Limit": "3", "RateLimit-Policy": policy}
        return httpx.Response(200, content=body(number=page_asked(request)), headers=headers)

    ledger = budget(KEY)
    assert len(fetch(Server(then=answer), range(3), budget=ledger)[0]) == 3
    assert heeded <= ledger.reserve().at - ledger.times()[0] < heeded * 1.01


def test_a_key_with_nothing_left_pauses_no_longer_than_its_window(budget: Callable[..., NotedBudget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"X-RateLimit-Limit": "3", "RateLimit-Policy": "3;w=20", "X-RateLimit-Remaining": "0"}
        return httpx.Response(200, content=body(number=page_asked(request)), headers=headers)

    ledger = budget(KEY)
    fetch(Server(then=answer), budget=ledger)
    assert ledger.parked() == {KEY}
    assert 19 < ledger.reserve().at - time.time() <= 20


def test_a_limit_that_is_no_longer_stated_is_forgotten(budget: Callable[..., NotedBudget]) -> None:
    ledger = budget(KEY)
    ledger.learn_limit(KEY, 1)
    fetch(Server(), budget=ledger)
    assert ledger.reserve().at < time.time() + 60


def test_a_key_with_nothing_left_pauses(budget: Callable[..., NotedBudget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body(number=page_asked(request)), headers={"X-RateLimit-Remaining": "0"})

    ledger = budget(KEY)
    fetch(Server(then=answer), budget=ledger)
    assert ledger.parked() == {KEY}


def test_retries_are_paid_from_the_budget_too(budget: Callable[..., NotedBudget]) -> None:
    server = Server(*[httpx.Response(503)] * 3)
    ledger = budget(KEY, per_hour=4, hour_s=1000)
    fetch(server, budget=ledger)
    assert len(server.requests) == 4
    assert ledger.reserve().at > time.time() + 900


def test_requests_of_all_workers_keep_their_distance(budget: Callable[..., NotedBudget]) -> None:
    came = []

    def answer(request: httpx.Request) -> httpx.Response:
        came.append(time.time())
        return whole(request)

    ledger = budget(KEY, per_second=25)
    fetch(Server(then=answer), range(8), budget=ledger)
    assert len(came) == 8
    assert all(later - earlier > 0.039 for earlier, later in itertools.pairwise(ledger.times()))
    assert_none_came_early(came, ledger)


def test_closing_early_gives_the_slots_back(budget: Callable[..., NotedBudget]) -> None:
    ledger = budget(KEY, per_hour=1)
    server = Server()

    async def run() -> None:
        async with client_of(server, budget=ledger, concurrency=3) as client:
            pages = client.pages(range(10))
            await anext(pages)
            while len(ledger.given_out) < 4:
                await asyncio.sleep(0.01)
            await pages.aclose()

    asyncio.run(run())
    first, second, *_ = ledger.times()
    assert len(server.requests) == 1
    assert first + 3600 < second == pytest.approx(ledger.reserve().at, abs=1)


def test_a_client_remembers_a_rejected_key_across_page_sets(budget: Callable[..., NotedBudget]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return gateway(403, "API_KEY_DISABLED") if request.headers["X-Api-Key"] == KEY else whole(request)

    server = Server(then=answer)
    keys = [KEY, OTHER_KEY]

    async def run() -> None:
        async with client_of(server, keys, budget(*keys), concurrency=1) as client:
            for numbers in (range(5), range(5, 10)):
                assert [page.number async for page in client.pages(numbers)] == list(numbers)

    asyncio.run(run())
    assert Counter(request.headers["X-Api-Key"] for request in server.requests) == {KEY: 1, OTHER_KEY: 10}
