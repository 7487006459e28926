"""The state of the pipeline: that it says what the lake, the ledger and Dagster's runs show, and no key."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from neo_assets.api.snapshots import Snapshots
from neo_assets.api.state import Run, RunsUnderWay, State, StateReader
from neo_assets.lake import layout
from neo_assets.lake.storage import Storage
from neo_assets.pipeline import audit, incidents
from neo_assets.pipeline.incidents import Incident, Kind
from neo_assets.products.requests import Order, Requests, Status
from neo_assets.schema.audit import PROCESSING, RUN, SUCCESS
from neo_assets.settings import Settings
from neo_assets.sources.neows.budget import Budget
from neo_assets_tests.products.by_hand import fill_from_simulator, with_products

NOW = datetime.now(UTC)
KEYS = ["one-key-0123456789", "another-key-0123456789"]

Read = Callable[[], State]


@pytest.fixture
def lake(tmp_path: Path) -> Storage:
    return with_products(tmp_path, fill_from_simulator)


def reader_of(lake: Storage, settings: Settings, snapshots: Snapshots, runs: RunsUnderWay | None = None) -> StateReader:
    return StateReader(settings, lake, snapshots, Requests.of(settings, lake), runs)


@pytest.fixture
def read(lake: Storage, tmp_path: Path) -> Iterator[Callable[..., State]]:
    """Reads the state with new eyes."""
    snapshots = Snapshots(lake)

    def read(runs: RunsUnderWay | None = None, keys: tuple[str, ...] = (), at: Storage = lake) -> State:
        settings = Settings(pages=2, pages_per_set=1, lake=at.root, ledger=tmp_path / "ledger.sqlite")
        given = settings.model_copy(update={"nasa_api_keys": tuple(map(SecretStr, keys))})
        return reader_of(at, given, snapshots, runs).read()

    yield read
    snapshots.close()


def run_of(status: str, name: str = "run", **more: object) -> Run:
    known = {"id": name, "job": "page_set", "page_set": None, "created_at": NOW, "started_at": NOW, "ended_at": None}
    return Run.model_validate(known | {"status": status} | more)


def test_it_says_what_the_lake_shows_and_what_is_served(read: Callable[..., State], lake: Storage) -> None:
    state = read()
    assert (state.lake_answers, state.source, state.quarantined, state.incidents) == (True, "simulator", 0, [])
    assert (state.pages.asked, state.pages.stored, state.pages.fresh) == (2, 2, 2)
    assert (state.page_sets.asked, state.page_sets.done) == (2, 2)
    assert state.snapshot is not None
    assert (state.snapshot.verdict, state.snapshot.is_simulated) == ("consistent", True)
    assert state.budget == []
    assert read() == state, "nothing has happened"


def test_an_empty_lake_has_a_state_too(read: Callable[..., State], tmp_path: Path) -> None:
    empty = Storage(str(tmp_path / "empty"))
    snapshots = Snapshots(empty)
    state = reader_of(empty, Settings(pages=4, lake=empty.root), snapshots).read()
    snapshots.close()
    assert (state.source, state.snapshot, state.pages.oldest_at, state.runs.last) == (None, None, None, None)
    assert (state.pages.stored, state.page_sets.done) == (0, 0)
    assert not Path(empty.root).exists(), "nothing is made by looking"


def test_a_lake_that_cannot_be_read_leaves_the_state_as_it_was(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    snapshots = Snapshots(lake)
    reader = reader_of(lake, Settings(pages=2, pages_per_set=1, lake=lake.root), snapshots)
    before = reader.read()
    pages = Path(lake.location(layout.RAW_PAGES))
    pages.rename(pages.with_name("away"))
    pages.write_text("a file where a directory was")
    after = [reader._now() for _ in range(2)]
    snapshots.close()
    assert after == [before.model_copy(update={"lake_answers": False})] * 2
    assert caplog.text.count("cannot list") == 1


def test_the_budget_is_that_of_each_key_without_the_key(read: Callable[..., State], tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    untouched = read(keys=tuple(KEYS)).budget
    assert untouched is not None
    assert [(one.key, one.left, one.allowed) for one in untouched] == [("key 1", 1000, 1000), ("key 2", 1000, 1000)]
    assert not ledger.exists(), "nothing is made by looking"
    budget = Budget(ledger, "api.nasa.gov:443", KEYS, 1000, 10)
    budget.reserve(without=KEYS[:1])
    budget.learn_limit(KEYS[0], 40)
    budget.park(KEYS[1], 600)
    budget.refuse(KEYS[1])
    budget.close()
    state = read(keys=tuple(KEYS))
    assert state.budget is not None
    first, second = state.budget
    assert (first.left, first.allowed, first.parked_until, first.refused) == (40, 40, None, False)
    assert (second.left, second.allowed, second.refused) == (999, 1000, True)
    assert second.parked_until is not None
    assert second.parked_until - datetime.now(UTC) == pytest.approx(timedelta(minutes=10), abs=timedelta(minutes=1))
    assert not [key for key in KEYS if key in state.model_dump_json()]


def test_a_ledger_that_cannot_be_read_is_no_end(read: Callable[..., State], tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database, but it is long enough to look at" * 100)
    assert read(keys=tuple(KEYS)).budget is None


def test_open_incidents_are_in_it_without_their_reasons(read: Callable[..., State], lake: Storage) -> None:
    bad = Incident(Kind.CHECK, "neo_records: ids_are_unique", f"see {lake.root}", NOW, "neo_records", None, "unique")
    over = replace(bad, what="what was wrong", over_at=NOW)
    incidents.write(lake, incidents.State((bad, over, replace(bad, kind=Kind.RUN, check=None, size=3))))
    state = read()
    assert [(one.kind, one.check_name, one.size) for one in state.incidents] == [
        ("check failed", "unique", 0),
        ("run failed", None, 3),
    ]
    assert state.checks_failed == 1
    assert lake.root not in state.model_dump_json()


@pytest.mark.parametrize("knows", [True, False])
def test_runs_under_way_are_dagsters_or_else_the_audits(read: Callable[..., State], lake: Storage, knows: bool) -> None:
    known = {"job": "page_set", "kind": RUN, "launched_by": "a test", "account": "somebody@here", "queued_at": NOW}
    audit.write(lake, "done", NOW, [known | {"run_id": "done", "status": SUCCESS, "started_at": NOW, "ended_at": NOW}])
    audit.write(lake, "killed", NOW, [known | {"run_id": "killed", "status": PROCESSING, "started_at": NOW}])
    of_dagster = [run_of("queued", f"run {number}", started_at=None) for number in range(30)] + [run_of(PROCESSING)]
    runs = read(lambda: of_dagster if knows else None).runs
    assert (runs.succeeded, runs.failed, runs.last and runs.last.id) == (1, 0, "done")
    if knows:
        assert (len(runs.under_way), runs.queued, runs.processing) == (20, 30, 1)
    else:
        assert ([run.id for run in runs.under_way], runs.queued, runs.processing) == (["killed"], 0, 1)


def test_requests_for_reports_are_counted_by_their_state(
    read: Callable[..., State], lake: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    assert read().requests == dict.fromkeys(Status, 0)
    assert not list(Path.cwd().iterdir()), "nothing is made by looking"
    requests = Requests.of(Settings(lake=lake.root), lake)
    first, _ = (requests.order(Order("neos", {}, "csv", digest)) for digest in "ab")
    requests.take(first.job_id, 0, "a run")
    assert read().requests == dict.fromkeys(Status, 0) | {Status.QUEUED: 1, Status.PROCESSING: 1}
    requests.close()
    [file] = Path.cwd().rglob("requests.sqlite")
    file.write_bytes(b"not a database" * 1_000)
    assert read().requests is None
    assert str(file) in caplog.text


def test_an_error_of_what_knows_the_runs_is_logged_once(lake: Storage, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no such column")

    snapshots = Snapshots(lake)
    reader = reader_of(lake, Settings(pages=2, pages_per_set=1, lake=lake.root), snapshots, fail)
    states = [reader._now() for _ in range(3)]
    snapshots.close()
    assert [state.runs.under_way for state in states] == [[]] * 3
    assert caplog.text.count("ValueError: no such column") == 1


def test_while_the_lake_lets_one_reader_wait_others_get_the_last_state(lake: Storage) -> None:
    asked, may_go_on = threading.Event(), threading.Event()
    settings = Settings(pages=2, pages_per_set=1, lake=lake.root)
    snapshots = Snapshots(lake)
    reader = reader_of(lake, settings, snapshots)
    before = reader.read()

    def wait_for_the_lake() -> None:
        with reader._lock:
            asked.set()
            may_go_on.wait()

    slow = threading.Thread(target=wait_for_the_lake)
    slow.start()
    asked.wait()
    try:
        assert reader.read() is before
    finally:
        may_go_on.set()
        slow.join()
        snapshots.close()
