"""The requests for reports that clients have made: kept in a database that all servers and workers share, each in a
state that only legal steps change. What is ordered is checked in `api`, the report made in `api.reports`; who works it
off, and when, is decided in `orchestration.requests`.

A request goes from `queued` to `processing` when a worker takes it, then to `success`, and to `downloaded` when its
report has been collected; or to `failed`, even then, if its report is lost. A worker that fails gives it back once, so
it is `queued` again. Each step is one UPDATE that names the state it comes from. So of several workers that try, one
succeeds, and a worker that was given up changes nothing.
"""

import importlib.util
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from neo_assets.lake.state_directory import home_of
from neo_assets.lake.storage import Storage
from neo_assets.logs import current_request_id
from neo_assets.products.requests_database import RequestsDatabase
from neo_assets.settings import Settings, SettingsError

SCHEMA = "neo_api"
"""Name of the schema in PostgreSQL; SQLite has none."""

FILE = "requests.sqlite"
"""Name of the SQLite file."""

LONGEST_S = 15 * 60.0
"""How long a worker may take for a request, in seconds."""

TOOK_TOO_LONG = f"it took longer than {LONGEST_S / 60:g} minutes"
"""Why a request was taken from a worker, for clients."""

_DRIVER = "psycopg2"

_PATIENCE_S = 30.0
"""How long a run waits for the database, in seconds; one that fails for it is made again."""


class Status(StrEnum):
    """The state of a request."""

    QUEUED = "queued"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILED = "failed"
    DOWNLOADED = "downloaded"


