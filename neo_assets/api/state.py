"""The state of the pipeline, as operators and front ends ask for it: how far a refresh has come, what is left of the
request budget, what is served, what is wrong, what runs, what is ordered. It is read here, from the lake, the budget's
ledger, the store of requests and what Dagster records; sending it to listeners is in `status`. It holds no key, no path
and no SQL.

Ages are not in it but the times that they follow from, so that two states are equal unless something has happened.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from neo_assets.api.problems import Problem
from neo_assets.api.snapshots import Snapshots
from neo_assets.lake.storage import LakeError, Storage
from neo_assets.pipeline.audit import Row
from neo_assets.pipeline.glance import Glance, Looks
from neo_assets.pipeline.incidents import Kind
from neo_assets.pipeline.metrics.duckdb import DuckDB
from neo_assets.pipeline.metrics.engine import Metrics
from neo_assets.pipeline.metrics.registry import BUILT_IN, Metric, of_one_s_own
from neo_assets.products.requests import Requests, Status
from neo_assets.products.requests_database import RequestsUnusable
from neo_assets.schema.audit import FAILED, SUCCESS
from neo_assets.settings import Settings, SettingsError
from neo_assets.sources.neows.budget import BudgetError
from neo_assets.sources.neows.source import NeoWs

logger = logging.getLogger(__name__)

_READ_EVERY_S = 1.0
"""The state is not read more often than this, however many ask for it."""

_MOST_RUNS = 20

_AT_ONCE_S = 0.1
"""So long is waited for what is asked for in a thread of its own."""

_LASTS_S = 15.0
"""So long its last answer counts."""


_Answer = TypeVar("_Answer")


class Pages(BaseModel):
    """Browse pages that the settings ask for."""

    asked: int = Field(description="Number of pages that NEO_PAGES asks for.")
    stored: int = Field(description="Those that are stored, however old.")
    fresh: int = Field(description="Those stored so lately (NEO_RAW_MAX_AGE_HOURS) that a refresh would reuse them.")
    oldest_at: datetime | None = Field(description="When the one that was fetched first arrived (UTC).")
    newest_at: datetime | None = Field(description="When the one that was fetched last arrived (UTC).")


class PageSets(BaseModel):
    """Page sets that the settings ask for."""

    asked: int = Field(description="Number of page sets.")
    done: int = Field(description="Those whose pages are all there and fresh, and whose tables were made from them.")


class KeyBudget(BaseModel):
    """The request budget of an API key, which is named by its place in the settings only."""

    key: str = Field(description="Which key: `key 1`, `key 2` and so on, in the order of NASA_API_KEYS.")
    left: int = Field(description="Requests that it may send at once.")
    allowed: int = Field(description="Requests that it may send in a window of `window_s` seconds.")
    window_s: float = Field(description="Length of that window, in seconds; the one with the least room.")
    parked_until: datetime | None = Field(description="When it may be used again, if it is put aside now (UTC).")
    refused: bool = Field(description="Whether NeoWs refused it in the last day.")


class Served(BaseModel):
    """The snapshot that the API answers from."""

    id: str = Field(description="Digest of the pages that were read, and of when they arrived.")
    verdict: str = Field(description="`consistent`, `drifted` or `incomplete`.")
    is_simulated: bool = Field(description="Whether its objects are made up.")
    newest_page_at: datetime | None = Field(description="When the page that was fetched last arrived (UTC).")
    oldest_page_at: datetime | None = Field(description="When the page that was fetched first arrived (UTC).")


class OpenIncident(BaseModel):
    """Something that is wrong, as the sensor `alerts` found it."""

    kind: str = Field(description="What kind of thing: " + ", ".join(f"`{kind}`" for kind in Kind) + ".")
    what: str = Field(description="What it is about.")
    asset: str | None = Field(description="The asset that it is about, if there is one.")
    page_set: str | None = Field(description="The page set that it is about, if there is one.")
    check_name: str | None = Field(description="The asset check that shows it, if one does.")
    since: datetime = Field(description="When it began (UTC).")
    size: int = Field(description="How much of it there is, such as records in quarantine; 0 if it cannot grow.")


class Run(BaseModel):
    """A run of the pipeline."""

    id: str = Field(description="Dagster's id of the run.")
    job: str = Field(description="The job that runs.")
    page_set: str | None = Field(description="Key of its page set; null if it has none or several.")
    status: str = Field(description="`queued`, `processing`, `success` or `failed`.")
    created_at: datetime = Field(description="When it was created (UTC).")
    started_at: datetime | None = Field(description="When it began; null before (UTC).")
    ended_at: datetime | None = Field(description="When it ended; null before (UTC).")


RunsUnderWay = Callable[[], Sequence[Run] | None]
"""Returns the runs that have not ended, the latest first; None if that is not known now. It may take its time, and is
never called by two threads at once.
"""


class Runs(BaseModel):
    """Runs under way, and those of the last 24 hours."""

    under_way: list[Run] = Field(description=f"Runs that have not ended, the latest first; at most {_MOST_RUNS}.")
    processing: int = Field(description="Number of runs that have begun and not ended.")
    queued: int = Field(description="Number of runs that have not begun.")
    succeeded: int = Field(description="Number of runs created in the last 24 hours that succeeded.")
    failed: int = Field(description="Number of runs created in the last 24 hours that failed, or were cancelled.")
    pages_fetched: int = Field(description="Number of pages that the runs created in the last 24 hours fetched.")
    requests: int = Field(description="Number of requests that they sent to NeoWs.")
    last: Run | None = Field(description="The run that ended last, of those created in the last 24 hours.")


class State(BaseModel):
    """The state of the pipeline."""

    lake_answers: bool = Field(description="Whether the lake could be read; if not, this is how it was before.")
    source: str | None = Field(description="The source of the lake's data, `nasa` or `simulator`; null if it is empty.")
    pages: Pages
    page_sets: PageSets
    budget: list[KeyBudget] | None = Field(
        description="What is left of the request budget on this machine, for each key; null if that is unknown. "
        "Empty without keys."
    )
    snapshot: Served | None = Field(description="What the API serves; null before the first database.")
    quarantined: int = Field(description="Number of records in quarantine.")
    checks_failed: int = Field(description="Number of asset checks that failed last time, by the open incidents.")
    incidents: list[OpenIncident] = Field(description="Incidents that are open.")
    runs: Runs
    requests: dict[Status, int] | None = Field(
        description="Number of requests for reports in each state; null if that is not known now."
    )


class StateReader:
    """Reads the state of a lake's pipeline. Any thread may use it; all of them share what it has read."""

    def __init__(
        self,
        settings: Settings,
        lake: Storage,
        snapshots: Snapshots,
        requests: Requests,
        runs: RunsUnderWay | None = None,
    ) -> None:
        """
        Args:
            settings: the settings.
            lake: the lake.
            snapshots: what the API answers from.
            requests: the requests for reports.
            runs: knows the runs under way; without it, the lake's audit tells them.
        """
        self._neows = NeoWs(settings)
        self._snapshots = snapshots
        self._runs = _Aside(runs or (lambda: None))
        self._requests = _Aside(lambda: self._said_once("requests", requests.numbers, RequestsUnusable))
        self._said: dict[str, str] = {}
        self._asked = settings.pages, len(settings.page_sets)
        metrics = Metrics(DuckDB(), [*BUILT_IN, *_of_one_s_own(settings)])  # whatever engine the pipeline uses
        self._looks = Looks(lake, metrics.of_a_page_set, settings.page_sets, settings.raw_max_age_hours)
        self._glance = Glance(None, 0, 0, 0, None, None, 0, (), ())
        self._lock = threading.Lock()
        self._read_at = -_READ_EVERY_S
        self._state: State | None = None

    def read(self) -> State:
        """The state, at most a second old. It may take as long as the lake takes to answer.

        While another thread waits for the lake, it is the last one, if there is one.
        """
        if not self._lock.acquire(timeout=-1 if self._state is None else _READ_EVERY_S):
            assert self._state is not None
            return self._state
        try:
            if self._state is None or time.monotonic() - self._read_at >= _READ_EVERY_S:
                self._state = self._now()
                self._read_at = time.monotonic()
            return self._state
        finally:
            self._lock.release()

    def _now(self) -> State:
        seen = self._said_once("lake", self._looks.look, LakeError)
        self._glance, lake_answers = seen or self._glance, seen is not None
        glance = self._glance
        pages, page_sets = self._asked
        return State(
            lake_answers=lake_answers,
            source=glance.source,
            pages=Pages(
                asked=pages,
                stored=glance.pages_stored,
                fresh=glance.pages_fresh,
                oldest_at=glance.oldest_page_at,
                newest_at=glance.newest_page_at,
            ),
            page_sets=PageSets(asked=page_sets, done=glance.page_sets_done),
            budget=self._budget(),
            snapshot=self._served(),
            quarantined=glance.quarantined,
            checks_failed=sum(one.kind is Kind.CHECK for one in glance.incidents),
            incidents=[
                OpenIncident(
                    kind=one.kind,
                    what=one.what,
                    asset=one.asset,
                    page_set=one.page_set,
                    check_name=one.check,
                    since=one.began_at,
                    size=one.size,
                )
                for one in glance.incidents
            ],
            runs=self._of_runs(glance.runs),
            requests=self._requests.last(),
        )

    def _said_once(self, what: str, ask: Callable[[], _Answer], failure: type[Exception]) -> _Answer | None:
        """What is answered; None if that fails, which is logged when it begins, not every few seconds."""
        try:
            answer = ask()
        except failure as error:
            if self._said.get(what) != (said := str(error)):
                logger.warning("%s", said)
                self._said[what] = said
            return None
        self._said.pop(what, None)
        return answer

    def _budget(self) -> list[KeyBudget] | None:
        left = self._said_once("budget", self._neows.left, BudgetError)
        if left is None:
            return None
        return [
            KeyBudget(
                key=f"key {number}",
                left=one.left,
                allowed=one.allowed,
                window_s=one.window_s,
                parked_until=datetime.fromtimestamp(one.parked_until, UTC) if one.parked_until else None,
                refused=one.refused,
            )
            for number, one in enumerate(left, 1)
        ]

    def _served(self) -> Served | None:
        with contextlib.suppress(Problem), self._snapshots.current() as current:
            about: dict[str, Any] = current.about
            return Served(id=about["snapshot_id"], **about)
        return None

    def _of_runs(self, recorded: Sequence[Row]) -> Runs:
        """The runs, from the audit's rows and what is known of those under way."""
        audited = [_run_of(row) for row in recorded]
        ended = [run for run in audited if run.status in (SUCCESS, FAILED)]
        known = self._runs.last()
        under_way = [run for run in audited if run.status not in (SUCCESS, FAILED)] if known is None else known
        processing = sum(run.started_at is not None for run in under_way)
        return Runs(
            under_way=list(under_way[:_MOST_RUNS]),
            processing=processing,
            queued=len(under_way) - processing,
            succeeded=sum(run.status == SUCCESS for run in ended),
            failed=sum(run.status == FAILED for run in ended),
            pages_fetched=sum(row["pages_fetched"] or 0 for row in recorded),
            requests=sum(row["requests"] or 0 for row in recorded),
            last=max(ended, key=lambda run: run.ended_at or run.created_at, default=None),
        )


