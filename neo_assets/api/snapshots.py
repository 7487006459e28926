"""The snapshot that the API reads: the stored `neo.duckdb`, opened once and replaced whole when another one is stored.
What is asked of it is decided in `query`.
"""

import contextlib
import hashlib
import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from starlette.concurrency import run_in_threadpool

from neo_assets.api.held import Held, Loading
from neo_assets.api.problems import Problem
from neo_assets.lake import layout
from neo_assets.lake.storage import LakeDamaged, LakeError, Storage
from neo_assets.pipeline.text import one_line
from neo_assets.products import index
from neo_assets.products.database import DATABASE, quoted
from neo_assets.schema.facts import PROVISIONAL_DESIGNATION
from neo_assets.schema.products import DICTIONARY, ONE_SNAPSHOT

logger = logging.getLogger(__name__)

_LONGEST_QUERY_S = 2.0
_LOOK_EVERY_S = 2.0
"""How often the lake is asked whether there is another database."""

_NONE_YET = "There is no database yet: run `neo run` if the lake is empty, then `neo tables`."
_GONE = "The stored database is gone: run `neo tables` where the lake is."
_DAMAGED = "The stored database is damaged, or not the one that products/index.json lists: `neo tables` makes it again."
_UNREACHABLE = "The lake cannot be read."

_PIECE = 8 << 20
_ROWS_IN_A_PIECE = 50_000

_LIMITS: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "512MB", "max_temp_directory_size": "1GB"}
_TURNS = threading.BoundedSemaphore(8)
"""Queries that run at the same time in this process."""


def as_compared(names: Any) -> Any:
    """Names (a scalar or an array) as they are compared: in lower case, without spaces around them."""
    return pc.utf8_lower(pc.utf8_trim(names, characters=" "))


