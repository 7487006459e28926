"""Order, pages and fields of the tables."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import Get
from neo_assets_tests.products.by_hand import rows

SORTS = [
    "close_approach_at",
    "neo_id",
    "miss_distance_au",
    "is_predicted",
    "absolute_magnitude_h",
    "name",
    "orbit_class",
]


def walk(api: httpx.Client, path: str) -> list[list[Any]]:
    """All rows, over all pages."""
    found, following = [], path
    while following:
        answer = api.get(following).json()
        found += answer["data"]
        following = answer["next"]
        assert answer["total"] >= len(found)
    return found


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SORTS), st.booleans(), st.integers(40, 1_000), st.sampled_from(["Earth", "Venus", "Mars"]))
def test_pages_hold_every_row_once_and_in_order(
    api: httpx.Client, served_lake: Storage, sort: str, descending: bool, limit: int, body: str
) -> None:
    sign = "-" if descending else ""
    found = walk(
        api, f"/v1/close-approaches?body={body}&fields=neo_id,miss_distance_km&sort={sign}{sort}&limit={limit}"
    )
    direction = "DESC" if descending else "ASC"
    expected = rows(
        served_lake,
        f"SELECT neo_id, miss_distance_km FROM approaches WHERE orbiting_body = '{body}' "
        f"ORDER BY {sort} {direction} NULLS LAST, close_approach_at, neo_id",
    )
    assert found == list(map(list, expected))


def test_a_table_without_a_key_is_paged_too(api: httpx.Client, served_lake: Storage) -> None:
    found = walk(api, "/v1/metrics/total_first_observations?limit=3")
    assert found == list(map(list, rows(served_lake, "FROM total_first_observations")))


def test_names_of_jpl_sort_too(get: Get) -> None:
    for short, field in (
        ("dist", "miss_distance_au"),
        ("date", "close_approach_at"),
        ("-v-rel", "-relative_velocity_km_s"),
    ):
        assert get("/v1/close-approaches", sort=short)["data"] == get("/v1/close-approaches", sort=field)["data"]


def test_names_of_jpl_sort_one_object_too(get: Get, served_lake: Storage) -> None:
    [(spk_id,)] = rows(served_lake, "SELECT id FROM neos LIMIT 1")
    assert get(f"/v1/neos/{spk_id}", sort="-h")["count"] == 1


def test_only_the_fields_asked_for_come_in_their_order(get: Get) -> None:
    answer = get("/v1/neos", fields="name,id", limit=1)
    assert answer["fields"] == ["name", "id"]
    assert len(answer["data"][0]) == 2


@pytest.mark.parametrize("change", ["&sort=-dist", "&body=Earth", "&pha=true"])
def test_a_cursor_belongs_to_its_request(api: httpx.Client, change: str) -> None:
    following = api.get("/v1/close-approaches?limit=1").json()["next"]
    [cursor] = parse_qs(urlsplit(following).query)["cursor"]
    answer = api.get(f"/v1/close-approaches?limit=1&cursor={cursor}{change}")
    assert answer.status_code == 409
    assert "belongs to another request" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize("place", [["abc", "1", "Earth"], ["2029-04-13", None, "Earth"], [None, None, "Earth"], []])
def test_a_forged_cursor_is_refused(api: httpx.Client, place: list[str | None]) -> None:
    following = api.get("/v1/close-approaches?limit=1").json()["next"]
    [cursor] = parse_qs(urlsplit(following).query)["cursor"]
    request, *_ = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([request, *place]).encode()).decode().rstrip("=")
    answer = api.get("/v1/close-approaches", params={"limit": 1, "cursor": forged})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (409, "cursor")


@pytest.mark.parametrize("cursor", ["x", "abcd", "W10", "bnVsbA"])
def test_a_cursor_that_says_nothing_is_refused(api: httpx.Client, cursor: str) -> None:
    assert api.get("/v1/close-approaches", params={"cursor": cursor}).status_code == 409


def test_a_cursor_serves_another_limit(api: httpx.Client) -> None:
    following = api.get("/v1/close-approaches?limit=1").json()["next"]
    assert api.get(following.replace("limit=1", "limit=7")).json()["count"] == 7
