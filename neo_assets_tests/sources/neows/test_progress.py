"""What counts as progress: a page that arrives or is given up, and a wait whose end is known."""

import asyncio
import contextlib
import time
from pathlib import Path

import httpx
import pytest

from neo_assets.sources.neows.budget import Budget
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.progress import Progress
from neo_assets_tests.sources.neows.fetching import KEY, Handler, client_of, whole

LONG_AGO = -1e6
"""A time (`time.monotonic`) long before the test."""


@pytest.fixture
def progress() -> Progress:
    """One whose last progress was long ago."""
    progress = Progress()
    progress._done_at = LONG_AGO
    return progress


def test_while_a_wait_lasts_its_end_is_the_progress(progress: Progress) -> None:
    with progress.waiting(600):
        with progress.waiting(60):
            assert progress.at == pytest.approx(time.monotonic() + 600, abs=10)
        assert progress.at == pytest.approx(time.monotonic() + 600, abs=10)
    assert progress.at == pytest.approx(time.monotonic(), abs=10)


def test_a_wait_that_is_broken_off_is_over(progress: Progress) -> None:
    with contextlib.suppress(KeyboardInterrupt), progress.waiting(600):
        raise KeyboardInterrupt
    assert progress.at <= time.monotonic()


@pytest.mark.parametrize("answer", [whole, lambda _: httpx.Response(404)], ids=["a page", "a page given up"])
def test_a_page_is_progress(progress: Progress, answer: Handler) -> None:
    def answer_at_length(request: httpx.Request) -> httpx.Response:
        progress._done_at = LONG_AGO
        response: httpx.Response = answer(request)
        return response

    async def run() -> None:
        async with client_of(answer_at_length, progress=progress) as client:
            with contextlib.suppress(PagesMissing):
                async for _ in client.pages([0]):
                    pass

    asyncio.run(run())
    assert progress.at > LONG_AGO


def test_waiting_for_the_hourly_budget_is_progress(progress: Progress, tmp_path: Path) -> None:
    budget = Budget(tmp_path / "ledger", "neows.example", [KEY], per_hour=1, per_second=1000)

    async def run() -> float:
        async with client_of(whole, budget=budget, progress=progress) as client:
            await client.fetch_page(0)
            waiting = asyncio.create_task(client.fetch_page(1))
            async with asyncio.timeout(60):
                while progress.at < time.monotonic() + 60:
                    await asyncio.sleep(0.01)
            at = progress.at
            waiting.cancel()
            await asyncio.wait([waiting])
            return at - time.monotonic()

    assert asyncio.run(run()) == pytest.approx(3600, abs=120)
    assert progress.at <= time.monotonic()
