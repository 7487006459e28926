"""`/metrics`: the state of the pipeline and of the API, for Prometheus. What is measured of requests is in `seen`; the
alert rules and the dashboard that read these metrics are in `deploy/`.

An answer costs no more than the state does, which is read once in a second at most. It holds no key: a key is named by
its number.
"""

import glob
import logging
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import get_args

import psutil
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from neo_assets.api.seen import Meters
from neo_assets.api.snapshots import Snapshots
from neo_assets.api.state import State, StateReader
from neo_assets.pipeline.consistency import Verdict
from neo_assets.pipeline.incidents import Kind
from neo_assets.schema.audit import FAILED, PROCESSING, QUEUED, SUCCESS
from neo_assets.settings import shared_metrics

logger = logging.getLogger(__name__)

_TEXT = "text/plain"
_OPEN_METRICS = "application/openmetrics-text"


def telemetry(state: StateReader, snapshots: Snapshots, meters: Meters) -> APIRouter:
    """The path that Prometheus scrapes."""
    router = APIRouter(tags=["health"])
    shared = shared_metrics()
    registry = CollectorRegistry() if shared else meters.registry
    if shared:
        MultiProcessCollector(registry, shared)
    registry.register(_State(state, snapshots))

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "The metrics.", "content": {_TEXT: {}, _OPEN_METRICS: {}}}},
    )
    def metrics(request: Request) -> Response:
        """The state of the pipeline and of the API, for Prometheus, as text or, by `Accept`, as OpenMetrics."""
        if shared:
            _forget_ended_workers(shared)
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Cache-Control": "no-store"}, media_type=media_type)

    return router


class _State(Collector):
    """The state of the pipeline, read when it is asked for."""

    def __init__(self, state: StateReader, snapshots: Snapshots) -> None:
        self._state = state
        self._snapshots = snapshots

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering it reads nothing."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The state now. If it cannot be read at all, `neo_up` says so, and the rest is missing."""
        state = None
        try:
            state = self._state.read()
        except Exception:  # whatever it is, Prometheus must get an answer
            logger.exception("the state of the pipeline cannot be read")
        yield _gauge("neo_up", "Whether the lake can be read (1) or not (0).", bool(state and state.lake_answers))
        if state:
            yield from _of_pages(state)
            yield from _of_budget(state)
            yield from _of_snapshot(state, self._snapshots)
            yield from _of_what_is_wrong(state)
            yield from _of_runs(state)


def _of_pages(state: State) -> Iterator[Metric]:
    pages, sets, now = state.pages, state.page_sets, time.time()
    yield _gauge("neo_pages_asked", "Browse pages that NEO_PAGES asks for.", pages.asked)
    yield _gauge("neo_pages_stored", "Of those, pages that are stored, however old.", pages.stored)
    yield _gauge("neo_pages_fresh", "Of those, pages so young that a refresh would reuse them.", pages.fresh)
    yield _gauge("neo_page_sets_asked", "Page sets that the settings ask for.", sets.asked)
    yield _gauge("neo_page_sets_done", "Of those, page sets that a refresh would leave as they are.", sets.done)
    yield _age("neo_oldest_page_age_seconds", "Time since the first page arrived, in seconds.", pages.oldest_at, now)
    yield _age("neo_newest_page_age_seconds", "Time since the last page arrived, in seconds.", pages.newest_at, now)


def _of_budget(state: State) -> Iterator[Metric]:
    left, used, window_s, refused = (
        GaugeMetricFamily(f"neo_budget_{name}", about, labels=["key"])
        for name, about in {
            "requests_left": "Requests that a key may send to NeoWs at once.",
            "requests_used": "Requests that a key sent in its window, of those that it may send.",
            "window_seconds": "Length of the window in which the requests of a key are counted, in seconds.",
            "key_refused": "Whether NeoWs refused a key in the last day (1) or not (0).",
        }.items()
    )
    for number, one in enumerate(state.budget or (), 1):
        left.add_metric([str(number)], one.left)
        used.add_metric([str(number)], one.allowed - one.left)
        window_s.add_metric([str(number)], one.window_s)
        refused.add_metric([str(number)], one.refused)
    yield from (left, used, window_s, refused)


def _of_snapshot(state: State, snapshots: Snapshots) -> Iterator[Metric]:
    yield _gauge(
        "neo_api_degraded",
        "Whether the stored database is not the one that the API serves (1) or is (0); /health/ready says why.",
        bool(snapshots.trouble),
    )
    taken_up = GaugeMetricFamily(
        "neo_snapshot_taken_up_timestamp_seconds",
        "When the worker that answers took up its snapshot, in seconds since 1970.",
    )
    if snapshots.taken_up_at:
        taken_up.add_metric([], snapshots.taken_up_at)
    yield taken_up
    verdicts = GaugeMetricFamily(
        "neo_snapshot_verdict",
        "Verdict on the snapshot that the API serves: 1 for the one it has.",
        labels=["verdict"],
    )
    for verdict in get_args(Verdict):
        verdicts.add_metric([verdict], bool(state.snapshot and state.snapshot.verdict == verdict))
    yield verdicts
    info = InfoMetricFamily(
        "neo_snapshot", "Snapshot that the API serves: its id, and whether its objects are made up."
    )
    if state.snapshot:
        info.add_metric([], {"snapshot": state.snapshot.id, "simulated": str(state.snapshot.is_simulated).lower()})
    yield info


def _of_what_is_wrong(state: State) -> Iterator[Metric]:
    yield _gauge("neo_checks_failed", "Asset checks that failed last time.", state.checks_failed)
    yield _gauge("neo_records_quarantined", "Records in quarantine.", state.quarantined)
    kinds = Counter(one.kind for one in state.incidents)
    yield _by("neo_incidents_open", "Open incidents, by kind.", "kind", {kind: kinds[kind] for kind in Kind})


def _of_runs(state: State) -> Iterator[Metric]:
    runs = state.runs
    yield _by(
        "neo_runs",
        "Runs by status: queued and processing now; success and failed of those created in the last 24 hours.",
        "status",
        {QUEUED: runs.queued, PROCESSING: runs.processing, SUCCESS: runs.succeeded, FAILED: runs.failed},
    )
    fetched = "Pages that runs created in the last 24 hours fetched."
    yield _gauge("neo_pages_fetched_last_day", fetched, runs.pages_fetched)
    yield _gauge("neo_requests_last_day", "Requests that they sent to NeoWs.", runs.requests)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _age(name: str, about: str, since: datetime | None, now: float) -> Metric:
    """A gauge of the seconds since then; without a value if there is no such time."""
    return GaugeMetricFamily(name, about, value=max(0.0, now - since.timestamp()) if since else None)


def _by(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    gauge = GaugeMetricFamily(name, about, labels=[label])
    for one, value in values.items():
        gauge.add_metric([one], value)
    return gauge


def _forget_ended_workers(shared: str) -> None:
    """Leave out the requests that workers were answering when they died."""
    for file in glob.glob("gauge_live*_*.db", root_dir=shared):
        pid = int(file.removesuffix(".db").rpartition("_")[2])
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, shared)
