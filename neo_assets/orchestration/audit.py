"""What Dagster knows of a run, as rows of the audit. Writing and reading them lives in `pipeline.audit`."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType as Event

from neo_assets.lake.storage import LakeError, Storage
from neo_assets.orchestration.runs import page_set_of, time_of
from neo_assets.pipeline import audit
from neo_assets.pipeline.audit import Row, account
from neo_assets.pipeline.text import one_line, pairs
from neo_assets.schema.audit import CHECK, FAILED, MATERIALIZATION, NOT_REACHED, PROCESSING, QUEUED, RUN, SUCCESS
from neo_assets.sources.neows.source import NeoWs

logger = logging.getLogger(__name__)

COMMAND = "neo_assets/command"
"""Tag of a run that a `neo` command executes: the command."""

_LAUNCHERS = {
    COMMAND: "",
    "dagster/schedule_name": "schedule ",
    "dagster/sensor_name": "sensor ",
    "dagster/backfill": "backfill ",
    "dagster/from_automation_condition": "automation condition",
}
"""Tags that tell who launched a run, and what the audit says before their value."""

_FIGURES = {
    "rows_out": ("dagster/row_count",),
    "pages_fetched": ("pages fetched",),
    "pages_reused": ("pages reused",),
    "bytes": ("bytes", "bytes of JSON"),
}
"""Columns of the audit, and the metadata of a materialization that has their value."""


@contextlib.contextmanager
def audited(lake: Storage, neows: NeoWs, instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[None]:
    """Record a run in the audit when it begins and when its last step has ended."""
    events = list(instance.all_logs(run.run_id))
    requests_before = neows.requests
    _write(lake, instance, run, events)
    instance.add_event_listener(run.run_id, events.append)  # reading them again takes 12 ms for a page set
    try:
        yield
    finally:
        _write(lake, instance, run, events, ended=True, requests=neows.requests - requests_before)
        events.clear()  # Dagster keeps the listener, and with it the list, as long as the process lives


def record(lake: Storage, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Record a run in the audit that has ended."""
    _write(lake, instance, run, instance.all_logs(run.run_id), ended=True)


def _write(
    lake: Storage,
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    events: Sequence[dg.EventLogEntry],
    *,
    ended: bool = False,
    requests: int | None = None,
) -> None:
    """Write what a run has done so far. A lake that cannot be written does not end it: its tables show that anyway."""
    stored = instance.get_run_record_by_id(run.run_id)
    if not stored:  # deleted meanwhile
        return
    try:
        audit.write(
            lake, run.run_id, stored.create_timestamp, rows_of(run, stored.create_timestamp, events, ended, requests)
        )
    except LakeError as error:
        logger.warning("the audit lacks run %s: %s", run.run_id, error)


def rows_of(
    run: dg.DagsterRun, queued_at: datetime, events: Sequence[dg.EventLogEntry], ended: bool, requests: int | None
) -> list[Row]:
    """The rows of a run: its own first, then its materializations and checks in the order in which they were planned.

    Args:
        run: the run.
        queued_at: when it was created.
        events: what it has logged so far.
        ended: whether nothing more will happen in it.
        requests: how many it has sent; None if that is not known.
    """
    steps = _Steps(events)
    whole = {
        "run_id": run.run_id,
        "job": run.job_name,
        "launched_by": launched_by(run.tags),
        "account": account(),
        "queued_at": queued_at,
    }
    page_set = page_set_of(run)
    items = [whole | item for item in _items(events, steps, page_set, ended)]
    started = next((time_of(entry) for entry in events if _is(entry, Event.PIPELINE_START)), None)
    ended_by = [one.dagster_event.message for one in events if one.dagster_event and _is(one, Event.PIPELINE_FAILURE)]
    failed = steps.errors or (ended and (steps.unfinished or ended_by))
    reasons = [*steps.errors.values(), *filter(None, ended_by), "it was stopped, or its process was killed"]
    of_run = {
        "kind": RUN,
        "page_set": page_set,
        "status": FAILED if failed else SUCCESS if ended else PROCESSING,
        "pages_fetched": _total(items, "pages_fetched"),
        "pages_reused": _total(items, "pages_reused"),
        "requests": requests,
        "error": reasons[0] if failed else None,
    }
    return [whole | of_run | _span(started, time_of(events[-1]) if ended and events else None), *items]


def launched_by(tags: Mapping[str, str]) -> str:
    """Who or what launched a run with these tags."""
    for tag, before in _LAUNCHERS.items():
        if value := tags.get(tag):
            return before + ("" if value == "true" else value)
    return "Dagster's UI or one of Dagster's own commands"


