"""The application: it answers and fails like NeoWs, in process and over HTTP."""

import asyncio
import socket
import threading
from typing import Any

import httpx
import pytest

from neo_assets.sources.simulator.app import PREFIX, bind, create_app, serve
from neo_assets.sources.simulator.catalogue import Catalogue, to_json
from neo_assets.sources.simulator.gateway import SERVER_NAME
from neo_assets_tests.sources.simulator.asking import SMALL, get, served
from neo_assets_tests.sources.simulator.shape import assert_browse_shape, assert_neo_shape

# --- answers


def test_browse_returns_pages_of_the_catalogue() -> None:
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


def test_lookup_returns_the_object_from_the_page_or_404() -> None:
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


def test_the_catalogue_can_be_replaced_at_any_time() -> None:
    app = create_app(SMALL)
    (before,) = get(app, "/neo/browse")
    app.state.catalogue = SMALL.inserted(3)
    (after,) = get(app, "/neo/browse")
    assert after.json()["page"]["total_elements"] == 48
    assert after.json()["near_earth_objects"][3:] == before.json()["near_earth_objects"][:17]
    app.state.catalogue = Catalogue(neos=45)
    assert get(app, "/neo/browse")[0].content == before.content


class WatchedCatalogue(Catalogue):
    """Counts the renderings of pages, and blocks them until released."""

    rendered = 0
    go = threading.Event()

    def page(self, number: int, size: int = 20) -> dict[str, Any]:
        type(self).rendered += 1
        assert self.go.wait(timeout=60)
        return super().page(number, size)


def test_a_page_is_rendered_once_without_blocking_other_requests(monkeypatch: pytest.MonkeyPatch) -> None:
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


# --- over HTTP


def test_it_serves_over_http_as_in_process() -> None:
    app = create_app(SMALL)
    with served(app) as url, httpx.Client(base_url=url, headers={"X-Api-Key": "somebody"}, timeout=60) as client:
        answers = [client.get("/neo/browse", params={"page": page}) for page in (0, 1, 2, 0)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers.get_list("server")[0] for answer in answers} == {SERVER_NAME}
    assert all(len(answer.headers.get_list("server")) == 1 for answer in answers)
    assert answers[1].content == get(app, "/neo/browse?page=1")[0].content


def test_a_busy_port_is_reported() -> None:
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
