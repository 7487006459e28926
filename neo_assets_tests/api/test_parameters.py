"""Each parameter filters as its name says; wrong ones are refused with what would be right."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from neo_assets.api.parameters import to_day
from neo_assets.lake import owner
from neo_assets.lake.storage import Storage
from neo_assets_tests.api.conftest import Get, client_of
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import FIRST, rows, with_products
from neo_assets_tests.sources.neows.examples import neo, page


@pytest.mark.parametrize(
    ("path", "parameters", "sql"),
    [
        ("close-approaches", {"body": "Earth"}, "approaches WHERE orbiting_body = 'Earth'"),
        ("close-approaches", {"date_min": "2000-01-01"}, "approaches WHERE close_approach_date >= DATE '2000-01-01'"),
        ("close-approaches", {"date_max": "2000-01-01"}, "approaches WHERE close_approach_date <= DATE '2000-01-01'"),
        ("close-approaches", {"date_min": "now"}, "approaches WHERE close_approach_date >= today()"),
        ("close-approaches", {"date_max": "-365"}, "approaches WHERE close_approach_date <= today() - 365"),
        ("close-approaches", {"dist_max": "0.05"}, "approaches WHERE miss_distance_au <= 0.05"),
        ("close-approaches", {"dist_min": ".2"}, "approaches WHERE miss_distance_au >= 0.2"),
        ("close-approaches", {"dist_max": "19.5LD"}, "approaches WHERE miss_distance_km <= 19.5 * 384400"),
        ("close-approaches", {"v_rel_min": 20}, "approaches WHERE relative_velocity_km_s >= 20"),
        ("close-approaches", {"v_rel_max": 5.5}, "approaches WHERE relative_velocity_km_s <= 5.5"),
        ("close-approaches", {"h_min": 18, "h_max": 19}, "approaches WHERE absolute_magnitude_h BETWEEN 18 AND 19"),
        ("close-approaches", {"pha": "true"}, "approaches WHERE is_potentially_hazardous_asteroid"),
        ("close-approaches", {"class": "APO"}, "approaches WHERE orbit_class = 'APO'"),
        ("neos", {"pha": "false"}, "neos WHERE NOT is_potentially_hazardous_asteroid"),
        ("neos", {"class": "AMO", "h_max": 20}, "neos WHERE orbit_class = 'AMO' AND absolute_magnitude_h <= 20"),
        ("neos", {"moid_max": "0.05"}, "neos WHERE earth_moid_au <= 0.05"),
        ("neos", {"moid_max": "20LD"}, "neos WHERE earth_moid_au <= 20 * 384400 / 149597870"),
    ],
)
def test_each_parameter_filters(
    get: Get, served_lake: Storage, path: str, parameters: dict[str, Any], sql: str
) -> None:
    [(expected,)] = rows(served_lake, f"SELECT count(*) FROM {sql}")
    [(every,)] = rows(served_lake, f"SELECT count(*) FROM {sql.split()[0]}")
    assert 0 < expected < every, "the case shows nothing"
    assert get(f"/v1/{path}", **parameters)["total"] == expected


def test_approaches_of_one_object(get: Get, served_lake: Storage) -> None:
    [(spk_id, name)] = rows(served_lake, "SELECT id, name FROM neos LIMIT 1")
    [(number,)] = rows(served_lake, f"SELECT count(*) FROM close_approaches WHERE neo_id = '{spk_id}'")
    assert get("/v1/close-approaches", des=name)["total"] == get("/v1/close-approaches", des=spk_id)["total"] == number


NAMES = {
    "1": "433 Eros (A898 PA)",
    "2": "99942 Apophis (2004 MN4)",
    "3": "6344 X (6344 P-L) ",
    "4": "1I/'Oumuamua (A/2017 U1)",
    "5": "P/2006 HR30 (Siding Spring)",
    "6": "1566 Icarus",
}


def named(lake: Storage) -> Storage:
    """A page of NEOs with these names."""
    owner.claim(lake, "simulator")
    gather(lake, FIRST, [page(*(neo(spk_id, name=name) for spk_id, name in NAMES.items()))])
    total(lake, [FIRST])
    return lake


def test_a_neo_goes_by_the_provisional_designation_in_its_name_too(tmp_path: Path) -> None:
    """Nothing else in parentheses counts: many comets share a discoverer."""
    with client_of(with_products(tmp_path, named)) as client:
        found = {
            des: [row[0] for row in client.get("/v1/neos", params={"des": des, "fields": "id"}).json()["data"]]
            for des in ("a898 pa", " 2004 MN4 ", "6344 P-L", "A/2017 U1", "Siding Spring", " ", *NAMES.values())
        }
        assert client.get("/v1/neos/2004 mn4", params={"fields": "id"}).json()["data"] == [["2"]]
        assert client.get("/v1/neos/%20").status_code == 404
    by_designation = {"a898 pa": ["1"], " 2004 MN4 ": ["2"], "6344 P-L": ["3"], "A/2017 U1": ["4"]}
    by_name = {name: [spk_id] for spk_id, name in NAMES.items()}
    assert found == by_designation | {"Siding Spring": [], " ": []} | by_name


def test_objects_that_sentry_watches(get: Get, served_lake: Storage) -> None:
    [(watched, others)] = rows(
        served_lake, "SELECT count_if(is_sentry_object), count_if(NOT is_sentry_object) FROM neos"
    )
    assert [get("/v1/neos", sentry=one)["total"] for one in ("true", "false")] == [watched, others]


@pytest.mark.parametrize(
    ("parameters", "parameter", "said"),
    [
        ({"foo": "1"}, "foo", "no such parameter"),
        ({"dist-max": "near"}, "dist-max", "0.05, or in lunar distances, such as 10LD"),
        ({"dist-max": "-1"}, "dist-max", "10LD"),
        ({"dist-max": "10ld"}, "dist-max", "10LD"),
        ({"dist-max": "٣"}, "dist-max", "10LD"),
        ({"dist-max": "1e999"}, "dist-max", "10LD"),
        ({"date-min": "2029-02-30"}, "date-min", "such as 2029-04-13, now"),
        ({"date-min": "+99999999"}, "date-min", "such as 2029-04-13, now"),
        ({"date-max": "20290413"}, "date-max", "such as 2029-04-13, now"),
        ({"h-max": "nan"}, "h-max", "finite"),
        ({"h-max": "bright"}, "h-max", "give a number"),
        ({"pha": "maybe"}, "pha", "give true or false"),
        ({"limit": "few"}, "limit", "give a whole number"),
        ({"des": ""}, "des", "give a text that is not empty"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "1001"}, "limit", "less than or equal to 1000"),
        ({"format": "xml"}, "format", "'json', 'csv', 'ndjson' or 'arrow'"),
        ({"body": "Erth"}, "body", "there are: Earth"),
        ({"body": "earth"}, "body", "there are: Earth"),
        ({"class": "XYZ"}, "class", "there are: A"),
        ({"fields": "name,mass"}, "fields", "there is no field mass; there are: neo_id, name"),
        ({"fields": "name;DROP TABLE neos"}, "fields", "there is no field"),
        ({"sort": "-mass"}, "sort", "there are: date, dist"),
        ({"sort": '"; --'}, "sort", "there is no field"),
        ({"des": "a\x00b"}, "des", "control characters"),
        ({"des": "a\u2028b"}, "des", "control characters"),
        ({"des": "x" * 5_000}, "des", "at most 100 characters"),
        ({"cursor": "x=1"}, "cursor", "not one that an answer gave"),
        ({"cursor": "é"}, "cursor", "not one that an answer gave"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_right(
    api: httpx.Client, parameters: dict[str, str], parameter: str, said: str
) -> None:
    answer = api.get("/v1/close-approaches", params=parameters)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    [wrong] = answer.json()["errors"]
    assert wrong["parameter"] == parameter
    assert said in wrong["detail"]


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("close-approaches", "date-min=2029-04-14", "date-max=2029-04-13"),
        ("close-approaches", "date-min=%2B1", "date-max=now"),
        ("close-approaches", "dist-min=1", "dist-max=10LD"),
        ("close-approaches", "v-rel-min=20", "v-rel-max=19.5"),
        ("close-approaches", "h-min=20", "h-max=19"),
        ("neos", "h-min=20", "h-max=-1"),
    ],
)
def test_a_range_that_ends_before_it_begins_is_refused(api: httpx.Client, path: str, first: str, last: str) -> None:
    names = [one.partition("=")[0] for one in (first, last)]
    answer = api.get(f"/v1/{path}?{first}&{last}")
    assert (answer.status_code, [one["parameter"] for one in answer.json()["errors"]]) == (400, names)
    assert all(name in answer.json()["detail"] for name in names)
    meant = api.get(f"/v1/{path}?{first.replace('min', 'max')}&{last.replace('max', 'min')}")
    assert meant.status_code == 200, meant.text


def test_a_range_may_be_a_single_value(get: Get) -> None:
    assert get("/v1/close-approaches", date_min="now", date_max="+0", dist_min="0.1", dist_max="0.10")["total"] >= 0


def test_a_parameter_given_twice_is_refused(api: httpx.Client) -> None:
    answer = api.get("/v1/close-approaches?body=Earth&body=Venus")
    assert (answer.status_code, answer.json()["errors"]) == (
        400,
        [{"parameter": "body", "detail": "it is given twice"}],
    )


def test_a_plus_in_a_url_is_meant_as_one(api: httpx.Client) -> None:
    """In a query, it stands for a space."""
    [one, other] = [api.get(f"/v1/close-approaches?date-max={text}") for text in ("+60", "%2B60")]
    assert one.json()["total"] == other.json()["total"] > 0


def test_days_from_now() -> None:
    today = datetime.now(UTC).date()
    assert to_day("+60") - today == timedelta(days=60)
    assert to_day("-1") - today == timedelta(days=-1)
