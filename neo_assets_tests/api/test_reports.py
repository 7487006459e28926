"""Reports: they hold what the pages of the API hold, in every form; what fails is worked off once more; and what is
collected is whole.
"""

import contextlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neo_assets.api import snapshots
from neo_assets.api.orders import Ordered, checked
from neo_assets.api.reports import collect, opened, work_off
from neo_assets.api.snapshots import Snapshots
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.products.database import DATABASE
from neo_assets.products.requests import Order, ReportFailed, Request, Requests, Status
from neo_assets_tests.api.conftest import Get
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.products.by_hand import fill, make
from neo_assets_tests.settings import settings_of

FORMS = ["json", "csv", "ndjson", "arrow", "parquet"]


class Reports:
    """The requests of a lake, ordered and worked off without an API."""

    def __init__(self, lake: Storage, place: Path) -> None:
        self.lake = lake
        self.requests = Requests.of(settings_of(dagster_home=place), lake)
        self.snapshots = Snapshots(lake)

    def order(self, table: str = "close-approaches", form: str = "csv", **parameters: Any) -> Request:
        ordered = Ordered.model_validate({"table": table, "format": form, "parameters": parameters})
        with self.snapshots.current() as snapshot:
            return self.requests.order(checked(snapshot, ordered))

    def work_off(self, request: Request, run_id: str = "run", **options: Any) -> Request | None:
        return work_off(self.requests, self.lake, request.job_id, request.retries, run_id, **options)

    def now(self, request: Request) -> Request:
        found = self.requests.get(request.job_id)
        assert found
        return found

    def content(self, request: Request) -> bytes:
        with opened(self.requests, self.lake, self.now(request)) as file:
            return bytes(file.read())

    def files(self) -> list[str]:
        return [info.path for folder in ("work", "reports") for info in self.lake.files(folder)]


@contextlib.contextmanager
def reports_of(lake: Storage, place: Path) -> Iterator[Reports]:
    reports = Reports(lake, place)
    yield reports
    reports.requests.close()
    reports.snapshots.close()


@pytest.fixture
def of_served(served_lake: Storage, tmp_path: Path) -> Iterator[Reports]:
    """Over the lake that is served, which has 40 NEOs."""
    with reports_of(served_lake, tmp_path / "state") as reports:
        yield reports


@pytest.fixture
def reports(lake: Storage, tmp_path: Path) -> Iterator[Reports]:
    """Over a small lake, that may be changed."""
    make(fill(lake))
    with reports_of(lake, tmp_path / "state") as reports:
        yield reports


def rows_of(content: bytes, form: str) -> list[dict[str, Any]]:
    """The rows of a report."""
    if form == "json":
        answer = json.loads(content)
        assert answer["count"] == answer["total"] == len(answer["data"])
        return [dict(zip(answer["fields"], row, strict=True)) for row in answer["data"]]
    if form == "ndjson":
        return [json.loads(line) for line in content.splitlines()]
    table = pq.read_table(io.BytesIO(content)) if form == "parquet" else pa.ipc.open_stream(content).read_all()
    assert table.schema.metadata[b"source"] == b"simulator"
    rows: list[dict[str, Any]] = snapshots.with_times_as_text(table).to_pylist()
    return rows