class _Aside(Generic[_Answer]):
    """Asks in a thread of its own for what may take long, so that nobody waits for it."""

    def __init__(self, ask: Callable[[], _Answer | None]) -> None:
        self._ask = ask
        self._asking: threading.Thread | None = None
        self._answer: _Answer | None = None
        self._answered_at = 0.0
        self._failed_with: str | None = None

    def last(self) -> _Answer | None:
        """What the answer is now, or was a few seconds ago; None if there is none so new."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._note, name="state", daemon=True)
            self._asking.start()
        self._asking.join(_AT_ONCE_S)
        return self._answer if time.monotonic() - self._answered_at < _LASTS_S else None

    def _note(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:  # nobody waits for this thread, so the log must say it; once, not every few seconds
            if self._failed_with != (said := f"{type(error).__name__}: {error}"):
                logger.exception("a part of the state cannot be read")
                self._failed_with = said
        else:
            self._answered_at = time.monotonic()
            self._failed_with = None


def _of_one_s_own(settings: Settings) -> Sequence[Metric]:
    """The metrics of NEO_METRICS; none if they cannot be read, as the API then still has much to say."""
    try:
        return of_one_s_own(settings.metrics)
    except SettingsError as error:
        logger.warning("done page sets are counted without metrics of one's own: %s", error)
        return ()


def _run_of(row: Row) -> Run:
    return Run(
        id=row["run_id"],
        job=row["job"],
        page_set=row["page_set"],
        status=row["status"],
        created_at=row["queued_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
