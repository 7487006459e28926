"""A snapshot is taken up whole, and only once it can be read."""

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pytest

from neo_assets.api import snapshots
from neo_assets.api.problems import Problem
from neo_assets.api.snapshots import Snapshot, Snapshots
from neo_assets.lake.storage import Storage
from neo_assets.products.calendar import CALENDAR
from neo_assets.products.database import DATABASE
from neo_assets.products.index import store
from neo_assets_tests.api.conftest import client_of
from neo_assets_tests.integration.harness import PATIENCE_S
from neo_assets_tests.pipeline.by_hand import gather, total
from neo_assets_tests.products.by_hand import FIRST, KEYS, fill, make
from neo_assets_tests.sources.neows.examples import neo, page


@pytest.fixture
def client(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The API over an empty lake, which it looks at before each answer."""
    monkeypatch.setattr(snapshots, "_LOOK_EVERY_S", 0.0)
    with client_of(lake) as client:
        yield client


def change(lake: Storage, neos: int) -> None:
    """Store the snapshot of a catalogue with so many NEOs."""
    gather(lake, FIRST, [page(*(neo(str(number)) for number in range(100, 100 + neos)), hours=neos)])
    total(lake, list(KEYS))
    make(lake)


def test_without_a_database_the_way_out_is_told(client: httpx.Client) -> None:
    for path in ("/v1/neos", "/health/ready"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "neo tables" in answer.json()["detail"]
    assert client.get("/health/live").status_code == 200


def test_a_new_snapshot_is_taken_up(client: httpx.Client, lake: Storage) -> None:
    make(fill(lake))
    before = client.get("/v1/neos")
    change(lake, neos=7)
    after = client.get("/v1/neos")
    assert before.json()["signature"]["snapshot"] != after.json()["signature"]["snapshot"]
    assert before.headers["ETag"] != after.headers["ETag"]
    assert client.get("/v1/neos", headers={"If-None-Match": before.headers["ETag"]}).status_code == 200


def test_a_damaged_database_is_not_taken_up(client: httpx.Client, lake: Storage) -> None:
    make(fill(lake))
    before = client.get("/v1/neos").json()
    Path(lake.location(f"products/{DATABASE}")).write_bytes(b"no database")
    assert [client.get("/v1/neos").json() for _ in range(5)] == [before] * 5


def test_a_database_cut_in_half_is_not_taken_up(client: httpx.Client, lake: Storage) -> None:
    """DuckDB opens one."""
    make(fill(lake))
    before = client.get("/v1/neos").json()
    file = Path(lake.location(f"products/{DATABASE}"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert client.get("/v1/neos").json() == before


def test_nothing_of_a_copy_stays_if_the_process_is_killed(
    lake: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither of one that is open, nor of one that cannot be opened."""
    monkeypatch.setattr(snapshots, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make(fill(lake))
    before = {*tmp_path.iterdir()}
    every = Snapshots(lake)
    with every.current() as current:
        assert {*tmp_path.iterdir()} == before
        assert current.rows("SELECT count(*) AS n FROM neos")["n"].to_pylist() == [4]
    Path(lake.location(f"products/{DATABASE}")).write_bytes(b"no database")
    with every.current(), every.current():
        assert {*tmp_path.iterdir()} == before
    every.close()
    assert {*tmp_path.iterdir()} == before


def test_times_are_utc_wherever_the_machine_is(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    make(fill(lake))
    every = Snapshots(lake)
    with every.current() as snapshot:
        assert snapshot.rows("SELECT current_setting('TimeZone') AS zone")["zone"].to_pylist() == ["UTC"]
    every.close()


def test_others_are_answered_while_a_database_is_copied(
    client: httpx.Client, lake: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(fill(lake))
    before = client.get("/v1/neos").json()
    copying, go_on = threading.Event(), threading.Event()
    copy = Snapshots._copy

    def slowly(self: Snapshots, path: str, file: Path) -> str:
        copying.set()
        go_on.wait(PATIENCE_S)
        return copy(self, path, file)

    monkeypatch.setattr(Snapshots, "_copy", slowly)
    change(lake, neos=7)
    first: list[Any] = []
    waiting = threading.Thread(target=lambda: first.append(client.get("/v1/neos").json()))
    waiting.start()
    assert copying.wait(PATIENCE_S)
    assert client.get("/v1/neos").json() == before
    go_on.set()
    waiting.join(PATIENCE_S)
    assert first[0]["signature"] != before["signature"]


def test_a_former_snapshot_is_closed_where_nobody_waits_for_it(lake: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one who uses it may be the event loop."""
    monkeypatch.setattr(snapshots, "_LOOK_EVERY_S", 0.0)
    make(fill(lake))
    is_over, close = threading.Event(), Snapshot.close

    def slowly(self: Snapshot) -> None:
        assert is_over.wait(PATIENCE_S)
        close(self)

    with contextlib.closing(Snapshots(lake)) as every:
        with every.current() as former:
            monkeypatch.setattr(Snapshot, "close", slowly)
            change(lake, neos=7)
            every.look()
            assert every.tag != former.tag
        with every.taken_up() as current:
            assert current.tag == every.tag
        is_over.set()


def test_a_cursor_of_a_former_snapshot_is_refused(client: httpx.Client, lake: Storage) -> None:
    make(fill(lake))
    following = client.get("/v1/neos?limit=1").json()["next"]
    change(lake, neos=7)
    answer = client.get(following)
    assert answer.status_code == 409
    assert "former snapshot" in answer.json()["errors"][0]["detail"]


def test_no_answer_mixes_snapshots(client: httpx.Client, lake: Storage) -> None:
    """The number of NEOs in the signature's snapshot is that of the rows, while snapshots are replaced."""
    make(fill(lake))
    first = client.get("/v1/snapshot").json()
    known = {first["snapshot_id"]: first["neos"]}
    wrong: list[Any] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            answer = client.get("/v1/neos?fields=id")
            if answer.status_code != 200:
                wrong.append(answer.text)
            else:
                body = answer.json()
                seen.append((body["signature"]["snapshot"], body["total"], body["count"]))

    seen: list[tuple[str, int, int]] = []
    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        for neos in range(5, 10):
            change(lake, neos)
            deadline = time.monotonic() + PATIENCE_S
            while (now := client.get("/v1/snapshot").json())["snapshot_id"] in known:
                assert time.monotonic() < deadline
            known[now["snapshot_id"]] = now["neos"]
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert len(known) == 6
    assert {(snapshot, total, count) for snapshot, total, count in seen} <= {(one, n, n) for one, n in known.items()}


def test_a_slow_query_is_ended(lake: Storage) -> None:
    make(fill(lake))
    every = Snapshots(lake, longest_query_s=0.5)
    started = time.monotonic()
    with every.current() as snapshot:
        with pytest.raises(Problem, match=r"longer than 0\.5 s"):
            snapshot.rows("SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5")
        with pytest.raises(Problem, match=r"longer than 0\.5 s"):
            sum(piece.num_rows for piece in snapshot.pieces("SELECT * FROM range(1000000000000)"))
    assert time.monotonic() - started < PATIENCE_S
    every.close()


def test_rows_come_in_pieces_too(lake: Storage) -> None:
    make(fill(lake))
    every = Snapshots(lake)
    with every.current() as snapshot:
        for sql in ("SELECT * FROM close_approaches ORDER BY ALL", "SELECT * FROM neos WHERE false"):
            assert pa.concat_tables(snapshot.pieces(sql)) == snapshot.rows(sql)
    every.close()


def test_the_database_cannot_be_changed_or_read_files(lake: Storage, tmp_path: Path) -> None:
    make(fill(lake))
    every = Snapshots(lake)
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    wrong = [f"SELECT * FROM read_csv('{secret}')", "DELETE FROM neos", f"COPY neos TO '{tmp_path}/neos.csv'"]
    with every.current() as snapshot:
        for sql in wrong:
            with pytest.raises(duckdb.Error, match=r"disabled|read-only"):
                snapshot.rows(sql)
    every.close()


def test_another_product_changes_neither_etags_nor_cursors(client: httpx.Client, lake: Storage) -> None:
    make(fill(lake))
    before = client.get("/v1/neos?limit=1")
    store(lake, CALENDAR, b"BEGIN:VCALENDAR\r\n", "by hand", 0)
    after = client.get("/v1/neos?limit=1")
    assert after.headers["ETag"] == before.headers["ETag"]
    assert client.get(before.json()["next"]).status_code == 200
