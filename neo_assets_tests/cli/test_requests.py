"""`neo requests`: what clients have ordered, made and collected without Dagster's daemon."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.database import DATABASE
from neo_assets.products.requests import Order, Request, Requests, Status
from neo_assets_tests.integration.harness import Ended
from neo_assets_tests.products.by_hand import fill, make
from neo_assets_tests.settings import settings_of

Neo = Callable[..., Ended]


@pytest.fixture
def kept(disk_lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    """The requests of a lake, which is that of `neo` too."""
    make(fill(disk_lake))
    monkeypatch.setenv("NEO_LAKE", disk_lake.root)
    with Requests.of(settings_of(), disk_lake) as kept:
        yield kept


def order(kept: Requests, name: str, table: str = "neos") -> Request:
    return kept.order(Order(table, {"h-max": "22"}, "csv", name))


def test_without_requests_there_is_nothing_to_do(kept: Requests, neo: Neo) -> None:
    none = f"No report has been ordered: there is no request in {kept.where}.\n"
    assert neo("requests") == neo("requests", "--json") == Ended(0, "", none)
    assert neo("requests", "work") == Ended(0, "", f"No request waits in {kept.where}.\n")
    assert neo("requests", "collect") == Ended(0, "", "No report is to be collected.\n")
    assert not Path("data").exists()


def test_they_are_made_in_order_and_collected(kept: Requests, disk_lake: Storage, neo: Neo) -> None:
    ordered = [order(kept, name).job_id for name in ("b", "a")]
    listed = neo("requests").out.splitlines()
    assert [line.split()[0] for line in listed] == ordered
    assert listed[0].endswith("queued      neos h-max=22 csv")
    worked = neo("requests", "work")
    assert (worked.code, worked.err) == (0, "")
    assert [line.split()[0] for line in worked.out.splitlines()] == ordered
    assert neo("requests", "work").out == ""
    collected = neo("requests", "collect")
    assert (collected.code, collected.err) == (0, "")
    records = [json.loads(line) for line in neo("requests", "--json").out.splitlines()]
    assert [record["status"] for record in records] == ["downloaded"] * 2
    assert [record["report_file_path"] for record in records] == [f"reports/{one}/report.csv" for one in ordered]
    assert all(disk_lake.read(record["report_file_path"]).size for record in records)
    runs = [json.loads(line) for line in neo("audit", "--json").out.splitlines()]
    assert [run["launched_by"] for run in runs] == [*["neo requests work"] * 2, "neo requests collect"]


def test_what_fails_is_tried_once_more_and_the_others_go_on(kept: Requests, neo: Neo) -> None:
    bad, good = order(kept, "bad", "metrics/total_of_nothing"), order(kept, "good")
    ended = neo("requests", "work")
    assert ended.code == 1
    assert ended.err.startswith(f"Error: 1 report could not be made. First error: request {bad.job_id}: ")
    assert [one.status for one in kept.those()] == [Status.FAILED, Status.SUCCESS]
    assert good.job_id in ended.out


def test_a_lake_without_a_database_fails_them(kept: Requests, disk_lake: Storage, neo: Neo) -> None:
    order(kept, "one")
    disk_lake.delete(f"products/{DATABASE}")
    ended = neo("requests", "work")
    assert (ended.code, "There is no database yet" in ended.err) == (1, True)
    [one] = kept.those()
    assert (one.status, one.retries) == (Status.FAILED, 1)
