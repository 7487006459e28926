"""The circuit breaker: one feeler at a time while a host is out of order, ever more rarely, and then silence."""

import asyncio
import itertools
import time

import pytest

from neo_assets.sources.neows.breaker import Breaker
from neo_assets.sources.neows.errors import NotFound, Outage, Unavailable

WAIT_S = 0.01


async def ask(breaker: Breaker, what: str = "page 0", error: Exception | None = None) -> None:
    async with breaker.request(what):
        if error:
            raise error


def ask_often(breaker: Breaker, *asked: tuple[str, Exception | None]) -> list[type[BaseException] | None]:
    """Ask one after another; what each ended with."""

    async def ask_all() -> list[type[BaseException] | None]:
        ends: list[type[BaseException] | None] = []
        for what, error in asked:
            try:
                await ask(breaker, what, error)
                ends.append(None)
            except Exception as end:
                ends.append(type(end))
        return ends

    return asyncio.run(ask_all())


def test_failures_in_a_row_at_several_things_trip_it() -> None:
    breaker = Breaker(WAIT_S, trips_after=3)
    ends = ask_often(breaker, *((f"page {number}", Unavailable("503")) for number in range(3)), ("page 9", None))
    assert ends == [Unavailable, Unavailable, Outage, Outage]
    assert breaker.tripped


def test_a_success_in_between_starts_the_count_again() -> None:
    breaker = Breaker(WAIT_S, trips_after=3)
    down = [("page 0", Unavailable("503")), ("page 1", Unavailable("503"))]
    assert ask_often(breaker, *down, ("page 2", None), *down) == [
        Unavailable,
        Unavailable,
        None,
        Unavailable,
        Unavailable,
    ]
    assert not breaker.tripped


def test_one_bad_page_is_no_outage() -> None:
    breaker = Breaker(WAIT_S / 10, trips_after=3)
    assert ask_often(breaker, *[("page 7", Unavailable("503"))] * 6) == [Unavailable] * 6
    assert not breaker.tripped


def test_an_answer_that_refuses_shows_that_the_host_is_well() -> None:
    breaker = Breaker(WAIT_S, trips_after=2)
    ends = ask_often(breaker, ("a", Unavailable("503")), ("b", NotFound("404")), ("c", Unavailable("503")))
    assert ends == [Unavailable, NotFound, Unavailable]


def test_requests_under_way_when_the_outage_begins_count_once() -> None:
    breaker = Breaker(WAIT_S, trips_after=3)

    async def fail_late(number: int) -> None:
        async with breaker.request(f"page {number}"):
            await asyncio.sleep(0.02)
            raise Unavailable("503")

    async def ask_at_once() -> None:
        await asyncio.gather(*map(fail_late, range(8)), return_exceptions=True)

    asyncio.run(ask_at_once())
    assert not breaker.tripped


def test_one_at_a_time_feels_for_it_and_the_silence_doubles() -> None:
    breaker = Breaker(0.05, trips_after=4)
    asked: list[float] = []

    async def fail(number: int) -> None:
        async with breaker.request(f"page {number}"):
            asked.append(time.monotonic())
            raise Unavailable("503")

    async def ask_at_once() -> None:
        await asyncio.gather(fail(0), return_exceptions=True)
        await asyncio.gather(*map(fail, range(1, 9)), return_exceptions=True)

    asyncio.run(ask_at_once())
    silences = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len(asked) == 4, "after the fourth failure nobody asks"
    assert [silence >= wait_s for silence, wait_s in zip(silences, (0.0, 0.1, 0.2), strict=True)] == [True] * 3


def test_the_host_may_ask_for_a_longer_silence() -> None:
    breaker = Breaker(WAIT_S)
    start = time.monotonic()
    ask_often(breaker, ("a", Unavailable("503", retry_after_s=0.3)), ("b", None))
    assert time.monotonic() - start >= 0.3


def test_the_outage_says_what_happened_and_that_nothing_is_lost() -> None:
    breaker = Breaker(WAIT_S, trips_after=2)
    ask_often(breaker, ("a", Unavailable("NeoWs answered 503")), ("b", Unavailable("NeoWs answered 503")))
    with pytest.raises(Outage, match=r"NeoWs answered 503; 2 attempts in a row failed.*what was stored is kept"):
        asyncio.run(ask(breaker))
