"""The paths of the API: what each of them answers, and what a client finds beside the tables."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.calendar import CALENDAR
from neo_assets.products.index import store
from neo_assets.products.report import PAGE
from neo_assets_tests.api.conftest import Get, client_of
from neo_assets_tests.products.by_hand import rows

TABLES = ["close-approaches", "upcoming", "neos", "yearly-approaches", "near-misses", "dictionary"]


@pytest.mark.parametrize("path", [*TABLES, "metrics/total_first_observations"])
def test_each_table_is_described_in_its_envelope(get: Get, path: str) -> None:
    answer = get(f"/v1/{path}")
    assert list(answer) == ["signature", "count", "total", "next", "fields", "units", "data"]
    assert answer["signature"]["source"] == "simulator"
    assert answer["signature"]["is_simulated"] is True
    assert answer["count"] == len(answer["data"]) == min(answer["total"], 100)
    assert all(len(row) == len(answer["fields"]) for row in answer["data"])
    assert set(answer["units"]) <= set(answer["fields"])
    assert (answer["next"] is None) == (answer["total"] <= 100)


def test_totals_are_those_of_the_database(get: Get, served_lake: Storage) -> None:
    counted = rows(served_lake, "SELECT orbiting_body, near_misses FROM total_near_misses ORDER BY ALL")
    assert get("/v1/near-misses")["data"] == list(map(list, counted))
    [(year, body, number)] = rows(served_lake, "FROM total_yearly_approaches WHERE orbiting_body = 'Earth' LIMIT 1")
    assert get("/v1/yearly-approaches", year=year, body=body)["data"] == [[year, body, number]]


def test_one_neo_is_found_by_its_id_designation_and_name(get: Get, served_lake: Storage) -> None:
    [(spk_id, designation, name)] = rows(served_lake, "SELECT id, designation, name FROM neos LIMIT 1")
    found = [get(f"/v1/neos/{one}", fields="id,name")["data"] for one in (spk_id, designation, name)]
    assert found == [[[spk_id, name]]] * 3


@pytest.mark.parametrize("path", ["/v1/neos/no-such-object", "/v1/metrics/neos", "/v1", "/../settings.py", "/docs/x"])
def test_what_is_not_here_is_a_problem(api: httpx.Client, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["title"] == "Not Found"


def test_an_unknown_metric_is_answered_with_those_that_there_are(api: httpx.Client) -> None:
    assert "total_near_misses_by_time" in api.get("/v1/metrics/total_nothing").json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(api: httpx.Client, method: str) -> None:
    answer = api.request(method, "/v1/neos")
    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/problem+json")


def test_the_snapshot_says_what_the_data_cover(get: Get, served_lake: Storage) -> None:
    answer = get("/v1/snapshot")
    assert answer["neos"] == rows(served_lake, "SELECT count(*) FROM neos")[0][0]
    assert answer["signature"]["snapshot"] == answer["snapshot_id"]
    assert datetime.fromisoformat(answer["newest_page_at"]).tzinfo == UTC


def test_files_that_are_not_made_yet_are_a_problem(api: httpx.Client) -> None:
    for path in ("/feeds/upcoming.ics", "/report"):
        answer = api.get(path)
        assert (answer.status_code, "has not been made yet" in answer.json()["detail"]) == (503, True)


def test_the_calendar_is_served_as_it_is_stored(lake: Storage) -> None:
    store(lake, CALENDAR, b"BEGIN:VCALENDAR\r\n", "by hand", 0)
    with client_of(lake) as api:
        answer = api.get("/feeds/upcoming.ics")
        assert (answer.content, answer.headers["Content-Type"]) == (
            b"BEGIN:VCALENDAR\r\n",
            "text/calendar; charset=utf-8",
        )
        again = api.get("/feeds/upcoming.ics", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_file_that_is_replaced_while_it_is_read_has_the_etag_of_what_is_read(
    lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(lake, CALENDAR, b"BEGIN:VCALENDAR\r\n", "by hand", 0)
    read = Storage.read

    def read_what_is_new(lake: Storage, path: str) -> pa.Buffer:
        monkeypatch.undo()
        store(lake, CALENDAR, b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n", "by hand", 0)
        return read(lake, path)

    with client_of(lake) as api:
        monkeypatch.setattr(Storage, "read", read_what_is_new)
        during, after = (api.get("/feeds/upcoming.ics") for _ in range(2))
        assert during.content == after.content
        assert during.headers["ETag"] == after.headers["ETag"]


def test_a_file_that_cannot_be_read_is_not_one_that_is_not_made(
    api: httpx.Client, served_lake: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    place = Path(served_lake.location(f"products/{PAGE}"))
    place.mkdir()
    try:
        answer = api.get("/report")
    finally:
        place.rmdir()
    assert (answer.status_code, "the log of the API" in answer.json()["detail"]) == (503, True)
    assert PAGE in caplog.text


def test_health(get: Get) -> None:
    assert get("/health/live") == {"status": "live"}
    assert get("/health/ready")["status"] == "ready"


def test_the_documentation_needs_no_other_host(api: httpx.Client) -> None:
    page = api.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    assert api.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200


def test_the_api_describes_itself(get: Get) -> None:
    described = get("/openapi.json")
    assert described["openapi"].startswith("3.1")
    [form] = [
        one for one in described["paths"]["/v1/close-approaches"]["get"]["parameters"] if one["name"] == "dist-max"
    ]
    assert "10LD" in form["description"]
    assert "/v1/metrics/{name}" in described["paths"]
    assert "422" not in described["paths"]["/v1/neos"]["get"]["responses"]


def test_any_page_may_read_it(api: httpx.Client) -> None:
    assert api.get("/v1/neos", headers={"Origin": "https://example.org"}).headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/v1/neos", "/health/live", "/docs"])
def test_head_is_answered_like_get_without_a_body(api: httpx.Client, path: str) -> None:
    answer = api.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_pages_of_other_hosts_may_ask_with_an_etag(api: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "if-none-match"}
    assert api.options("/v1/neos", headers={"Origin": "https://example.org", **asked}).status_code == 200


@pytest.mark.parametrize("form", ["json", "csv", "ndjson", "arrow"])
@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "zstd"), ("gzip", "gzip"), ("zstd;q=0, gzip", "gzip"), ("br", None), ("", None)],
)
def test_large_answers_are_compressed(api: httpx.Client, form: str, accepted: str, encoding: str | None) -> None:
    path = f"/v1/close-approaches?format={form}"
    answer = api.get(path, headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.content == api.get(path, headers={"Accept-Encoding": "identity"}).content


def test_small_answers_are_not_compressed(api: httpx.Client) -> None:
    assert "Content-Encoding" not in api.get("/health/live", headers={"Accept-Encoding": "zstd, gzip"}).headers