class _Steps:
    """When each step of a run began and ended, and why it failed."""

    def __init__(self, events: Sequence[dg.EventLogEntry]) -> None:
        self.started: dict[str, datetime] = {}
        self.ended: set[str] = set()
        self.errors: dict[str, str] = {}
        self.inputs: dict[str, set[str]] = {}
        self._planned = {entry.step_key for entry in events if entry.step_key}
        for entry in events:
            key, event = entry.step_key or "", entry.dagster_event
            if _is(entry, Event.STEP_START):
                self.started[key] = time_of(entry)
            elif _is(entry, Event.STEP_SUCCESS) or _is(entry, Event.STEP_SKIPPED):
                self.ended.add(key)
            elif _is(entry, Event.STEP_FAILURE) and event:
                self.errors[key] = _reason(event)
            elif _is(entry, Event.LOADED_INPUT) and event:
                loaded: Any = event.event_specific_data
                self.inputs.setdefault(key, set()).add(loaded.input_name)

    @property
    def unfinished(self) -> set[str]:
        """Steps that neither ended nor failed."""
        return self._planned - self.ended - self.errors.keys()


def _items(
    events: Sequence[dg.EventLogEntry], steps: _Steps, page_set: str | None, ended: bool
) -> list[dict[str, Any]]:
    """Rows of the planned materializations and checks, with what became of them."""
    items: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
    rows: dict[str, int] = {}
    for entry in events:
        event = entry.dagster_event
        if event is None:
            continue
        done: dict[str, Any] = {}
        if _is(entry, Event.ASSET_MATERIALIZATION_PLANNED):
            asset, check = event.asset_key, None
            keys = _planned_page_sets(event, page_set)
        elif _is(entry, Event.ASSET_MATERIALIZATION):
            asset, check, keys = event.asset_key, None, [event.partition]
            done = _figures(event.step_materialization_data.materialization.metadata)
            loaded = [rows[name] for name in steps.inputs.get(entry.step_key or "", ()) if name in rows]
            done |= {"status": SUCCESS, "error": None, "rows_in": sum(loaded) if loaded else None}
            rows[_name(asset)] = rows.get(_name(asset), 0) + (done["rows_out"] or 0)
        elif _is(entry, Event.ASSET_CHECK_EVALUATION_PLANNED):
            planned = event.asset_check_planned_data
            asset, check = planned.asset_key, planned.check_name
            keys = _planned_page_sets(event, page_set)
        elif _is(entry, Event.ASSET_CHECK_EVALUATION):
            judged = event.asset_check_evaluation_data
            asset, check, keys = judged.asset_key, judged.check_name, [judged.partition]
            done = {
                "status": SUCCESS if judged.passed else FAILED,
                "severity": judged.severity.value,
                "error": None if judged.passed else figures_of(judged),
            }
        else:
            continue
        for key in keys:
            item = items.setdefault(
                (_name(asset), check, key),
                {
                    "kind": CHECK if check else MATERIALIZATION,
                    "asset": _name(asset),
                    "check": check,
                    "page_set": key,
                    **_outlook(entry.step_key or "", steps, ended),
                },
            )
            if done:
                item |= done | _span(steps.started.get(entry.step_key or ""), time_of(entry))
    return list(items.values())


def _outlook(step: str, steps: _Steps, ended: bool) -> dict[str, Any]:
    """What is known of a materialization or a check of a step before it is done."""
    if step in steps.errors:
        return {"status": FAILED, "error": steps.errors[step], "started_at": steps.started.get(step)}
    if ended:
        return {"status": FAILED, "error": NOT_REACHED}
    return {"status": PROCESSING if step in steps.started else QUEUED, "started_at": steps.started.get(step)}


def _planned_page_sets(event: dg.DagsterEvent, of_run: str | None) -> Sequence[str | None]:
    data: Any = event.event_specific_data
    if data.partitions_subset:  # a run over a range
        return sorted(data.partitions_subset.get_partition_keys())
    return [of_run]


def figures_of(check: dg.AssetCheckEvaluation) -> str:
    """The figures behind a check's verdict, in one line."""
    return pairs({name: figure.value for name, figure in check.metadata.items()})


def _figures(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    return {
        column: next((metadata[name].value for name in names if name in metadata), None)
        for column, names in _FIGURES.items()
    }


def _reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, in one line."""
    failure = event.step_failure_data
    if failure.error and failure.error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return "it was stopped by Ctrl-C or a signal"
    if failure.user_failure_data and failure.user_failure_data.description:
        return one_line(failure.user_failure_data.description)
    return one_line(failure.error.message) if failure.error else ""


def _span(started: datetime | None, ended: datetime | None) -> dict[str, Any]:
    seconds = (ended - started).total_seconds() if started and ended else None
    return {"started_at": started, "ended_at": ended, "seconds": seconds}


def _total(items: Sequence[Mapping[str, Any]], column: str) -> int | None:
    known = [item[column] for item in items if item.get(column) is not None]
    return sum(known) if known else None


def _is(entry: dg.EventLogEntry, event_type: Event) -> bool:
    return entry.dagster_event_type is event_type


def _name(asset: dg.AssetKey | None) -> str:
    return asset.to_user_string() if asset else ""
