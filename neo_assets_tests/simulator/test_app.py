"""The application: answers, keys, limits, headers and errors as NeoWs gives them, in process and over HTTP."""

import asyncio
import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from neo_assets.simulator.app import PREFIX, SERVER_NAME, bind, create_app, make_server, serve
from neo_assets.simulator.catalogue import Catalogue, to_json
from neo_assets_tests.simulator.shape import assert_browse_shape, assert_neo_shape

SMALL = Catalogue(neos=45)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def get(app: Starlette, *paths: str, key: str | None = "somebody", **options: Any) -> list[httpx.Response]:
    """The answers to the paths, one after another, on an event loop of their own."""

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulated" + PREFIX) as client:
            if key is not None:
                client.headers["X-Api-Key"] = key
            return [await client.get(path, **options) for path in paths]

    return asyncio.run(ask())


# --- answers


def test_browse_gives_pages_of_the_catalogue() -> None:
    first, second, small, beyond = get(
        create_app(SMALL), "/neo/browse", "/neo/browse?page=1", "/neo/browse?page=3&size=5", "/neo/browse?page=3"
    )
    for answer in (first, second, small, beyond):
        assert answer.status_code == 200
        assert_browse_shape(answer.json())
    assert first.json()["page"] == {"size": 20, "total_elements": 45, "total_pages": 3, "number": 0}
    assert small.json()["near_earth_objects"] == first.json()["near_earth_objects"][15:]
    assert beyond.json()["near_earth_objects"] == []


def test_bodies_are_one_line_of_compact_utf8() -> None:
    (answer,) = get(create_app(SMALL), "/neo/browse?page=1")
    assert answer.content == to_json(answer.json())
    assert "’".encode() in answer.content
    assert b"\n" not in answer.content


def test_a_page_is_the_same_bytes_when_it_is_served_again_and_on_another_loop() -> None:
    app = create_app(SMALL)
    first, again = get(app, "/neo/browse", "/neo/browse")
    (later,) = get(app, "/neo/browse")
    assert first.content == again.content == later.content


@pytest.mark.parametrize(
    "query",
    ["page=-1", "page=x", "page=", "page=1.5", "page=" + "9" * 5_000, "size=0", "size=21", "size=-20", "size=ten"],
)
def test_bad_page_or_size_is_a_400(query: str) -> None:
    (answer,) = get(create_app(SMALL), f"/neo/browse?{query}")
    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert answer.json()["http_error"] == "BAD_REQUEST"
    assert answer.json()["error_message"].startswith(query[:4])


def test_lookup_gives_the_object_of_the_page_or_404() -> None:
    app = create_app(SMALL)
    neo = get(app, "/neo/browse?page=1")[0].json()["near_earth_objects"][7]
    found, missing, path = get(app, f"/neo/{neo['id']}", "/neo/2999999", "/elsewhere")
    assert_neo_shape(found.json())
    assert found.json() == neo
    assert (missing.status_code, missing.json()["http_error"]) == (404, "NOT_FOUND")
    assert (path.status_code, path.json()["http_error"]) == (404, "NOT_FOUND")


def test_stats_count_the_catalogue() -> None:
    (answer,) = get(create_app(SMALL), "/stats")
    assert list(answer.json()) == [
        "near_earth_object_count",
        "close_approach_count",
        "last_updated",
        "source",
        "nasa_jpl_url",
    ]
    assert answer.json()["near_earth_object_count"] == 45
    assert answer.json()["close_approach_count"] == SMALL.close_approach_count


def test_the_catalogue_can_be_swapped_at_any_moment() -> None:
    app = create_app(SMALL)
    (before,) = get(app, "/neo/browse")
    app.state.catalogue = SMALL.inserted(3)
    (after,) = get(app, "/neo/browse")
    assert after.json()["page"]["total_elements"] == 48
    assert after.json()["near_earth_objects"][3:] == before.json()["near_earth_objects"][:17]
    app.state.catalogue = Catalogue(neos=45)
    assert get(app, "/neo/browse")[0].content == before.content