@pytest.mark.parametrize("form", [form for form in FORMS if form != "csv"])
def test_a_report_holds_all_rows(of_served: Reports, get: Get, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(snapshots, "_ROWS_IN_A_PIECE", 100)
    fields = "neo_id,close_approach_at,miss_distance_au"
    request = of_served.order(form=form, body="Earth", fields=fields)
    assert of_served.work_off(request)
    page = get("/v1/close-approaches", body="Earth", fields=fields, limit=1_000)
    assert page["total"] == page["count"] > 200
    assert rows_of(of_served.content(request), form) == [
        dict(zip(page["fields"], row, strict=True)) for row in page["data"]
    ]
    if form == "json":
        whole = json.loads(of_served.content(request))
        assert {name: whole[name] for name in page} == page


@pytest.mark.parametrize("form", FORMS)
def test_without_rows_a_report_is_whole_too(reports: Reports, form: str) -> None:
    request = reports.order("neos", form, **{"h-max": -50})
    assert reports.work_off(request)
    content = reports.content(request)
    assert content.count(b"\n") == 1 if form == "csv" else rows_of(content, form) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_second_attempt_makes_the_same_file(reports: Reports, tmp_path: Path, form: str) -> None:
    request = reports.order("metrics/total_first_observations", form)
    killed = reports.requests.take(request.job_id, 0, "first")
    assert killed
    assert reports.requests.give_back(killed, "its run died")
    second = reports.work_off(reports.now(request), "second")
    assert second
    assert reports.order("metrics/total_first_observations", form) == second, "it is the same order"
    content = reports.content(request)
    with reports_of(reports.lake, tmp_path / "elsewhere") as others:
        same = others.order("metrics/total_first_observations", form)
        assert others.work_off(same)
        assert others.content(same) == content


def test_a_large_report_is_not_in_memory_whole(of_served: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "_ROWS_IN_A_PIECE", 50)
    request = of_served.order(form="ndjson")
    pieces: list[int] = []
    assert of_served.work_off(request, progressed=lambda: pieces.append(1))
    assert len(pieces) == -(-of_served.content(request).count(b"\n") // 50) + 1 > 10


def test_what_takes_too_long_is_made_once_more_and_fails_then(reports: Reports) -> None:
    request = reports.order()
    for retries, status in ((0, Status.QUEUED), (1, Status.FAILED)):
        now = reports.now(request)
        assert now.retries == retries
        with pytest.raises(ReportFailed, match="it took longer than 15 minutes"):
            reports.work_off(now, f"run {retries}", longest_s=0)
        assert reports.now(request).status == status
    assert reports.now(request).reason == "it took longer than 15 minutes"
    assert reports.files() == []


def test_what_cannot_be_read_is_made_once_more(reports: Reports) -> None:
    request = reports.order()
    reports.lake.delete(f"products/{DATABASE}")
    with pytest.raises(ReportFailed, match="There is no database yet"):
        reports.work_off(request)
    assert reports.now(request).status == Status.QUEUED
    make(fill(reports.lake))
    assert reports.work_off(reports.now(request))
    assert reports.content(request)


def test_what_would_fail_again_fails_at_once(reports: Reports) -> None:
    gone = reports.requests.order(Order("metrics/total_of_mine", {}, "csv", "another digest"))
    with pytest.raises(ReportFailed, match="there is no such table"):
        reports.work_off(gone)
    assert reports.now(gone).status == Status.FAILED


def test_a_lake_that_cannot_be_written_gives_the_request_back(reports: Reports) -> None:
    request = reports.order()
    reports.lake.write("work", b"a file where a directory is needed")
    with pytest.raises(LakeError, match="directory is needed"):
        reports.work_off(request)
    now = reports.now(request)
    assert (now.status, now.reason) == (Status.QUEUED, "it could not be made; the run that tried has the reason")


def test_a_run_that_was_given_up_leaves_no_file(reports: Reports) -> None:
    """Such as one that hung for more than 15 minutes, and then goes on."""
    request = reports.order()

    def given_up() -> None:
        if reports.now(request).retries == 0:
            assert reports.requests.give_back(reports.now(request), "it took too long")
            assert reports.work_off(reports.now(request), "second")

    with pytest.raises(ReportFailed, match="it was given to another run"):
        reports.work_off(request, "first", progressed=given_up)
    assert reports.files() == [f"work/{request.job_id}-1.csv"]
    assert reports.now(request).run_id == "second"


def test_of_runs_that_work_off_the_same_request_one_does(reports: Reports) -> None:
    request, done = reports.order(), list[Request | None]()
    runs = [
        threading.Thread(target=lambda number=number: done.append(reports.work_off(request, f"run {number}")))
        for number in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len([one for one in done if one]) == 1


@disk_and_s3
def test_reports_are_collected_once_and_whole(reports: Reports) -> None:
    first, second = reports.order(), reports.order("neos", "parquet")
    for request in (first, second):
        assert reports.work_off(request)
    contents = [reports.content(request) for request in (first, second)]
    collected, damaged = collect(reports.requests, reports.lake)
    assert [one.job_id for one in collected] == [first.job_id, second.job_id]
    assert damaged == []
    assert reports.files() == sorted([f"reports/{first.job_id}/report.csv", f"reports/{second.job_id}/report.parquet"])
    assert [reports.content(request) for request in (first, second)] == contents
    assert collect(reports.requests, reports.lake) == ([], [])


def test_a_collector_that_was_killed_is_followed_by_another(reports: Reports) -> None:
    request = reports.order()
    done = reports.work_off(request)
    assert done
    reports.lake.move(done.report_file_path or "", f"reports/{request.job_id}/report.csv")
    assert reports.content(request), "it is served meanwhile"
    [collected], damaged = collect(reports.requests, reports.lake)
    assert (collected.status, damaged) == (Status.DOWNLOADED, [])


def test_a_damaged_report_is_not_collected(reports: Reports) -> None:
    request, good = reports.order(), reports.order("neos")
    done = reports.work_off(request)
    assert done
    assert reports.work_off(good)
    reports.lake.write(done.report_file_path or "", b"something else")
    collected, damaged = collect(reports.requests, reports.lake)
    assert [one.job_id for one in collected] == [good.job_id]
    assert [one.job_id for one in damaged] == [request.job_id]
    assert reports.now(request).status == Status.FAILED
    assert reports.files() == [f"reports/{good.job_id}/report.csv"]
    assert collect(reports.requests, reports.lake) == ([], [])
    again = reports.order()
    assert again.job_id != request.job_id
    assert reports.work_off(again)


def test_what_killed_attempts_left_is_deleted(reports: Reports) -> None:
    request = reports.order()
    first = reports.requests.take(request.job_id, 0, "killed")
    assert first
    for job_id in (request.job_id, "f" * 32):  # the other one is kept in another database
        reports.lake.write(f"work/{job_id}-0.csv", b"of an attempt")
    assert reports.requests.give_back(first, "its run died")
    assert reports.work_off(reports.now(request), "second")
    collect(reports.requests, reports.lake)
    assert reports.files() == [f"work/{'f' * 32}-0.csv", f"reports/{request.job_id}/report.csv"]
