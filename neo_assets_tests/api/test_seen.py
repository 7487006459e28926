"""What is seen of each request: its id, its line in the log, and how long its answer took."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from neo_assets import logs
from neo_assets.api.app import create_app
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import PATIENCE_S, serving

Told = dict[str, float]


@pytest.fixture
def app(served_lake: Storage) -> FastAPI:
    return create_app(Settings(lake=served_lake.root), lake=served_lake)


@pytest.fixture
def client(app: FastAPI) -> Iterator[httpx.Client]:
    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError

    with serving(app) as url, httpx.Client(base_url=httpx.URL(url).join("/"), timeout=PATIENCE_S) as client:
        yield client


def ask(client: httpx.Client, path: str) -> httpx.Response:
    """The answer to a request on a connection of its own, as the server closes one on which the API was wrong."""
    return client.get(path, headers={"Connection": "close"})


def counted(client: httpx.Client) -> dict[tuple[str, str], int]:
    """The number of requests that were measured, by path template and status."""
    of_each = re.findall(
        r'^neo_api_request_duration_seconds_count\{route="(.*)",status="(\d+)"\} ([\d.]+)$',
        client.get("/metrics").text,
        re.MULTILINE,
    )
    return {(route, status): int(float(number)) for route, status, number in of_each}


@contextlib.contextmanager
def json_lines(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The requests are logged, as they are with NEO_LOG=json."""
    with caplog.at_level(logging.INFO, logger="neo_assets"):
        yield


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(logs.JsonLines().format(record)) for record in caplog.records if record.name.endswith(".seen")]


@pytest.mark.parametrize("given", ["5f0c-A.b_9", "a", "x" * 64])
def test_a_sane_id_of_the_client_is_taken(client: httpx.Client, given: str) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": given})
    assert answer.headers.get_list("X-Request-ID") == [given]


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"two words", b'a"b', b"a;b", b"a\tb", "é".encode()])
def test_any_other_is_replaced(client: httpx.Client, given: bytes) -> None:
    answer = client.get("/health/live", headers=[(b"X-Request-ID", given)])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_each_answer_has_an_id_of_its_own_whatever_it_is(client: httpx.Client) -> None:
    paths = ["/v1/neos", "/v1/neos?limit=x", "/nowhere", "/health/ready", "/metrics", "/broken", "/docs"]
    answers = [ask(client, path) for path in paths] + [client.head("/v1/neos"), client.options("/v1/neos")]
    ids = [answer.headers["X-Request-ID"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert [answer.status_code for answer in answers] == [200, 400, 404, 200, 200, 500, 200, 200, 405]


def test_requests_are_counted_by_the_template_of_their_path(client: httpx.Client) -> None:
    for path in ("/v1/neos", "/v1/neos/1", "/v1/neos/2", "/nowhere/1", "/nowhere/2", "/broken", "/v1/neos?limit=x"):
        ask(client, path)
    client.head("/v1/neos")
    assert counted(client) == {
        ("/v1/neos", "200"): 2,
        ("/v1/neos", "400"): 1,
        ("/v1/neos/{neo}", "404"): 2,
        ("other", "404"): 2,
        ("/broken", "500"): 1,
    }


def test_what_is_answered_before_its_route_is_found_counts_for_it(client: httpx.Client) -> None:
    neo = client.get("/v1/neos?limit=1&fields=id").json()["data"][0][0]
    for path in ("/v1/neos?limit=2", f"/v1/neos/{neo}"):
        for _ in range(3):  # later ones come from the cache
            client.get(path)
    asks = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    assert client.options("/v1/neos", headers=asks).status_code == 200
    assert counted(client) == {("/v1/neos", "200"): 5, ("/v1/neos/{neo}", "200"): 3}


def test_a_request_in_progress_is_counted_until_its_end(client: httpx.Client) -> None:
    ask(client, "/broken")
    for _ in range(3):
        assert "\nneo_api_requests_in_progress 1.0\n" in client.get("/metrics").text, "the scrape itself"


def test_a_request_is_one_line_of_the_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with json_lines(caplog):
        client.get("/v1/neos?des=planted-query", headers={"Authorization": "Bearer planted-token"})
        client.head(f"/{'long' * 100}")
        ask(client, "/broken")
        client.get("/two%0Alines")
    seen = lines(caplog)
    assert [line["method"] for line in seen] == ["GET", "HEAD", "GET", "GET"]
    assert [line["status"] for line in seen] == [200, 404, 500, 400]
    assert [line["path"] for line in seen[::2]] == ["/v1/neos", "/broken"]
    assert len(seen[1]["path"]) == 200
    assert all(line["duration_ms"] >= 0 for line in seen)
    assert "planted" not in str(seen)