class WatchedCatalogue(Catalogue):
    """Counts the renderings of pages and holds them up until it is let go."""

    rendered = 0
    go = threading.Event()

    def page(self, number: int, size: int = 20) -> dict[str, Any]:
        type(self).rendered += 1
        assert self.go.wait(timeout=10)
        return super().page(number, size)


def test_a_page_is_rendered_once_and_holds_nobody_up_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchedCatalogue, "rendered", 0)
    app = create_app(WatchedCatalogue(neos=45))

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulated" + PREFIX) as client:
            client.headers["X-Api-Key"] = "somebody"
            slow = asyncio.create_task(client.get("/neo/browse"))
            assert (await client.get("/neo/2999999")).status_code == 404
            assert not slow.done()
            WatchedCatalogue.go.set()
            assert (await slow).status_code == 200
            assert (await client.get("/neo/browse")).status_code == 200

    asyncio.run(ask())
    assert WatchedCatalogue.rendered == 1


# --- keys


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Api-Key": "right"}},
        {"params": {"api_key": "right"}},
        {"headers": {"Authorization": "Basic " + b64encode(b"right:").decode()}},
    ],
    ids=["header", "query", "basic"],
)
def test_the_key_is_read_from_header_query_and_basic_user(options: dict[str, Any]) -> None:
    app = create_app(SMALL, keys={"right"})
    (answer,) = get(app, "/neo/browse", key=None, **options)
    assert answer.status_code == 200
    assert answer.json()["links"]["self"].endswith("&api_key=right")
    assert app.state.requests == {"right": 1}


def test_no_key_and_a_wrong_key_are_403_with_the_gateways_bodies() -> None:
    app = create_app(SMALL, keys={"right"})
    (missing,) = get(app, "/neo/browse", key=None)
    (invalid,) = get(app, "/neo/browse", key="wrong")
    assert missing.status_code == invalid.status_code == 403
    assert missing.headers["content-type"] == "application/json"
    assert missing.json() == {
        "error": {
            "code": "API_KEY_MISSING",
            "message": "No api_key was supplied. Get one at https://api.nasa.gov:443",
        }
    }
    assert invalid.json() == {
        "error": {
            "code": "API_KEY_INVALID",
            "message": "An invalid api_key was supplied. Get one at https://api.nasa.gov:443",
        }
    }


def test_credentials_that_cannot_be_read_are_no_key() -> None:
    app = create_app(SMALL)
    for credentials in ("Basic ///", "Basic /w==", "Bearer abc", "Basic"):
        (answer,) = get(app, "/neo/browse", key=None, headers={"Authorization": credentials})
        assert answer.json()["error"]["code"] == "API_KEY_MISSING"


@pytest.mark.parametrize("key", ['a"b', "100%", "ключ", "{api_key}", "a&b=c#d", "</script>", "\\"])
def test_a_strange_key_is_echoed_escaped_and_leaves_the_json_whole(key: str) -> None:
    (answer,) = get(create_app(SMALL), "/neo/browse?page=1", key=None, params={"page": "1", "api_key": key})
    page = json.loads(answer.content)
    assert_browse_shape(page)
    links = [*page["links"].values(), *(neo["links"]["self"] for neo in page["near_earth_objects"])]
    assert len(links) == 23
    assert all(link.startswith("http://api.nasa.gov/neo/rest/v1/neo/") for link in links)
    assert {httpx.URL(link).params["api_key"] for link in links} == {key}


# --- limits


