"""Dagster's state in PostgreSQL: the storage of `dagster-postgres`, which here outlasts a restart of the server.
`dagster.yaml` names the class. SQLite, the default, is in `databases`; whose state it is, is checked in `state`.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

from dagster import EventLogEntry
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from neo_assets.orchestration.failures import StateUnusable
from neo_assets.orchestration.state import address_of, unusable
from neo_assets.settings import Settings

try:
    from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
    from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
except ModuleNotFoundError:
    raise StateUnusable(
        "dagster.yaml keeps Dagster's state in PostgreSQL, which needs packages that are not installed: run "
        "`.venv/bin/pip install -e '.[postgres]'`"
    ) from None

logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_OPENING_S = 10.0
"""Seconds to wait for the server when the state is opened."""

_OUTAGE_S = 300.0
"""Seconds to wait for it later: longer than it takes to restart, or to fail over to another one."""

_PAUSE_S = 0.5

_KEPT_OPEN: dict[str, Any] = {"pool_size": 1, "max_overflow": -1}
"""One connection stays open. Dagster opens one for each query, with which a page set takes 6 times as long."""


@dataclass
class _Patience:
    """Repeats what needs the server while that is gone."""

    place: str
    longest_s: float
    lost_at: float | None = None
    """When this process lost the server, if it has not come back (`time.monotonic`)."""

    def repeat(self, act: Callable[[], _Result], after_failure: Callable[[], None] = lambda: None) -> _Result:
        """Do something, again and again until the server takes it.

        Raises:
            StateUnusable: it has not come back in time.
        """
        failed_at: float | None = None
        while True:
            try:
                result = act()
            except DBAPIError as error:
                if not (error.connection_invalidated or isinstance(error, OperationalError)):
                    raise
                failed_at = failed_at or time.monotonic()
                if (lost_at := self.lost_at) is None:
                    lost_at = self.lost_at = failed_at
                    # In a run, this is an event too, which waits as well: `lost_at` may be None again afterwards.
                    logger.warning(
                        "Dagster's state in %s cannot be reached: waiting up to %.0f s for it",
                        self.place,
                        self.longest_s,
                    )
                if time.monotonic() >= min(lost_at, failed_at) + self.longest_s:
                    raise unusable(self.place, error.orig) from error
                after_failure()
                time.sleep(_PAUSE_S)
            else:
                self.lost_at = None
                return result


class _PatientConnection(Connection):
    """A connection that waits for a server that is gone.

    Outside a transaction, each statement is committed by itself, so it is sent again by itself. If the server goes away
    between its commit and its answer, a row may be stored twice, such as a schedule's tick.
    """

    def __init__(self, patience: _Patience, engine: Engine) -> None:
        self._patience = patience
        patience.repeat(lambda: super(_PatientConnection, self).__init__(engine))

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement."""
        execute = super().execute
        if "isolation_level" in self.get_execution_options():  # a transaction, which must be repeated whole
            return execute(*args, **kwargs)
        return self._patience.repeat(lambda: execute(*args, **kwargs), self.rollback)


class _Events(PostgresEventLogStorage):
    """The events. Each is stored in one transaction with what follows from it, such as the state of its asset."""

    def __init__(self, patience: _Patience, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience = patience
        self._transactions = create_pg_engine(self.postgres_url, self._token_provider, **_KEPT_OPEN)
        self._local = threading.local()

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event. If the server goes away before it says that it has, the event is stored again."""
        self._patience.repeat(lambda: self._store(event))

    def _store(self, event: EventLogEntry) -> None:
        with self._transactions.begin() as connection:
            self._local.connection = connection
            try:
                super().store_event(event)
            finally:
                del self._local.connection

    def _connect(self) -> AbstractContextManager[Connection]:
        if connection := getattr(self._local, "connection", None):
            return nullcontext(connection)
        return super()._connect()

    def dispose(self) -> None:
        """Stop watching, and close the connections that are kept open."""
        super().dispose()
        self._engine.dispose()
        self._transactions.dispose()


class StateInPostgres(DagsterPostgresStorage):
    """Dagster's storage in one database. It takes the options of `dagster-postgres`; without `postgres_url` and
    `postgres_db`, the database is that of NEO_POSTGRES_URL.
    """

    def __init__(self, url: str, create_tables: bool, inst_data: ConfigurableClassData | None, auth: Any) -> None:
        place = address_of(url)
        engine = create_pg_engine(url, auth, isolation_level="AUTOCOMMIT", **_KEPT_OPEN)
        _Patience(place, _OPENING_S).repeat(lambda: engine.connect().close())
        super().__init__(url, create_tables, inst_data, auth)
        patience = _Patience(place, _OUTAGE_S)
        engine._connection_cls = partial(_PatientConnection, patience)
        self._event_log_storage = _Events(patience, url, create_tables, token_provider=auth)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Open the storage that `dagster.yaml` describes.

        Raises:
            SettingsError: the settings are invalid.
            StateUnusable: no database is named, or it cannot be used.
        """
        url = _url(config_value)
        try:
            return cls(
                url, config_value["should_autocreate_tables"], inst_data, get_token_provider_from_config(config_value)
            )
        except DBAPIError as error:
            raise unusable(address_of(url), error.orig) from error


def _url(config_value: Mapping[str, Any]) -> str:
    """The database, with the driver that `dagster-postgres` needs."""
    if config_value.get("postgres_url") or config_value.get("postgres_db"):
        url = pg_url_from_config(config_value)
    elif ours := Settings.load().postgres_url:
        url = ours.get_secret_value()
    else:
        raise StateUnusable("dagster.yaml keeps Dagster's state in PostgreSQL, but NEO_POSTGRES_URL is not set: set it")
    return make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
