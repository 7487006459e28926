"""The runner behind `neo run`: what is fetched, kept and skipped when page sets fail or runs are repeated."""

import contextlib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance import InstanceRef
from dagster._core.utils import make_new_run_id
from starlette.responses import JSONResponse, Response

from neo_assets.cli import jobs
from neo_assets.cli.runner import Runner
from neo_assets.lake import layout, raw_pages
from neo_assets.lake.storage import LakeError, LakeLacks, Storage
from neo_assets.pipeline import audit
from neo_assets.pipeline.metrics.registry import YEARLY_APPROACHES
from neo_assets.pipeline.staleness import current
from neo_assets.pipeline.totals import read_totals
from neo_assets.schema.columns import Table
from neo_assets.schema.page_sets import page_set_keys
from neo_assets.schema.tables import CATALOGUE_STATS, CLOSE_APPROACHES, RAW_PAGE_INDEX, TABLES
from neo_assets.settings import Settings
from neo_assets.sources.neows.errors import PagesMissing
from neo_assets.sources.neows.source import NeoWs
from neo_assets.sources.simulator.catalogue import to_json
from neo_assets_tests.conftest import disk_and_s3
from neo_assets_tests.integration.harness import (
    KEY,
    PATIENCE_S,
    SIX_PAGES,
    Faulty,
    changed,
    copy,
    counted,
    fingerprints,
    no_answer,
    place,
    serving,
    wait_until,
)
from neo_assets_tests.pipeline.by_hand import METRICS
from neo_assets_tests.settings import settings_of

pytestmark = pytest.mark.slow

SETS = ["00000-00001", "00002-00003"]
STARTED = dg.DagsterRunStatus.STARTED

Run = Callable[..., dict[str, Exception]]


