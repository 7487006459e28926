"""The sensor `alerts`: what Dagster knows of runs, checks and freshness, as news of incidents. Incidents and messages
are in `pipeline`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Self

import dagster as dg
from dagster import DagsterEventType as Event
from dagster._core.definitions.freshness import FreshnessState

from neo_assets.lake.lease import Busy
from neo_assets.lake.storage import LakeError, LakeWrong, Storage
from neo_assets.orchestration.assets.bronze import RECOMPUTE
from neo_assets.orchestration.audit import figures_of, rows_of
from neo_assets.orchestration.checks.page_set import OF_SEVERAL
from neo_assets.orchestration.runs import page_sets_of, time_of
from neo_assets.pipeline.alerts import report, report_lake
from neo_assets.pipeline.channels import Channel, channels
from neo_assets.pipeline.incidents import (
    Incident,
    Kind,
    Over,
    State,
    changes,
    in_short,
    read,
    standing,
)
from neo_assets.pipeline.text import quantity
from neo_assets.schema.audit import FAILED, MATERIALIZATION
from neo_assets.settings import Settings

_FOLLOWED = (Event.ASSET_CHECK_EVALUATION, Event.RUN_FAILURE, Event.RUN_SUCCESS)

_FIRST_LOOK = 20_000
"""How many events of the past are looked at when there is no cursor: about nine refreshes of the whole catalogue."""

_RAW_PAGES = "raw_pages"


def alerts(settings: Settings, fresh: Sequence[str]) -> dg.SensorDefinition:
    """The sensor. Without settings of channels, alerts go to the log only.

    Args:
        settings: the settings.
        fresh: assets whose freshness Dagster judges. `raw_pages` is judged by its oldest page instead.
    """

    @dg.sensor(
        name="alerts",
        description="Reports failed runs and checks, stale data, records in quarantine and NeoWs out of order, and "
        "when each is over: in the log, and where NEO_ALERT_WEBHOOK and NEO_ALERT_SMTP say.",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def alerts(context: dg.SensorEvaluationContext, lake: dg.ResourceParam[Storage]) -> dg.SensorResult | dg.SkipReason:
        cursor, out = _Cursor.of(context.cursor), channels(settings, context.log)
        try:
            state, cursor = _look(context, lake, settings, fresh, out, cursor)
        except Busy:
            return dg.SkipReason("another process sends alerts for this lake: this one looks again at the next tick")
        except LakeError as error:
            if not cursor.lake_is_lost:
                report_lake(lake, out, error)
            lost = replace(cursor, lake_is_lost=True)
            return dg.SensorResult(skip_reason=f"the lake cannot be used: {error}", cursor=str(lost))
        return dg.SensorResult(skip_reason=_summary(state), cursor=str(cursor))

    return alerts


@dataclass(frozen=True)
class _Cursor:
    """What the sensor keeps in Dagster's storage."""

    seen: int | None = None
    """The last event that was looked at."""
    lake_is_lost: bool = False
    """Whether an alert said that the lake cannot be used."""

    @classmethod
    def of(cls, text: str | None) -> Self:
        return cls(**json.loads(text)) if text else cls()

    def __str__(self) -> str:
        return json.dumps(asdict(self))


def _look(
    context: dg.SensorEvaluationContext,
    lake: Storage,
    settings: Settings,
    fresh: Sequence[str],
    out: Sequence[Channel],
    cursor: _Cursor,
) -> tuple[State, _Cursor]:
    """Find what is new, and report it. Returns the incidents afterwards and the new cursor."""
    instance, before = context.instance, read(lake)
    newest = instance.event_log_storage.get_maximum_record_id() or 0
    seen = cursor.seen
    if seen is not None and seen > newest:  # the storage was emptied, and counts from 1 again
        seen = None
    since = max(newest - _FIRST_LOOK, 0) if seen is None else seen
    news = list(_news(instance, settings, before, since, newest))
    news += _freshness(instance, fresh)
    news += changes(before, standing(lake, settings), settings, _checks(context))
    news = [_with_link(one, settings) for one in news]
    state = report(lake, out, news, only_open=seen is None)
    if cursor.lake_is_lost:
        report_lake(lake, out, None)
    return state, _Cursor(newest)


def _checks(context: dg.SensorEvaluationContext) -> set[tuple[str, str]] | None:
    """The checks that exist, as asset and name; None if Dagster does not say."""
    if not context.repository_def:
        return None
    keys = context.repository_def.asset_graph.asset_check_keys
    return {(key.asset_key.to_user_string(), key.name) for key in keys}


def _with_link(news: Incident | Over, settings: Settings) -> Incident | Over:
    """An incident of an asset or a check with the place in Dagster's UI that shows it; other news as they are."""
    if isinstance(news, Over) or news.where:
        return news
    path, words = f"assets/{news.asset}", f"Assets, {news.asset}"
    if news.check:
        path, words = f"{path}?view=checks&checkDetail={news.check}", f"{words}, Checks, {news.check}"
    return replace(news, where=_shown_at(settings, path, words))


def _shown_at(settings: Settings, path: str, words: str) -> str:
    """Where Dagster's UI shows something: its URL if the UI's address is known, else the way in words."""
    return f"{settings.dagster_url}/{path}" if settings.dagster_url else f"Dagster's UI: {words}"


def _summary(state: State) -> str:
    return "; ".join([f"{quantity(len(state.open), 'incident')} open", *state.failures])


