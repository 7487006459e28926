"""The runs that Dagster has under way, for programs that only watch, such as the read API. Nothing is written: no state
is created or migrated, and no lost run is ended. Opening an instance to work with it lives in `instance`.
"""

import importlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import yaml
from dagster._check import CheckError
from dagster._config import process_config, resolve_to_config_type
from dagster._core.storage.dagster_run import RunRecord
from dagster._core.storage.runs.base import RunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.exc import SQLAlchemyError

from neo_assets.api.state import Run
from neo_assets.lake.state_directory import state_directory
from neo_assets.lake.storage import Storage
from neo_assets.orchestration.failures import StateUnusable
from neo_assets.orchestration.instance import reference
from neo_assets.orchestration.runs import UNDER_WAY, page_set_of
from neo_assets.orchestration.state import StateOfLake, in_one_line, noted_lake
from neo_assets.schema.audit import PROCESSING, QUEUED

logger = logging.getLogger(__name__)

_MOST = 100
"""So many runs are read at most, the latest ones."""

_BEGUN = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)

_CREATES_TABLES = "should_autocreate_tables"
"""Option of the storages that are on a server."""

_FAILURES = (dg.DagsterError, SQLAlchemyError, StateUnusable, OSError, yaml.YAMLError, CheckError, ImportError)


class UnderWay:
    """Reads the runs under way, again and again. Threads must take turns."""

    def __init__(self, dagster_home: Path | None, lake: Storage) -> None:
        """
        Args:
            dagster_home: the setting DAGSTER_HOME.
            lake: the lake whose runs are meant.
        """
        self._dagster_home = dagster_home
        self._lake = lake
        self._kept: ConfigurableClassData | None = None
        self._records: RunStorage | None = None
        self._said = ""

    def __call__(self) -> list[Run] | None:
        """The runs that have not ended, the latest first; None if that cannot be known now."""
        try:
            self._kept = self._kept or reference(self._dagster_home, self._lake).storage_data
            self._records = self._records or _open(self._kept, self._lake)
            if not self._records or noted_lake(self._records) not in (None, self._lake.root):
                return None
            found = self._records.get_run_records(dg.RunsFilter(statuses=UNDER_WAY), limit=_MOST)
        except _FAILURES as error:
            if (said := in_one_line(error)) != self._said:  # once, not every few seconds
                logger.warning("what Dagster has under way cannot be read: %s", said)
            self._kept, self._records, self._said = None, None, said
            return None
        self._said = ""
        return [_run_of(record) for record in found]


def _open(data: ConfigurableClassData | None, lake: Storage) -> RunStorage | None:
    """The records that an instance keeps; None if there are none yet, or if they are kept in a way unknown here."""
    if data is None:
        return None
    kind: Any = getattr(importlib.import_module(data.module_name), data.class_name)
    options = kind.config_type()
    if issubclass(kind, DagsterSqliteStorage):
        config: Any = process_config(resolve_to_config_type(options), data.config_dict).value
        directory = config["base_dir"] if kind is not StateOfLake else state_directory(config["base_dir"], lake)
        database = Path(directory, "history", "runs.db").absolute()
        return (
            SqliteRunStorage(f"sqlite:///file:{quote(str(database))}?mode=ro&uri=true") if database.exists() else None
        )
    if _CREATES_TABLES in options:
        without = yaml.safe_dump({**data.config_dict, _CREATES_TABLES: False})
        storage: Any = data._replace(config_yaml=without).rehydrate()
        records: RunStorage = storage.run_storage
        return records
    return None


def _run_of(record: RunRecord) -> Run:
    run, started = record.dagster_run, record.start_time
    return Run(
        id=run.run_id,
        job=run.job_name,
        page_set=page_set_of(run),
        status=PROCESSING if run.status in _BEGUN else QUEUED,
        created_at=record.create_timestamp,
        started_at=datetime.fromtimestamp(started, UTC) if started else None,
        ended_at=None,
    )