@pytest.fixture(scope="module")
def everything_gathered(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A fully gathered lake, shared by the tests; do not change it."""
    lake = Storage(str(tmp_path_factory.mktemp("gathered") / "lake"))
    with serving(Faulty()) as url:
        assert everything(settings_at(url, lake)) == {}
    return lake


@pytest.fixture
def gathered(everything_gathered: Storage, lake: Storage) -> Storage:
    """A fully gathered lake."""
    return copy(everything_gathered, lake)


@pytest.fixture
def neows() -> Faulty:
    return Faulty()


@pytest.fixture
def settings(lake: Storage, neows: Faulty) -> Iterator[Callable[..., Settings]]:
    with serving(neows) as url:
        yield lambda **values: settings_at(url, lake, **values)


@pytest.fixture
def run(settings: Callable[..., Settings]) -> Run:
    return lambda **values: everything(settings(**values))


def settings_at(url: str, lake: Storage, **values: Any) -> Settings:
    """Settings for a served NeoWs: four pages, two in a set, no pauses between requests."""
    whole = {"pages": 4, "nasa_api_keys": KEY, "base_url": url, "requests_per_second": 1000, "lake": lake.root}
    return settings_of(**whole | values)


@contextlib.contextmanager
def runner_of(settings: Settings, lake: Storage | None = None) -> Iterator[Runner]:
    """A runner with a Dagster instance of its own, in memory."""
    with dg.DagsterInstance.ephemeral() as instance, Runner(settings, lake, instance) as runner:
        yield runner


def everything(settings: Settings) -> dict[str, Exception]:
    """What `neo run` does; returns the page sets that failed."""
    with runner_of(settings) as runner:
        failed = runner.refresh()
        runner.total()
    return dict(failed)


def gone() -> Response:
    return JSONResponse({"code": 404, "http_error": "NOT_FOUND", "error_message": "gone"}, status_code=404)


def totals(lake: Storage, pages: int = 4) -> dict[str, Any]:
    return vars(read_totals(lake, METRICS, page_set_keys(pages, 2)))


def test_every_page_is_requested_once_and_the_totals_agree(lake: Storage, neows: Faulty, run: Run) -> None:
    assert run() == {}
    assert sorted(neows.asked) == list(range(4))
    assert totals(lake).items() >= counted(SIX_PAGES, 80).items()


@pytest.mark.parametrize(("stored", "ahead"), [([], [2, 3]), ([2], [3])])
def test_the_next_page_set_is_fetched_while_one_is_computed(
    lake: Storage, neows: Faulty, settings: Callable[..., Settings], stored: list[int], ahead: list[int]
) -> None:
    def wait_for_the_next() -> None:
        wait_until(lambda: sorted(neows.asked) == [0, 1, *ahead])

    with NeoWs(settings(requests_per_hour=100_000)) as other:
        for page in other.pages(stored):
            raw_pages.write_page(lake, page)
    neows.asked.clear()
    waiting = Overtaken(lake.root, layout.table_file(CLOSE_APPROACHES, SETS[0]), wait_for_the_next)
    with runner_of(settings(), waiting) as runner:
        assert runner.refresh() == {}
    assert waiting.other == []
    assert sorted(neows.asked) == [0, 1, *ahead]


def test_a_page_set_that_fails_does_not_stop_the_others(
    lake: Storage, neows: Faulty, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    neows.answers[1] = gone
    assert list(run()) == [SETS[0]]
    assert re.search(
        r"\[1/2\] page set 00000-00001: .*FAILED: 1 of 2 pages could not be fetched", capsys.readouterr().err
    )
    assert totals(lake)["page_sets"] == 1
    assert totals(lake)["neos"] == 40


def test_a_run_with_nothing_to_do_does_without_dagster_and_starts_no_process(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing Dagster takes longer than everything else."""
    with runner_of(settings()) as runner:
        assert runner.refresh() == {}
        assert runner.total()
    monkeypatch.setattr(jobs, "Jobs", None)
    monkeypatch.setattr(subprocess, "Popen", None)
    with Runner(settings()) as runner:
        assert runner.refresh() == {}
        assert not runner.total()
        assert runner.totals().up_to_date


def test_the_next_run_requests_only_missing_pages(lake: Storage, neows: Faulty, run: Run) -> None:
    neows.answers[3] = gone
    run()
    before = fingerprints(lake)
    neows.mend()
    assert run() == {}
    assert neows.asked == [3]
    assert not [name for name in changed(before, fingerprints(lake)) if SETS[0] in name]
    assert totals(lake).items() >= counted(SIX_PAGES, 80).items()


def test_page_sets_that_are_up_to_date_are_skipped(
    gathered: Storage, neows: Faulty, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == {}
    assert neows.asked == []
    assert capsys.readouterr().err.count(": up to date") == 2


class Overtaken(Storage):
    """A lake in which another process acts, once, just before a certain file is written."""

    def __init__(self, root: str, before: str, other: Callable[[], object]) -> None:
        super().__init__(root)
        self.before, self.other = before, [other]

    def write(self, path: str, data: Any) -> str:
        if self.other and path == self.before:
            self.other.pop()()
        return super().write(path, data)


@pytest.mark.parametrize("table", [RAW_PAGE_INDEX, CLOSE_APPROACHES, YEARLY_APPROACHES], ids=lambda table: table.name)
@disk_and_s3
def test_two_runs_on_one_set_end_consistent_wherever_one_overtakes_the_other(
    gathered: Storage, neows: Faulty, settings: Callable[..., Settings], table: Table
) -> None:
    """The catalogue changes between the two runs, so that they write different pages."""

    def other_run() -> None:
        neows.catalogue = SIX_PAGES.inserted(7)
        neows.app = neows.knowing([KEY])
        everything(again)

    again = settings(raw_max_age_hours=0)
    lake = Overtaken(gathered.root, layout.table_file(table, SETS[0]), other_run)
    with runner_of(again, lake) as runner:
        assert runner.refresh() == {}
        runner.total()
    assert lake.other == []
    facts = raw_pages.known_facts(gathered, SETS)
    assert current(gathered, facts, METRICS.of_a_page_set) == set(SETS)
    assert totals(gathered)["up_to_date"]


@disk_and_s3
def test_a_damaged_page_is_requested_again(
    gathered: Storage, neows: Faulty, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "bronze/raw_pages/page-00003.json.zst"
    whole = gathered.read(page).to_pybytes()
    gathered.write(page, whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    assert run() == {}
    assert neows.asked == [3]
    assert capsys.readouterr().err.count("page 3 is damaged in the lake and will be fetched again") == 1
    assert totals(gathered).items() >= counted(SIX_PAGES, 80).items()


@pytest.mark.parametrize("table", [table for table in TABLES.values() if table.partitioned], ids=lambda one: one.name)
def test_lost_tables_are_made_again_without_requests(gathered: Storage, neows: Faulty, run: Run, table: Table) -> None:
    lost = layout.table_file(table, SETS[1])
    content = gathered.read(lost)
    gathered.delete(lost)
    assert run() == {}
    assert neows.asked == []
    assert gathered.read(lost) == content


def test_stale_tables_of_landed_objects_are_computed_again(
    gathered: Storage, neows: Faulty, run: Run, settings: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    gathered.write("landing/a.ndjson", to_json(SIX_PAGES.neo(100)))
    with runner_of(settings()) as runner:
        assert runner.land().failed == {}
    lost = "gold/near_miss_count/page_set=landed/data.parquet"
    content = gathered.read(lost)
    gathered.delete(lost)
    capsys.readouterr()
    assert run() == {}
    assert capsys.readouterr().err.count("landed objects: computed") == 1
    assert gathered.read(lost) == content
    assert run() == {}
    assert "landed objects" not in capsys.readouterr().err
    assert neows.asked == []


def test_page_sets_of_another_size_reuse_stored_pages(gathered: Storage, neows: Faulty, run: Run) -> None:
    assert run(pages_per_set=3) == {}
    assert neows.asked == []


def test_pages_that_are_too_old_are_requested_again(gathered: Storage, neows: Faulty, run: Run) -> None:
    assert run(raw_max_age_hours=0) == {}
    assert sorted(neows.asked) == list(range(4))


def test_a_rejected_key_ends_the_run_at_once(lake: Storage, neows: Faulty, run: Run) -> None:
    with pytest.raises(PagesMissing, match=r"403 API_KEY_INVALID: the API key is not accepted; check NASA_API_KEYS"):
        run(nasa_api_keys="another-key-altogether")
    assert len(neows.asked) <= 2
    assert fingerprints(lake) == {}


def test_page_sets_with_stored_pages_are_computed_after_a_key_is_rejected(
    gathered: Storage, neows: Faulty, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = layout.table_file(YEARLY_APPROACHES, SETS[1])
    content = gathered.read(lost)
    for file in (lost, layout.raw_page(0)):
        gathered.delete(file)
    assert list(run(pages=6, nasa_api_keys="another-key-altogether")) == [SETS[0], "00004-00005"]
    assert len(neows.asked) == 1
    assert gathered.read(lost) == content
    printed = capsys.readouterr().err
    assert "[2/3] page set 00002-00003: 0 pages fetched, 2 reused" in printed
    assert "[3/3] page set 00004-00005: not fetched" in printed


def test_a_lost_page_does_not_stop_other_page_sets_from_being_recomputed(
    gathered: Storage, settings: Callable[..., Settings]
) -> None:
    lost = layout.table_file(YEARLY_APPROACHES, SETS[1])
    gathered.delete(lost)
    gathered.delete(layout.raw_page(0))
    with runner_of(settings()) as runner:
        failed = runner.recompute(SETS)
    assert {key: type(error) for key, error in failed.items()} == {SETS[0]: LakeLacks}
    assert gathered.info(lost).is_file


def test_no_run_waits_for_the_catalogue_stats(
    lake: Storage, neows: Faulty, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(requests_per_hour=4) == {}
    assert totals(lake).items() >= counted(SIX_PAGES, 80).items()
    assert "NeoWs's own counts are not fetched or compared" in capsys.readouterr().err


def test_lost_catalogue_stats_are_fetched_again(lake: Storage, run: Run) -> None:
    assert run(pages=2) == {}
    stats = layout.table_file(CATALOGUE_STATS)
    lake.delete(stats)
    assert run(pages=2) == {}
    assert lake.info(stats).is_file


def test_a_key_over_its_limit_is_not_reported_as_wrong(
    lake: Storage, neows: Faulty, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    limits = iter([lambda: Response("OVER_RATE_LIMIT", status_code=429, headers={"Retry-After": "1"})])

    def over_once() -> Response:
        answer = next(limits, None)
        return answer() if answer else Response(status_code=418)

    neows.answers[0] = over_once
    with pytest.raises(PagesMissing, match="418"):
        run(pages=2)
    assert "429 OVER_RATE_LIMIT: over the rate limit" in caplog.text
    assert "not accepted; check NASA_API_KEYS" not in caplog.text


@pytest.mark.slow
def test_a_killed_run_is_marked_as_failed_by_the_next(
    tmp_path: Path, neows: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would hold a slot in Dagster's queue for ever."""
    at = place(tmp_path / "here", "dagster.yaml", NEO_PAGES=4, NASA_API_KEYS=KEY)
    neows.answers[3] = lambda: no_answer
    with serving(neows) as url:
        killed = at.start("neo", "run", NEOWS_BASE_URL=url, NEO_REQUESTS_PER_SECOND=1)
        wait_until(lambda: neows.asked)
        killed.kill()
        neows.mend()
        monkeypatch.chdir(at.path)
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(at.path))) as instance:
            [dead] = instance.get_runs(dg.RunsFilter(statuses=[STARTED]))
            # A retry of the dead run, as Dagster's run retries create it: it runs elsewhere, and is alive.
            again = instance.add_run(dg.DagsterRun("page_set", make_new_run_id(), status=STARTED, tags=dead.tags))
            assert at.neo("run", NEOWS_BASE_URL=url, NEO_REQUESTS_PER_SECOND=100).code == 0
            statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses[dead.run_id] == dg.DagsterRunStatus.FAILURE
    audited = audit.read(Storage(str(at.path / "data/lake")), 100).to_pylist()
    [of_dead] = [row for row in audited if row["run_id"] == dead.run_id and row["kind"] == "run"]
    assert (of_dead["status"], of_dead["error"]) == ("failed", "The process that executed this run no longer exists.")
    assert [run_id for run_id, status in statuses.items() if status == STARTED] == [again.run_id]
    assert list(statuses.values()).count(dg.DagsterRunStatus.FAILURE) == 1


def test_a_lake_is_unchanged_by_a_source_that_breaks_down(gathered: Storage, neows: Faulty, run: Run) -> None:
    before = fingerprints(gathered)
    neows.break_down(gone)
    with pytest.raises(PagesMissing):
        run(raw_max_age_hours=0)
    assert fingerprints(gathered) == before


def test_a_lake_of_another_source_is_refused_and_left_unchanged(lake: Storage, neows: Faulty, run: Run) -> None:
    lake.write("lake.json", b'{"source": "nasa"}')
    with pytest.raises(LakeError, match="holds data from nasa, but the source is now simulator; they do not mix"):
        run()
    assert fingerprints(lake).keys() == {"lake.json"}


def test_a_nasa_key_is_not_used_on_a_lake_of_the_simulator(lake: Storage) -> None:
    lake.write("lake.json", b'{"source": "simulator"}')
    nasas = settings_of(lake=lake.root, nasa_api_keys=KEY)
    with pytest.raises(LakeError, match="holds data from simulator, but the source is now nasa"):
        everything(nasas)


@pytest.mark.slow
def test_ctrl_c_stops_it_in_one_line_and_the_next_run_continues(tmp_path: Path, neows: Faulty) -> None:
    at = place(tmp_path / "here", "dagster.yaml", NEO_PAGES=4, NASA_API_KEYS=KEY)

    def stored() -> set[int]:
        return {int(path.name[5:10]) for path in at.lake.glob("bronze/raw_pages/page-*.json.zst")}

    neows.answers[3] = lambda: no_answer
    with serving(neows) as url:
        run = at.start("neo", "run", NEOWS_BASE_URL=url, NEO_REQUESTS_PER_SECOND=1)
        deadline = time.monotonic() + PATIENCE_S
        while 2 not in neows.asked or not stored() >= {0, 1}:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ended = run.interrupt()
        kept = stored()
        neows.mend()
        again = at.neo("run", NEOWS_BASE_URL=url, NEO_REQUESTS_PER_SECOND=100)
    assert again.code == 0
    assert sorted(neows.asked) == sorted(set(range(4)) - kept)
    assert ended.code == 130
    assert (
        ended.err.splitlines()[-1]
        == "Stopped. Everything stored so far is kept; run the same command again to continue."
    )
    assert "Traceback" not in ended.err
