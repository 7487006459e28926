"""Pages over HTTP, from the simulator or a server that fails like NASA's: keys, retries, errors, concurrency."""

import asyncio
import contextlib
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from neo_assets.schema.pages import CatalogueStats
from neo_assets.sources.neows import errors
from neo_assets.sources.simulator.app import bind, create_app
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.integration.harness import nobody_at
from neo_assets_tests.sources.neows.examples import body, neo
from neo_assets_tests.sources.neows.fetching import (
    KEY,
    OTHER_KEY,
    OVER_LIMIT,
    URL,
    Scripted,
    Server,
    client_of,
    failure,
    fetch,
    gateway,
    page_asked,
    whole,
)


def test_a_page_and_its_facts() -> None:
    server = Server()
    before = datetime.now(UTC)
    pages, failed = fetch(server, [7])
    assert failed == {}
    page = pages[7]
    assert (page.number, page.body, page.neos, page.total_elements) == (7, body(neo(), number=7), 1, 40_000)
    assert before <= page.fetched_at <= datetime.now(UTC)
    assert page.source == "nasa"
    (request,) = server.requests
    assert request.url == f"{URL}/neo/browse?page=7&size=20"


def test_pages_of_the_simulator_are_never_mistaken_for_nasas() -> None:
    catalogue = Catalogue(neos=45)
    pages, failed = fetch(httpx.ASGITransport(create_app(catalogue)), range(3))
    assert failed == {}
    assert [(page.source, page.neos, page.total_elements) for _, page in sorted(pages.items())] == [
        ("simulator", 20, 45),
        ("simulator", 20, 45),
        ("simulator", 5, 45),
    ]


def test_stats_are_requested_once() -> None:
    async def ask(app: httpx.AsyncBaseTransport) -> CatalogueStats:
        async with client_of(app) as client:
            return await client.fetch_stats()

    catalogue = Catalogue(neos=45)
    stats = asyncio.run(ask(httpx.ASGITransport(create_app(catalogue))))
    assert (stats.near_earth_object_count, stats.close_approach_count) == (45, catalogue.close_approach_count)
    server = Server(httpx.Response(503))
    with pytest.raises(errors.Unavailable):
        asyncio.run(ask(Scripted(server)))
    assert len(server.requests) == 1


# --- keys


def test_the_key_is_sent_in_its_header_and_nowhere_else() -> None:
    server = Server()
    fetch(server, range(3))
    for request in server.requests:
        assert request.headers["X-Api-Key"] == KEY
        elsewhere = [str(request.url), *(value for name, value in request.headers.items() if name != "x-api-key")]
        assert all(KEY not in text for text in elsewhere)


def test_an_echoed_key_is_redacted() -> None:
    pages, _ = fetch(httpx.ASGITransport(create_app(Catalogue(neos=20))), keys=[KEY, OTHER_KEY])
    assert KEY.encode() not in pages[0].body
    assert b"api_key=REDACTED" in pages[0].body


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, text=f"<html>{KEY}</html>"),
        httpx.Response(403, json={"error": {"code": f"NO_{KEY}", "message": KEY}}),
        httpx.Response(200, text=f"{KEY}?"),
        httpx.Response(302, headers={"Location": f"http://elsewhere/?api_key={KEY}"}),
        httpx.ConnectError(f"no way to http://neows.example/?api_key={KEY}"),
    ],
)
def test_no_key_in_errors_and_logs(answer: httpx.Response | Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error = failure(Server(*[answer] * 5))
    assert KEY not in f"{error!r} {caplog.text}"


def test_without_a_budget_a_single_rejected_key_is_an_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert len(server.requests) < 10, "it is asked for ever"
        return gateway(403, "API_KEY_DISABLED")

    server = Server(then=answer)
    assert type(failure(server, keys=[KEY, OTHER_KEY])) is errors.KeyRejected


# --- failures and retries

HTML = "<!DOCTYPE html><html><h1>Application Error</h1></html>"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (gateway(403, "API_KEY_MISSING"), errors.KeyRejected, "403 API_KEY_MISSING: .* check NASA_API_KEYS"),
        (gateway(403, "API_KEY_INVALID"), errors.KeyRejected, "403 API_KEY_INVALID: .* check NASA_API_KEYS"),
        (
            httpx.Response(403, html="<h1>Blocked</h1>"),
            errors.Refused,
            "403 without a gateway code, .* the network's proxy",
        ),
        (httpx.Response(401, text=HTML), errors.KeyRejected, "401: .* check NASA_API_KEYS"),
        (gateway(404, "NOT_FOUND"), errors.NotFound, "404 NOT_FOUND: .* check NEOWS_BASE_URL"),
        (httpx.Response(404, text=HTML), errors.NotFound, "404: .* check NEOWS_BASE_URL"),
        (gateway(400, "HTTPS_REQUIRED"), errors.BadRequest, "400 HTTPS_REQUIRED: .* check NEOWS_BASE_URL"),
        (httpx.Response(302, headers={"Location": "https://elsewhere/"}), errors.BadRequest, "302: "),
        (httpx.Response(204), errors.BadRequest, "204: "),
    ],
)
def test_permanent_failures_are_not_retried(
    answer: httpx.Response, kind: type[errors.NeoWsError], message: str
) -> None:
    server = Server(then=lambda request: answer)
    with pytest.raises(kind, match=f"^neows.example answered {message}"):
        raise failure(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(503, text=HTML), errors.Unavailable),
        (httpx.Response(500, text=HTML), errors.Unavailable),
        (httpx.Response(502, text="upstream connect error"), errors.Unavailable),
        (httpx.Response(408), errors.Unavailable),
        (httpx.Response(425), errors.Unavailable),
        (httpx.Response(429, text=OVER_LIMIT), errors.RateLimited),
        (gateway(429, "OVER_RATE_LIMIT"), errors.RateLimited),
        (httpx.Response(200, text=HTML), errors.NotAPage),
        (httpx.Response(200), errors.NotAPage),
        (httpx.Response(200, content=body(neo(), number=0)[:200]), errors.NotAPage),
        (httpx.Response(200, content=body(neo(), number=5)), errors.WrongPage),
        (httpx.ConnectError("refused"), errors.Unreachable),
        (httpx.ReadTimeout(""), errors.Unreachable),
        (httpx.RemoteProtocolError("peer closed connection"), errors.Unreachable),
    ],
)
class TestTransient:
    """Transient failures: an outage, a rate limit, a lost response."""

    def test_it_is_tried_five_times(self, answer: Any, kind: type[errors.NeoWsError]) -> None:
        server = Server(*[answer] * 9)
        error = failure(server)
        assert type(error) is kind
        assert "\n" not in str(error)
        assert len(server.requests) == 5

    def test_it_is_forgotten_when_it_goes_away(self, answer: Any, kind: type[errors.NeoWsError]) -> None:
        server = Server(answer, answer)
        pages, failed = fetch(server)
        assert (list(pages), failed) == ([0], {})
        assert len(server.requests) == 3