def _news(
    instance: dg.DagsterInstance, settings: Settings, state: State, since: int, newest: int
) -> Iterator[Incident | Over]:
    """What the events since then say of checks and runs."""
    found: dict[int, dg.EventLogEntry] = {}
    for event_type in _FOLLOWED:
        found |= instance.event_log_storage.get_logs_for_all_runs_by_log_id(since, event_type)
    entries = [found[number] for number in sorted(found) if number <= newest]
    ids = [entry.run_id for entry in entries if entry.dagster_event_type is not Event.ASSET_CHECK_EVALUATION]
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=ids))} if ids else {}
    failed = any(one.kind is Kind.RUN for one in state.open)
    for entry in entries:
        run = runs.get(entry.run_id)
        if entry.dagster_event_type is Event.ASSET_CHECK_EVALUATION:
            yield from _of_check(entry)
        elif run and entry.dagster_event_type is Event.RUN_FAILURE:
            failed = True
            yield from _of_failure(instance, run, entry, settings)
        elif run and failed:  # else no run that succeeds ends anything
            yield from _of_success(instance, run, entry, settings)


def _of_check(entry: dg.EventLogEntry) -> Iterator[Incident | Over]:
    assert entry.dagster_event
    judged = entry.dagster_event.asset_check_evaluation_data
    if not judged.partition and OF_SEVERAL in judged.metadata:
        return  # of several page sets together, each of which has a verdict of its own
    asset, check = judged.asset_key.to_user_string(), judged.check_name
    what = f"{check} of {asset}" + (f", page set {judged.partition}" if judged.partition else "")
    if judged.passed:
        yield Over(Kind.CHECK, what, time_of(entry))
    elif judged.severity is dg.AssetCheckSeverity.ERROR:
        reason = in_short(figures_of(judged) or "it did not pass")
        yield Incident(Kind.CHECK, what, reason, time_of(entry), asset, judged.partition, check)


def _of_failure(
    instance: dg.DagsterInstance, run: dg.DagsterRun, entry: dg.EventLogEntry, settings: Settings
) -> Iterator[Incident]:
    events = list(instance.all_logs(run.run_id))
    failed = [one.dagster_event for one in events if one.dagster_event_type is Event.STEP_FAILURE and one.dagster_event]
    if failed and all(_is_of_check(step) for step in failed):
        return
    of_run, *items = rows_of(run, time_of(entry), events, ended=True, requests=None)
    message = entry.dagster_event.message if entry.dagster_event else None
    reason = in_short(of_run["error"] or message or entry.user_message)
    to_make = [row for row in items if row["kind"] == MATERIALIZATION]
    asset = next((row["asset"] for row in items if row["error"] == of_run["error"]), None)
    if not asset and any(row["asset"] == _RAW_PAGES and row["status"] == FAILED for row in to_make):
        asset = _RAW_PAGES  # the process was killed before it had all pages
    where = _shown_at(settings, f"runs/{run.run_id}", f"Runs, {run.run_id[:8]}")
    page_sets = page_sets_of(run, settings.page_sets)
    for page_set in page_sets:
        is_of_stored = asset == _RAW_PAGES and run.job_name == RECOMPUTE
        what = _of_stored_pages(page_set) if is_of_stored else _of_page_set(page_set, bool(to_make))
        yield Incident(Kind.RUN, what, reason, time_of(entry), asset, page_set, where=where)
    if not page_sets:
        yield Incident(Kind.RUN, asset or f"job {run.job_name}", reason, time_of(entry), asset, where=where)


def _of_success(
    instance: dg.DagsterInstance, run: dg.DagsterRun, entry: dg.EventLogEntry, settings: Settings
) -> Iterator[Over]:
    events = instance.all_logs(run.run_id, of_type=Event.ASSET_MATERIALIZATION)
    keys = {one.dagster_event.asset_key for one in events if one.dagster_event}
    made = frozenset(key.to_user_string() for key in keys if key)
    page_sets = page_sets_of(run, settings.page_sets)
    # That stored pages could be read does not show that pages can be fetched.
    shown = made - {_RAW_PAGES} if run.job_name == RECOMPUTE else made
    for page_set in page_sets:
        yield Over(Kind.RUN, _of_page_set(page_set, bool(made)), time_of(entry), shown if made else None)
        yield Over(Kind.RUN, _of_stored_pages(page_set), time_of(entry), made)
    if not page_sets:
        for name in (f"job {run.job_name}", *sorted(made)):
            yield Over(Kind.RUN, name, time_of(entry))


def _of_page_set(page_set: str, makes: bool) -> str:
    """What a run for a page set is about. One that makes nothing, only checks, says nothing about one that does."""
    return f"page set {page_set}" if makes else f"checks of page set {page_set}"


def _of_stored_pages(page_set: str) -> str:
    """What a run is about in which the stored pages could not be read. No page need be fetched to end it."""
    return f"stored pages of page set {page_set}"


def _is_of_check(step: dg.DagsterEvent) -> bool:
    """Whether a step failed because of checks that block, which are incidents of their own."""
    error = step.step_failure_data.error
    return bool(error and error.cause and error.cause.cls_name == LakeWrong.__name__)


def _freshness(instance: dg.DagsterInstance, assets: Sequence[str]) -> Iterator[Incident | Over]:
    """Whether the totals were made in time, as Dagster's freshness policies judge. Another storage may not know."""
    now = datetime.now(UTC)
    records = instance.get_freshness_state_records(list(map(dg.AssetKey, assets)))
    for key, record in records.items():
        asset = key.to_user_string()
        if record.freshness_state is FreshnessState.PASS:
            yield Over(Kind.STALE, asset, now)
        elif record.freshness_state in (FreshnessState.WARN, FreshnessState.FAIL):
            yield Incident(Kind.STALE, asset, "it was not made again in time", now, asset)
