"""The database of requests, SQLite or PostgreSQL: its connections, the making of its table, and its errors in one line.
What the table holds, and how it changes, is decided in `products.requests`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from neo_assets.pipeline.text import one_line

_ONE_AT_A_TIME = 0x6E656F71  # any number: it is the name of the lock under which PostgreSQL makes the table


class RequestsUnusable(Exception):
    """The requests cannot be read or written; the message says why, without a password."""

    retryable = True


class RequestsDatabase:
    """The database of a table. Any thread may use it."""

    def __init__(self, url: sa.URL, table: sa.Table, patience_s: float) -> None:
        """Connects to nothing yet.

        Args:
            url: the database.
            table: the only table in it that is used.
            patience_s: how long to wait for a connection, for a server that does not answer, for processes that write
                and for a statement, in seconds; for each of them.
        """
        self._table = table
        self._file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        # Whatever the driver says of them, a URL's parts may be in its messages: only `where` is shown.
        self.where = str(self._file) if self._file else f"{url.host}{f':{url.port}' if url.port else ''}/{url.database}"
        """The file, or host and database, for people."""
        self._schema = None if self._file else table.schema  # SQLite has none
        self.engine = sa.create_engine(
            url,
            connect_args={"timeout": patience_s} if self._file else _patience_of_postgres(url, patience_s),
            pool_timeout=patience_s,
            pool_pre_ping=not self._file,
            execution_options={"schema_translate_map": {table.schema: self._schema}},
        )
        self._password = str(url.password or "")
        self._is_there = False

    def exists(self) -> bool:
        """Whether there is the table; looking makes no file."""
        if not self._is_there and (not self._file or self._file.exists()):
            with self.engine.connect() as connection:
                self._is_there = sa.inspect(connection).has_table(self._table.name, self._schema)
        return self._is_there

    def made(self) -> sa.Engine:
        """The database, with the table made unless another process was faster."""
        if self.exists():
            return self.engine
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self.engine.connect() as connection:
            # A transaction that reads first could not wait for others that write.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._file else "BEGIN")
            if self._schema:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
                connection.execute(sa.schema.CreateSchema(self._schema, if_not_exists=True))
            self._table.create(connection, checkfirst=True)
            connection.commit()
        self._is_there = True
        return self.engine

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the database into one line.

        Raises:
            RequestsUnusable: the block failed by the database.
        """
        try:
            yield
        except (SQLAlchemyError, OSError) as error:  # not only the driver's: no connection may be free
            said = one_line(str(error.orig if isinstance(error, DBAPIError) else error))
            if self._password:
                said = said.replace(self._password, "...")
            way_out = "check NEO_POSTGRES_URL and the server" if not self._file else "check the disk and DAGSTER_HOME"
            if self._file and isinstance(error, OperationalError) and "locked" in said:
                way_out = "another process keeps it locked: try again"
            raise RequestsUnusable(f"the requests in {self.where} cannot be used ({said}): {way_out}") from None


def _patience_of_postgres(url: sa.URL, patience_s: float) -> dict[str, object]:
    """How a connection to PostgreSQL is told to wait no longer than that, beside what its URL tells it."""
    ms = int(patience_s * 1_000)
    told = url.query.get("options", ())
    options = [*((told,) if isinstance(told, str) else told), f"-c statement_timeout={ms} -c lock_timeout={ms}"]
    return {
        "connect_timeout": max(1, round(patience_s)),  # the driver knows whole seconds only
        "tcp_user_timeout": ms,
        "options": " ".join(options),
    }
