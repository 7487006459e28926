"""`neo audit`: the latest runs, by whom they were launched, and why something failed."""

import json
from collections.abc import Callable

import pytest

from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets_tests.integration.harness import Ended

FIRST = "00000-00001"

Neo = Callable[..., Ended]


@pytest.fixture
def lake(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Storage:
    monkeypatch.setenv("NEO_LAKE", lake.root)
    monkeypatch.setenv("NEO_PAGES", "4")
    return lake


def test_a_lake_without_runs_says_so(lake: Storage, neo: Neo) -> None:
    ended = neo("audit")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == "No run is recorded in this lake yet: start one with `neo run`.\n"


@pytest.mark.slow
def test_runs_are_listed_in_order_the_latest_last(lake: Storage, neo: Neo) -> None:
    assert neo("run").code == 0
    ended = neo("audit")
    first, second, stats, totals = ended.out.splitlines()
    assert "  success " in first
    assert f"page_set {FIRST}, 2 pages fetched, 0 reused" in first
    assert "(neo run, " in first
    assert "page_set 00002-00003" in second
    assert "  stats, 1 request  " in stats
    assert "  totals  " in totals
    assert neo("audit", "--last", "1").out == f"{totals}\n"
    assert neo("audit", "--job", "totals").out == f"{totals}\n"
    landed = neo("audit", "--job", "land")
    assert (landed.code, landed.out, landed.err) == (0, "", "No run of the job land is recorded in this lake.\n")
    failed = neo("audit", "--failed")
    assert (failed.code, failed.out, failed.err) == (0, "", "Nothing failed.\n")


@pytest.mark.slow
def test_what_failed_is_listed_below_its_run(lake: Storage, neo: Neo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_PAGES", "2")
    neo("run")
    lake.delete(layout.raw_page(0))
    assert neo("recompute", FIRST).code == 1
    run, below = neo("audit", "--failed").out.splitlines()
    assert "  failed " in run
    assert "(neo recompute, " in run
    assert "page 0 is not in the lake" in run, "said once"
    rows = [json.loads(line) for line in neo("audit", "--failed", "--json").out.splitlines()]
    assert below == f"    not done: {len(rows) - 1} of its tables and checks (--json lists them)"
    assert {(row["asset"], row.get("check")) for row in rows[1:]} > {
        ("orbits", None),
        ("orbits", "rows_fit_the_schema"),
    }
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["kind"] for row in rows} == {"run", "materialization", "check"}
    assert rows[0]["queued_at"][10] == "T", "ISO 8601, as in all JSON of neo"


def test_a_damaged_file_is_named_with_the_way_out(lake: Storage, neo: Neo) -> None:
    path = "audit/date=2026-03-01/some-run.parquet"
    lake.write(path, b"not Parquet")
    ended = neo("audit")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"Error: {lake.location(path)} is damaged (")
    assert ": delete it; " in ended.err
