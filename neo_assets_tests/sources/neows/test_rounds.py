"""The second round over pages: which are asked for again after all others, and which never."""

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import httpx
import pytest

from neo_assets.sources.neows import errors
from neo_assets_tests.sources.neows.examples import body, neo
from neo_assets_tests.sources.neows.fetching import (
    OVER_LIMIT,
    QUICK,
    Handler,
    Server,
    client_of,
    fetch,
    gateway,
    page_asked,
    whole,
)

OUTAGE = httpx.Response(503, html="<h1>Application Error</h1>")
OTHER_PAGE = httpx.Response(200, content=body(neo(), number=99))


def spoiling(seed: int) -> Handler:
    """Spoils 36% of all answers: each of six faults strikes 6%."""
    dice = Random(seed)

    def answer(request: httpx.Request) -> httpx.Response:
        cut = httpx.Response(200, content=whole(request).content[:100])
        reset = httpx.ReadError("Connection reset by peer")
        over_limit, empty = httpx.Response(429, text=OVER_LIMIT), httpx.Response(200)
        faults: list[httpx.Response | Exception] = [over_limit, OUTAGE, cut, empty, OTHER_PAGE, reset]
        struck = int(dice.random() / 0.06)
        answer = faults[struck] if struck < len(faults) else whole(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answer


def failing(page: int, times: int, answer: httpx.Response) -> Server:
    """Answers the first requests for a page like this, and all others correctly."""

    def answered(request: httpx.Request) -> httpx.Response:
        return answer if page_asked(request) == page and server.asked[page] <= times else whole(request)

    server = Server(then=answered)
    return server


def test_a_server_that_spoils_a_third_of_its_answers_costs_no_page(caplog: pytest.LogCaptureFixture) -> None:
    """One request at a time, so that each seed always spoils the same answers."""
    failed = {seed: fetch(spoiling(seed), range(10), concurrency=1)[1] for seed in range(100)}
    assert {seed: pages for seed, pages in failed.items() if pages} == {}
    assert caplog.text.count("asking again for") >= 5


@pytest.mark.parametrize("answer", [OUTAGE, OTHER_PAGE], ids=["outage", "other page"])
def test_a_page_that_failed_is_asked_for_again_after_all_others(
    answer: httpx.Response, caplog: pytest.LogCaptureFixture
) -> None:
    server = failing(3, 6, answer)
    pages, failed = fetch(server, range(20), concurrency=2)
    assert (sorted(pages), failed) == (list(range(20)), {})
    assert server.asked == Counter(range(20)) + Counter({3: 6})
    assert [page_asked(request) for request in server.requests[-2:]] == [3, 3]
    assert [record.message for record in caplog.records].count("asking again for 1 page") == 1


def test_a_page_that_fails_in_both_rounds_is_missing() -> None:
    server = failing(3, 99, OTHER_PAGE)
    pages, failed = fetch(server, range(5))
    assert sorted(pages) == [0, 1, 2, 4]
    assert {number: type(error) for number, error in failed.items()} == {3: errors.WrongPage}
    assert server.asked[3] == 10


def test_permanent_failures_are_not_repeated() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if page_asked(request) == 1:
            return httpx.Response(404)
        return OTHER_PAGE if page_asked(request) == 3 and server.asked[3] <= 5 else whole(request)

    server = Server(then=answer)
    pages, failed = fetch(server, range(5))
    assert sorted(pages) == [0, 2, 3, 4]
    assert list(failed) == [1]
    assert server.asked == Counter({0: 1, 1: 1, 2: 1, 3: 6, 4: 1})


def test_nothing_is_repeated_once_a_permanent_reason_concerns_all_pages() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if page_asked(request) == 4:
            return gateway(403, "API_KEY_DISABLED")
        return OTHER_PAGE if page_asked(request) == 1 else whole(request)

    server = Server(then=answer)
    _, failed = fetch(server, range(9), concurrency=1)
    assert list(failed) == [1, 4, 5, 6, 7, 8]
    assert server.asked == Counter({0: 1, 1: 5, 2: 1, 3: 1, 4: 1})


@pytest.mark.parametrize(("answer", "requests"), [(OUTAGE, 7), (httpx.Response(429), 5)], ids=["outage", "over limit"])
def test_there_is_no_second_round_if_no_page_arrived(answer: httpx.Response, requests: int) -> None:
    server = Server(then=lambda request: answer)
    _, failed = fetch(server, range(9), concurrency=1)
    assert list(failed) == list(range(9))
    assert len(server.requests) == requests


@pytest.mark.parametrize(("pause_s", "longest_s"), [(3600, QUICK.longest_silence_s), (60, 50)])
def test_a_long_pause_that_the_host_asks_for_is_not_cut_short(pause_s: int, longest_s: float) -> None:
    server = Server(whole, whole, then=lambda request: httpx.Response(503, headers={"Retry-After": str(pause_s)}))
    _, failed = fetch(server, range(9), concurrency=1, policy=replace(QUICK, longest_silence_s=longest_s))
    assert list(failed) == list(range(2, 9))
    assert len(server.requests) == 3


def test_after_an_outage_all_missing_pages_are_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(whole, whole, *[OUTAGE] * 7)
    pages, failed = fetch(server, range(9), concurrency=1)
    assert (sorted(pages), failed) == (list(range(9)), {})
    assert "asking again for 7 pages" in caplog.text


def test_neows_own_counts_are_not_asked_for_during_an_outage() -> None:
    server = Server(then=lambda request: OUTAGE)

    async def run() -> None:
        async with client_of(server, concurrency=1) as client:
            with pytest.raises(errors.PagesMissing):
                await anext(client.pages(range(9)))
            with pytest.raises(errors.Outage):
                await client.fetch_stats()

    asyncio.run(run())
    assert all(request.url.path.endswith("/browse") for request in server.requests)


def test_closing_during_the_second_round_cancels_requests() -> None:
    async def run() -> None:
        cancelled = False

        async def answer(request: httpx.Request) -> httpx.Response:
            nonlocal cancelled
            if page_asked(request) == 0:
                return whole(request)
            asked_again.set() if next(attempts) > 5 else None
            try:
                await (asyncio.sleep(60) if asked_again.is_set() else asyncio.sleep(0))
            except asyncio.CancelledError:
                cancelled = True
                raise
            return OTHER_PAGE

        attempts = iter(range(1, 99))
        asked_again = asyncio.Event()
        async with client_of(answer) as client:
            pages = client.pages(range(2))
            assert (await anext(pages)).number == 0
            waiting = asyncio.create_task(anext(pages, None))
            await asked_again.wait()
            waiting.cancel()
            await asyncio.wait([waiting])
        assert cancelled

    asyncio.run(run())
