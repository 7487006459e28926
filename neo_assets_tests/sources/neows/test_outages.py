"""Outages: a client with a budget outlasts a short one, and pauses for as long as the host asks."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.errors import NeoWsError, Unreachable
from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets_tests.sources.neows.fetching import KEY, Server, failure, fetch, whole


def crawl(ledger: Path, answer: Callable[[int], httpx.Response | None]) -> tuple[list[float], dict[int, NeoWsError]]:
    """Fetch 24 pages at 20 a second. Returns the pause after each request, and the failed pages.

    `answer` maps the number of a request, from 0, to a response other than the page, or to None.
    """
    came: list[float] = []

    def serve(request: httpx.Request) -> httpx.Response:
        came.append(time.monotonic())
        return answer(len(came) - 1) or whole(request)

    budget = Budget(ledger, "neows.example", [KEY], per_hour=10**6, per_second=20)
    failed = fetch(serve, range(24), budget=budget, policy=RetryPolicy(first_wait_s=0.2))[1]
    return [later - earlier for earlier, later in itertools.pairwise(came)], failed


@pytest.mark.slow
def test_a_short_outage_loses_no_page_and_costs_few_requests(tmp_path: Path) -> None:
    silences, failed = crawl(tmp_path / "ledger", lambda number: httpx.Response(503) if number in (4, 5, 6) else None)
    assert failed == {}
    assert len(silences) + 1 == 24 + 3
    # A single failure leads to a retry of that page; from the second in a row on, all requests pause, ever longer.
    assert silences[5] >= 0.4
    assert silences[6] >= 0.8


@pytest.mark.slow
def test_a_silence_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    asks_for_it = httpx.Response(503, headers={"Retry-After": "1"})
    silences, failed = crawl(tmp_path / "ledger", lambda number: asks_for_it if number == 4 else None)
    assert failed == {}
    assert len(silences) + 1 == 24 + 1
    assert silences[4] >= 1


async def trickle() -> AsyncIterator[bytes]:
    """A body that never ends, though its next piece always comes soon."""
    while True:
        yield b" "
        await asyncio.sleep(0.001)


def test_an_answer_that_trickles_is_given_up_and_asked_for_again() -> None:
    """The limit between two pieces never ends it."""
    policy = RetryPolicy(first_wait_s=0.001, longest_answer_s=0.1)
    server = Server(lambda _: httpx.Response(200, content=trickle()))
    pages, failed = fetch(server, policy=policy)
    assert (list(pages), failed) == ([0], {})
    assert server.asked[0] == 2


def test_a_server_whose_answers_never_end_is_out_of_order() -> None:
    policy = RetryPolicy(first_wait_s=0.001, longest_answer_s=0.05)
    error = failure(lambda _: httpx.Response(200, content=trickle()), policy=policy)
    assert isinstance(error, Unreachable)
    assert "no whole answer within 0.05 s" in str(error)
