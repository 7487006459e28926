"""The paths on which clients order reports: who may, what they may order, and what they are told meanwhile."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from neo_assets.api.reports import collect, work_off
from neo_assets.lake.storage import Storage
from neo_assets.products.requests import FILE, Requests, Status
from neo_assets_tests.api.conftest import TOKEN, client_of
from neo_assets_tests.integration.harness import nobody_at
from neo_assets_tests.postgres_server import PASSWORD
from neo_assets_tests.settings import settings_of

ORDER: dict[str, Any] = {
    "table": "close-approaches",
    "parameters": {"body": "Earth", "dist-max": "0.2", "sort": "dist"},
}
SECRET = SecretStr(TOKEN)


@pytest.fixture
def requests(served_lake: Storage, tmp_path: Path) -> Iterator[Requests]:
    """The requests that the API keeps."""
    with Requests.of(settings_of(dagster_home=tmp_path), served_lake) as requests:
        yield requests


@pytest.fixture
def writing(served_lake: Storage, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client that has the token."""
    with client_of(served_lake, api_token=SECRET, dagster_home=tmp_path) as client:
        yield client


def worked_off(requests: Requests, lake: Storage, job_id: str) -> None:
    assert work_off(requests, lake, job_id, 0, "run")


def test_a_report_is_ordered_made_and_fetched(writing: httpx.Client, requests: Requests, served_lake: Storage) -> None:
    ordered = writing.post("/v1/requests", json=ORDER)
    assert ordered.status_code == 202
    record = ordered.json()
    assert list(record) == ["job_id", "status", "retries", "created_at", "report_file_path", "files_to_process"]
    assert (record["status"], record["retries"], record["files_to_process"]) == ("queued", 0, 1)
    place = ordered.headers["Location"]
    assert place == f"/v1/requests/{record['job_id']}"
    assert writing.get(place).json() == record
    early = writing.get(f"{place}/report")
    assert (early.status_code, early.headers["Content-Type"]) == (409, "application/problem+json")
    assert early.json()["detail"] == "The report is not there yet: the request is queued."
    worked_off(requests, served_lake, record["job_id"])
    done = writing.get(place).json()
    assert (done["status"], done["files_to_process"]) == ("success", 0)
    report = writing.get(f"{place}/report")
    assert report.headers["Content-Type"].startswith("text/csv")
    page = writing.get("/v1/close-approaches", params=ORDER["parameters"] | {"limit": 1_000, "format": "csv"})
    assert report.content == page.content
    assert report.content.count(b"\n") > 100
    again = writing.get(f"{place}/report", headers={"If-None-Match": report.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    [collected], damaged = collect(requests, served_lake)
    assert (collected.job_id, damaged) == (record["job_id"], [])
    now = writing.get(place).json()
    assert (now["status"], now["report_file_path"]) == ("downloaded", f"reports/{record['job_id']}/report.csv")
    assert writing.get(f"{place}/report").content == report.content
    assert httpx.get(writing.base_url.join(f"{place}/report")).content == report.content, "reading needs no token"


def test_the_same_order_is_the_same_request(writing: httpx.Client) -> None:
    first = writing.post("/v1/requests", json=ORDER).json()
    spelt = {"sort": "dist", "dist-max": 0.2, "body": "Earth"}
    assert writing.post("/v1/requests", json=ORDER | {"parameters": spelt, "format": "csv"}).json() == first
    others: list[dict[str, Any]] = [
        {"format": "parquet"},
        {"parameters": {"body": "Venus"}},
        {"table": "upcoming", "parameters": {}},
        {"table": "metrics/total_first_observations", "parameters": {}},
    ]
    ids = {writing.post("/v1/requests", json=ORDER | other).json()["job_id"] for other in others}
    assert len(ids | {first["job_id"]}) == 5


@pytest.mark.parametrize(
    ("order", "parameter", "said"),
    [
        ({"table": "meteors"}, "table", "there is no such table; there are: close-approaches, upcoming, neos,"),
        ({"table": "metrics/neos"}, "table", "metrics/total_first_observations"),
        ({"table": "neos", "parameters": {"body": "Earth"}}, "body", "there is no such parameter"),
        ({"table": "neos", "parameters": {"limit": 5}}, "limit", "a report has all rows"),
        ({"table": "neos", "parameters": {"cursor": "x"}}, "cursor", "a report has all rows"),
        (
            {"table": "neos", "parameters": {"fields": "id,colour"}},
            "fields",
            "there is no field colour; there are: id,",
        ),
        ({"table": "neos", "parameters": {"pha": "perhaps"}}, "pha", "give true or false"),
        ({"table": "neos", "parameters": {"h-max": [1]}}, "h-max", "give one text, number, true or false"),
        ({"table": "close-approaches", "parameters": {"dist-min": "0.5", "dist-max": "0.1"}}, "dist-min", "greater"),
        ({"table": "close-approaches", "parameters": {"body": "Erde"}}, "body", "there is no Erde; there are: Earth"),
        ({"table": "close-approaches", "parameters": {"dist-max": "5 km"}}, "dist-max", "give a distance in au"),
        ({"table": "close-approaches", "parameters": {"dist-max": 1e400}}, "dist-max", "give a distance in au"),
        ({"table": "neos", "format": "xlsx"}, "format", "'json', 'csv', 'ndjson', 'arrow' or 'parquet'"),
        ({"table": "neos", "email": "a@b"}, "email", "there is no such parameter"),
        ({}, "table", "required"),
    ],
)
def test_what_cannot_be_ordered_is_refused(
    writing: httpx.Client, order: dict[str, Any], parameter: str, said: str
) -> None:
    answer = writing.post("/v1/requests", content=json.dumps(order))
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    errors = {one["parameter"]: one["detail"] for one in answer.json()["errors"]}
    assert said in errors[parameter]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"table": "neos\\u0000"}', b"[" * 60_000])
def test_what_is_no_order_is_refused(writing: httpx.Client, body: bytes) -> None:
    answer = writing.post("/v1/requests", content=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")


def test_a_large_body_is_refused(writing: httpx.Client) -> None:
    large = b" " * 70_000
    for content in (large, iter([large])):  # with its size, and without
        answer = writing.post("/v1/requests", content=content)
        assert (answer.status_code, answer.json()["detail"]) == (413, "The body may have 65,536 bytes at most.")


@pytest.mark.parametrize("given", [None, f"Bearer {TOKEN}x", "Bearer", f"Basic {TOKEN}", "Bearer \xe9"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/requests"), ("PUT", "/v1/landing/page.json")])
def test_writing_needs_the_token(
    writing: httpx.Client, served_lake: Storage, given: str | None, method: str, path: str
) -> None:
    headers = [(b"Authorization", given.encode("latin-1"))] if given else []
    with httpx.Client(base_url=writing.base_url) as client:
        answer = client.request(method, path, content=b"{}", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "Authorization: Bearer TOKEN" in answer.json()["detail"]
    assert served_lake.files("landing") == []


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/requests"), ("PUT", "/v1/landing/page.json")])
def test_without_a_token_the_api_only_reads(api: httpx.Client, method: str, path: str) -> None:
    answer = api.request(method, path, content=b"{}", headers={"Authorization": "Bearer None"})
    assert (answer.status_code, "NEO_API_TOKEN" in answer.json()["detail"]) == (403, True)


@pytest.mark.parametrize("job_id", ["0" * 32, "no-such-request", "%00", "0" * 3_000])
def test_an_unknown_request_is_a_problem(writing: httpx.Client, tmp_path: Path, job_id: str) -> None:
    for path in (f"/v1/requests/{job_id}", f"/v1/requests/{job_id}/report"):
        answer = writing.get(path)
        assert answer.status_code in (404, 400)
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert not (tmp_path / FILE).exists(), "looking makes nothing"


def test_why_a_report_failed_is_told(writing: httpx.Client, requests: Requests) -> None:
    job_id = writing.post("/v1/requests", json=ORDER | {"format": "arrow"}).json()["job_id"]
    taken = requests.take(job_id, 0, "run")
    assert taken
    assert requests.fail(taken, "there is no such metric")
    answer = writing.get(f"/v1/requests/{job_id}/report")
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "There is no report: there is no such metric. Order it again.",
    )
    assert writing.post("/v1/requests", json=ORDER | {"format": "arrow"}).json()["job_id"] != job_id


def test_head_of_a_report_has_its_headers_and_reads_nothing(
    writing: httpx.Client, requests: Requests, served_lake: Storage
) -> None:
    job_id = writing.post("/v1/requests", json=ORDER | {"format": "ndjson"}).json()["job_id"]
    worked_off(requests, served_lake, job_id)
    whole, head = (writing.request(method, f"/v1/requests/{job_id}/report") for method in ("GET", "HEAD"))
    assert (head.status_code, head.content) == (200, b"")
    names = ("ETag", "Content-Type", "Content-Disposition")
    assert [head.headers[name] for name in names] == [whole.headers[name] for name in names]
    assert int(head.headers["Content-Length"]) == len(whole.content)
    [done] = requests.those(Status.SUCCESS)
    served_lake.delete(done.report_file_path or "")
    assert writing.head(f"/v1/requests/{job_id}/report").status_code == 409, "whether it is there is looked at"


@pytest.mark.parametrize("is_collected", [False, True])
def test_a_lost_report_is_ordered_again(
    writing: httpx.Client, requests: Requests, served_lake: Storage, is_collected: bool
) -> None:
    order = ORDER | {"format": "json"}
    job_id = writing.post("/v1/requests", json=order).json()["job_id"]
    worked_off(requests, served_lake, job_id)
    if is_collected:
        collect(requests, served_lake)
    [done] = requests.those(Status.SUCCESS, Status.DOWNLOADED)
    served_lake.delete(done.report_file_path or "")
    for _ in range(2):
        answer = writing.get(f"/v1/requests/{job_id}/report")
        assert (answer.status_code, answer.json()["detail"]) == (
            409,
            "There is no report: it is lost. Order it again.",
        )
    second = writing.post("/v1/requests", json=order).json()["job_id"]
    worked_off(requests, served_lake, second)
    assert writing.get(f"/v1/requests/{second}/report").status_code == 200


def test_a_database_that_is_gone_is_a_problem(served_lake: Storage) -> None:
    with nobody_at() as nobody:
        url = SecretStr(f"postgresql://ada:{PASSWORD}@{nobody}/neo")
        with client_of(served_lake, api_token=SECRET, postgres_url=url) as client:
            for answer in (client.post("/v1/requests", json=ORDER), client.get(f"/v1/requests/{'0' * 32}")):
                assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
                assert nobody not in answer.text
                assert PASSWORD not in answer.text
            assert client.get("/v1/neos").status_code == 200, "reading goes on"


def test_a_database_that_is_locked_keeps_clients_waiting_for_seconds_only(
    writing: httpx.Client, tmp_path: Path
) -> None:
    place = writing.post("/v1/requests", json=ORDER).headers["Location"]
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        for answer in (writing.post("/v1/requests", json=ORDER), writing.get(place)):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        assert time.monotonic() - begun < 20
    assert writing.get(place).status_code == 200


def test_the_description_says_what_may_be_ordered(writing: httpx.Client) -> None:
    described = writing.get("/openapi.json").json()
    post = described["paths"]["/v1/requests"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["format"]["enum"] == ["json", "csv", "ndjson", "arrow", "parquet"]
    assert {"202", "400", "401", "403", "413", "503"} <= post["responses"].keys()
    assert post["security"] == [{"token": []}]
