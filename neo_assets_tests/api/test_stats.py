"""NeoWs's own counts, and those of a year and body."""

from typing import Any

import httpx
import pytest

from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import Get
from neo_assets_tests.products.by_hand import rows

OF_NEOWS = ["near_earth_object_count", "close_approach_count", "last_updated", "source", "nasa_jpl_url"]


def test_the_counts_have_the_names_that_neows_has_for_them(get: Get, served_lake: Storage) -> None:
    answer = get("/stats")
    assert list(answer)[:5] == OF_NEOWS
    [(neos, approaches, day)] = rows(
        served_lake, "SELECT neos, close_approaches, CAST(newest_page_at AS DATE) FROM snapshot"
    )
    assert [answer[name] for name in OF_NEOWS[:3]] == [neos, approaches, str(day)]
    assert (answer["year"], answer["orbiting_body"], answer["approaches"]) == (None, None, approaches)
    assert "made up" in answer["source"]


def test_approaches_of_a_year_and_body_are_counted_as_the_totals_count_them(get: Get, served_lake: Storage) -> None:
    yearly = rows(served_lake, "FROM total_yearly_approaches ORDER BY ALL LIMIT 3")
    for year, body, approaches in yearly:
        answer = get("/stats", year=year, body=body)
        assert (answer["year"], answer["orbiting_body"], answer["approaches"]) == (year, body, approaches)
        assert answer["near_misses"] <= approaches
        assert answer["near_earth_object_count"] == get("/stats")["near_earth_object_count"]
    for body, near_misses in rows(served_lake, "FROM total_near_misses"):
        assert get("/stats", body=body)["near_misses"] == near_misses
    assert get("/stats", year=1850)["approaches"] == 0


@pytest.mark.parametrize(
    ("parameters", "wrong"), [({"body": "Erth"}, "body"), ({"year": "99999"}, "year"), ({"limit": "1"}, "limit")]
)
def test_other_parameters_are_errors(api: httpx.Client, parameters: dict[str, Any], wrong: str) -> None:
    answer = api.get("/stats", params=parameters)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, wrong)


def test_the_counts_are_not_sent_again(api: httpx.Client) -> None:
    etag = api.get("/stats").headers["ETag"]
    assert api.get("/stats", headers={"If-None-Match": etag}).status_code == 304
    assert api.get("/stats?year=2029", headers={"If-None-Match": etag}).status_code == 200


def test_the_counts_are_described(get: Get) -> None:
    operation = get("/openapi.json")["paths"]["/stats"]["get"]
    assert {one["name"] for one in operation["parameters"]} == {"year", "body"}
    assert operation["responses"]["200"]["content"].keys() == {"application/json"}
