"""The sensor `alerts`, ticked as Dagster's daemon does, after real runs and checks: what it tells a real webhook and a
real mail server of what is wrong, and when that is over.
"""

import dataclasses
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from neo_assets.definitions import build_defs
from neo_assets.lake import layout, owner, tables
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets import silver
from neo_assets.pipeline import incidents
from neo_assets.pipeline.heartbeat import append
from neo_assets.pipeline.quarantine import discard, quarantined
from neo_assets.schema.heartbeat import NOT_ASKED, OK, OUT_OF_ORDER, Heartbeat
from neo_assets.schema.tables import NEAR_MISS_COUNT, QUARANTINE
from neo_assets.sources.simulator.catalogue import Catalogue
from neo_assets_tests.orchestration.checks.corrupting import read_without_venus
from neo_assets_tests.pipeline.by_hand import gather, pages_from
from neo_assets_tests.settings import settings_of
from neo_assets_tests.sinks import WebhookSink, mail_server, webhook

PAGE_SETS = [f"{page:05d}-{page:05d}" for page in range(7)]
FIRST, SECOND = PAGE_SETS[:2]
UI = "https://dagster.example.org"


class Watch:
    """A code location over a lake, with the sensor and its cursor."""

    def __init__(self, lake: Storage, place: Path, **values: Any) -> None:
        self.lake, self.instance = lake, dg.DagsterInstance.ephemeral(str(place))
        self.settings = settings_of(**({"pages": len(PAGE_SETS), "pages_per_set": 1, "dagster_url": UI} | values))
        self.defs = build_defs(self.settings, lake=lake)
        self.cursor: str | None = None
        self.said: str | None = None

    def tick(self) -> None:
        """Evaluate the sensor."""
        context = dg.build_sensor_context(
            self.instance,
            cursor=self.cursor,
            repository_def=self.defs.get_repository_def(),
            sensor_name="alerts",
            resources={"lake": self.lake},
        )
        result = self.defs.resolve_sensor_def("alerts").evaluate_tick(context)
        self.cursor, self.said = result.cursor, result.skip_message
        assert not result.run_requests

    def run(self, job: str, *page_sets: str | None) -> list[bool]:
        """Run a job for page sets; whether each run succeeded."""
        definition = self.defs.resolve_job_def(job)
        return [
            definition.execute_in_process(instance=self.instance, partition_key=key, raise_on_error=False).success
            for key in page_sets
        ]

    def check(self, asset: str, check: str, page_set: str) -> bool:
        """Run one asset check; whether it passed."""
        key = dg.AssetCheckKey(dg.AssetKey(asset), check)
        job = self.defs.resolve_implicit_global_asset_job_def()
        one = job.get_subset(asset_selection=set(), asset_check_selection={key})
        result = one.execute_in_process(instance=self.instance, partition_key=page_set)
        [judged] = result.get_asset_check_evaluations()
        return judged.passed

    def lose_a_count(self, page_set: str = FIRST) -> None:
        counts = tables.read_table(self.lake, NEAR_MISS_COUNT, page_set)
        tables.write_table(self.lake, NEAR_MISS_COUNT, counts.slice(1), page_set)


@pytest.fixture
def sink() -> Iterator[WebhookSink]:
    with webhook() as running:
        yield running


@pytest.fixture
def watch(lake: Storage, tmp_path: Path, sink: WebhookSink) -> Watch:
    """A code location whose alerts go to `sink`."""
    return Watch(lake, tmp_path, alert_webhook=sink.url)


def lines_of(text: str) -> dict[str, str]:
    """The named lines of a message."""
    return {name: value for name, _, value in (line.partition(": ") for line in text.splitlines()[1:])}


