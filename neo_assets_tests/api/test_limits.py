"""What every request must keep to: URLs that are no text, bodies that nobody wants, and ways out of the products. The
requests are written byte by byte, as a client library would mend them.
"""

import json
import socket
from collections.abc import Callable, Sequence

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from neo_assets.api.app import create_app
from neo_assets.api.limits import LARGEST_BODY
from neo_assets.api.server import Protocol
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import PATIENCE_S, serving

Ask = Callable[..., tuple[int, bytes, bytes]]


@pytest.fixture
def ask(api: httpx.Client) -> Ask:
    """The status, the head and the body of what the API answers to a target, byte for byte as it is given."""

    def ask(target: bytes, method: bytes = b"GET", headers: Sequence[bytes] = ()) -> tuple[int, bytes, bytes]:
        with socket.create_connection(("127.0.0.1", api.base_url.port or 0), timeout=PATIENCE_S) as connection:
            lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers]
            connection.sendall(b"\r\n".join([*lines, b"", b""]))
            whole = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        head, _, body = whole.partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    return ask


OUTSIDE = [
    b"/../../../../etc/passwd",
    b"/..%2f..%2f..%2fetc%2fpasswd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/%252e%252e%252fetc%252fpasswd",
    b"/..%5c..%5cetc%5cpasswd",
    b"/....//....//etc/passwd",
    b"/.;/etc/passwd",
    b"/%ef%bc%8e%ef%bc%8e/etc/passwd",  # fullwidth full stops
    b"/%e2%80%a5/etc/passwd",  # two dots in one character
    b"/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd",  # overlong UTF-8
    b"/%c0%af..%c0%afetc/passwd",
    b"/%00/etc/passwd",
    b"/passwd%00.js",
    b"/%0d%0aSet-Cookie:%20a=b",
    b"/%ff%fe",
    b"/%ed%a0%80",  # half of a surrogate pair
    b"//etc/passwd",
    b"///",
    b"/file:///etc/passwd",
    b"/~root/.ssh/id_rsa",
    b"/.env",
    b"/.git/config",
    b"/" + b"a" * 5_000,
    b"/" + b"%f0%9f%92%a5" * 500,
]
BELOW = [
    b"",
    b"/v1/neos",
    b"/v1/metrics",
    b"/v1/neos/..",
    b"/docs",
    b"/static-offline-docs",
    b"/static-offline-docs/%2e%2e",
    b"/feeds",
    b"/report",
    b"/health",
    b"/openapi.json",
]


@pytest.mark.parametrize("below", BELOW)
def test_nothing_outside_the_products_is_served(ask: Ask, served_lake: Storage, below: bytes) -> None:
    for outside in OUTSIDE:
        status, head, body = ask(below + outside)
        assert status in (400, 404), outside
        assert b"content-type: application/problem+json" in head
        assert not any(part in head + body for part in (b"root:", served_lake.root.encode(), b"Traceback", b"SELECT"))
        assert json.loads(body)["status"] == status


@pytest.mark.parametrize("name", ["app.py", "../app.py", "..%2f__init__.py", "core.py", "%2e%2e/core.py", "", "%2e"])
def test_only_the_files_of_the_documentation_are_static(ask: Ask, name: str) -> None:
    assert ask(b"/static-offline-docs/" + name.encode())[0] == 404


@pytest.mark.parametrize(
    "target",
    [b"/v1/neos?des=%ff", b"/v1/neos?%c0%af=1", b"/v1/neos?des=%ed%a0%80", b"/v1/neos?des=\xc3\xa9", b"/v1/neos/%80"],
)
def test_what_is_not_utf_8_is_refused(ask: Ask, target: bytes) -> None:
    assert ask(target)[0] == 400


def test_other_scripts_are_text(ask: Ask) -> None:
    status, _, body = ask(b"/v1/close-approaches?des=%E2%98%84%20%E5%BD%97%E6%98%9F")
    assert (status, json.loads(body)["total"]) == (200, 0)