class Snapshot:
    """A database that does not change. Any thread may use it."""

    def __init__(
        self,
        file: Path,
        version: str,
        longest_query_s: float = _LONGEST_QUERY_S,
        in_memory: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        """
        Args:
            file: a file that nobody else uses, with the database; its name is deleted as soon as it is open, so that
                nothing of it stays when the process is killed.
            version: what tells its content from that of other databases.
            longest_query_s: how long a query may take, in seconds.
            in_memory: a table or view to hold in memory, and its key.
        """
        self._file, self._longest_query_s = file, longest_query_s
        self.version = version
        """What tells its content from that of other databases."""
        self._connection = duckdb.connect(str(file), read_only=True, config=_LIMITS | {"temp_directory": f"{file}.tmp"})
        self._texts: dict[tuple[str, str], list[str]] = {}
        try:
            self._connection.execute("SET GLOBAL TimeZone = 'UTC'")  # for cursors, too
            self._connection.execute("SET enable_external_access = false")
            [self.about] = with_times_as_text(self.rows(f"SELECT * FROM {ONE_SNAPSHOT.name}")).to_pylist()
            """The row that says what the database covers."""
            self.columns: dict[str, dict[str, dict[str, str]]] = {}
            """What the dictionary says of the columns of each table and view."""
            for row in self.rows(f"SELECT * FROM {DICTIONARY.name}").to_pylist():
                self.columns.setdefault(row["table_name"], {})[row["column_name"]] = row
        except BaseException:
            self._connection.close()
            raise
        with contextlib.suppress(PermissionError):  # Windows keeps the name of what is open
            file.unlink()
        self.tag = hashlib.sha256(f"{self.about['snapshot_id']} {version}".encode()).hexdigest()[:16]
        """Tells this database from any other, even of the same snapshot."""
        self._loading = Loading(self._connection.cursor(), *in_memory) if in_memory else None

    def rows(self, sql: str, values: list[Any] | dict[str, Any] | None = None) -> pa.Table:
        """The rows of a query.

        Args:
            sql: the query.
            values: what is bound to each `?` in it, or to each name such as `$year`.

        Raises:
            Problem: the query takes too long, or the database lacks what it reads.
        """
        with self._cursor() as cursor:
            return cursor.sql(sql, params=values or []).to_arrow_table()

    def pieces(self, sql: str, values: list[Any] | None = None) -> Generator[pa.Table, None, None]:
        """The rows of a query in pieces, computed on demand; the first one is empty. Args and raises as `rows`."""
        with self._cursor() as cursor:
            reader = cursor.sql(sql, params=values or []).to_arrow_reader(_ROWS_IN_A_PIECE)
            yield reader.schema.empty_table()
            yield from (pa.Table.from_batches([batch]) for batch in reader)

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one query, which is interrupted if it takes too long. Raises as `rows`."""
        if not _TURNS.acquire(timeout=self._longest_query_s):
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many queries are waiting: try again.", headers={"Retry-After": "5"}
            )
        with contextlib.ExitStack() as stack:
            stack.callback(_TURNS.release)
            cursor = stack.enter_context(self._connection.cursor())
            timer = threading.Timer(self._longest_query_s, cursor.interrupt)
            timer.daemon = True
            timer.start()
            try:
                yield cursor
            except duckdb.CatalogException as error:
                logger.error("the database was made by another version (%s): run `neo tables`", one_line(str(error)))
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE, "The database was made by another version of neo_assets."
                ) from None
            except (duckdb.InterruptException, OSError) as error:
                if not isinstance(error, duckdb.InterruptException) and "INTERRUPT" not in str(error):
                    raise
                raise Problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    f"The query took longer than {self._longest_query_s:g} s: ask for less, such as a shorter time.",
                    headers={"Retry-After": "5"},
                ) from None
            finally:
                timer.cancel()

    @cached_property
    def totals(self) -> list[str]:
        """The names of the tables of totals, one for each metric."""
        return sorted(name for name in self.columns if name.startswith("total_"))

    @cached_property
    def names(self) -> pa.Table:
        """Each `name` that a NEO goes by, `as_compared`, beside its `id`: a query would prepare all of them each time.

        The provisional designation of a numbered NEO is in its name: 99942 Apophis (2004 MN4).
        """
        provisional = rf"regexp_extract(name, '\(({PROVISIONAL_DESIGNATION})\)\s*$', 1)"
        sql = f"SELECT DISTINCT unnest([id, designation, name, name_limited, {provisional}]) AS name, id FROM neos"
        rows = self.rows(sql)
        names = rows.set_column(0, "name", as_compared(rows["name"]))
        return names.filter(pc.not_equal(names["name"], ""))

    def distinct(self, relation: str, column: str) -> list[str]:
        """The different texts in a column, sorted."""
        if held := self.held(relation):
            return held.texts(column)
        if (relation, column) not in self._texts:
            of = f"{quoted(column)} AS one FROM {quoted(relation)}"
            sql = f"SELECT DISTINCT {of} WHERE one IS NOT NULL ORDER BY one"
            self._texts[relation, column] = [str(one) for one in self.rows(sql)["one"].to_pylist()]
        return self._texts[relation, column]

    def held(self, relation: str) -> Held | None:
        """The rows of a table or view in memory; None if they are not there, or not yet."""
        return self._loading.held if self._loading and self._loading.relation == relation else None

    def wait_until_loaded(self) -> None:
        """Wait until what is to be held in memory is there."""
        if self._loading:
            self._loading.join()

    def close(self) -> None:
        """Close the database, and delete its file."""
        if self._loading:
            self._loading.end()
        self._connection.close()
        self._file.unlink(missing_ok=True)


class Snapshots:
    """The snapshot of a lake, as it was stored last."""

    def __init__(
        self,
        lake: Storage,
        longest_query_s: float = _LONGEST_QUERY_S,
        in_memory: tuple[str, Sequence[str]] | None = None,
    ) -> None:
        """
        Args:
            lake: the lake.
            longest_query_s: how long a query may take, in seconds.
            in_memory: a table or view to hold in memory, and its key.
        """
        self._lake, self._longest_query_s, self._in_memory = lake, longest_query_s, in_memory
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._version = ""
        self._damage: str | None = None
        self.trouble: str | None = None
        """Why the stored database is not the one that is served, in words that any client may read; None if it is."""
        self.taken_up_at: float | None = None
        """When the snapshot was taken up, in seconds since 1970."""
        self._looked_at = self._told_at = -_LOOK_EVERY_S
        self._current: Snapshot | None = None
        self._users: dict[Snapshot, int] = {}

    @property
    def tag(self) -> str | None:
        """Tells the snapshot that is open from any other; None without one."""
        current = self._current
        return current.tag if current else None

    def is_time_to_look(self) -> bool:
        """Whether the caller is to `look` for another snapshot. True for one caller every two seconds."""
        now = time.monotonic()
        if min(now - self._looked_at, now - self._told_at) < _LOOK_EVERY_S:
            return False
        self._told_at = now
        return True

    async def look_if_it_is_time(self) -> bool:
        """`look` in a thread, if this caller is the one to do so; returns whether it was.

        Without a snapshot, every caller waits for one.
        """
        if self._current and not self.is_time_to_look():
            return False
        await run_in_threadpool(self.look)
        return True

    @contextlib.contextmanager
    def current(self) -> Iterator[Snapshot]:
        """The newest snapshot, which stays open until the end of the block.

        Raises:
            Problem: there is none yet.
        """
        self.look()
        with self.taken_up() as snapshot:
            yield snapshot

    @contextlib.contextmanager
    def taken_up(self) -> Iterator[Snapshot]:
        """The snapshot in use, without looking for a newer one. It stays open until the end of the block.

        Raises:
            Problem: there is none yet.
        """
        with self._lock:
            snapshot = self._current
            if snapshot is None:
                detail = self.trouble or _NONE_YET
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "60"})
            self._users[snapshot] = self._users.get(snapshot, 0) + 1
        try:
            yield snapshot
        finally:
            with self._lock:
                self._users[snapshot] -= 1
                is_over = self._forget_unless_used(snapshot)
            if is_over:  # to close it takes a while, and this may be the event loop
                threading.Thread(target=snapshot.close, name="close snapshot").start()

    def look(self) -> None:
        """Take up the stored database if it is another one. The former one is kept if that fails.

        One thread does so. The others go on with the former snapshot, except that they wait for the first one.
        """
        if time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        if not self._looking.acquire(blocking=self._current is None):
            return
        try:
            if time.monotonic() - self._looked_at >= _LOOK_EVERY_S:
                self.trouble = self._take_up()
                self._looked_at = time.monotonic()
        finally:
            self._looking.release()

    def _take_up(self) -> str | None:
        """Take up the stored database unless it is the one that was taken up, or tried, before.

        Returns:
            Why it is not served; None if it is.
        """
        path = layout.product(DATABASE)
        file = Path(tempfile.gettempdir()) / f"neo-serve-{secrets.token_hex(8)}.duckdb"
        copied = False
        try:
            versions = self._lake.versions([path, layout.PRODUCTS_INDEX])
            if path not in versions:
                return _GONE if self._current else _NONE_YET
            version = " ".join(versions.values())
            if version == self._version:
                return self._damage
            digest = self._copy(path, file)
            copied, self._version = True, version  # one that cannot be opened is not tried again
            made = index.read(self._lake).get(DATABASE)
            if not made or made.sha256 != digest:
                raise LakeDamaged("it is not the one that products/index.json lists; `neo tables` makes it again")
            if self._current and self._current.version == digest:  # only other products were stored
                file.unlink()
                self._damage = None
                return None
            opened = Snapshot(file, digest, self._longest_query_s, self._in_memory)
        except (LakeError, OSError, duckdb.Error, Problem) as error:
            file.unlink(missing_ok=True)
            logger.warning("the stored database cannot be opened: %s", error)
            if copied:
                self._damage = _DAMAGED
            return _DAMAGED if copied else _UNREACHABLE
        self._damage = None
        if self._current:
            opened.wait_until_loaded()  # meanwhile, the former one answers from memory
        with self._lock:
            before, self._current = self._current, opened
            self.taken_up_at = time.time()
            to_close = before if before and self._forget_unless_used(before) else None
        if to_close:
            to_close.close()
        logger.info("serving snapshot %s of %s", opened.about["snapshot_id"], opened.about["newest_page_at"])
        return None

    def _forget_unless_used(self, snapshot: Snapshot) -> bool:
        """Whether it is a former snapshot that nobody uses any longer, so that it has to be closed."""
        if snapshot is self._current or self._users.get(snapshot):
            return False
        self._users.pop(snapshot, None)
        return True

    def _copy(self, path: str, file: Path) -> str:
        """Copy the stored database to a file of its own: DuckDB would share what it has open under the same name.

        Returns:
            The SHA-256 of its content.
        """
        digest = hashlib.sha256()
        with self._lake.open(path) as stored, file.open("xb") as copy:
            while piece := stored.read(_PIECE):
                copy.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            if self._current:
                self._current.close()
            self._current = None


def with_times_as_text(rows: pa.Table) -> pa.Table:
    """The rows, with times such as `2029-04-13T21:46:00Z`."""
    columns = [_as_text(column) if pa.types.is_timestamp(column.type) else column for column in rows.columns]
    return pa.Table.from_arrays(columns, rows.column_names)  # `pa.table` would load pandas for the first answer


def _as_text(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times as text; `strftime` would take twice as long."""
    texts = pc.cast(pc.cast(times, pa.timestamp("s"), safe=False), pa.string())  # with a space in between
    return pc.replace_substring_regex(texts, " (.*)", r"T\1Z")
