"""The Spark engine: sends queries to a cluster over Spark Connect, which Sail speaks too. It needs the client alone;
what is computed stands in the same `.sql` files as for DuckDB.
"""

import contextlib
import importlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from typing import Any, Self

import pyarrow as pa

from neo_assets.pipeline.metrics.contract import EngineError, EngineUnreachable, Files, Relation
from neo_assets.pipeline.metrics.registry import with_colons
from neo_assets.settings import ALLOWED, Settings, SettingsError

_SESSION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
}
_VERIFY = {"parquet.page.verify-checksum.enabled": "true"}
"""How Parquet is read: a damaged file is an error."""

_RETRIES = 3
"""How often a request is repeated while the server is unavailable: for a second, with the client's pauses. By itself,
the client would go on for ten minutes.
"""


_CLIENT = ("pyspark", "grpc", "grpc_status", "pandas", "zstandard")
"""What the client consists of. A full pyspark has it too, and may lack the others."""


class Spark:
    """Runs SQL on a cluster. See `contract.Engine` for its contract."""

    def __init__(self, remote: str) -> None:
        """Connects to nothing before the first query.

        Args:
            remote: where the cluster is, such as `sc://host:15002`. It may hold a token, so no message shows all of it.
        """
        self._remote = remote

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The engine on the cluster that the settings name.

        Raises:
            SettingsError: they name none, or the client is not installed.
        """
        if not all(map(importlib.util.find_spec, _CLIENT)):
            raise SettingsError(
                "NEO_ENGINE=spark needs Spark's client, which is not installed: "
                "run `.venv/bin/pip install -e '.[spark]'`, or unset NEO_ENGINE"
            )
        if not settings.spark_remote:
            raise SettingsError(
                "NEO_ENGINE=spark is set but SPARK_REMOTE is not: "
                f"set it to {ALLOWED['SPARK_REMOTE']}, or unset NEO_ENGINE"
            )
        return cls(settings.spark_remote.get_secret_value())

    def run(self, sql: str, relations: Mapping[str, Relation], parameters: Mapping[str, Any]) -> pa.Table:
        """Run a query and return its rows."""
        with self._session() as session:
            for name, relation in relations.items():
                _frame(session, relation).createOrReplaceTempView(name)
            return session.sql(with_colons(sql), args=dict(parameters)).toArrow()

    def choose(self, rows: Callable[[], pa.Table], files: Callable[[], Files]) -> Relation:
        """The files, if the cluster finds as many rows in them as they have; else the rows, which are sent to it.

        A cluster may lack the path, or the right to read it. Rows are counted, as Sail skips missing files silently.
        """
        there = files()
        if not there.stored.rows:
            return rows()
        try:
            with self._session() as session:
                found = _read(session, pa.schema([there.schema[0]]), there.stored.locations.values()).count()
        except EngineUnreachable:
            raise
        except EngineError:
            return rows()
        return there if found == there.stored.rows else rows()

    @contextlib.contextmanager
    def _session(self) -> Iterator[Any]:
        """A session for one query: none expires while nothing runs, and no two share the names of tables."""
        _load_client()
        from pyspark.errors import PySparkException
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession

        session = SparkSession.builder.remote(self._remote).create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=_RETRIES)])
        try:
            self._check_version(session.version)
            for name, value in _SESSION.items():
                session.conf.set(name, value)
            yield session
        except PySparkException as error:
            if _is_lost(error):
                session.release_session_on_close = False  # it would be tried again and again
                raise self._unreachable() from error
            raise EngineError(f"the cluster at {self._where} refuses a query: {_first_line(error)}") from error
        finally:
            session.stop()

    @property
    def _where(self) -> str:
        """The address without what follows it, such as a token."""
        return self._remote.partition(";")[0].rstrip("/")

    def _unreachable(self) -> EngineUnreachable:
        return EngineUnreachable(
            f"the cluster at {self._where} does not answer: start its Spark Connect server, correct SPARK_REMOTE, "
            "or set NEO_ENGINE=duckdb, which needs none"
        )

    def _check_version(self, server: str) -> None:
        """Refuse a server of another major version. Within one, protocols fit each other.

        Raises:
            EngineError: it is of another one.
        """
        from pyspark import __version__ as client

        if server.partition(".")[0] != client.partition(".")[0]:
            raise EngineError(
                f"the cluster at {self._where} runs Spark {server}, but the client here is that of Spark {client}: "
                f"run `pip install 'pyspark-client=={server.partition('.')[0]}.*'`, or set NEO_ENGINE=duckdb"
            )


def _load_client() -> None:
    """Load what is used of pyspark, before it is imported by name: that is slow, and has a trap."""
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)  # pandas is not used
    warnings.filterwarnings("ignore", r"\[RETRIES_EXCEEDED\]", UserWarning)  # the error says it
    main = sys.modules["__main__"]
    bare = not hasattr(main, "__file__")
    if bare:  # as with `python -c`, which pyspark takes for a run of its doctests, and ends
        main.__file__ = __file__
    try:
        importlib.import_module("pyspark.sql.connect.session")
    finally:
        if bare:
            del main.__file__
    # Its logger is off unless asked for, but Dagster switches every logger on. On Sail, it warns as sessions end.
    if (logger := logging.getLogger("pyspark.sql.connect.logging")).disabled:
        logger.setLevel(logging.CRITICAL)


def _frame(session: Any, relation: Relation) -> Any:
    """What a name in the SQL stands for, as Spark's data frame."""
    from pyspark.sql.connect.functions import lit
    from pyspark.sql.pandas.types import from_arrow_schema

    if isinstance(relation, pa.Table):
        # Of no rows, Spark asks for a schema.
        return session.createDataFrame(relation, None if relation.num_rows else from_arrow_schema(relation.schema))
    with_copies = set(relation.without["page_set"].to_pylist())
    places = relation.stored.locations
    parts = []
    if others := [place for page_set, place in places.items() if page_set not in with_copies]:
        parts.append(_read(session, relation.schema, others))
    # That a path names its page set is not relied on: Sail does not look there.
    if of_page_sets := [
        _read(session, relation.schema, [places[page_set]]).withColumn("page_set", lit(page_set))
        for page_set in places.keys() & with_copies
    ]:
        neo = relation.schema.names[0]
        copies = _frame(session, relation.without.rename_columns({"neo_id": neo}))
        rows = _union(of_page_sets).join(copies, ["page_set", neo], "left_anti")
        parts.append(rows.select(*relation.schema.names))
    return _union(parts)


def _read(session: Any, schema: pa.Schema, locations: Iterable[str]) -> Any:
    """The rows of Parquet files, as Spark's data frame. Columns that a file lacks are null."""
    from pyspark.sql.pandas.types import from_arrow_schema

    urls = map(_url, locations)
    return session.read.schema(from_arrow_schema(schema)).options(**_VERIFY).parquet(*urls)


def _url(location: str) -> str:
    """How a cluster names a file: a bare path would be one of its default file system, which may be HDFS."""
    return f"file://{location}" if location.startswith("/") else f"s3a://{location.removeprefix('s3://')}"


def _union(frames: Iterable[Any]) -> Any:
    """The rows of all of them."""
    return reduce(lambda one, other: one.union(other), frames)


def _is_lost(error: Any) -> bool:
    """Whether the server went away, or came back without the session."""
    code = getattr(error, "getGrpcStatusCode", lambda: None)()
    return getattr(code, "name", "") == "UNAVAILABLE" or "INVALID_HANDLE" in str(error)


def _first_line(error: Exception) -> str:
    """The first line of a message that may go on with a plan or a trace."""
    return str(error).strip().partition("\n")[0]
