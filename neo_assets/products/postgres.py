"""The published tables: what the products hold, in the schema `neo` of a PostgreSQL database, for BI tools and others.
What they hold is decided in `contents`, what the views show in `views/*.sql`, what the columns mean in `dictionary`.

A publication is one transaction that deletes the rows of all tables and copies the new ones in. Readers need no lock
that it holds, so they read on, and see the former snapshot until it commits. The tables themselves stay, so what others
built on them, such as views of their own, stays too. They are only made anew when their columns, views or comments
change. (Renaming new tables into place would show a reader who has one of the old tables the others as new, or empty.)
"""

import contextlib
import importlib.util
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from neo_assets.lake.tables import digest
from neo_assets.pipeline.text import one_line
from neo_assets.products.comments import literal, mark, of_column
from neo_assets.products.contents import Contents
from neo_assets.products.dictionary import Dictionary
from neo_assets.products.views import views
from neo_assets.schema.columns import Column
from neo_assets.schema.products import DICTIONARY, NEOS, ONE_SNAPSHOT
from neo_assets.schema.tables import CLOSE_APPROACHES
from neo_assets.settings import Settings, SettingsError

SCHEMA = "neo"
"""Name of the schema."""

READER = "neo_reader"
"""Name of the role that may read the schema, and nothing else. It cannot log in: grant it to users who can."""

_DRIVER = "adbc_driver_postgresql"
_MADE_BY = "Near-Earth objects, published by neo_assets."
_TYPES = {
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.int32(): "integer",
    pa.int64(): "bigint",
}
_INDEXES = (
    f'"{NEOS.name}" ("name")',
    f'"{CLOSE_APPROACHES.name}" USING hash ("neo_id")',
    f'"{CLOSE_APPROACHES.name}" USING brin ("close_approach_at") WITH (pages_per_range = 16)',
)
"""What is looked up most, besides the id of a NEO, which is the primary key of `neos`. Usual indexes (B-trees) on the
two columns of approaches would double the time of a publication.
"""

_IDS = ("id", "neo_id")
"""Columns whose order means nothing. Compared as bytes, they are indexed several times faster."""

_LOCK_MS, _LOCK_ATTEMPTS, _PAUSE_S = 300, 200, 0.2
"""How long to wait for readers at a time before tables are made anew, and how often. PostgreSQL looks for deadlocks
after 1,000 ms of waiting, and might then end a reader's query; so the wait is given up before.
"""

_ONE_AT_A_TIME = 0x6E656F  # any number: it is the name of the lock
_MAY_PASS = ("08", "53", "57", "40", "55P03")
"""How the SQLSTATE of errors begins that a retry may help against: no connection, no resources, shut down, deadlock."""


class PostgresError(Exception):
    """The tables could not be published, or read back; the message says why, without the password."""

    def __init__(self, message: str, retryable: bool = False) -> None:
        """`retryable`: whether a later retry may help."""
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    rows: Mapping[str, int]
    """Number of rows by table, without the dictionary."""
    snapshot_id: str
    is_new: bool
    """Whether anything was written: not if the same snapshot was there already."""
    has_reader: bool
    """Whether the role of readers exists; a user who may not create roles cannot make it."""
    seconds: float
    """How long it took until readers saw it."""


