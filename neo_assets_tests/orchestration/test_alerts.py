"""The sensor `alerts`, ticked as Dagster's daemon does, after real runs and checks: what it reports to a real webhook
and a real mail server, and when.
"""

import dataclasses
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from neo_assets.lake import layout, tables
from neo_assets.lake.lease import leased
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.assets import silver
from neo_assets.pipeline import incidents
from neo_assets.pipeline.heartbeat import append
from neo_assets.pipeline.metrics.registry import NEAR_MISS_COUNT
from neo_assets.pipeline.quarantine import discard, quarantined
from neo_assets.schema.heartbeat import NOT_ASKED, OK, OUT_OF_ORDER, OVER_LIMIT, Heartbeat
from neo_assets.schema.heartbeat_table import HEARTBEAT
from neo_assets.schema.page_sets import LANDED
from neo_assets.schema.tables import QUARANTINE
from neo_assets_tests.orchestration.alone import alone
from neo_assets_tests.orchestration.checks.corrupting import read_without_venus
from neo_assets_tests.orchestration.watching import FIRST, SECOND, UI, Watch, lines_of
from neo_assets_tests.sinks import WebhookSink, mail_server


def test_it_is_on_by_default_and_leaves_a_new_lake_empty(lake: Storage, tmp_path: Path) -> None:
    watch = Watch(lake, tmp_path)
    sensor = watch.defs.resolve_sensor_def("alerts")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30
    watch.tick()
    assert watch.said == "0 incidents open"
    assert lake.files("") == []


def test_a_check_that_fails_as_an_error_is_reported_though_its_run_succeeded(watch: Watch, sink: WebhookSink) -> None:
    watch.fill(FIRST)
    watch.tick()
    assert sink.texts == []
    watch.lose_a_count()
    assert not watch.check("near_miss_count", "recount_of_near_miss_count", FIRST)
    watch.tick()
    [text] = sink.texts
    said = lines_of(text)
    assert text.startswith(f"Check failed: recount_of_near_miss_count of near_miss_count, page set {FIRST}\n")
    assert (said["Asset"], said["Page set"]) == ("near_miss_count", FIRST)
    assert re.fullmatch(r"counted again: \d+, stored: \d+", said["Why"])
    assert said["See"] == f"{UI}/assets/near_miss_count?view=checks&amp;checkDetail=recount_of_near_miss_count"
    watch.check("near_miss_count", "recount_of_near_miss_count", FIRST)
    watch.tick()
    assert len(sink.texts) == 1, "it goes on"
    watch.run("recompute", FIRST)
    watch.tick()
    [_, over] = sink.texts
    assert over.startswith(f"Over: Check failed: recount_of_near_miss_count of near_miss_count, page set {FIRST}\n")
    assert incidents.read(watch.lake) == incidents.State()


def test_checks_of_several_page_sets_are_reported_for_each_that_fails_and_not_for_all_together(
    watch: Watch, sink: WebhookSink
) -> None:
    watch.fill(FIRST, SECOND)
    counts = tables.read_table(watch.lake, NEAR_MISS_COUNT, SECOND)
    watch.lose_a_count(SECOND)
    key = dg.AssetCheckKey(dg.AssetKey(NEAR_MISS_COUNT.name), "recount_of_near_miss_count")
    alone(watch.defs, [key]).execute_in_process(instance=watch.instance)
    watch.tick()
    [text] = sink.texts
    assert text.startswith(f"Check failed: recount_of_near_miss_count of near_miss_count, page set {SECOND}\n")
    tables.write_table(watch.lake, NEAR_MISS_COUNT, counts, SECOND)
    assert watch.check("near_miss_count", "recount_of_near_miss_count", SECOND)
    watch.tick()
    assert watch.said == "0 incidents open"