def test_a_key_has_its_requests_in_any_rolling_hour() -> None:
    clock = Clock()
    app = create_app(SMALL, requests_per_hour=3, clock=clock)
    for remaining in ("2", "1", "0"):
        (answer,) = get(app, "/neo/browse")
        assert answer.status_code == 200
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert answer.headers["X-RateLimit-Remaining"] == remaining
        clock.now += 600
    (refused,) = get(app, "/neo/browse")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "1800"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["Content-Type"].startswith("text/html")
    assert "OVER_RATE_LIMIT" in refused.text
    assert get(app, "/neo/browse", key="another")[0].status_code == 200
    clock.now += 1799
    assert get(app, "/neo/browse")[0].headers["Retry-After"] == "1"
    clock.now += 1
    assert get(app, "/neo/browse")[0].status_code == 200
    assert get(app, "/neo/browse")[0].status_code == 429
    assert app.state.requests == {"somebody": 7, "another": 1}


def test_every_answer_of_a_known_key_counts_and_carries_the_limit() -> None:
    app = create_app(SMALL, requests_per_hour=10)
    answers = get(app, "/neo/browse", "/neo/none", "/neo/browse?size=99", "/stats")
    assert [answer.status_code for answer in answers] == [200, 404, 400, 200]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["9", "8", "7", "6"]


def test_demo_key_has_thirty_an_hour_and_fifty_a_day() -> None:
    clock = Clock()
    app = create_app(SMALL, keys={"right"}, requests_per_hour=1_000, clock=clock)

    def passed(attempts: int) -> list[int]:
        return [answer.status_code for answer in get(app, *["/neo/none"] * attempts, key="DEMO_KEY")]

    assert passed(31) == [404] * 30 + [429]
    clock.now += 3_600
    assert passed(21) == [404] * 20 + [429]
    (refused,) = get(app, "/neo/none", key="DEMO_KEY")
    assert refused.headers["X-RateLimit-Limit"] == "30"
    assert int(refused.headers["Retry-After"]) == 86_400 - 3_600
    clock.now += 86_400 - 3_600
    assert passed(1) == [404]


def test_without_a_limit_there_are_no_rate_headers() -> None:
    (answer,) = get(create_app(SMALL), "/neo/browse", key="DEMO_KEY")
    assert not [name for name in answer.headers if name.lower().startswith("x-ratelimit")]


def test_a_limit_is_at_least_one_request() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        create_app(SMALL, requests_per_hour=0)


def test_headers_are_those_of_api_nasa_gov_and_name_the_simulator() -> None:
    (answer,) = get(create_app(SMALL, requests_per_hour=5), "/neo/browse")
    assert answer.headers["Server"] == SERVER_NAME == "neo-assets-simulator"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    for name in (
        "Access-Control-Allow-Origin",
        "Age",
        "Strict-Transport-Security",
        "Vary",
        "Via",
        "X-Cache",
        "X-Content-Type-Options",
        "X-Frame-Options",
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-Vcap-Request-Id",
        "X-XSS-Protection",
    ):
        assert name in answer.headers, name


# --- over HTTP


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    listener = bind("127.0.0.1", 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
    assert not thread.is_alive()


def test_it_serves_over_http_as_in_process() -> None:
    app = create_app(SMALL)
    with served(app) as url, httpx.Client(base_url=url, headers={"X-Api-Key": "somebody"}) as client:
        answers = [client.get("/neo/browse", params={"page": page}) for page in (0, 1, 2, 0)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers.get_list("server")[0] for answer in answers} == {SERVER_NAME}
    assert all(len(answer.headers.get_list("server")) == 1 for answer in answers)
    assert answers[1].content == get(app, "/neo/browse?page=1")[0].content


def test_a_busy_port_is_a_plain_error() -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1 port {port}"):
            bind("127.0.0.1", port)


def test_serve_announces_its_url_and_ends_on_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    announced: list[str] = []

    def interrupted(self: Any, sockets: list[socket.socket]) -> None:
        assert sockets[0].getsockname()[1] == httpx.URL(announced[0]).port
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", interrupted)
    serve(create_app(SMALL), "127.0.0.1", 0, announce=announced.append)
    assert announced[0].endswith(PREFIX)