class Postgres:
    """A database to publish to."""

    def __init__(self, url: str) -> None:
        """Connects to nothing yet."""
        self._url = url
        parts = urlsplit(url)
        self._password = unquote(parts.password or "")
        self.where = f"{parts.hostname or 'local socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"
        """Host, port and database, for people."""

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The database that the settings name; None if they name none.

        Raises:
            SettingsError: the package that talks to it is not installed.
        """
        if not settings.postgres_url:
            return None
        if not importlib.util.find_spec(_DRIVER):
            raise SettingsError(
                "NEO_POSTGRES_URL needs PostgreSQL's driver, which is not installed: run `.venv/bin/pip install -e "
                "'.[postgres]'`, or unset NEO_POSTGRES_URL"
            )
        return cls(settings.postgres_url.get_secret_value())

    def publish(self, contents: Contents) -> Published:
        """Replace what is published by these contents, in one transaction; do nothing if it is the same already.

        Raises:
            PostgresError: the database cannot be reached, or refuses. What was published before is unchanged.
            LakeError: the lake cannot be read.
        """
        began = time.monotonic()
        layout = _Layout(contents)
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})").fetchall()
            known = _known(cursor, self.where)
            is_new = known != (layout.digest, contents.origin)
            if is_new:
                if known[0] != layout.digest:
                    _keep_readers_out(connection, cursor)
                    layout.make(cursor)
                rows = _rows(contents)
                for name, table in rows.items():
                    cursor.execute(f'DELETE FROM {SCHEMA}."{name}"')
                    cursor.adbc_ingest(name, table, mode="append", db_schema_name=SCHEMA)
                cursor.execute(f"COMMENT ON SCHEMA {SCHEMA} IS {literal(_mark(layout.digest, contents.origin))}")
                counted = {name: table.num_rows for name, table in rows.items()}
            else:
                counted = _count(cursor, list(layout.contained))
            has_reader = _let_read(cursor)
            connection.commit()
        seconds = time.monotonic() - began
        if is_new:
            with self._connected(autocommit=True) as connection, connection.cursor() as cursor:
                for name in layout.contained:  # makes room of what was deleted, and tells the planner what is there now
                    cursor.execute(f'VACUUM (ANALYZE, TRUNCATE false) {SCHEMA}."{name}"')
        snapshot_id = str(contents.snapshot["snapshot_id"][0].as_py())
        return Published(counted, snapshot_id, is_new, has_reader, seconds)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """A cursor that only reads, all of one state.

        Raises:
            PostgresError: the database cannot be reached, or a query fails.
        """
        with self._connected() as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield cursor

    @contextlib.contextmanager
    def _connected(self, autocommit: bool = False) -> Iterator[Any]:
        """A connection; what it did is rolled back unless it was committed."""
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi

        try:
            with dbapi.connect(self._url, autocommit=autocommit) as connection:
                yield connection
        except Error as error:
            said = re.sub(r"^\w+: (\[libpq\] )?", "", one_line(str(error)))
            if self._password:
                said = said.replace(self._password, "...")
            state = getattr(error, "sqlstate", None) or "08"  # the driver names none if it cannot connect
            raise PostgresError(f"PostgreSQL at {self.where}: {said}", state.startswith(_MAY_PASS)) from None


class _Layout:
    """The tables, views and comments that contents ask for, whatever their rows are."""

    def __init__(self, contents: Contents) -> None:
        self._dictionary = Dictionary(contents.totals)
        self._about = mark(contents.source)
        self.contained = [name for name in self._dictionary.tables if name != DICTIONARY.name]
        """The tables whose rows a publication replaces."""
        self._statements = [
            *map(self._create, self._dictionary.tables),
            *(f"CREATE INDEX ON {one}" for one in _INDEXES),
            *(f'CREATE VIEW "{view.name}" AS\n{view.sql}' for view in views().values()),
        ]
        described = [f"{name}: {self._description(name)}" for name in (*self._dictionary.tables, *views())]
        texts = [view.text for view in views().values()]
        columns = [str(column) for table in self._dictionary.tables.values() for column in table.columns]
        self.digest = digest([*self._statements, *described, *texts, *columns])
        """Digest of all of it."""

    def make(self, cursor: Any) -> None:
        """Make the schema anew, with empty tables."""
        for relation, kind in _relations(cursor):
            cursor.execute(f'DROP {kind} {SCHEMA}."{relation}"')
        cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        cursor.execute(f"SET LOCAL search_path = {SCHEMA}")
        for statement in self._statements:
            cursor.execute(statement)
        columns = cursor.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), c.relkind::text FROM pg_attribute a "
            f"JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = '{SCHEMA}'::regnamespace "
            "AND c.relkind IN ('r', 'v') AND a.attnum > 0 ORDER BY c.oid, a.attnum"
        ).fetchall()
        for relation, kind in {relation: kind for relation, _, _, kind in columns}.items():
            of = "VIEW" if kind == "v" else "TABLE"
            cursor.execute(f'COMMENT ON {of} "{relation}" IS {literal(self._about + self._description(relation))}')
        for relation, column, _, _ in columns:
            meaning = self._dictionary.meaning_of(relation, column)
            comment = literal(_of_postgres(of_column(meaning.description, meaning.unit)))
            cursor.execute(f'COMMENT ON COLUMN "{relation}"."{column}" IS {comment}')
        entries = self._dictionary.rows((relation, column, kind) for relation, column, kind, _ in columns)
        cursor.adbc_ingest(DICTIONARY.name, entries, mode="append", db_schema_name=SCHEMA)

    def _create(self, name: str) -> str:
        columns = ", ".join(map(_column, self._dictionary.tables[name].columns))
        key = ', PRIMARY KEY ("id")' if name == NEOS.name else ""  # `contents` sees to it that each NEO is there once
        return f'CREATE TABLE "{name}" ({columns}{key})'

    def _description(self, relation: str) -> str:
        return _of_postgres(self._dictionary.description_of(relation))


def _of_postgres(text: str) -> str:
    """A description of something in `neo.duckdb`, as it holds here."""
    return text.replace("DuckDB", "PostgreSQL").replace("this file covers", "these tables cover")


def _column(column: Column) -> str:
    kind = _TYPES.get(column.type)
    if pa.types.is_timestamp(column.type):
        kind = "timestamp with time zone" if column.type.tz else "timestamp"
    if column.name in _IDS:
        kind = f'{kind} COLLATE "C"'
    return f'"{column.name}" {kind}{"" if column.nullable else " NOT NULL"}'


def _rows(contents: Contents) -> dict[str, pa.Table]:
    """The rows of each table, without its metadata."""
    rows = {NEOS.name: contents.neos(), CLOSE_APPROACHES.name: contents.close_approaches()}
    rows |= {table.name: one for table, one in contents.totals.items()} | {ONE_SNAPSHOT.name: contents.snapshot}
    return {name: table.replace_schema_metadata() for name, table in rows.items()}


def _mark(layout: str, origin: str) -> str:
    return f"{_MADE_BY} Layout: {layout}. Origin: {origin}."


def _known(cursor: Any, where: str) -> tuple[str, str]:
    """Digests of the layout and of the origin of what is published; empty ones if nothing is.

    Raises:
        PostgresError: the schema holds tables of others.
    """
    found = cursor.execute(
        f"SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = '{SCHEMA}'"
    ).fetchall()
    said = (found[0][0] or "") if found else ""
    if marked := re.search(r" Layout: (\w+)\. Origin: (\w+)\.$", said):
        return marked[1], marked[2]
    if found and _relations(cursor):
        raise PostgresError(
            f"the schema {SCHEMA} of {where} holds tables that neo_assets did not make: rename it, or set "
            "NEO_POSTGRES_URL to another database"
        )
    return "", ""


def _relations(cursor: Any) -> list[tuple[str, str]]:
    """The views and tables in the schema and their kinds, those that read others first."""
    found = cursor.execute(
        "SELECT relname, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END "
        f"FROM pg_class WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind IN ('r', 'v', 'm', 'p') "
        "ORDER BY oid DESC"
    ).fetchall()
    return [(str(name), str(kind)) for name, kind in found]


def _keep_readers_out(connection: Any, cursor: Any) -> None:
    """Wait until no query uses the tables, and keep further ones waiting until the transaction ends.

    A reader that has one table and waits for another would keep this from ever going on, and so would this keep the
    reader; so all locks are let go after a moment, and asked for again.

    Raises:
        PostgresError: readers use the tables all the time.
    """
    from adbc_driver_manager import Error

    relations = ", ".join(f'{SCHEMA}."{name}"' for name, _ in _relations(cursor))
    if not relations:
        return
    for _ in range(_LOCK_ATTEMPTS):
        try:
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}")
            cursor.execute(f"LOCK TABLE {relations} IN ACCESS EXCLUSIVE MODE")
            cursor.execute("SET LOCAL lock_timeout = 0")
            return
        except Error as error:
            if error.sqlstate != "55P03":
                raise
        connection.rollback()
        time.sleep(_PAUSE_S)
        cursor.execute(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})").fetchall()
    raise PostgresError(
        f"the tables of the schema {SCHEMA} must be made anew, and queries use them all the time: try again later",
        retryable=True,
    )


def _let_read(cursor: Any) -> bool:
    """Let the role of readers read the schema; make it if this user may.

    Returns:
        Whether there is one.
    """
    known = f"SELECT count(*) FROM pg_roles WHERE rolname = '{READER}'"
    may_create = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND (rolcreaterole OR rolsuper)"
    if not cursor.execute(known).fetchall()[0][0]:
        if not cursor.execute(may_create).fetchall()[0][0]:
            return False
        cursor.execute(f"CREATE ROLE {READER} NOLOGIN")
    cursor.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {READER}")
    cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {READER}")
    return True


def _count(cursor: Any, names: list[str]) -> dict[str, int]:
    """Number of rows of each table, all of one state."""
    counts = ", ".join(f'(SELECT count(*) FROM {SCHEMA}."{name}")' for name in names)
    [row] = cursor.execute(f"SELECT {counts}").fetchall()
    return dict(zip(names, map(int, row), strict=True))