@pytest.mark.parametrize("target", [b"*", b"localhost:1", b"http://other.example/etc/passwd", b"?", b"\\"])
@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW"])
def test_odd_methods_and_targets_are_errors_of_the_client(ask: Ask, method: bytes, target: bytes) -> None:
    assert 400 <= ask(target, method)[0] < 500


@pytest.mark.parametrize(
    "header",
    [
        b"Accept: " + b"text/csv," * 3_000,
        b"Accept: \xff\xfe;q=\xff",
        b"If-None-Match: " + b'"a",' * 7_000,
        b"Accept-Encoding: \xc3\x28",
        b"Cookie: " + b"a=b; " * 5_000,
        b"Host: \xff",
        b"Range: bytes=0-" + b"9" * 400,
        b"X-Forwarded-For: ' OR 1=1 --",
    ],
)
def test_odd_headers_are_no_error_of_the_api(ask: Ask, header: bytes) -> None:
    assert ask(b"/v1/neos?limit=1", headers=[header])[0] < 500


def test_no_answer_names_the_server(ask: Ask) -> None:
    for target in (b"/v1/neos", b"/docs", b"/nothing", b"/v1/neos?a=1"):
        assert b"\r\nserver:" not in ask(target)[1].lower()


@pytest.mark.parametrize(
    "values",
    [["' OR 1=1 --"], ["%27%3B DROP TABLE neos"], ["Earth' UNION SELECT 1"], ["x" * 2_000], ["${jndi:ldap://a}"]],
)
def test_no_answer_has_sql(api: httpx.Client, values: list[str]) -> None:
    for name in ("des", "body", "class", "sort", "fields", "cursor", "date-min", "dist-max", "limit", "unknown"):
        answer = api.get("/v1/close-approaches", params={name: values[0]})
        assert answer.status_code in (200, 400)
        assert not any(word in answer.text.replace(values[0], "") for word in ("SELECT", "WHERE", "Binder", "duckdb"))


def app_with_bodies(lake: Storage) -> FastAPI:
    """The API, with a path that reads bodies, and one below those that take files."""
    app = create_app(Settings(lake=str(lake.root)), lake=lake)

    async def length(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    for path in ("/length", "/v1/landing/file/length"):
        app.add_route(path, length, methods=["POST"])
    return app


def test_bodies_are_small_except_where_files_are_put(served_lake: Storage) -> None:
    with serving(app_with_bodies(served_lake), http=Protocol) as url, httpx.Client(timeout=PATIENCE_S) as client:
        at = httpx.URL(url)

        def sent(path: str, size: int, *, in_pieces: bool) -> tuple[int, str]:
            content = iter([b"x" * 1_000] * (size // 1_000)) if in_pieces else b"x" * size
            answer = client.post(at.join(path), content=content)
            return answer.status_code, answer.text if answer.status_code == 200 else answer.json()["detail"]

        assert sent("/length", LARGEST_BODY, in_pieces=False) == (200, str(LARGEST_BODY))
        assert sent("/length", 65_000, in_pieces=True) == (200, "65000")
        for in_pieces in (False, True):
            assert sent("/length", 66_000, in_pieces=in_pieces) == (413, "The body may have 65,536 bytes at most.")
            assert sent("/v1/landing/file/length", 200_000, in_pieces=in_pieces) == (200, "200000")


@pytest.mark.parametrize("path", ["/v1/neos?limit=1", "/health/live", "/docs"])
def test_a_body_that_is_not_wanted_does_no_harm(api: httpx.Client, path: str) -> None:
    assert api.request("GET", path, content=b"x" * 1_000).status_code == 200
    assert api.request("GET", path, content=b"x" * 1_000_000).status_code == 413
    assert api.get(path).status_code == 200


def test_a_stream_ends_when_too_much_is_sent_to_it(api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    content = iter([b"x" * 1_000] * 1_000)
    with api.stream("GET", "/events", content=content) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
        answer.read()
    assert not caplog.records
    assert api.get("/health/live").status_code == 200
