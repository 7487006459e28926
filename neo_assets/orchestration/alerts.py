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

from neo_assets.lake.storage import LakeError, LakeWrong, Storage
from neo_assets.orchestration.audit import figures_of, rows_of
from neo_assets.orchestration.checks.page_set import OF_A_PAGE_SET
from neo_assets.orchestration.runs import page_sets_of, time_of
from neo_assets.pipeline.alerts import Busy, tell, tell_of_lake
from neo_assets.pipeline.channels import Channel, channels
from neo_assets.pipeline.incidents import (
    Incident,
    Kind,
    Over,
    State,
    changes,
    in_short,
    read,
    shown_at,
    standing,
)
from neo_assets.pipeline.text import quantity
from neo_assets.schema.audit import MATERIALIZATION
from neo_assets.schema.tables import SNAPSHOT, TOTALS
from neo_assets.settings import Settings

_FOLLOWED = (Event.ASSET_CHECK_EVALUATION, Event.RUN_FAILURE, Event.RUN_SUCCESS)

_FIRST_LOOK = 20_000
"""How many events of the past are looked at when there is no cursor: about nine refreshes of the whole catalogue."""

_FRESH = [total.name for total in (*TOTALS, SNAPSHOT)]
"""Assets whose freshness Dagster judges. `raw_pages` is judged by its oldest page instead."""

_BY_PAGE_SET = {check.key for check in OF_A_PAGE_SET}
"""Checks with a verdict on each page set."""


def alerts(settings: Settings) -> dg.SensorDefinition:
    """The sensor. Without settings of channels, alerts go to the log only."""

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
            state, cursor = _look(context, lake, settings, out, cursor)
        except Busy as error:
            return dg.SkipReason(f"{error}: this one looks again at the next tick")
        except LakeError as error:
            if not cursor.lake_is_lost:
                tell_of_lake(lake, out, error)
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
    context: dg.SensorEvaluationContext, lake: Storage, settings: Settings, out: Sequence[Channel], cursor: _Cursor
) -> tuple[State, _Cursor]:
    """Find what is new, and tell it. Returns the incidents afterwards and the new cursor."""
    instance, before = context.instance, read(lake)
    newest = instance.event_log_storage.get_maximum_record_id() or 0
    seen = cursor.seen
    if seen is not None and seen > newest:  # the storage was emptied, and counts from 1 again
        seen = None
    since = max(newest - _FIRST_LOOK, 0) if seen is None else seen
    news = list(_news(instance, settings, before, since, newest))
    news += _freshness(instance, settings)
    news += changes(before, standing(lake, settings), settings, _checks(context))
    state = tell(lake, out, news, only_open=seen is None)
    if cursor.lake_is_lost:
        tell_of_lake(lake, out, None)
    return state, _Cursor(newest)


def _checks(context: dg.SensorEvaluationContext) -> set[str] | None:
    """The checks that exist, as incidents name them; None if Dagster does not say."""
    if not context.repository_def:
        return None
    keys = context.repository_def.asset_graph.asset_check_keys
    return {_check(key.asset_key, key.name) for key in keys}


def _check(asset: dg.AssetKey, check: str) -> str:
    return f"{check} of {asset.to_user_string()}"


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
            yield from _of_check(entry, settings)
        elif run and entry.dagster_event_type is Event.RUN_FAILURE:
            failed = True
            yield from _of_failure(instance, run, entry, settings)
        elif run and failed:  # else no run that succeeds ends anything
            yield from _of_success(instance, run, entry, settings)


def _of_check(entry: dg.EventLogEntry, settings: Settings) -> Iterator[Incident | Over]:
    assert entry.dagster_event
    judged = entry.dagster_event.asset_check_evaluation_data
    if not judged.partition and judged.asset_check_key in _BY_PAGE_SET:
        return  # of several page sets together, which have told of themselves
    asset, check = judged.asset_key.to_user_string(), judged.check_name
    what = _check(judged.asset_key, check) + (f", page set {judged.partition}" if judged.partition else "")
    if judged.passed:
        yield Over(Kind.CHECK, what, time_of(entry))
    elif judged.severity is dg.AssetCheckSeverity.ERROR:
        path, words = f"assets/{asset}?view=checks&checkDetail={check}", f"Assets, {asset}, Checks, {check}"
        where = shown_at(settings, path, words)
        reason = in_short(figures_of(judged) or "it did not pass")
        yield Incident(Kind.CHECK, what, reason, where, time_of(entry), asset, judged.partition)


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
    where = shown_at(settings, f"runs/{run.run_id}", f"Runs, {run.run_id[:8]}")
    page_sets = page_sets_of(run, settings.page_sets)
    for page_set in page_sets:
        what = _of_page_set(page_set, bool(to_make))
        yield Incident(Kind.RUN, what, reason, where, time_of(entry), asset, page_set)
    if not page_sets:
        yield Incident(Kind.RUN, asset or f"job {run.job_name}", reason, where, time_of(entry), asset)


def _of_success(
    instance: dg.DagsterInstance, run: dg.DagsterRun, entry: dg.EventLogEntry, settings: Settings
) -> Iterator[Over]:
    events = instance.all_logs(run.run_id, of_type=Event.ASSET_MATERIALIZATION)
    keys = {one.dagster_event.asset_key for one in events if one.dagster_event}
    made = frozenset(key.to_user_string() for key in keys if key)
    page_sets = page_sets_of(run, settings.page_sets)
    for page_set in page_sets:
        yield Over(Kind.RUN, _of_page_set(page_set, bool(made)), time_of(entry), made or None)
    if not page_sets:
        for name in (f"job {run.job_name}", *sorted(made)):
            yield Over(Kind.RUN, name, time_of(entry))


def _of_page_set(page_set: str, makes: bool) -> str:
    """What a run for a page set is about. One that makes nothing, only checks, says nothing about one that does."""
    return f"page set {page_set}" if makes else f"checks of page set {page_set}"


def _is_of_check(step: dg.DagsterEvent) -> bool:
    """Whether a step failed because of checks that block, which are incidents of their own."""
    error = step.step_failure_data.error
    return bool(error and error.cause and error.cause.cls_name == LakeWrong.__name__)


def _freshness(instance: dg.DagsterInstance, settings: Settings) -> Iterator[Incident | Over]:
    """Whether the totals were made in time, as Dagster's freshness policies judge. Another storage may not know."""
    now = datetime.now(UTC)
    records = instance.get_freshness_state_records([dg.AssetKey(name) for name in _FRESH])
    for key, record in records.items():
        asset = key.to_user_string()
        if record.freshness_state is FreshnessState.PASS:
            yield Over(Kind.STALE, asset, now)
        elif record.freshness_state in (FreshnessState.WARN, FreshnessState.FAIL):
            where = shown_at(settings, f"assets/{asset}", f"Assets, {asset}")
            yield Incident(Kind.STALE, asset, "it was not made again in time", where, now, asset)
