"""How many requests a client may make, and who counts as one."""

from collections.abc import Iterator

import httpx
import pytest

from neo_assets.api.app import create_app
from neo_assets.api.rate import Limiter, client_of
from neo_assets.lake.storage import Storage
from neo_assets.settings import Settings
from neo_assets_tests.integration.harness import serving


@pytest.fixture
def limited(served_lake: Storage) -> Iterator[httpx.Client]:
    """The API, which takes two requests a minute from each client."""
    app = create_app(Settings(lake=str(served_lake.root), api_requests_per_minute=2), lake=served_lake)
    with serving(app) as url, httpx.Client(base_url=httpx.URL(url).join("/")) as client:
        yield client


def test_who_asks_too_often_is_told_how_long_to_wait(limited: httpx.Client) -> None:
    answers = [limited.get("/v1/near-misses", headers={"Origin": "https://example.org"}) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 429, 429]
    refused = answers[-1]
    assert refused.headers["Access-Control-Expose-Headers"] == "*", "else scripts of other sites could not read when"
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert (refused.headers["Cache-Control"], refused.headers["Access-Control-Allow-Origin"]) == ("no-store", "*")
    assert {limited.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics") * 3} == {200}
    assert {limited.get(path).status_code for path in ("/metricsfoo", "/metrics/", "/health/")} == {429}


def test_what_a_browser_asks_before_a_script_may_ask_does_not_count(limited: httpx.Client) -> None:
    before = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    assert {limited.options("/v1/near-misses", headers=before).status_code for _ in range(5)} == {200}
    assert limited.get("/v1/near-misses").status_code == 200


def test_without_the_setting_anyone_may_ask_as_often_as_they_like(api: httpx.Client) -> None:
    assert {api.get("/v1/near-misses").status_code for _ in range(200)} == {200}


def test_a_bucket_fills_up_evenly() -> None:
    limiter = Limiter(per_minute=60)
    assert [limiter.wait_s("a", 100.0) for _ in range(61)] == [0.0] * 60 + [1.0]
    assert limiter.wait_s("a", 100.5) == 0.5
    assert limiter.wait_s("a", 101.0) == 0.0
    assert limiter.wait_s("a", 101.25) == 0.75
    assert limiter.wait_s("b", 101.25) == 0.0
    assert [limiter.wait_s("a", 500.0) for _ in range(61)] == [0.0] * 60 + [1.0]


def test_idle_clients_are_forgotten() -> None:
    limiter = Limiter(per_minute=1)
    for number in range(60_000):
        limiter.wait_s(str(number), 0.0)
    assert len(limiter) == 50_000
    limiter.wait_s("one", 59.0)
    limiter.wait_s("another", 60.0)
    assert len(limiter) == 2


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a:b", "a:b"),
    ],
)
def test_who_counts_as_one_client(host: str, client: str) -> None:
    assert client_of({"client": (host, 1)}) == client


def test_a_client_without_an_address_counts_as_one() -> None:
    assert client_of({"client": None}) == client_of({}) == ""