def test_it_is_on_by_default_and_leaves_a_new_lake_empty(lake: Storage, tmp_path: Path) -> None:
    watch = Watch(lake, tmp_path)
    sensor = watch.defs.resolve_sensor_def("alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30
    watch.tick()
    assert watch.said == "0 incidents open"
    assert lake.files("") == []


def test_a_failed_run_is_told_once_with_why_and_what_to_do(watch: Watch, sink: WebhookSink) -> None:
    assert watch.run("recompute", FIRST) == [False]
    watch.tick()
    [text] = sink.texts
    said = lines_of(text)
    assert text.startswith(f"Run failed: page set {FIRST}\n")
    assert (said["Asset"], said["Page set"]) == ("raw_pages", FIRST)
    assert said["Why"].startswith("page 0 is not in the lake (")
    assert said["See"].startswith(f"{UI}/runs/")
    assert said["Lake"] == watch.lake.root
    assert "`neo audit --failed`" in said["Way out"]
    watch.run("recompute", FIRST)
    watch.tick()
    assert len(sink.texts) == 1, "it goes on"
    assert watch.said == "1 incident open"


def test_a_later_run_of_the_same_page_set_ends_it(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST, SECOND)
    watch.tick()
    assert watch.run("page_set", FIRST) == [True]
    watch.tick()
    [_, text] = sink.texts
    assert text.startswith(f"Over: Run failed: page set {FIRST}\n- page set {FIRST}: from 20")
    assert SECOND not in text
    watch.tick()
    assert len(sink.texts) == 2
    assert [one.page_set for one in incidents.read(watch.lake).open] == [SECOND]


def test_a_run_of_another_asset_does_not_end_it(watch: Watch, sink: WebhookSink) -> None:
    watch.run("page_set", FIRST)
    page = watch.lake.read(layout.raw_page(0))
    watch.lake.delete(layout.raw_page(0))
    assert watch.run("recompute", FIRST) == [False]
    watch.tick()
    watch.lake.write(layout.raw_page(0), page)
    job = watch.defs.resolve_implicit_global_asset_job_def()
    for asset, messages in (("near_miss_count", 1), ("raw_pages", 2)):
        some = job.get_subset(asset_selection={dg.AssetKey(asset)})
        assert some.execute_in_process(instance=watch.instance, partition_key=FIRST).success
        watch.tick()
        assert len(sink.texts) == messages


def test_a_job_without_page_sets_fails_and_recovers_too(watch: Watch, sink: WebhookSink) -> None:
    watch.lake.write(layout.SOURCE_MARK, b'{"source": "nasa"}')
    assert watch.run("stats", None) == [False]
    watch.tick()
    watch.lake.delete(layout.SOURCE_MARK)
    assert watch.run("stats", None) == [True]
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [
        "Run failed: catalogue_stats",
        "Over: Run failed: catalogue_stats",
    ]


def test_a_run_whose_process_was_lost_is_told_too(watch: Watch, sink: WebhookSink) -> None:
    job = watch.defs.resolve_job_def("stats")
    run = watch.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    watch.instance.report_run_failed(run, "The process that executed this run no longer exists.")
    watch.tick()
    [text] = sink.texts
    assert text.startswith("Run failed: job stats\n")
    assert lines_of(text)["Why"] == "The process that executed this run no longer exists."
    watch.run("stats", None)
    watch.tick()
    assert sink.texts[1].startswith("Over: Run failed: job stats\n")


def test_many_at_once_are_one_message_that_names_a_few(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", *PAGE_SETS)
    watch.tick()
    [text] = sink.texts
    assert text.startswith("Run failed: 7 incidents\n")
    assert [key for key in PAGE_SETS if f"page set {key}: " in text] == PAGE_SETS[:5]
    assert "\nand 2 more: see `neo alert list`, or `neo audit`\n" in text
    watch.run("page_set", *PAGE_SETS)
    watch.tick()
    [_, over] = sink.texts
    assert over.startswith("Over: Run failed: 7 incidents\n")


def test_a_check_that_fails_as_an_error_is_told_though_its_run_succeeded(watch: Watch, sink: WebhookSink) -> None:
    watch.run("page_set", FIRST)
    watch.tick()
    assert sink.texts == []
    watch.lose_a_count()
    assert not watch.check("near_miss_count", "near_misses_add_up", FIRST)
    watch.tick()
    [text] = sink.texts
    said = lines_of(text)
    assert text.startswith(f"Check failed: near_misses_add_up of near_miss_count, page set {FIRST}\n")
    assert (said["Asset"], said["Page set"]) == ("near_miss_count", FIRST)
    assert re.fullmatch(r"counted again: \d+, stored: \d+", said["Why"])
    assert said["See"] == f"{UI}/assets/near_miss_count?view=checks&amp;checkDetail=near_misses_add_up"
    watch.check("near_miss_count", "near_misses_add_up", FIRST)
    watch.tick()
    assert len(sink.texts) == 1, "it goes on"
    watch.run("recompute", FIRST)
    watch.tick()
    [_, over] = sink.texts
    assert over.startswith(f"Over: Check failed: near_misses_add_up of near_miss_count, page set {FIRST}\n")
    assert incidents.read(watch.lake) == incidents.State()


def test_checks_of_several_page_sets_are_told_for_each_that_fails_and_not_for_all_together(
    watch: Watch, sink: WebhookSink
) -> None:
    watch.run("page_set", FIRST, SECOND)
    watch.lose_a_count(SECOND)
    key = dg.AssetCheckKey(dg.AssetKey(NEAR_MISS_COUNT.name), "near_misses_add_up")
    job = watch.defs.resolve_implicit_global_asset_job_def()
    of_all = job.get_subset(asset_selection=set(), asset_check_selection={key})
    of_all.execute_in_process(instance=watch.instance)
    watch.tick()
    [text] = sink.texts
    assert text.startswith(f"Check failed: near_misses_add_up of near_miss_count, page set {SECOND}\n")
    watch.run("recompute", SECOND)
    watch.tick()
    assert watch.said == "0 incidents open"


def test_a_check_that_blocks_is_told_as_a_check_not_as_a_run_too(
    watch: Watch, sink: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silver, "read_pages", read_without_venus)
    assert watch.run("page_set", FIRST) == [False]
    watch.tick()
    assert [text.splitlines()[0].partition(":")[0] for text in sink.texts] == ["Check failed"]
    monkeypatch.undo()
    assert watch.run("page_set", FIRST) == [True]
    watch.tick()
    assert watch.said == "0 incidents open"


def test_a_check_that_fails_as_a_warning_is_not_told(watch: Watch, sink: WebhookSink) -> None:
    watch.run("page_set", FIRST)
    record = dict.fromkeys(QUARANTINE.schema.names) | {"page": 0, "index": 3, "reason": "why", "record": "{}"}
    tables.write_table(watch.lake, QUARANTINE, pa.Table.from_pylist([record], schema=QUARANTINE.schema), FIRST)
    assert not watch.check("neo_records", "nothing_is_in_quarantine", FIRST)
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [f"Quarantine grew: page set {FIRST}"]


def quarantine(lake: Storage, reasons: Iterable[str]) -> None:
    rows = [
        dict.fromkeys(QUARANTINE.schema.names) | {"page": 0, "index": number, "reason": reason, "record": reason}
        for number, reason in enumerate(reasons)
    ]
    tables.write_table(lake, QUARANTINE, pa.Table.from_pylist(rows, schema=QUARANTINE.schema), FIRST)


def test_a_quarantine_that_grows_is_told_and_again_when_it_grows_further(watch: Watch, sink: WebhookSink) -> None:
    watch.run("page_set", FIRST)
    quarantine(watch.lake, ["no id"])
    for _ in range(2):
        watch.tick()
    assert [lines_of(text)["Why"] for text in sink.texts] == ["1 record: no id"]
    quarantine(watch.lake, ["no id", "no name", "no name, either"])
    for _ in range(2):
        watch.tick()
    assert [lines_of(text)["Why"] for text in sink.texts[1:]] == ["3 records: no id, no name, no name, either"]
    discard(watch.lake, quarantined(watch.lake, [FIRST]), "a test")
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts[2:]] == [f"Over: Quarantine grew: page set {FIRST}"]


def test_pages_that_get_too_old_are_told_until_they_are_fetched(watch: Watch, sink: WebhookSink) -> None:
    owner.claim(watch.lake, "simulator")
    long_ago = datetime.now(UTC) - timedelta(days=3)
    pages = pages_from(Catalogue(40), SECOND)
    gather(watch.lake, SECOND, [dataclasses.replace(page, fetched_at=long_ago) for page in pages])
    for _ in range(2):
        watch.tick()
    [text] = sink.texts
    assert text.startswith("Data stale: the oldest page\n")
    said = lines_of(text)
    assert (said["Asset"], said["Page set"]) == ("raw_pages", SECOND)
    assert said["Why"] == f"page 1 was fetched {long_ago:%Y-%m-%d %H:%M} UTC; pages are too old after 48 hours"
    watch.run("page_set", SECOND)
    watch.tick()
    assert sink.texts[1].startswith("Over: Data stale: the oldest page\n")


def test_a_total_that_dagster_finds_stale_is_told(watch: Watch, sink: WebhookSink) -> None:
    def becomes(new: FreshnessState, old: FreshnessState) -> None:
        key = dg.AssetKey("total_near_misses")
        change = FreshnessStateChange(key=key, new_state=new, previous_state=old, state_change_timestamp=time.time())
        watch.instance._report_runless_asset_event(change)
        watch.tick()

    becomes(FreshnessState.WARN, FreshnessState.PASS)
    becomes(FreshnessState.FAIL, FreshnessState.WARN)
    Watch(watch.lake, Path(watch.lake.root), alert_webhook=sink.url).tick()  # another storage, which does not know
    becomes(FreshnessState.PASS, FreshnessState.FAIL)
    assert [text.splitlines()[0] for text in sink.texts] == [
        "Data stale: total_near_misses",
        "Over: Data stale: total_near_misses",
    ]


def test_neows_out_of_order_is_told_until_it_answers(watch: Watch, sink: WebhookSink) -> None:
    for status in (OK, OUT_OF_ORDER, OUT_OF_ORDER, NOT_ASKED, OK):
        append(watch.lake, Heartbeat(datetime.now(UTC), status, None if status == OK else "HTTP 503"))
        watch.tick()
    [text, over] = sink.texts
    assert text.startswith("NeoWs out of order: the last heartbeat\n")
    assert lines_of(text)["Why"] == "out of order: HTTP 503"
    assert over.startswith("Over: NeoWs out of order: the last heartbeat\n")


def test_what_a_webhook_does_not_take_is_kept_shown_and_sent_later(
    watch: Watch, sink: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    sink.status = 503
    watch.run("recompute", FIRST)
    watch.tick()
    watch.run("page_set", FIRST)
    watch.tick()
    assert sink.texts == []
    assert watch.said is not None
    assert watch.said.startswith("0 incidents open; webhook has failed since 20")
    assert "HTTP 503" in watch.said
    again = Watch(watch.lake, Path(watch.lake.root), alert_webhook=sink.url)  # another Dagster storage
    sink.status = 200
    again.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [
        f"Run failed: page set {FIRST}",
        f"Over: Run failed: page set {FIRST}",
    ]
    assert again.said == "0 incidents open"
    for shown in (watch.said, caplog.text, str(incidents.read(watch.lake))):
        assert "secret" not in shown.lower()


def test_one_channel_that_fails_does_not_stop_another(lake: Storage, tmp_path: Path, sink: WebhookSink) -> None:
    with mail_server() as mail:
        smtp = f"smtp://127.0.0.1:{mail.port}"
        watch = Watch(lake, tmp_path, alert_webhook=sink.url, alert_smtp=smtp, alert_to="ada@example.org")
        sink.status = 500
        watch.run("recompute", FIRST)
        for _ in range(2):
            watch.tick()
        assert [sent["Subject"] for sent in mail.mails] == [f"neo_assets: Run failed: page set {FIRST}"]
        sink.status = 200
        watch.tick()
    assert len(sink.texts) == len(mail.mails) == 1


def test_it_is_always_in_the_log(lake: Storage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watch = Watch(lake, tmp_path, dagster_url=None)
    watch.run("recompute", FIRST)
    watch.tick()
    watch.tick()
    printed = capfd.readouterr().err
    assert printed.count(f"Run failed: page set {FIRST}\n") == 1
    assert "\nSee: Dagster's UI: Runs, " in printed


def test_a_first_look_at_an_old_storage_tells_only_what_is_still_wrong(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST, SECOND)
    watch.run("page_set", FIRST)
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [f"Run failed: page set {SECOND}"]


def test_a_storage_that_was_emptied_is_looked_at_from_its_beginning(watch: Watch, sink: WebhookSink) -> None:
    watch.cursor = '{"seen": 100000}'
    watch.run("recompute", FIRST)
    watch.tick()
    assert len(sink.texts) == 1


def test_an_incident_of_a_page_set_that_is_no_longer_asked_for_is_over(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", SECOND)
    watch.tick()
    smaller = Watch(watch.lake, Path(watch.lake.root), pages=1, alert_webhook=sink.url)
    smaller.tick()
    assert sink.texts[1].startswith(f"Over: Run failed: page set {SECOND}\n")


def test_an_incident_of_a_check_that_no_longer_exists_is_over(watch: Watch, sink: WebhookSink) -> None:
    now = datetime.now(UTC)
    what = f"some_check of near_miss_count, page set {FIRST}"
    gone = incidents.Incident(incidents.Kind.CHECK, what, "why", "there", now, "near_miss_count", FIRST)
    kept = dataclasses.replace(gone, what=f"near_misses_add_up of near_miss_count, page set {FIRST}")
    incidents.write(watch.lake, incidents.State((gone, kept)))
    watch.tick()
    assert incidents.read(watch.lake).open == [dataclasses.replace(kept, told={"log": 1, "webhook": 1})]
    assert sink.texts[-1].startswith(f"Over: Check failed: {what}\n")


def test_a_lake_that_cannot_be_used_is_told_once_and_nothing_is_lost_by_it(watch: Watch, sink: WebhookSink) -> None:
    watch.tick()
    watch.run("recompute", FIRST)
    incidents_file = Path(watch.lake.location(layout.INCIDENTS))
    incidents_file.mkdir(parents=True)  # where a file should be
    for _ in range(2):
        watch.tick()
        assert watch.said is not None
        assert watch.said.startswith("the lake cannot be used: ")
    [text] = sink.texts
    assert text.startswith("The lake cannot be used\nWhy: cannot read ")
    incidents_file.rmdir()
    for _ in range(2):
        watch.tick()
    assert [text.splitlines()[0] for text in sink.texts[1:]] == [
        f"Run failed: page set {FIRST}",
        "Over: the lake cannot be used",
    ]


def test_while_another_process_tells_it_waits_for_its_turn(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST)
    until = datetime.now(UTC) + timedelta(minutes=1)
    watch.lake.write(layout.ALERTS_LEASE, f'{{"by": "it", "until": "{until.isoformat()}"}}'.encode())
    watch.tick()
    assert watch.said == "another process is sending alerts for this lake: this one looks again at the next tick"
    assert sink.texts == []
    watch.lake.write(layout.ALERTS_LEASE, b'{"by": "it", "until": "2026-03-01T12:00:00+00:00"}')
    watch.tick()
    assert len(sink.texts) == 1
    assert not watch.lake.files(layout.ALERTS_LEASE)
