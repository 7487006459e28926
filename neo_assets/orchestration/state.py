"""Where Dagster keeps its own state (runs, events, the status of assets): each lake has its own, so that no lake is
shown with the history of another. Opening an instance and ending lost runs live in `instance`.
"""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self, TypeGuard

import dagster as dg
from alembic.util import CommandError
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.daemon_cursor import DaemonCursorStorage
from dagster._serdes import ConfigurableClassData
from filelock import FileLock, Timeout
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from neo_assets.lake.state_directory import state_directory
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.databases import OpenStorage
from neo_assets.orchestration.failures import StateUnusable
from neo_assets.pipeline.text import one_line
from neo_assets.settings import Settings

_LAKE = "neo_assets/lake"
"""Key under which an instance names the lake whose history it keeps."""

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""What SQLite reports for a damaged file, and for tables that are missing or exist twice."""


_LOCKED_S = 300.0
"""Seconds to wait for another process that is opening the state; creating it takes a few on a busy machine."""


class StateOfLake(OpenStorage):
    """Dagster's SQLite storage, in a directory of the lake's own. `dagster.yaml` names this class.

    The default lake has `base_dir` itself; any other has a directory beside it, named after the lake.
    """

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """`base_dir`, and `lake` where a program knows it; otherwise NEO_LAKE decides."""
        return {"base_dir": dg.StringSource, "lake": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Any) -> Self:
        """Open the storage that `dagster.yaml` describes.

        Raises:
            SettingsError: the settings are invalid, so the lake is unknown.
            StateUnusable: the databases cannot be opened.
        """
        lake = Storage(config_value.get("lake") or Settings.load().lake)
        base_dir = state_directory(config_value["base_dir"], lake)
        with explained(Path(base_dir)), one_at_a_time(Path(base_dir)):
            return cls.from_local(base_dir, inst_data=inst_data)


def one_at_a_time(directory: Path) -> FileLock:
    """A lock under which to open the state in this directory, which is created if it is missing.

    Dagster creates its databases without one: processes that do so at once leave them unusable. A process that hangs
    while it holds the lock does not stop others for ever: they end with `Timeout`, an OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / "opening.lock", timeout=_LOCKED_S)


def check_lake(instance: dg.DagsterInstance, lake: Storage) -> None:
    """Check that an instance keeps the history of this lake, and none of another.

    Raises:
        StateUnusable: it keeps the history of another lake.
    """
    if instance.is_ephemeral or is_of_lake(instance.get_ref().storage_data):
        return
    noted = noted_lake(instance.daemon_cursor_storage)
    if noted is None:
        instance.daemon_cursor_storage.set_cursor_values({_LAKE: lake.root})
    elif noted != lake.root:
        setting, kind = ("NEO_POSTGRES_URL", "database") if _server_of(instance) else ("DAGSTER_HOME", "directory")
        raise StateUnusable(
            f"Dagster's state in {place_of(instance, lake)} is that of the lake {noted}, but NEO_LAKE is {lake.root}: "
            f"set {setting} to a {kind} of its own for this lake"
        )


def noted_lake(storage: DaemonCursorStorage) -> str | None:
    """The lake whose history is kept beside others' records; None if none is noted."""
    return storage.get_cursor_values({_LAKE}).get(_LAKE)


@contextlib.contextmanager
def explained(directory: Path) -> Iterator[None]:
    """Turn errors from using the state in this directory into one line, with the way out.

    Raises:
        StateUnusable: it cannot be read or written, or is corrupt.
    """
    try:
        yield
    except OSError as error:
        raise unusable(directory, error) from error
    except DBAPIError as error:
        raise unusable(directory, error.orig) from error
    except CommandError as error:  # Alembic's, for a database whose version is unknown or ambiguous
        raise _corrupt(directory, error) from error


def in_one_line(error: BaseException | None) -> str:
    """The text of an error, without line breaks."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return one_line(str(error))


def place_of(instance: dg.DagsterInstance, lake: Storage) -> str:
    """The directory of an instance's databases, or its database on a server."""
    storage = None if instance.is_ephemeral else instance.get_ref().storage_data
    if is_of_lake(storage):
        return state_directory(storage.config_dict["base_dir"], lake)
    url = _server_of(instance)
    return address_of(url) if url else instance.root_directory


def address_of(url: str) -> str:
    """Host, port and name of a database on a server, for people."""
    parts = make_url(url)
    return f"{parts.host or 'localhost'}{f':{parts.port}' if parts.port else ''}/{parts.database or ''}"


def _server_of(instance: dg.DagsterInstance) -> str | None:
    """The URL of an instance's database, if that is on a PostgreSQL server."""
    return getattr(instance.event_log_storage, "postgres_url", None)


def is_of_lake(storage: ConfigurableClassData | None) -> TypeGuard[ConfigurableClassData]:
    """Whether this is the configuration of a `StateOfLake`."""
    return storage is not None and storage.class_name == StateOfLake.__name__


def unusable(place: Path | str, error: BaseException | None) -> StateUnusable:
    """The error to raise when the state in a place fails; what the database or the system says decides the way out."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it is a detail
    if code in _CORRUPT:
        return _corrupt(place, error)
    if code == sqlite3.SQLITE_BUSY or isinstance(error, Timeout):
        remedy = "another process keeps it locked; run the command again"
    elif code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        remedy = "free some disk space"
    elif hasattr(error, "pgcode"):
        remedy = "check that PostgreSQL runs there, and the URL in NEO_POSTGRES_URL or dagster.yaml"
    else:
        remedy = "check its permissions and the disk, or set DAGSTER_HOME to another directory"
    return StateUnusable(f"Dagster's state in {place} cannot be read or written ({in_one_line(error)}): {remedy}")


def _corrupt(directory: Path | str, error: BaseException | None) -> StateUnusable:
    return StateUnusable(
        f"Dagster's state in {directory} is corrupt ({in_one_line(error)}): move that directory away. Only the history "
        "of runs is lost, as the lake alone decides what is done"
    )
