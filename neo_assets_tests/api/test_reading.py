"""How rows that are held in memory are read: at once, one answer after another, and without holding up others."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from neo_assets.api import answers, reading
from neo_assets.api.app import create_app
from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import wait_for_rows_in_memory
from neo_assets_tests.products.by_hand import rows
from neo_assets_tests.settings import settings_of


@pytest.fixture
def app(served_lake: Storage) -> FastAPI:
    """The API, with rows in memory."""
    app = create_app(settings_of(lake=served_lake.root), lake=served_lake)
    asyncio.run(answered_in_order(app, ["/v1/close-approaches", "/v1/near-misses"]))
    wait_for_rows_in_memory()
    return app


async def answered_in_order(app: FastAPI, paths: list[str]) -> list[str]:
    """Ask for these at the same time; returns them in the order in which they are answered."""
    answered = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:

        async def ask(path: str) -> None:
            answer = await client.get(path)
            assert answer.status_code == 200
            answered.append(path)

        await asyncio.gather(*map(ask, paths))
    return answered


def test_a_kept_answer_does_not_wait_for_all_that_have_to_be_made(app: FastAPI) -> None:
    made = [f"/v1/close-approaches?limit={number}" for number in range(1, 20)]
    kept = "/v1/near-misses"
    answered = asyncio.run(answered_in_order(app, [*made, kept]))
    assert [path for path in answered if path != kept] == made
    assert answered.index(kept) < 3


@pytest.mark.parametrize(
    ("path", "in_a_thread"),
    [
        ("/v1/close-approaches?limit=30", False),
        ("/v1/close-approaches?body=Earth&sort=-dist", False),
        ("/v1/close-approaches?des={neo}", True),
        ("/v1/neos", True),
    ],
)
def test_only_what_asks_the_database_takes_a_thread(
    app: FastAPI, served_lake: Storage, path: str, in_a_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(neo,)] = rows(served_lake, "SELECT id FROM neos LIMIT 1")
    threads = []

    def noting(*arguments: Any) -> Response:
        threads.append(threading.current_thread())
        return answers.answer(*arguments)

    monkeypatch.setattr(reading, "answer", noting)
    asyncio.run(answered_in_order(app, [path.format(neo=neo)]))
    assert [one is not threading.main_thread() for one in threads] == [in_a_thread]