def test_a_check_that_blocks_is_reported_as_a_check_not_as_a_run_too(
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


def test_a_check_that_fails_as_a_warning_is_not_reported(watch: Watch, sink: WebhookSink) -> None:
    watch.fill(FIRST)
    record = dict.fromkeys(QUARANTINE.schema.names) | {"page": 0, "index": 3, "reason": "why", "record": "{}"}
    tables.write_table(watch.lake, QUARANTINE, pa.Table.from_pylist([record], schema=QUARANTINE.schema), FIRST)
    assert not watch.check("neo_records", "nothing_is_in_quarantine", FIRST)
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [f"Quarantine grew: page set {FIRST}"]


def quarantine(lake: Storage, reasons: Iterable[str], page_set: str = FIRST) -> None:
    rows = [
        dict.fromkeys(QUARANTINE.schema.names) | {"page": 0, "index": number, "reason": reason, "record": reason}
        for number, reason in enumerate(reasons)
    ]
    tables.write_table(lake, QUARANTINE, pa.Table.from_pylist(rows, schema=QUARANTINE.schema), page_set)


def test_a_quarantine_that_grows_is_reported_and_again_when_it_grows_further(watch: Watch, sink: WebhookSink) -> None:
    watch.fill(FIRST)
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


def test_pages_that_get_too_old_are_reported_until_they_are_fetched(watch: Watch, sink: WebhookSink) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    watch.fill(SECOND, fetched_at=long_ago)
    for _ in range(2):
        watch.tick()
    [text] = sink.texts
    assert text.startswith("Data stale: the oldest page\n")
    said = lines_of(text)
    assert (said["Asset"], said["Page set"]) == ("raw_pages", SECOND)
    assert said["See"] == f"{UI}/assets/raw_pages"
    assert said["Why"] == f"page 1 was fetched {long_ago:%Y-%m-%d %H:%M} UTC; pages are too old after 48 hours"
    watch.run("page_set", SECOND)
    watch.tick()
    assert sink.texts[1].startswith("Over: Data stale: the oldest page\n")


def test_a_total_that_dagster_finds_stale_is_reported(watch: Watch, sink: WebhookSink) -> None:
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


def test_neows_out_of_order_is_reported_until_it_answers(watch: Watch, sink: WebhookSink) -> None:
    for status in (OK, OVER_LIMIT, OUT_OF_ORDER, OUT_OF_ORDER, NOT_ASKED, OVER_LIMIT, OK):
        append(watch.lake, Heartbeat(datetime.now(UTC), status, None if status == OK else "HTTP 503"))
        watch.tick()
    [text, over] = sink.texts
    assert text.startswith("NeoWs out of order: the last heartbeat\n")
    assert lines_of(text)["Why"] == "out of order: HTTP 503"
    assert over.startswith("Over: NeoWs out of order: the last heartbeat\n")


def test_what_the_lake_shows_is_linked_to_a_check_that_exists(watch: Watch, sink: WebhookSink) -> None:
    quarantine(watch.lake, ["no id"])
    quarantine(watch.lake, ["no id"], LANDED)
    append(watch.lake, Heartbeat(datetime.now(UTC), OUT_OF_ORDER, "HTTP 503"))
    watch.tick()
    keys = watch.defs.get_repository_def().asset_graph.asset_check_keys
    there = {f"{UI}/assets/{key.asset_key.to_user_string()}?view=checks&checkDetail={key.name}" for key in keys}
    found = {one.asset: one.where for one in incidents.read(watch.lake).open}
    assert found.keys() == {"neo_records", "landed_objects", "heartbeat"}
    assert there.issuperset(found.values())


def test_neows_is_no_longer_said_to_be_out_of_order_when_heartbeats_are_off(watch: Watch, sink: WebhookSink) -> None:
    now = datetime.now(UTC)
    append(watch.lake, Heartbeat(now, OUT_OF_ORDER, "HTTP 503"))
    watch.tick()
    long_ago = [Heartbeat(now - timedelta(days=2), OUT_OF_ORDER, "HTTP 503")]
    tables.write_table(watch.lake, HEARTBEAT, pa.Table.from_pylist([*map(vars, long_ago)], schema=HEARTBEAT.schema))
    for _ in range(2):
        watch.tick()
    [_, over] = sink.texts
    assert f" UTC: no heartbeat since {long_ago[0].at:%Y-%m-%d %H:%M} UTC\n" in over


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
        f"Run failed: stored pages of page set {FIRST}",
        f"Over: Run failed: stored pages of page set {FIRST}",
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
        assert [sent["Subject"] for sent in mail.mails] == [f"neo_assets: Run failed: stored pages of page set {FIRST}"]
        sink.status = 200
        watch.tick()
    assert len(sink.texts) == len(mail.mails) == 1


def test_it_is_always_in_the_log(lake: Storage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watch = Watch(lake, tmp_path, dagster_url=None)
    watch.run("recompute", FIRST)
    watch.tick()
    watch.tick()
    printed = capfd.readouterr().err
    assert printed.count(f"Run failed: stored pages of page set {FIRST}\n") == 1
    assert "\nSee: Dagster's UI: Runs, " in printed


def test_a_first_look_at_an_old_storage_reports_only_what_is_still_wrong(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST, SECOND)
    watch.run("page_set", FIRST)
    watch.tick()
    assert [text.splitlines()[0] for text in sink.texts] == [f"Run failed: stored pages of page set {SECOND}"]


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
    assert sink.texts[1].startswith(f"Over: Run failed: stored pages of page set {SECOND}\n")
    assert " UTC: the page set is no longer requested\n" in sink.texts[1]


def test_an_incident_of_a_check_that_no_longer_exists_is_over(watch: Watch, sink: WebhookSink) -> None:
    now = datetime.now(UTC)
    what = f"some_check of near_miss_count, page set {FIRST}"
    gone = incidents.Incident(incidents.Kind.CHECK, what, "why", now, "near_miss_count", FIRST, "some_check")
    name = "recount_of_near_miss_count"
    kept = dataclasses.replace(gone, what=f"{name} of near_miss_count, page set {FIRST}", check=name)
    incidents.write(watch.lake, incidents.State((gone, kept)))
    watch.tick()
    assert incidents.read(watch.lake).open == [dataclasses.replace(kept, reported={"log": 1, "webhook": 1})]
    assert sink.texts[-1].startswith(f"Over: Check failed: {what}\n")
    assert " UTC: the check no longer exists\n" in sink.texts[-1]


def test_a_lake_that_cannot_be_used_is_reported_once_and_nothing_is_lost_by_it(watch: Watch, sink: WebhookSink) -> None:
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
        f"Run failed: stored pages of page set {FIRST}",
        "Over: the lake cannot be used",
    ]


def test_while_another_process_reports_it_waits_for_its_turn(watch: Watch, sink: WebhookSink) -> None:
    watch.run("recompute", FIRST)
    with leased(watch.lake, layout.ALERTS_LEASES, timedelta(minutes=1)):
        watch.tick()
    assert watch.said == "another process sends alerts for this lake: this one looks again at the next tick"
    assert sink.texts == []
    watch.tick()
    assert len(sink.texts) == 1