_TABLE = sa.Table(
    "requests",
    sa.MetaData(schema=SCHEMA),
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(), primary_key=True),
    sa.Column("job_id", sa.Text, nullable=False, unique=True),
    sa.Column("lake", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("retries", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("report_file_path", sa.Text),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("ordered", sa.Text, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("run_id", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("sha256", sa.Text),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("request_id", sa.Text),
    sa.CheckConstraint(f"status IN ({', '.join(repr(str(one)) for one in Status)})"),
    sa.CheckConstraint("retries IN (0, 1)"),
    sqlite_autoincrement=True,
)
_C = _TABLE.c
_IS_ALIVE = _C.status != sa.literal_column(f"'{Status.FAILED}'")
sa.Index("requests_once", _C.lake, _C.digest, unique=True, sqlite_where=_IS_ALIVE, postgresql_where=_IS_ALIVE)
"""The same order is there once; if it failed, it may be ordered again."""
sa.Index("requests_in_order", _C.lake, _C.status, _C.number)


class ReportFailed(Exception):
    """A report could not be made; the message says why."""

    retryable = False


@dataclass(frozen=True)
class Order:
    """What is ordered."""

    table: str
    """The path of the table below `/v1/`, such as `close-approaches`."""
    parameters: Mapping[str, str]
    """What rows are wanted, by the names and in the form that the path's own parameters have."""
    format: str
    digest: str
    """The same for every order that has the same report."""


@dataclass(frozen=True)
class Request:
    """A request as it is stored."""

    job_id: str
    status: Status
    retries: int
    created_at: datetime
    report_file_path: str | None
    """Path of the report in the lake; None until there is one."""
    order: Order
    started_at: datetime | None
    """When a worker took it."""
    run_id: str | None
    """The run that has taken it, or did."""
    reason: str | None
    """Why the last attempt failed, or what became of its report."""
    sha256: str | None
    bytes: int | None
    request_id: str | None = None
    """The id of the HTTP request that ordered it."""

    @property
    def files_to_process(self) -> int:
        """How many files are still to be made for it: one, until it has succeeded or failed."""
        return int(self.status in (Status.QUEUED, Status.PROCESSING))

    def record(self) -> dict[str, Any]:
        """What clients are shown of it."""
        return {
            "job_id": self.job_id,
            "status": str(self.status),
            "retries": self.retries,
            "created_at": self.created_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "report_file_path": self.report_file_path,
            "files_to_process": self.files_to_process,
        }


class Requests:
    """The requests for reports of one lake. Any thread may use them."""

    def __init__(self, database: RequestsDatabase, lake: Storage) -> None:
        """Connects to nothing yet.

        Args:
            database: the database.
            lake: the lake whose requests they are; a database may keep those of several.
        """
        self._database = database
        self._lake = lake.root
        self.where = database.where
        """The file, or host and database, for people."""

    @classmethod
    def of(cls, settings: Settings, lake: Storage, patience_s: float = _PATIENCE_S) -> Self:
        """The requests of a lake: in the database that the settings name, else in a file beside Dagster's state.

        Args:
            settings: the settings.
            lake: the lake.
            patience_s: how long the database may let one wait, in seconds.

        Raises:
            SettingsError: the package that talks to the database is not installed.
        """
        if not settings.postgres_url:
            file = sa.URL.create("sqlite", database=str(home_of(settings.dagster_home, lake) / FILE))
            return cls(RequestsDatabase(file, _TABLE, patience_s), lake)
        if not importlib.util.find_spec(_DRIVER):
            raise SettingsError(
                "NEO_POSTGRES_URL needs PostgreSQL's drivers, which are not installed: run `.venv/bin/pip install -e "
                "'.[postgres]'`, or unset NEO_POSTGRES_URL"
            )
        url = sa.make_url(settings.postgres_url.get_secret_value())
        return cls(RequestsDatabase(url.set(drivername=f"postgresql+{_DRIVER}"), _TABLE, patience_s), lake)

    def order(self, order: Order) -> Request:
        """Order a report. The same order as one before, unless that failed, is the same request.

        Raises:
            RequestsUnusable: it cannot be kept.
        """
        is_sqlite = self._database.engine.dialect.name == "sqlite"
        insert = sqlite.insert if is_sqlite else postgresql.insert
        row = {
            "job_id": uuid.uuid4().hex,
            "lake": self._lake,
            "status": Status.QUEUED,
            "retries": 0,
            "created_at": time.time(),
            "digest": order.digest,
            "request_id": current_request_id(),
            "ordered": json.dumps([order.table, dict(order.parameters), order.format]),
        }
        known = sa.select(_TABLE).where(_C.lake == self._lake, _C.digest == order.digest, _IS_ALIVE)
        while True:  # again, if the one that was there has failed in between
            with self._database.explained(), self._database.made().begin() as connection:
                connection.execute(insert(_TABLE).values(row).on_conflict_do_nothing())
                if found := connection.execute(known).one_or_none():
                    return _request(found)

    def get(self, job_id: str) -> Request | None:
        """A request by its id; None if there is none. Raises like `order`."""
        found = self._select(sa.select(_TABLE).where(_C.lake == self._lake, _C.job_id == job_id))
        return found[0] if found else None

    def those(self, *statuses: Status, most: int | None = None) -> list[Request]:
        """The requests in one of these states, or all of them, in order of arrival. Raises like `order`."""
        wanted = _C.status.in_(statuses or [*Status])
        return self._select(sa.select(_TABLE).where(_C.lake == self._lake, wanted).order_by(_C.number).limit(most))

    def numbers(self) -> dict[Status, int]:
        """How many requests are in each state. Raises like `order`."""
        by_status = sa.select(_C.status, sa.func.count()).where(_C.lake == self._lake).group_by(_C.status)
        found: Sequence[Any] = []
        with self._database.explained():
            if self._database.exists():
                with self._database.engine.connect() as connection:
                    found = [*connection.execute(by_status)]
        return dict.fromkeys(Status, 0) | {Status(status): number for status, number in found}

    def take(self, job_id: str, retries: int, run_id: str) -> Request | None:
        """Take a queued request, to work it off. Raises like `order`.

        Args:
            job_id: the request.
            retries: how often it was given back, as far as the worker knows.
            run_id: the worker.

        Returns:
            The request; None if it is not queued, or no longer, or again.
        """
        queued = (_C.job_id == job_id, _C.status == Status.QUEUED, _C.retries == retries)
        return self._step(*queued, status=Status.PROCESSING, run_id=run_id, started_at=time.time(), reason=None)

    def succeed(self, taken: Request, path: str, sha256: str, size: int) -> Request | None:
        """Note that the report of a request is there. Raises like `order`.

        Args:
            taken: the request, as `take` returned it.
            path: path of the report in the lake.
            sha256: digest of its content.
            size: its size in bytes.

        Returns:
            The request; None if it has been taken from this worker.
        """
        report = {"report_file_path": path, "sha256": sha256, "bytes": size}
        return self._step(*_held(taken), status=Status.SUCCESS, **report)

    def give_back(self, taken: Request, reason: str) -> Request | None:
        """Have a request worked off once more, or let it fail if it was already given back. Raises like `order`.

        Args:
            taken: the request, as it was found processing.
            reason: why it was not worked off, for clients.

        Returns:
            The request; None if it has been taken from this worker.
        """
        if taken.retries:
            return self.fail(taken, reason)
        return self._step(*_held(taken), status=Status.QUEUED, retries=1, reason=reason)

    def fail(self, taken: Request, reason: str) -> Request | None:
        """Let a request fail, as once more would not help. Args, returns and raises as `give_back`."""
        return self._step(*_held(taken), status=Status.FAILED, reason=reason)

    def collected(self, done: Request, path: str) -> Request | None:
        """Note that the report of a request was collected. Raises like `order`.

        Args:
            done: the request.
            path: where its report is now.

        Returns:
            The request; None if it was collected already.
        """
        succeeded = (_C.job_id == done.job_id, _C.status == Status.SUCCESS)
        return self._step(*succeeded, status=Status.DOWNLOADED, report_file_path=path)

    def lost(self, done: Request, reason: str) -> Request | None:
        """Let a request fail whose report is there no more, so that it can be ordered again. Raises like `order`.

        Args:
            done: the request.
            reason: what became of the report, for clients.

        Returns:
            The request; None if that is known already.
        """
        had_one = (_C.job_id == done.job_id, _C.status.in_((Status.SUCCESS, Status.DOWNLOADED)))
        return self._step(*had_one, status=Status.FAILED, report_file_path=None, reason=reason)

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, *state: sa.ColumnElement[bool], **values: Any) -> Request | None:
        """Change the request in this state; None if there is none."""
        with self._database.explained():
            if not self._database.exists():
                return None
            with self._database.engine.begin() as connection:
                changed = connection.execute(
                    sa.update(_TABLE).where(_C.lake == self._lake, *state).values(values).returning(_TABLE)
                ).one_or_none()
        return _request(changed) if changed else None

    def _select(self, query: sa.Select[Any]) -> list[Request]:
        """The requests that a query finds; none if nothing was ever ordered, and nothing is made then."""
        with self._database.explained():
            if not self._database.exists():
                return []
            with self._database.engine.connect() as connection:
                return [_request(row) for row in connection.execute(query)]


def _held(taken: Request) -> tuple[sa.ColumnElement[bool], ...]:
    """The state of a request that a worker has taken, and that was not given to another one since."""
    return (
        _C.job_id == taken.job_id,
        _C.status == Status.PROCESSING,
        _C.run_id == taken.run_id,
        _C.retries == taken.retries,
    )


def _request(row: Any) -> Request:
    table, parameters, form = json.loads(row.ordered)
    return Request(
        row.job_id,
        Status(row.status),
        row.retries,
        datetime.fromtimestamp(row.created_at, UTC),
        row.report_file_path,
        Order(table, parameters, form, row.digest),
        datetime.fromtimestamp(row.started_at, UTC) if row.started_at else None,
        row.run_id,
        row.reason,
        row.sha256,
        row.bytes,
        row.request_id,
    )
