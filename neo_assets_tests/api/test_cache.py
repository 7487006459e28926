"""An answer that is given again is the one that would be made, and none outlives its snapshot."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from neo_assets.api import snapshots
from neo_assets.api.cache import AnswerCache, depends_on_nothing_but
from neo_assets.api.snapshots import Snapshots
from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import wait_for_rows_in_memory
from neo_assets_tests.api.test_snapshots import change
from neo_assets_tests.products.by_hand import fill, make

PATHS = ["close-approaches", "upcoming", "neos", "yearly-approaches", "near-misses", "dictionary", "snapshot"]
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(["text/csv", "application/x-ndjson", "image/png", "*/*"]),
        "Accept-Encoding": st.sampled_from(["gzip", "zstd, gzip", "identity"]),
        "If-None-Match": st.sampled_from(["*", '"another"']),
        "Origin": st.just("https://example.org"),
    },
)
PARAMETERS = st.fixed_dictionaries(
    {}, optional={"limit": st.sampled_from(["1", "50", "0"]), "format": st.sampled_from(["arrow", "json"])}
)


NUMBERS = itertools.count()


@contextmanager
def looking_every(seconds: float) -> Iterator[None]:
    """How often the lake is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "_LOOK_EVERY_S", seconds)
        yield


def received(api: httpx.Client, *request: Any, **options: Any) -> tuple[int, dict[str, str], bytes]:
    """What comes over the wire, without the time of day and the id of the request."""
    with api.stream(*request, **options) as answer:
        headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
        body = b"".join(answer.iter_raw())
        if headers.get("content-encoding") == "gzip":
            body = body[:4] + body[8:]  # its header has the time (RFC 1952)
        return answer.status_code, headers, body


@pytest.fixture(scope="module", autouse=True)
def rows_are_in_memory(api: httpx.Client) -> None:
    """The rows of the database are the same, but Arrow pads them with other bytes."""
    api.get("/v1/close-approaches")
    wait_for_rows_in_memory()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["GET", "HEAD"]), st.sampled_from(PATHS), PARAMETERS, HEADERS)
def test_kept_answers_are_those_that_would_be_made(
    api: httpx.Client, method: str, path: str, parameters: dict[str, str], headers: dict[str, str]
) -> None:
    def ask(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        return received(api, method, f"/v1/{path}", params=parameters, headers=headers)

    headers = {"Accept-Encoding": "identity"} | headers  # else, httpx sends one
    unlike_any_other = f"{headers['Accept-Encoding']}, x-{next(NUMBERS)}"  # the same to all but the cache
    made = ask(headers | {"Accept-Encoding": unlike_any_other})
    assert ask(headers) == ask(headers) == made


class Counted:
    """Answers with the number of the request, in a given way."""

    def __init__(self, every: Snapshots, *, is_marked: bool = True, status: int = 200, size: int = 1) -> None:
        self.requests = 0
        self._every, self._is_marked, self._status, self._size = every, is_marked, status, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        number = self.requests
        with self._every.current() as snapshot:
            if self._is_marked:
                depends_on_nothing_but(snapshot, Request(scope))
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": self._status, "headers": []})
        await send({"type": "http.response.body", "body": f"{number:{self._size}}".encode()})


@pytest.fixture
def every(served_lake: Storage) -> Iterator[Snapshots]:
    every = Snapshots(served_lake)
    yield every
    every.close()


async def ask(app: Any, path: str = "/", *, method: str = "GET") -> str:
    """The body of the answer of an application."""
    said = b""

    async def send(message: Message) -> None:
        nonlocal said
        said += message.get("body", b"")

    async def receive() -> Message:
        raise AssertionError("a GET has no body")

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    return said.decode().strip()


async def many(app: Any, number: int) -> list[str]:
    """The bodies of answers to equal requests at the same time."""
    return await asyncio.gather(*(ask(app) for _ in range(number)))


def test_equal_requests_at_the_same_time_are_answered_once(every: Snapshots) -> None:
    app = AnswerCache(Counted(every), every)
    assert asyncio.run(many(app, 50)) == ["1"] * 50


@pytest.mark.parametrize("other", [{"is_marked": False}, {"status": 404}, {"status": 503}])
def test_nothing_else_is_kept(every: Snapshots, other: dict[str, Any]) -> None:
    app = AnswerCache(Counted(every, **other), every)
    assert sorted(asyncio.run(many(app, 5))) == ["1", "2", "3", "4", "5"]


def test_what_is_not_a_get_goes_on(every: Snapshots) -> None:
    app = AnswerCache(Counted(every), every)
    assert [asyncio.run(ask(app, method="POST")) for _ in range(2)] == ["1", "2"]


def test_those_asked_for_least_recently_make_room(every: Snapshots) -> None:
    app = AnswerCache(Counted(every, size=10_000), every, most_bytes=25_000)
    asked = ["/a", "/b", "/a", "/c", "/a", "/b"]
    assert [asyncio.run(ask(app, path)) for path in asked] == ["1", "2", "1", "3", "1", "4"]


def test_a_stream_is_sent_as_it_comes_and_holds_nobody_up(every: Snapshots) -> None:
    end = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await end.wait()
        await send({"type": "http.response.body", "body": b", last"})

    async def both() -> list[str]:
        app = AnswerCache(stream, every)
        first = asyncio.create_task(ask(app))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask(app))
        await asyncio.sleep(0)
        end.set()
        return [await first, await second]

    assert asyncio.run(both()) == ["first, last"] * 2


def test_no_answer_outlives_its_snapshot(lake: Storage) -> None:
    make(fill(lake))
    every = Snapshots(lake)
    app = AnswerCache(Counted(every), every)
    assert [asyncio.run(ask(app)) for _ in range(2)] == ["1", "1"]
    change(lake, neos=7)
    with looking_every(0), every.current():
        pass
    assert [asyncio.run(ask(app)) for _ in range(2)] == ["2", "2"]
    every.close()


def test_a_request_with_a_body_goes_on_so_that_the_body_is_read(api: httpx.Client) -> None:
    assert api.get("/v1/near-misses").status_code == 200
    assert api.request("GET", "/v1/near-misses", content=b"x" * 1_000_000).status_code == 413


def test_only_scripts_of_other_sites_are_told_that_they_may_read_it(api: httpx.Client) -> None:
    origins = [{}, {"Origin": "https://example.org"}, {}, {"Origin": "https://example.com"}]
    answers = [api.get("/v1/near-misses?limit=7", headers=headers) for headers in origins]
    assert [one.headers.get("Access-Control-Allow-Origin") for one in answers] == [None, "*", None, "*"]
