"""The gateway: keys, limits and headers like those of api.nasa.gov."""

import json
from base64 import b64encode
from typing import Any

import httpx
import pytest

from neo_assets.sources.simulator.app import create_app
from neo_assets.sources.simulator.gateway import SERVER_NAME
from neo_assets_tests.sources.simulator.asking import SMALL, Clock, get
from neo_assets_tests.sources.simulator.shape import assert_browse_shape

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


def test_unreadable_credentials_are_treated_as_no_key() -> None:
    app = create_app(SMALL)
    for credentials in ("Basic ///", "Basic /w==", "Bearer abc", "Basic"):
        (answer,) = get(app, "/neo/browse", key=None, headers={"Authorization": credentials})
        assert answer.json()["error"]["code"] == "API_KEY_MISSING"


@pytest.mark.parametrize("key", ['a"b', "100%", "ключ", "{api_key}", "a&b=c#d", "</script>", "\\"])
def test_an_unusual_key_is_escaped_and_keeps_the_json_valid(key: str) -> None:
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


def test_every_response_to_a_known_key_counts_and_states_the_limit() -> None:
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


def test_the_hour_may_be_shorter() -> None:
    clock = Clock()
    app = create_app(SMALL, requests_per_hour=1, hour_s=2.5, clock=clock)
    assert get(app, "/neo/none")[0].status_code == 404
    (refused,) = get(app, "/neo/none")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "3")
    assert refused.headers["RateLimit-Policy"] == '"hour";q=1;w=3'
    assert [answer.status_code for answer in get(app, *["/neo/none"] * 31, key="DEMO_KEY")] == [404] * 30 + [429]
    clock.now += 2.5
    assert get(app, "/neo/none")[0].status_code == 404
    assert [answer.status_code for answer in get(app, *["/neo/none"] * 21, key="DEMO_KEY")] == [404] * 20 + [429]


def test_without_a_limit_there_are_no_rate_headers() -> None:
    (answer,) = get(create_app(SMALL), "/neo/browse", key="DEMO_KEY")
    assert not [name for name in answer.headers if "ratelimit" in name.lower()]


def test_a_whole_hour_is_not_stated_as_nasa_does_not_state_it() -> None:
    (answer,) = get(create_app(SMALL, requests_per_hour=5), "/neo/browse")
    assert "RateLimit-Policy" not in answer.headers


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
