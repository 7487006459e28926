"""Odd answers over HTTP: a good page is not lost to a header or a wrapping that it does not need."""

import gzip

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neo_assets.sources.neows.retry_policy import RetryPolicy
from neo_assets.sources.neows.source import NeoWs
from neo_assets_tests.conftest import Served
from neo_assets_tests.sources.neows.examples import body, neo

QUICK = RetryPolicy(first_wait_s=0.001, key_pause_s=0.01, shortest_key_pause_s=0.01)
PAGE = body(neo(), number=0)
BOM = b"\xef\xbb\xbf"


def members(*parts: bytes) -> bytes:
    """A gzip member for each part."""
    return b"".join(map(gzip.compress, parts))


def fetched(neows: NeoWs) -> bytes:
    """The body of page 0, after a second fetch that must bring the same."""
    first, second = ([page.body for page in neows.pages([0])] for _ in range(2))
    assert first == second
    return first[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Limit": "18446744073709551615"},
        {"X-RateLimit-Limit": "9" * 5000},
        {"X-RateLimit-Limit": "-5"},
        {"X-RateLimit-Limit": "0"},
        {"X-RateLimit-Limit": "many"},
        {"X-RateLimit-Limit": "1e3"},
        {"X-RateLimit-Limit": "\xb2"},
        {"X-RateLimit-Remaining": "9" * 5000},
        {"X-RateLimit-Remaining": "-1"},
        {"Retry-After": "9" * 5000},
        {"Age": "9" * 5000},
        {"Content-Type": "text/html; charset=rot13"},
        {"Content-Type": "\xff"},
        {"Content-Encoding": "identity"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br, nonsense"},
        {"Server": "\xff\xfe"},
        {"Location": "http://[elsewhere"},
        {"Set-Cookie": "a=\xff\xfe; Path=/"},
        {"Set-Cookie": "\xe9=1; Max-Age=9999999999999999999999; Version=x"},
    ],
    ids=lambda headers: str(headers)[:50],
)
def test_a_page_is_not_lost_to_an_odd_header(
    headers: dict[str, str], served: Served, neows: NeoWs, recwarn: pytest.WarningsRecorder
) -> None:
    served.answers = {0: Response(PAGE, headers=headers)}
    assert fetched(neows) == PAGE
    # On Python 3.13, what earlier tests left to the garbage collector may be noticed here.
    assert [str(one.message) for one in recwarn if one.category is not ResourceWarning] == []


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (429, {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}),
        (503, {"Retry-After": "Mon, 01 Jan 2026 00:00:00 +9999"}),
        (503, {"Content-Type": "text/html; charset=rot13"}),
        (503, {"Content-Type": "text/html; charset=hex"}),
        (503, {"Content-Encoding": "gzip"}),
    ],
    ids=str,
)
def test_an_odd_error_is_still_the_error(status: int, headers: dict[str, str], served: Served, neows: NeoWs) -> None:
    answers = [Response(b"<html>\xff", status, headers)]

    async def error_first(scope: Scope, receive: Receive, send: Send) -> None:
        await (answers.pop() if answers else Response(PAGE))(scope, receive, send)

    served.answers = {0: error_first}
    assert fetched(neows) == PAGE


@pytest.mark.parametrize(
    "wrapped",
    [
        BOM + PAGE,
        gzip.compress(PAGE),
        members(PAGE[:100], PAGE[100:200], PAGE[200:]),
        members(b"", PAGE),
        gzip.compress(PAGE) + b"\0" * 512,
        gzip.compress(PAGE) + b"what a proxy added",
        gzip.compress(BOM + PAGE),
        gzip.compress(PAGE)[:-8],
    ],
    ids=["BOM", "gzip", "members", "empty member", "padding", "addition", "both", "no checksum"],
)
@pytest.mark.parametrize("header", [True, False])
def test_a_page_may_be_wrapped(wrapped: bytes, header: bool, served: Served, neows: NeoWs) -> None:
    served.answers = {0: Response(wrapped, headers={"Content-Encoding": "gzip"} if header else None)}
    assert fetched(neows) == PAGE


def test_compressed_pages_are_asked_for(served: Served, neows: NeoWs) -> None:
    asked: list[bytes] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(dict(scope["headers"])[b"accept-encoding"])
        await Response(PAGE)(scope, receive, send)

    served.answers = {0: note}
    fetched(neows)
    assert asked == [b"gzip", b"gzip"]


def test_no_cookie_is_kept(served: Served, neows: NeoWs) -> None:
    sent: list[bool] = []

    async def set_cookie(scope: Scope, receive: Receive, send: Send) -> None:
        sent.append(b"cookie" in dict(scope["headers"]))
        await Response(PAGE, headers={"Set-Cookie": "session=1; Path=/"})(scope, receive, send)

    served.answers = {0: set_cookie}
    fetched(neows)
    assert sent == [False, False]
