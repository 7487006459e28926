"""Clients that are slow, send too much or are too many: each gets a clear answer or a closed connection, and others are
served meanwhile.
"""

import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from neo_assets.api.server import Protocol
from neo_assets.lake.storage import Storage
from neo_assets_tests.integration.harness import PATIENCE_S, serving
from neo_assets_tests.serving import neo_serve

LARGE = b"x" * 30_000_000
"""More than the system keeps for a client that does not read."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body; `/large` with much, `/deaf` without reading the body."""
    request = Request(scope, receive)
    if scope["path"] == "/deaf":
        answer = PlainTextResponse("deaf")
    elif scope["path"] == "/large":
        answer = PlainTextResponse(LARGE)
    else:
        answer = PlainTextResponse(str(len(await request.body())))
    await answer(scope, receive, send)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server with little patience."""
    for name, seconds in (("_PATIENCE_S", 0.5), ("_LINGER_S", 0.3), ("_STALLED_S", 1.0)):
        monkeypatch.setattr(f"neo_assets.api.server.{name}", seconds)
    with serving(echo, http=Protocol) as url:
        yield urlsplit(url).port or 0


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def rest(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            found += piece
    return found


def said(port: int, *pieces: bytes, every_s: float = 0.0) -> bytes:
    """What the server says to these pieces until it closes the connection."""
    with connect(port) as connection:
        for piece in pieces:
            with contextlib.suppress(OSError):  # it may have closed it already
                connection.sendall(piece)
            time.sleep(every_s)
        return rest(connection)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def problem(answer: bytes) -> tuple[int, str]:
    """The status and the detail of a problem, which is all that came."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert b"server:" not in head.lower()
    [status] = statuses(head)
    return status, json.loads(body)["detail"]


def test_a_connection_without_a_request_is_closed(port: int) -> None:
    assert said(port) == b""


def test_empty_lines_do_not_keep_a_connection_open(port: int) -> None:
    began = time.monotonic()
    said(port, *[b"\r\n"] * 30, every_s=0.05)
    assert said(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", *[b"\r\n"] * 30, every_s=0.05).count(b"200 OK") == 1
    assert time.monotonic() - began < PATIENCE_S / 4


@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["first", "next"])
def test_a_head_that_takes_too_long_is_given_up(port: int, before: bytes) -> None:
    pieces = [b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 20]
    answer = said(port, *filter(None, [before]), *pieces, every_s=0.1)
    assert statuses(answer) == ([200] if before else []) + [408]
    assert b"did not come within" in answer


def test_a_body_that_takes_too_long_is_given_up(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    assert problem(said(port, head, *[b"x"] * 20, every_s=0.1))[0] == 408


def test_a_body_that_keeps_coming_is_read(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 8000\r\n\r\n"
    answer = said(port, head, *[b"x" * 400] * 20, every_s=0.1)
    assert (statuses(answer), answer[-4:]) == ([200], b"8000")


def test_a_body_that_nobody_reads_does_not_keep_a_connection_open(port: int) -> None:
    head = b"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    assert statuses(said(port, head, *[b"x" * 10] * 20, every_s=0.1)) == [200]


def test_a_small_body_that_nobody_reads_harms_no_later_request(port: int) -> None:
    body = b"POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    later = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert statuses(said(port, body, b"four", later, every_s=0.1)) == [200, 200]


@pytest.mark.parametrize(
    ("request_of", "status", "detail"),
    [
        ([b"GET /", b"a" * 10_000, b" HTTP/1.1\r\nHost: a\r\n\r\n"], 414, "8,192 bytes"),
        ([b"GET /" + b"a" * 200_000], 414, "8,192 bytes"),
        ([b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000 + b"\r\n\r\n"], 431, "32,768 bytes"),
        ([b"GET / HTTP/1.1\r\nX: ", *[b"a" * 10_000] * 10], 431, "32,768 bytes"),
        ([b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(6_000)) + b"\r\n"], 431, "32,768 bytes"),
        ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], 400, "HTTP/1.1"),
        ([b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"], 400, "HTTP/1.1"),
        ([b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"], 400, "HTTP/1.1"),
        ([b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n"], 400, "HTTP/1.1"),
        ([b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"], 400, "HTTP/1.1"),
        (
            [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            400,
            "HTTP/1.1",
        ),
        ([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], 400, "HTTP/1.1"),
        ([b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"], 400, "HTTP/1.1"),
    ],
)
def test_what_is_too_long_or_no_request_is_refused(
    port: int, request_of: Sequence[bytes], status: int, detail: str
) -> None:
    found = problem(said(port, *request_of))
    assert (found[0], detail in found[1]) == (status, True)


def test_nonsense_after_a_request_does_not_damage_its_answer(port: int) -> None:
    answer = said(port, b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01nonsense\r\n\r\n")
    assert statuses(answer[:200]) == [200]
    assert answer.count(b"x") >= len(LARGE)


def test_requests_in_a_row_are_answered_in_their_order(port: int) -> None:
    answer = said(port, *[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % n + b"x" * n for n in range(5)])
    assert statuses(answer) == [200] * 5
    assert [one.partition(b"\r\n\r\n")[2][:1] for one in answer.split(b"HTTP/1.1")[1:]] == [b"%d" % n for n in range(5)]


def test_a_client_that_does_not_read_is_cut_off(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(3)
        assert len(rest(connection)) < len(LARGE)


def test_a_client_that_reads_slowly_gets_everything(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        found = 0
        for _ in range(20):
            found += len(connection.recv(1 << 20))
            time.sleep(0.15)
        assert found + len(rest(connection)) > len(LARGE)


def with_files(soft: int, hard: int) -> tuple[str, ...]:
    """The start of a command that may have so many files open."""
    return ("sh", "-c", f'ulimit -S -n {soft}; ulimit -H -n {hard}; exec "$@"', "sh")


GET_LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.slow
def test_more_clients_than_files_do_no_harm(tmp_path: Path, served_lake: Storage) -> None:
    with (
        neo_serve(tmp_path / "few", served_lake, prefix=with_files(256, 256)) as server,
        contextlib.ExitStack() as stack,
    ):
        assert httpx.get(f"{server.url}/v1/neos", timeout=PATIENCE_S).status_code == 200
        idle = [stack.enter_context(connect(server.port)) for _ in range(1_000)]
        process = psutil.Process(server.started.process.pid)
        before, began = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(2)
        assert sum(process.cpu_times()[:2]) - before < (time.monotonic() - began) / 2, "it spins"
        idle[0].sendall(b"GET /v1/neos HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle[0].recv(100).startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
        stack.close()
        time.sleep(1)  # until it knows that they have left
        assert httpx.get(f"{server.url}/v1/neos", timeout=PATIENCE_S).status_code == 200
        assert "Traceback" not in server.errors()


@pytest.mark.slow
def test_it_opens_as_many_files_as_it_may(tmp_path: Path, served_lake: Storage) -> None:
    with (
        neo_serve(tmp_path / "more", served_lake, prefix=with_files(256, 4_096)) as server,
        contextlib.ExitStack() as stack,
    ):
        connections = [stack.enter_context(connect(server.port)) for _ in range(1_000)]
        for one in connections:
            one.sendall(GET_LIVE)
        assert {one.recv(12) for one in connections} == {b"HTTP/1.1 200"}