class Garbled(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"this is not gzip"


def test_a_corrupted_response_is_treated_as_lost() -> None:
    server = Server(then=lambda request: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Garbled()))
    assert failure(server).retryable
    assert len(server.requests) == 5


def test_retry_after_of_an_outage_is_heeded() -> None:
    server = Server(httpx.Response(503, headers={"Retry-After": "1"}))
    started = time.monotonic()
    assert fetch(server)[1] == {}
    assert time.monotonic() - started >= 1


def test_a_refused_connection() -> None:
    with nobody_at() as address:
        error = failure(None, url=f"http://{address}")
    assert type(error) is errors.Unreachable
    assert f"http://{address} cannot be reached (" in str(error)


def test_a_host_that_does_not_exist() -> None:
    assert type(failure(None, url="http://neows.invalid")) is errors.Unreachable


@pytest.mark.skipif(not shutil.which("openssl"), reason="the openssl command is not installed")
def test_a_certificate_that_is_not_trusted_is_permanent(tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -subj /CN=x"
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    connections = 0

    def answer(listener: socket.socket) -> None:
        nonlocal connections
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections += 1
                with connection, contextlib.suppress(OSError):
                    context.wrap_socket(connection, server_side=True)

    with bind("127.0.0.1", 0) as listener:
        threading.Thread(target=answer, args=[listener], daemon=True).start()
        error = failure(None, url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
    assert type(error) is errors.CertificateRejected
    assert "is not trusted (self-signed certificate); check NEOWS_BASE_URL" in str(error)
    assert connections == 1


def test_redirects_are_not_followed() -> None:
    server = Server(httpx.Response(302, headers={"Location": "https://elsewhere.example/neo/browse"}))
    fetch(server)
    assert [request.url.host for request in server.requests] == ["neows.example"]


# --- many pages


def test_every_page_is_fetched_once() -> None:
    server = Server()
    pages, failed = fetch(server, range(30))
    assert failed == {}
    assert sorted(pages) == list(range(30))
    assert server.asked == Counter(range(30))


@pytest.mark.parametrize("numbers", [[], range(0)])
def test_no_pages_need_no_requests(numbers: Iterable[int]) -> None:
    assert fetch(Server(), numbers) == ({}, {})


def test_a_page_that_cannot_be_fetched_does_not_stop_the_others() -> None:
    server = Server(then=lambda request: httpx.Response(404) if page_asked(request) in (3, 11) else whole(request))
    pages, failed = fetch(server, range(15))
    assert sorted(pages) == sorted(set(range(15)) - {3, 11})
    assert {number: type(error) for number, error in failed.items()} == {3: errors.NotFound, 11: errors.NotFound}


@pytest.mark.parametrize(
    ("answer", "kind", "attempts"),
    [
        (gateway(403, "API_KEY_INVALID"), errors.KeyRejected, [1]),
        (httpx.Response(429, text=OVER_LIMIT), errors.RateLimited, [10]),
        (httpx.Response(503, text=HTML), errors.Outage, [10, 4]),
    ],
)
def test_an_error_that_concerns_all_pages_ends_the_round(
    answer: httpx.Response, kind: type[errors.NeoWsError], attempts: list[int]
) -> None:
    """If it may pass, there is a second one."""
    server = Server(then=lambda request: whole(request) if page_asked(request) < 2 else answer)
    pages, failed = fetch(server, range(20), concurrency=1)
    assert sorted(pages) == [0, 1]
    assert list(failed) == list(range(2, 20))
    assert type(failed[19]) is kind
    assert server.asked == Counter(dict(enumerate([1, 1, *attempts])))


@pytest.mark.parametrize(
    "answer", [httpx.Response(200), httpx.Response(200, text=HTML), httpx.Response(200, content=body(number=9))]
)
def test_a_message_names_its_page_once(answer: httpx.Response, caplog: pytest.LogCaptureFixture) -> None:
    server = Server(then=lambda request: answer if page_asked(request) == 2 else whole(request))

    async def run() -> str:
        async with client_of(server) as client:
            with pytest.raises(errors.PagesMissing) as caught:
                async for _ in client.pages(range(4)):
                    pass
        return str(caught.value)

    messages = [asyncio.run(run()), *(record.message for record in caplog.records)]
    messages.remove("asking again for 1 page")
    assert len(messages) > 1
    assert [message.count("page 2") for message in messages] == [1] * len(messages), messages


def test_the_number_of_concurrent_requests_is_limited() -> None:
    under_way = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.002)
        under_way -= 1
        return whole(request)

    pages, _ = fetch(answer, range(20), concurrency=3)
    assert len(pages) == 20
    assert most == 3


def test_a_page_is_yielded_as_soon_as_it_has_arrived() -> None:
    """The server answers for page 0 only after every other page was yielded."""

    async def run() -> list[int]:
        others_came = asyncio.Event()

        async def answer(request: httpx.Request) -> httpx.Response:
            if page_asked(request) == 0:
                await others_came.wait()
            return whole(request)

        came = []
        async with client_of(answer) as client:
            async for page in client.pages(range(20)):
                came.append(page.number)
                if len(came) == 19:
                    others_came.set()
        return came

    came = asyncio.run(run())
    assert came[-1] == 0
    assert sorted(came) == list(range(20))


def test_a_slow_consumer_holds_the_fetching_back() -> None:
    server = Server()

    async def run() -> list[int]:
        ahead: list[int] = []
        async with client_of(server, concurrency=3) as client:
            async for _ in client.pages(range(12)):
                await asyncio.sleep(0.02)
                ahead.append(len(server.requests) - len(ahead) - 1)
        return ahead

    assert asyncio.run(run()) == [3] * 9 + [2, 1, 0]


@pytest.mark.parametrize("when", ["before the first page", "after it"])
def test_closing_early_cancels_requests(when: str) -> None:
    async def run() -> None:
        under_way, cancelled = set[int](), set[int]()

        async def answer(request: httpx.Request) -> httpx.Response:
            number = page_asked(request)
            if number == 0 and when == "after it":
                return whole(request)
            under_way.add(number)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.add(number)
                raise
            raise AssertionError

        async with client_of(answer, concurrency=3) as client:
            pages = client.pages(range(20))
            if when == "after it":
                assert (await anext(pages)).number == 0
                while len(under_way) < 3:
                    await asyncio.sleep(0)
                await pages.aclose()
            else:
                waiting = asyncio.create_task(anext(pages, None))
                while len(under_way) < 3:
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
        assert cancelled == under_way
        assert len(under_way) == 3

    asyncio.run(run())


def test_an_error_that_concerns_all_pages_cancels_the_others() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if page_asked(request) == 2:
            return httpx.Response(403, html="<h1>Blocked</h1>")
        if page_asked(request) > 2:
            await asyncio.sleep(60)
        return whole(request)

    started = time.monotonic()
    pages, failed = fetch(answer, range(20), concurrency=5)
    assert time.monotonic() - started < 30
    assert sorted(pages) == [0, 1]
    assert list(failed) == list(range(2, 20))
    assert {type(error) for error in failed.values()} == {errors.Refused}


def test_pages_that_arrive_with_an_error_that_concerns_all_are_kept() -> None:
    async def run() -> tuple[list[int], list[int]]:
        together = asyncio.Barrier(3)

        async def answer(request: httpx.Request) -> httpx.Response:
            await together.wait()
            return whole(request) if page_asked(request) else httpx.Response(403, html="<h1>Blocked</h1>")

        came = []
        async with client_of(answer, concurrency=3) as client:
            try:
                async for page in client.pages(range(20)):
                    came.append(page.number)
            except errors.PagesMissing as missing:
                return sorted(came), list(missing.failed)
        raise AssertionError

    assert asyncio.run(run()) == ([1, 2], [0, *range(3, 20)])


def test_an_unexpected_error_ends_the_iterator() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fetch(answer, range(20))
